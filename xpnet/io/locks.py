"""Locks on open files. They tell two runs apart that write the same file, also in different processes."""

from __future__ import annotations

import contextlib
import enum
import re
from typing import TYPE_CHECKING

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

if TYPE_CHECKING:
    from pathlib import Path


class Lock(enum.Enum):
    """What came of an attempt to lock a file."""

    HELD = "held"
    """This open file holds the lock now. Closing the file releases it."""

    TAKEN = "taken"
    """Another open file holds the lock."""

    UNSUPPORTED = "unsupported"
    """The system or the file system has no locks: Windows, and some network file systems."""


def try_lock(descriptor: int, *, wait: bool = False) -> Lock:
    """Lock an open file.

    Args:
        descriptor: the descriptor of the file.
        wait: whether to wait as long as another open file holds the lock.
    """
    if fcntl is None:
        return Lock.UNSUPPORTED
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return Lock.TAKEN
    except OSError:
        return Lock.UNSUPPORTED
    return Lock.HELD


def remove_orphans(folder: Path, prefix: str, suffix: str) -> None:
    """Remove the temporary files that killed runs left in a folder.

    A run holds a lock on its temporary file. So a file that can be locked belongs to no run.

    Args:
        folder: the folder.
        prefix: how the name of such a file begins, as for `tempfile.mkstemp`.
        suffix: how it ends.
    """
    pattern = re.compile(re.escape(prefix) + "[a-z0-9_]{8}" + re.escape(suffix))
    with contextlib.suppress(OSError):
        for path in [path for path in folder.iterdir() if pattern.fullmatch(path.name)]:
            with contextlib.suppress(OSError), path.open("rb+") as file:
                if try_lock(file.fileno()) is Lock.HELD:
                    path.unlink()
