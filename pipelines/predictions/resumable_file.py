"""A file that grows chunk by chunk, and gets its name only when it is complete.

While NAME is incomplete there are two other files. NAME.part holds the bytes so far. NAME.journal holds one
line for each complete chunk, with the length of NAME.part after it. What a killed run wrote after the last
such line is cut off, and that work is done again.
"""

from __future__ import annotations

import contextlib
import json
import os
import stat
import time
import zlib
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Self

from xpnet.errors import OutputError
from xpnet.io import atomic_write

from ..outputs import is_at, locked_outputs, open_own_file

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

WAYS_OUT = "to write it from the start, give --overwrite; to keep both, name another output"
"""What to do if an unfinished file cannot be continued."""

SYNC_SECONDS = 5.0
"""How often the bytes are forced onto the disk, in case the machine loses its power."""


def is_unfinished(path: str) -> bool:
    """Return whether a file has bytes of an earlier run that was killed."""
    return os.path.exists(f"{os.path.realpath(path)}.part")


class StreamSink:
    """A stream with the methods of `ResumableFile`. It cannot be resumed.

    Args:
        stream: takes bytes, as `sys.stdout.buffer` does.
    """

    path = "standard output"

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream, self.state = stream, dict[str, Any]()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        pass

    def append(self, chunk: bytes, state: Mapping[str, Any]) -> None:
        """As `ResumableFile.append`."""
        del state
        remaining = memoryview(chunk)
        while remaining:  # a stream without a buffer may take a part of the bytes
            written = self._stream.write(remaining)
            if written is None:
                msg = "standard output: is busy, and does not wait for its reader"
                raise OutputError(msg)
            remaining = remaining[written:]
        self._stream.flush()

    def finish(self, convert: Callable[[str, str], None] | None = None) -> None:
        """Do nothing: a stream has no name to get."""

    def discard(self) -> None:
        """Do nothing: what was written to a stream stays."""


