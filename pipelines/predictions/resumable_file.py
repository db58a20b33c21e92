"""A file that grows chunk by chunk, and is there under its name only when it is complete.

Beside NAME lie NAME.part, the bytes so far, and NAME.journal: a line for each chunk that is whole, with the
length of the file after it. Whatever a killed run wrote beyond the last such line is cut off and done again.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
import zlib
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Self

from xpnet.errors import OutputError
from xpnet.io import atomic_write

try:
    import fcntl
except ImportError:  # Windows, where two runs are not kept apart
    fcntl = None  # type: ignore[assignment]

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

SYNC_SECONDS = 5.0
"""What was written this long ago is on the disk, also if the machine loses its power."""


class StdoutSink:
    """What has the methods of `Partial`, for rows that go to standard output and cannot be resumed."""

    path = "standard output"

    def __init__(self, stdout: IO[bytes]) -> None:
        self._stdout, self.state = stdout, dict[str, Any]()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        pass

    def append(self, chunk: bytes, state: Mapping[str, Any]) -> None:
        """As `Partial.append`."""
        del state
        self._stdout.write(chunk)
        self._stdout.flush()

    def finish(self, convert: Callable[[str, str], None] | None = None) -> None:
        """As `Partial.finish`: there is nothing to name."""

    def discard(self) -> None:
        """As `Partial.discard`: there is nothing to remove."""


class ResumableFile:
    """A growing file. Made by `Partial.open`, to be used by `with`.

    Attributes:
        path: its final name.
        state: what was given with the last whole chunk; empty at the start.
    """

    def __init__(self, path: str, about: Mapping[str, Any]) -> None:
        self.path, self.state = path, dict[str, Any]()
        self._target = os.path.realpath(path)  # of a link, what it points to
        self._about = json.loads(json.dumps(about))
        self._data: Any = None
        self._journal: Any = None
        self._length, self._synced = 0, time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self._close()

    @classmethod
    def open(cls, path: str, about: Mapping[str, Any], resume: bool) -> ResumableFile:
        """Return a file to write.

        Args:
            path: its final name.
            about: plain data that tells runs apart: to resume, it must be that of the earlier run.
            resume: whether to go on with what an earlier run left. Without, it is replaced.

        Raises:
            OutputError: it cannot be written, or was left by another run.
        """
        partial = cls(path, about)
        if os.path.isdir(path):
            msg = f"{path}: is a folder, expected the name of a file"
            raise OutputError(msg)
        try:
            partial._open(resume)
        except OSError as error:
            partial._close()
            if isinstance(error, OutputError):
                raise
            raise partial._cannot(error) from error
        return partial

    def append(self, chunk: bytes, state: Mapping[str, Any]) -> None:
        """Add bytes, and note the state after them.

        Raises:
            OutputError: they cannot be written; what was there before can be resumed.
        """
        try:
            self._data.write(chunk)
            self._data.flush()
            self._length += len(chunk)
            self.state = dict(state)
            line = json.dumps({"length": self._length, "crc": zlib.crc32(chunk), "state": self.state})
            self._journal.write(line.encode() + b"\n")
            self._journal.flush()
            if time.monotonic() - self._synced > SYNC_SECONDS:
                os.fsync(self._data.fileno())
                self._synced = time.monotonic()
        except OSError as error:
            raise self._cannot(error) from error

    def finish(self, convert: Callable[[str, str], None] | None = None) -> None:
        """Give the file its name.

        Args:
            convert: makes the file to be named, its second argument, of what was written, its first. By
                default that is the file.

        Raises:
            OutputError: it cannot be written; what was written until now is kept.
        """
        try:
            if convert is None:
                os.fsync(self._data.fileno())
                self._close()
                os.replace(self._part_name, self._target)
            else:
                with atomic_write(Path(self._target)) as made:
                    convert(self._part_name, str(made))
                self._close()
            self._unlink()
        except OSError as error:
            raise self._cannot(error) from error

    def discard(self) -> None:
        """Remove what was written; a file that had the name before stays."""
        self._close()
        self._unlink()

    def _close(self) -> None:
        for file in (self._data, self._journal):
            if file is not None:
                # What is still in a buffer after a failed write may fail again; it was reported.
                with contextlib.suppress(OSError):
                    file.close()

    def _unlink(self) -> None:
        for name in (self._part_name, self._journal_name):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(name)

    @property
    def _part_name(self) -> str:
        return f"{self._target}.part"

    @property
    def _journal_name(self) -> str:
        return f"{self._target}.journal"

    def _open(self, resume: bool) -> None:
        self._journal = open(self._journal_name, "ab+")  # noqa: SIM115
        _lock(self._journal, self.path)
        self._data = open(self._part_name, "ab+")  # noqa: SIM115
        self._journal.seek(0)
        head = _parsed(self._journal.readline(), {"about": dict})
        if head is None:
            self._refuse_foreign()
        elif resume:
            self._require_same(head["about"])
            self._read_journal()
        if not self.state:
            self._length = 0
            self._journal.truncate(0)
            self._journal.write(json.dumps({"about": self._about}).encode() + b"\n")
            self._journal.flush()
        self._data.truncate(self._length)

    def _refuse_foreign(self) -> None:
        """Raise `OutputError` if there are files of those names that no run of this program left."""
        for name, file in ((self._part_name, self._data), (self._journal_name, self._journal)):
            if os.fstat(file.fileno()).st_size:
                msg = f"{name}: is there, and not what an earlier run left: move it, or name another output"
                raise OutputError(msg)

    def _read_journal(self) -> None:
        """Find the last chunk that is whole; cut off what follows.

        The journal is written after the bytes, but a disk that lost its power may keep the one and not the
        other, or the length of a file and not its bytes. So the bytes are read again.
        """
        whole = self._journal.tell()
        self._data.seek(0)
        kinds = {"length": int, "crc": int, "state": dict}
        while (line := _parsed(self._journal.readline(), kinds)) is not None:
            size = line["length"] - self._length
            chunk = self._data.read(max(0, size))
            if len(chunk) != size or zlib.crc32(chunk) != line["crc"]:
                break
            self._length, self.state, whole = line["length"], line["state"], self._journal.tell()
        self._journal.truncate(whole)

    def _require_same(self, then: Mapping[str, Any]) -> None:
        differing = [name for name in {**then, **self._about} if then.get(name) != self._about.get(name)]
        if differing:
            what = _difference(differing[0], then, self._about)
            msg = f"{self.path}: cannot be resumed: it was begun with {what}; without --resume it begins anew"
            raise OutputError(msg)

    def _cannot(self, error: OSError) -> OutputError:
        text = f"{self.path}: cannot be written: {error.strerror or error}"
        if self.state:
            text += "; what is done so far is kept, and --resume goes on with it"
        return OutputError(text)


def _lock(file: IO[bytes], path: str) -> None:
    """Keep other runs from the same output, as long as the file is open."""
    if fcntl is None:
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        msg = f"{path}: is being written by another run: wait for it, or name another file"
        raise OutputError(msg) from error


def _difference(name: str, then: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Return what differs, in words."""
    before, after = then.get(name), now.get(name)
    if isinstance(before, dict) and isinstance(after, dict):
        inner = next(key for key in {**before, **after} if before.get(key) != after.get(key))
        return f"another of its {name}: {inner} was {before.get(inner)}, and is {after.get(inner)}"
    return f"another {name}"


def _parsed(line: bytes, kinds: Mapping[str, type]) -> dict[str, Any] | None:
    """Return what a line of the journal says, or None if it is torn, or lacks an entry of some kind."""
    try:
        parsed = json.loads(line) if line.endswith(b"\n") else None
    except (ValueError, RecursionError):
        return None
    if not isinstance(parsed, dict) or not all(isinstance(parsed.get(n), k) for n, k in kinds.items()):
        return None
    return parsed
