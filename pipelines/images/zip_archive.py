"""Find and read the members of a zip archive. Python's own `zipfile` gives up at one damaged name.

The format is that of PKWARE's APPNOTE.TXT, with archives and members of more than 4 GB (Zip64).
"""

from __future__ import annotations

import os
import stat
import struct
import zlib
from typing import IO, NamedTuple

from xpnet.errors import ImageError

from .members import Directory, Member

END, END_64, PLACE_OF_END_64, ENTRY, HEADER = b"PK\5\6", b"PK\6\6", b"PK\6\7", b"PK\1\2", b"PK\3\4"
"""The first bytes of the parts of an archive."""

END_FORMAT, END_64_FORMAT = struct.Struct("<4s4H2LH"), struct.Struct("<4sQ2H2L4Q")
PLACE_FORMAT = struct.Struct("<4sLQL")
ENTRY_FORMAT = struct.Struct("<4s6H3L5H2L")
HEADER_FORMAT = struct.Struct("<4s22x2H")

MAX_COMMENT_BYTES = (1 << 16) - 1
"""The longest comment at the end of an archive."""

LARGE = 0xFFFFFFFF
"""A number that does not fit: it is in another place."""

STORED, DEFLATED = 0, 8
"""The methods of compression that are read."""

ENCRYPTED, UTF_8 = 0x1, 0x800
"""Flags of a member."""

SIZES_64, UNICODE_NAME = 0x1, 0x7075
"""Kinds of extra fields of a member: numbers of 64 bits, and the name in UTF-8."""

UNIX = 3
"""The system whose file types a member may have."""

MAX_PLACE = (1 << 63) - 1
"""The largest offset in a file."""

NAME_BYTES = 1 << 9
"""How many bytes of a name and its extra fields are read together with the bytes of a member: one question to
a server takes less time than two."""

START_BYTES = 1 << 10
"""How many compressed bytes are read for the start of a member."""


class _End(NamedTuple):
    """The end of an archive: where its directory is, and how many entries that has."""

    start: int
    size: int
    shift: int
    entries: int


def read_zip_directory(file: IO[bytes]) -> Directory:
    """Return the members of a zip archive. A directory that is damaged ends at the damage.

    Args:
        file: the archive. Only its directory is read, which is at its end.

    Raises:
        ImageError: it is no zip archive, or only a part of one.
    """
    end = _find_end(file)
    content, place, found = _read_at(file, end.start, end.size), 0, Directory()
    for count in range(end.entries):
        try:
            place = _add_entry(found, content, place, end.shift)
        except (struct.error, ValueError, IndexError):
            found.flaw = f"damaged zip archive: its directory cannot be read after {count} members"
            break
    return found


def _find_end(file: IO[bytes]) -> _End:
    size = file.seek(0, os.SEEK_END)
    if not size:
        msg = "file is empty"
        raise ImageError(msg)
    first = max(0, size - END_FORMAT.size - MAX_COMMENT_BYTES)
    tail = _read_at(file, first, size - first)
    place = len(tail)
    while (place := tail.rfind(END, 0, place)) >= 0:
        if place + END_FORMAT.size <= len(tail):
            _, disk, _, here, count, length, start, comment = END_FORMAT.unpack_from(tail, place)
            if place + END_FORMAT.size + comment <= len(tail):
                break
    else:
        msg = "not a zip archive, or truncated: it has no directory at its end"
        raise ImageError(msg)
    stop = first + place
    if 0xFFFF in (disk, here, count) or LARGE in (length, start):
        stop, disk, here, count, length, start = _find_end_64(file, stop) or (
            stop, disk, here, count, length, start
        )  # fmt: skip
    if disk or here != count:
        msg = "is one of several parts of a zip archive: put them together (zip -s 0)"
        raise ImageError(msg)
    shift = stop - length - start  # a program may stand before the archive
    if shift < 0:
        msg = "damaged or truncated zip archive: its directory is not where it should be"
        raise ImageError(msg)
    return _End(start + shift, length, shift, count)


def _find_end_64(file: IO[bytes], stop: int) -> tuple[int, int, int, int, int, int] | None:
    """Return where the directory of a large archive ends, and what its end says; None if it is none."""
    try:
        signature, _, place, _ = PLACE_FORMAT.unpack(
            _read_at(file, stop - PLACE_FORMAT.size, PLACE_FORMAT.size)
        )
        if signature != PLACE_OF_END_64:
            return None
        # Bytes before the archive have moved the record: it usually lies directly before its locator.
        for at in (place, stop - PLACE_FORMAT.size - END_64_FORMAT.size):
            values = END_64_FORMAT.unpack(_read_at(file, at, END_64_FORMAT.size))
            if values[0] == END_64:
                _, _, _, _, disk, _, here, count, length, start = values
                return at, disk, here, count, length, start
    except (struct.error, ValueError, OSError):
        return None
    return None