class ResumableFile:
    """A growing file. `ResumableFile.open` makes it; use it in a `with` statement.

    Attributes:
        path: the final name.
        state: the state that was appended with the last complete chunk; empty at the start.
    """

    def __init__(self, path: str, identity: Mapping[str, Any]) -> None:
        self.path, self.state = path, dict[str, Any]()
        self._target = os.path.realpath(path)  # the file that a link points to
        self._identity = json.loads(json.dumps(identity))
        self._data: Any = None
        self._journal: Any = None
        self._length, self._synced = 0, time.monotonic()
        self._lock = contextlib.ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self._close()

    @classmethod
    def open(cls, path: str, identity: Mapping[str, Any], overwrite: bool = False) -> ResumableFile:
        """Return a file to write. An unfinished file of the same run is continued.

        Args:
            path: its final name.
            identity: plain data that differs between runs with different results. A run can be resumed only
                with the same identity.
            overwrite: whether to replace an unfinished file, in place of continuing it.

        Raises:
            OutputError: the file cannot be written, another run is writing it, or there is the unfinished
                file of a run with another identity.
        """
        file = cls(path, identity)
        if os.path.isdir(path):
            msg = f"{path}: is a folder, expected the name of a file"
            raise OutputError(msg)
        try:
            file._open(overwrite)
        except OSError as error:
            file._close()
            raise file._unwritable(error) from error
        except BaseException:
            file._close()
            raise
        return file

    def append(self, chunk: bytes, state: Mapping[str, Any]) -> None:
        """Add bytes, and record the state after them.

        Args:
            chunk: the bytes.
            state: plain data that a resumed run needs to continue.

        Raises:
            OutputError: the bytes cannot be written. The chunks before can be resumed.
        """
        try:
            self._require_in_place()
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
            raise self._unwritable(error) from error

    def finish(self, convert: Callable[[str, str], None] | None = None) -> None:
        """Give the file its name.

        Args:
            convert: makes the final file (second path) from the written file (first path). By default the
                written file is the final file.

        Raises:
            OutputError: the file cannot be written. What was written so far is kept.
        """
        try:
            self._require_in_place()
            os.fsync(self._data.fileno())
            self._close_files()  # Windows cannot rename an open file
            if convert is None:
                with contextlib.suppress(OSError):  # what only the owner may read stays so
                    os.chmod(self._part_name, stat.S_IMODE(os.stat(self._target).st_mode))
                os.replace(self._part_name, self._target)
            else:
                with atomic_write(Path(self._target)) as made:
                    convert(self._part_name, str(made))
            self._unlink()
        except OSError as error:
            raise self._unwritable(error) from error
        finally:
            self._close()

    def discard(self) -> None:
        """Remove what was written. An earlier file with the final name stays."""
        self._close_files()
        self._unlink()
        self._close()

    def _close(self) -> None:
        """Close the files, and then let other runs write this output."""
        self._close_files()
        self._lock.close()

    def _close_files(self) -> None:
        for file in (self._data, self._journal):
            if file is not None:
                # After a failed write, closing tries to write the buffer again. That error was raised before.
                with contextlib.suppress(OSError):
                    file.close()

    def _require_in_place(self) -> None:
        """Raise `OutputError` if the unfinished file was removed, or another one has its name."""
        if not is_at(self._data.fileno(), self._part_name):
            msg = f"{self.path}: cannot be written: {self._part_name} was removed or replaced during the run"
            raise OutputError(msg)

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

    def _open(self, overwrite: bool) -> None:
        self._lock.enter_context(locked_outputs(self.path))
        self._journal = os.fdopen(open_own_file(self._journal_name), "ab+")
        self._data = os.fdopen(open_own_file(self._part_name), "ab+")
        self._journal.seek(0)
        head = _parse_line(self._journal.readline(), {"about": dict})
        # Without bytes there is nothing to lose: the run failed before its first row, or it ended and was
        # killed before it removed the journal.
        is_empty = not os.fstat(self._data.fileno()).st_size
        if head is None:
            self._refuse_foreign_files()
        elif not overwrite and not is_empty:
            self._require_same_identity(head["about"])
            self._read_journal()
        if not self.state:
            self._length = 0
            self._journal.truncate(0)
            self._journal.write(json.dumps({"about": self._identity}).encode() + b"\n")
            self._journal.flush()
        self._data.truncate(self._length)

    def _refuse_foreign_files(self) -> None:
        """Raise `OutputError` if files have these names but were not written by xpnet."""
        for name, file in ((self._part_name, self._data), (self._journal_name, self._journal)):
            if os.fstat(file.fileno()).st_size:
                msg = (
                    f"{name}: exists, but is not the unfinished output of an earlier run: move it away, or "
                    "name another output"
                )
                raise OutputError(msg)

    def _read_journal(self) -> None:
        """Find the last complete chunk, and cut off what follows it.

        The journal is written after the bytes. But a disk that lost its power may have kept the journal and
        lost bytes, so the bytes are read again and compared with their checksums.
        """
        end = self._journal.tell()
        available = os.fstat(self._data.fileno()).st_size
        self._data.seek(0)
        kinds = {"length": int, "crc": int, "state": dict}
        while (line := _parse_line(self._journal.readline(), kinds)) is not None:
            size = line["length"] - self._length
            if not 0 <= size <= available - self._length:
                break
            chunk = self._data.read(size)
            if len(chunk) != size or zlib.crc32(chunk) != line["crc"]:
                break
            self._length, self.state, end = line["length"], line["state"], self._journal.tell()
        self._journal.truncate(end)

    def _require_same_identity(self, earlier: Mapping[str, Any]) -> None:
        now = self._identity
        differing = [name for name in {**earlier, **now} if earlier.get(name) != now.get(name)]
        if differing:
            what = _difference(differing[0], earlier, now)
            msg = f"{self.path}: cannot be resumed: the earlier run had {what}; {WAYS_OUT}"
            raise OutputError(msg)

    def _unwritable(self, error: OSError) -> OutputError:
        if isinstance(error, OutputError):
            return error
        text = f"{self.path}: cannot be written: {error.strerror or error}"
        if isinstance(error, PermissionError) and error.filename in (self._part_name, self._journal_name):
            return OutputError(
                f"{error.filename}: cannot be opened: {error.strerror}: an earlier run, perhaps of another "
                "user, left it; remove it, or name another output"
            )
        if self.state and os.path.exists(self._part_name) and os.path.exists(self._journal_name):
            text += "; what was written so far is kept: the same command continues"
        return OutputError(text)


def _difference(name: str, earlier: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Return in words how an entry of two identities differs."""
    before, after = earlier.get(name), now.get(name)
    if name not in now:  # damaged, or of another version
        return f"{name!r}, which this one has not"
    if isinstance(before, dict) and isinstance(after, dict):
        for key in {**after, **before}:
            if before.get(key) != after.get(key):
                shown = key if key in after else repr(key)
                return f"other {name}: {shown} was {before.get(key)!r}, and now is {after.get(key)!r}"
    return f"another {name}"


def _parse_line(line: bytes, kinds: Mapping[str, type]) -> dict[str, Any] | None:
    """Return the content of a line of the journal, or None if it is incomplete or has other entries."""
    try:
        parsed = json.loads(line) if line.endswith(b"\n") else None
    except (ValueError, RecursionError):
        return None
    if not isinstance(parsed, dict) or not all(isinstance(parsed.get(n), k) for n, k in kinds.items()):
        return None
    return parsed
