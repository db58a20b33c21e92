"""A file that grows chunk by chunk, and is there under its name only when it is complete.

Beside NAME lie NAME.part, the bytes so far, and NAME.journal: a line for each chunk that is whole, with the
length of the file after it. Whatever a killed run wrote beyond the last such line is cut off and done again.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from typing import TYPE_CHECKING, Any

from pipelines.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

SYNC_SECONDS = 5.0
"""What was written this long ago is on the disk, also if the machine loses its power."""


class Partial:
    """A growing file. Made by `Partial.open`.

    Attributes:
        path: its final name.
        state: what was given with the last whole chunk; empty at the start.
    """

    def __init__(self, path: str, about: Mapping[str, Any]) -> None:
        self.path, self.state = path, dict[str, Any]()
        self._about = json.loads(json.dumps(about))
        self._data: Any = None
        self._journal: Any = None
        self._length, self._synced = 0, time.monotonic()

    @classmethod
    def open(cls, path: str, about: Mapping[str, Any], resume: bool) -> Partial:
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
            if resume and os.path.exists(partial._journal_name):
                partial._read_journal()
            partial._open()
        except OSError as error:
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
            line = json.dumps({"length": self._length, "state": self.state})
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
        made = self._part_name
        try:
            os.fsync(self._data.fileno())
            if convert is not None:
                made = f"{self.path}.tmp"
                convert(self._part_name, made)
            self._close()
            os.replace(made, self.path)
            self._unlink()
        except OSError as error:
            raise self._cannot(error) from error

    def discard(self) -> None:
        """Remove what was written; a file that had the name before stays."""
        self._close()
        self._unlink()

    def _close(self) -> None:
        self._data.close()
        self._journal.close()

    def _unlink(self) -> None:
        for name in (self._part_name, self._journal_name):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(name)

    @property
    def _part_name(self) -> str:
        return f"{self.path}.part"

    @property
    def _journal_name(self) -> str:
        return f"{self.path}.journal"

    def _open(self) -> None:
        # Both stay open until `finish`, or the process ends: what they hold is flushed after each chunk.
        begins = not self.state
        self._data = open(self._part_name, "wb" if begins else "rb+")  # noqa: SIM115
        self._journal = open(self._journal_name, "wb" if begins else "ab")  # noqa: SIM115
        if begins:
            self._journal.write(json.dumps({"about": self._about}).encode() + b"\n")
            self._journal.flush()
        self._data.truncate(self._length)
        self._data.seek(self._length)

    def _read_journal(self) -> None:
        """Find the last whole chunk; cut a torn line off."""
        with open(self._journal_name, "rb+") as file:
            whole, lines = 0, []
            for line in file:
                try:
                    lines.append(json.loads(line))
                except ValueError:
                    break
                if not line.endswith(b"\n"):
                    lines.pop()
                    break
                whole += len(line)
            file.truncate(whole)
        if not lines:
            return
        then = lines[0].get("about", {})
        for name, now in self._about.items():
            if then.get(name) != now:
                msg = (
                    f"{self.path}: cannot be resumed with another {name}: it was begun with "
                    f"{then.get(name)}, and this is {now}"
                )
                raise OutputError(msg)
        # The journal is written after the bytes, but a disk may keep one and lose the other.
        size = os.path.getsize(self._part_name) if os.path.exists(self._part_name) else 0
        for line in reversed(lines[1:]):
            if line["length"] <= size:
                self._length, self.state = line["length"], line["state"]
                return

    def _cannot(self, error: OSError) -> OutputError:
        text = f"{self.path}: cannot be written: {error.strerror or error}"
        if self.state:
            text += "; what is done so far is kept, and --resume goes on with it"
        return OutputError(text)
