"""Members of tar archives on servers: found once, and kept in a file of this machine for the other processes.

A tar archive has no directory. The header of each member stands before its bytes. So the members are
found by reading the archive from its start to its end, in large parts, or from header to header where members
are large.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import zlib
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, cast

from xpnet.errors import OutputError
from xpnet.io import try_lock

from ..cache_folder import cache_folder
from ..outputs import write_text
from .members import Directory, Member
from .remote import RemoteFile, read_range, status_of
from .tar_archive import read_tar_directory

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import IO

READERS = 8
"""How many parts of an archive are read at a time."""

PART = 4 << 20
"""Bytes of a part."""

JUMP = 2 << 20
"""At this distance between headers, in bytes, to ask for each header takes less time than to read all."""

HEADER_BYTES = 1 << 14
"""How many bytes are read where only headers are wanted: there may be several of them, with long names."""

KEPT = 200
"""How many files are kept on this machine: two for each archive, with its lock."""


def read_remote_tar(archive: str) -> Directory:
    """Return the members of a tar archive on a server.

    Raises:
        ImageError: it cannot be read.
    """
    status = status_of(archive)
    if not status.identity:
        return _found(archive)
    key = json.dumps([archive, status.size, status.identity])
    path = os.path.join(cache_folder("archives"), hashlib.blake2b(key.encode(), digest_size=16).hexdigest())
    with _locked(path):  # other processes want the same, at the same time
        directory = _kept(path)
        if directory is None:
            directory = _found(archive)
            with contextlib.suppress(OSError, OutputError):
                _keep(path, directory)
    return directory


def _found(archive: str) -> Directory:
    with ThreadPoolExecutor(READERS) as readers:
        return read_tar_directory(cast("IO[bytes]", _WholeFile(archive, readers)))


class _WholeFile(RemoteFile):
    """An object on a server that is read from its start to its end, with jumps."""

    def __init__(self, name: str, readers: ThreadPoolExecutor) -> None:
        super().__init__(name)
        self._readers = readers
        self._content, self._start, self._reads = b"", 0, 0

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes, of what was read before, if they are there."""
        place, end = self.tell(), self.seek(0, os.SEEK_END)
        self.seek(place)
        size = max(0, end - place if size < 0 else min(size, end - place))
        first = place - self._start
        if not 0 <= first <= len(self._content) - size:
            self._fill(place, size, end)
            first = 0
        self._reads += 1
        self.seek(place + size)
        return self._content[first : first + size]

    def _fill(self, place: int, size: int, end: int) -> None:
        """Read from a place on: as much as is useful, at least `size` bytes."""
        distance = (place - self._start) / max(1, self._reads)
        stop = min(end, place + max(size, HEADER_BYTES if distance > JUMP else PART * READERS))
        starts = range(place, stop, PART)
        parts = self._readers.map(
            lambda start: read_range(self._name, start, min(PART, stop - start)), starts
        )
        self._content, self._start, self._reads = b"".join(parts), place, 0


def _keep(path: str, directory: Directory) -> None:
    """Write members into a file, and delete the oldest of such files if there are many."""
    members = [[name, *member] for name, member in directory.members.items()]
    content = json.dumps({"members": members, "flaw": directory.flaw, "replaced": directory.replaced})
    write_text(path, f"{zlib.crc32(content.encode())}\n{content}")
    kept = sorted((entry.stat().st_mtime, entry.path) for entry in os.scandir(os.path.dirname(path)))
    for _, old in kept[:-KEPT]:
        os.unlink(old)


def _kept(path: str) -> Directory | None:
    """Return the members in a file; None if there is none, or it is damaged."""
    try:
        with open(path, encoding="ascii") as file:
            checksum, _, text = file.read().partition("\n")
        if checksum != str(zlib.crc32(text.encode())):
            return None
        content: Any = json.loads(text)
        members = {str(name): Member(*values) for name, *values in content["members"]}
        return Directory(members, str(content["flaw"]), int(content["replaced"]))
    except (OSError, ValueError):
        return None


@contextlib.contextmanager
def _locked(path: str) -> Iterator[None]:
    """Wait until no other process of this machine is here, where there are locks."""
    try:
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        lock = open(f"{path}.lock", "w", encoding="ascii")  # noqa: SIM115  (closed below)
    except OSError:  # the folder cannot be written: each process finds the members itself
        yield
        return
    with lock:
        try_lock(lock.fileno(), wait=True)
        yield