def _add_entry(found: Directory, content: bytes, place: int, shift: int) -> int:
    """Add the entry at a place of the directory; return the place of the next one."""
    (
        signature, made_by, _, flags, method, _, _, checksum, stored, size, name_length, extra_length,
        comment_length, _, _, attributes, start,
    ) = ENTRY_FORMAT.unpack_from(content, place)  # fmt: skip
    if signature != ENTRY:
        raise ValueError
    place += ENTRY_FORMAT.size
    end_of_name: int = place + name_length
    name = content[place:end_of_name]
    fields = _extra_fields(content[end_of_name : end_of_name + extra_length]) if extra_length else {}
    if LARGE in (size, stored, start) and SIZES_64 in fields:
        numbers = iter(struct.unpack(f"<{len(fields[SIZES_64]) // 8}Q", fields[SIZES_64][:24]))
        size, stored, start = (
            next(numbers, value) if value == LARGE else value for value in (size, stored, start)
        )
    if not name.endswith(b"/"):
        flaw = _flaw(flags, method, attributes >> 16 if made_by >> 8 == UNIX else 0)
        member = Member(start + shift, stored, size, method == DEFLATED, checksum, flaw)
        found.add(_name(name, flags, fields), member)
    return end_of_name + int(extra_length + comment_length)


def _flaw(flags: int, method: int, mode: int) -> str:
    if flags & ENCRYPTED:
        return "is encrypted"
    if method not in (STORED, DEFLATED):
        return f"is compressed by a method that is not read (number {method}): make the archive with zip"
    if mode and stat.S_IFMT(mode) and not stat.S_ISREG(mode):
        return "is a link" if stat.S_ISLNK(mode) else "is not a regular file"
    return ""


def _extra_fields(extra: bytes) -> dict[int, bytes]:
    found, place = {}, 0
    while place + 4 <= len(extra):
        kind, length = struct.unpack_from("<2H", extra, place)
        found[kind] = extra[place + 4 : place + 4 + length]
        place += 4 + length
    return found


def _name(name: bytes, flags: int, fields: dict[int, bytes]) -> str:
    """Return the name of a member: UTF-8, with a flag or without one, or else the letters of DOS."""
    if not flags & UTF_8:
        unicode_name = fields.get(UNICODE_NAME, b"")
        if len(unicode_name) > 5 and int.from_bytes(unicode_name[1:5], "little") == zlib.crc32(name):
            name = unicode_name[5:]
        try:
            name.decode()
        except UnicodeDecodeError:
            name = name.decode("cp437").encode()
    return os.fsdecode(name.partition(b"\0")[0])


def read_zip_member(file: IO[bytes], member: Member, most: int | None = None) -> bytes:
    """Return the bytes of a member, or the first of them.

    Args:
        file: the archive.
        member: the member.
        most: how many bytes to return, at most; None for all.

    Raises:
        ImageError: it is damaged.
    """
    stored = member.stored if most is None else min(member.stored, max(most, START_BYTES))
    block = _read_at(file, member.start, HEADER_FORMAT.size + NAME_BYTES + stored)
    signature, name_length, extra_length = HEADER_FORMAT.unpack_from(block.ljust(HEADER_FORMAT.size))
    if signature != HEADER:
        msg = "damaged zip archive: it is not where the directory says"
        raise ImageError(msg)
    first = HEADER_FORMAT.size + name_length + extra_length
    content = block[first : first + stored]
    if len(content) < stored:
        content = _read_at(file, member.start + first, stored)
    if member.is_deflated:
        try:
            content = zlib.decompressobj(-zlib.MAX_WBITS).decompress(content, (most or member.size) + 1)
        except zlib.error as error:
            msg = f"damaged zip archive: it cannot be decompressed: {error}"
            raise ImageError(msg) from None
    if most is not None:
        return content[:most]
    if len(content) != member.size or zlib.crc32(content) != member.checksum:
        msg = "damaged zip archive: its bytes are not those that were stored"
        raise ImageError(msg)
    return content


def _read_at(file: IO[bytes], place: int, size: int) -> bytes:
    """Return bytes of an archive; fewer, or none, where it ends."""
    if not 0 <= place <= MAX_PLACE:
        return b""
    file.seek(place)
    return file.read(size)
