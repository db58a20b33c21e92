"""Find the members of a tar archive: where their bytes are.

The format is that of POSIX (ustar and pax) with the long names of GNU. Python's `tarfile` takes longer to
list an archive, and each process that decodes does that.
"""

from __future__ import annotations

import os
import posixpath
import re
from typing import IO, NamedTuple

from .members import Directory, Member, canonical

BLOCK = 512
"""A tar archive consists of blocks of so many bytes."""

REGULAR = (b"0", b"\0", b"7")
HARD_LINK, SYMBOLIC_LINK, FOLDER = b"1", b"2", b"5"
LONG_NAME, LONG_LINK, SPARSE = b"L", b"K", b"S"
OF_NEXT, OF_NEXT_SOLARIS, OF_ALL = b"x", b"X", b"g"
"""Types of entries. Those in the last line describe entries that follow (pax)."""

WITHOUT_BYTES = (HARD_LINK, SYMBOLIC_LINK, FOLDER, b"3", b"4", b"6")
"""Types of entries that no bytes follow, whatever size they have."""

MAX_TEXT_BYTES = 1 << 20
"""How many bytes a long name, or a description of an entry, may have."""

MAX_LINKS = 8
"""How many links are followed to a member, one after the other."""

RECORD = re.compile(rb"(\d+) ([^=]+)=")
"""How a line of a pax description begins: its length, and a keyword."""


class _DamagedError(Exception):
    """The archive cannot be read from here on."""


class _Entry(NamedTuple):
    """What the header of an entry says, and the descriptions before it."""

    name: str
    kind: bytes
    size: int
    target: str
    is_sparse: bool


def read_tar_directory(file: IO[bytes]) -> Directory:
    """Return the members of a tar archive. One that is damaged ends at the damage.

    Args:
        file: the archive, not compressed. Only its headers are read.
    """
    return _Reader(file).read()


class _Reader:
    """Reads the headers of an archive one after the other."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self._end = file, file.seek(0, os.SEEK_END)
        self._place = 0
        self._directory = Directory()
        self._links: dict[str, str] = {}

    def read(self) -> Directory:
        """See `read_tar_directory`."""
        found = self._directory
        if not self._end:
            found.flaw = "file is empty"
        try:
            while self._place < self._end:
                self._read_entry()
        except (_DamagedError, ValueError) as error:
            count = len(found.members)
            found.flaw = f"damaged or truncated tar archive: {error}, after {count} members"
            if not count:
                found.flaw = f"not a tar archive: {error}"
        self._follow_links()
        return found

    def _read_entry(self) -> None:
        """Read an entry with the descriptions before it, and go to the next one."""
        described: dict[str, bytes] = {}
        while (header := self._header()) is not None:
            kind = header[156:157]
            if kind in (OF_NEXT, OF_NEXT_SOLARIS):
                described |= _records(self._text(_number(header[124:136])))
            elif kind == OF_ALL:
                self._text(_number(header[124:136]))
            elif kind in (LONG_NAME, LONG_LINK):
                text = self._text(_number(header[124:136])).partition(b"\0")[0]
                described["path" if kind == LONG_NAME else "linkpath"] = text
            else:
                more = kind == SPARSE and header[482]  # blocks follow that say where the parts belong
                while more:
                    more = self._read(BLOCK)[504]
                self._add(_entry(header, described))
                return

    def _header(self) -> bytes | None:
        """Return the next header; None at the end. Several archives may follow each other in one file."""
        while self._place < self._end:
            header = self._read(BLOCK)
            if any(header):
                if _number(header[148:156]) == sum(header) - sum(header[148:156]) + 8 * ord(" "):
                    return header
                if self._is_padded:
                    self._place = self._end  # something else follows the archive
                    return None
                msg = "an entry has no valid header"
                raise _DamagedError(msg)
            self._is_padded = True
        return None

    _is_padded = False
    """Whether the blocks of zeros were met that end an archive."""

    def _read(self, size: int) -> bytes:
        self._file.seek(self._place)
        found = self._file.read(size)
        if len(found) != size:
            msg = "it ends too soon"
            raise _DamagedError(msg)
        self._place += size
        return found

    def _text(self, size: int) -> bytes:
        if size > MAX_TEXT_BYTES:
            msg = f"a name of {size} bytes"
            raise _DamagedError(msg)
        found = self._read(size)
        self._place += -size % BLOCK
        return found

    def _add(self, entry: _Entry) -> None:
        if entry.kind == FOLDER or (entry.kind in REGULAR and entry.name.endswith("/")):
            return
        flaw = ""
        if entry.kind in (HARD_LINK, SYMBOLIC_LINK):
            target = entry.target
            if entry.kind == SYMBOLIC_LINK:
                target = posixpath.normpath(posixpath.join(posixpath.dirname(entry.name), target))
            self._links[canonical(entry.name)] = canonical(target)
            shown = os.fsencode(entry.target).decode("utf-8", "backslashreplace")
            flaw = f"is a link to {shown}, which the archive does not have"
        elif entry.is_sparse:
            flaw = "is a sparse file, whose parts are not put together: copy it, and make the archive anew"
        elif entry.kind not in REGULAR:
            flaw = "is not a regular file"
        start, size = self._place, 0 if entry.kind in WITHOUT_BYTES else entry.size
        is_cut_off = start + size > self._end
        if is_cut_off:
            flaw = "the archive ends in the middle of it"
        self._directory.add(entry.name, Member(start, size, size, flaw=flaw))
        self._place = start + size + -size % BLOCK
        if is_cut_off:
            msg = "it ends too soon"
            raise _DamagedError(msg)

    def _follow_links(self) -> None:
        """Give a link the bytes of the member that it leads to."""
        members = self._directory.members
        for name, target in self._links.items():
            for _ in range(MAX_LINKS):
                if target not in self._links:
                    break
                target = self._links[target]  # noqa: PLW2901  (the next one on the way)
            if target in members and target not in self._links:
                members[name] = members[target]


def _entry(header: bytes, described: dict[str, bytes]) -> _Entry:
    """Return the entry of a header. described: what the descriptions before it say."""
    kind, name = header[156:157], header[:100].partition(b"\0")[0]
    if header[257:263] == b"ustar\0" and header[345] and kind != SPARSE:
        name = header[345:500].partition(b"\0")[0] + b"/" + name
    is_sparse = kind == SPARSE or "GNU.sparse." in " ".join(described)
    target = described.get("linkpath", header[157:257].partition(b"\0")[0])
    return _Entry(
        os.fsdecode(described.get("GNU.sparse.name", described.get("path", name))),
        kind,
        _number(described["size"], 10) if "size" in described else _number(header[124:136]),
        os.fsdecode(target) if kind in (HARD_LINK, SYMBOLIC_LINK) else "",
        is_sparse,
    )


def _records(text: bytes) -> dict[str, bytes]:
    """Return the values in a pax description by their keywords."""
    found, place = {}, 0
    while match := RECORD.match(text, place):
        length = int(match[1])
        if length <= match.end() - place:
            msg = "a description of an entry is not valid"
            raise _DamagedError(msg)
        found[match[2].decode("latin-1")] = text[match.end() : place + length - 1]
        place += length
    return found


def _number(field: bytes, base: int = 8) -> int:
    """Return the number in a field of a header: digits, or, for a large one, bytes.

    Raises:
        ValueError: it is none, or below 0.
    """
    if field[:1] == b"\x80":
        return int.from_bytes(field[1:], "big")
    digits = field.partition(b"\0")[0].strip() or b"0"
    if not digits.isdigit():
        msg = "an entry has no valid header"
        raise ValueError(msg)
    return int(digits, base)
