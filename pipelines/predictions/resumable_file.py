"""A file that grows chunk by chunk, and gets its name only when it is complete.

While NAME is incomplete there are two other files. NAME.part holds the bytes so far. NAME.journal holds one
line for each complete chunk, with the length of NAME.part after it. What a killed run wrote after the last
such line is cut off, and that work is done again.
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
except ImportError:  # Windows has no such locks: two runs could write the same output
    fcntl = None  # type: ignore[assignment]

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

SYNC_SECONDS = 5.0
"""How often the bytes are forced onto the disk, in case the machine loses its power."""


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
        self._stream.write(chunk)
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

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self._close()

    @classmethod
    def open(cls, path: str, identity: Mapping[str, Any], resume: bool) -> ResumableFile:
        """Return a file to write.

        Args:
            path: its final name.
            identity: plain data that differs between runs with different results. A run can be resumed only
                with the same identity.
            resume: whether to continue an unfinished file. Otherwise an unfinished file is replaced.

        Raises:
            OutputError: the file cannot be written, or the unfinished file is of another run.
        """
        file = cls(path, identity)
        if os.path.isdir(path):
            msg = f"{path}: is a folder, expected the name of a file"
            raise OutputError(msg)
        try:
            file._open(resume)
        except OSError as error:
            file._close()
            if isinstance(error, OutputError):
                raise
            raise file._unwritable(error) from error
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
            raise self._unwritable(error) from error

    def discard(self) -> None:
        """Remove what was written. An earlier file with the final name stays."""
        self._close()
        self._unlink()

    def _close(self) -> None:
        for file in (self._data, self._journal):
            if file is not None:
                # After a failed write, closing tries to write the buffer again. That error was raised before.
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
        head = _parse_line(self._journal.readline(), {"about": dict})
        if head is None:
            self._refuse_foreign_files()
        elif resume:
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
        self._data.seek(0)
        kinds = {"length": int, "crc": int, "state": dict}
        while (line := _parse_line(self._journal.readline(), kinds)) is not None:
            size = line["length"] - self._length
            chunk = self._data.read(max(0, size))
            if len(chunk) != size or zlib.crc32(chunk) != line["crc"]:
                break
            self._length, self.state, end = line["length"], line["state"], self._journal.tell()
        self._journal.truncate(end)

    def _require_same_identity(self, earlier: Mapping[str, Any]) -> None:
        now = self._identity
        differing = [name for name in {**earlier, **now} if earlier.get(name) != now.get(name)]
        if differing:
            what = _difference(differing[0], earlier, now)
            msg = (
                f"{self.path}: cannot be resumed: the earlier run had {what}; "
                "without --resume the output is written from the start"
            )
            raise OutputError(msg)

    def _unwritable(self, error: OSError) -> OutputError:
        text = f"{self.path}: cannot be written: {error.strerror or error}"
        if self.state:
            text += "; what was written so far is kept: continue with --resume"
        return OutputError(text)


def _lock(file: IO[bytes], path: str) -> None:
    """Lock the output for this run, as long as the file is open.

    Raises:
        OutputError: another run has locked it.
    """
    if fcntl is None:
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        msg = f"{path}: is being written by another run: wait until it has ended, or name another file"
        raise OutputError(msg) from error


def _difference(name: str, earlier: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Return in words how an entry of two identities differs."""
    before, after = earlier.get(name), now.get(name)
    if isinstance(before, dict) and isinstance(after, dict):
        inner = next(key for key in {**before, **after} if before.get(key) != after.get(key))
        return f"other {name}: {inner} was {before.get(inner)}, and now is {after.get(inner)}"
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
