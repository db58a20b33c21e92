"""Members of archives as inputs: `photos.zip/day/1.jpg` is a member of `photos.zip`.

Parquet files with images are archives, too: a row is a member.

A zip or tar archive is like a folder with all its subfolders. Members are read in place: nothing is unpacked,
so the names of members can do no harm. An archive in an archive is not opened.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
import threading
from typing import IO, TYPE_CHECKING, cast

from xpnet.errors import ImageError

from .members import canonical
from .parquet_images import PARQUET_SUFFIXES, read_parquet_directory, read_row
from .remote import RemoteFile, is_remote, status_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from .members import Directory, Member

ARCHIVE_SUFFIXES = (".zip", ".tar")
"""The endings of archives that are read."""

COMPRESSED_SUFFIXES = (
    ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".tar.zst", ".tzst", ".tar.lz4", ".7z", ".rar",
)  # fmt: skip
"""The endings of archives that are not: their members can be read only one after the other."""

ALL_SUFFIXES = ARCHIVE_SUFFIXES + COMPRESSED_SUFFIXES
"""The endings of all archives."""

Identity = tuple[int | str, ...]
"""What differs between two archives that have the same name, one after the other."""

OPENING = threading.Lock()
"""Held while the members of an archive are found: several threads may want them."""

OPEN_ARCHIVES = 4
"""How many archives' lists of members a process keeps."""


_SEPARATORS = "/" if os.sep == "/" else f"/{os.sep}"

_ENDING = re.compile(
    rf"({'|'.join(map(re.escape, ARCHIVE_SUFFIXES + PARQUET_SUFFIXES))})([{re.escape(_SEPARATORS)}]|$)",
    re.IGNORECASE,
)


def archive_ending(name: str) -> str:
    """Return the ending of an archive's name, also of a kind that is not read; "" for other names."""
    lower = name.lower()
    return next((suffix for suffix in ALL_SUFFIXES if lower.endswith(suffix)), "")


def split_archive(name: str) -> tuple[str, str] | None:
    """Return the archive that a name leads into, and the rest of the name, without slashes around it.

    An archive itself has the rest "". None is for all other names, also where the archive does not exist.
    """
    for match in _ENDING.finditer(name):
        archive = name[: match.end(1)]
        if is_remote(archive) or os.path.isfile(archive):
            rest = name[match.end() :] if os.sep == "/" else name[match.end() :].replace(os.sep, "/")
            return archive, canonical(rest).rstrip("/")
    return None


def directory_of(archive: str) -> Directory:
    """Return the members of an archive, which are found once for each process.

    Raises:
        ImageError: it cannot be read, or is no archive. The message does not name it.
    """
    identity = _identity(archive)
    with OPENING:
        return _directory_of(archive, identity)


def _identity(archive: str) -> Identity:
    """Return what differs if another file has the name of an archive."""
    if is_remote(archive):
        status_on_server = status_of(archive)
        return status_on_server.size, status_on_server.identity
    try:
        status = os.stat(archive)
    except OSError as error:
        msg = f"cannot be read: {error.strerror or error}"
        raise ImageError(msg) from None
    return status.st_ino, status.st_size, status.st_mtime_ns


@functools.lru_cache(OPEN_ARCHIVES)
def _directory_of(archive: str, identity: Identity) -> Directory:
    """Return the members of an archive. identity: see `_identity`."""
    from .remote_tar import read_remote_tar
    from .tar_archive import read_tar_directory
    from .zip_archive import read_zip_directory

    del identity
    if is_parquet(archive):
        return read_parquet_directory(archive)
    if is_remote(archive) and not _is_zip(archive):
        return read_remote_tar(archive)
    try:
        with _open(archive) as file:
            return read_zip_directory(file) if _is_zip(archive) else read_tar_directory(file)
    except OSError as error:
        msg = f"cannot be read: {error.strerror or error}"
        raise ImageError(msg) from None


def _open(archive: str) -> IO[bytes]:
    return cast("IO[bytes]", RemoteFile(archive)) if is_remote(archive) else open(archive, "rb")


def is_parquet(name: str) -> bool:
    """Return whether a name is that of a Parquet file. It may be one without images."""
    return name.lower().endswith(PARQUET_SUFFIXES)


def _is_zip(archive: str) -> bool:
    return archive.lower().endswith(".zip")


def has_member(archive: str, name: str) -> bool:
    """Return whether an archive has a member of that name, or a folder."""
    with contextlib.suppress(ImageError):
        directory = directory_of(archive)
        return name in directory.members or any(True for _ in directory.below(name))
    return False


def read_member(
    archive: str,
    name: str,
    most_bytes: int,
    start: int | None = None,
    on_size: Callable[[int], object] = lambda size: None,  # noqa: ARG005
) -> bytes:
    """Return the bytes of a member of an archive.

    Args:
        archive: the archive.
        name: the name of the member.
        most_bytes: a member with more is refused.
        start: how many bytes to read from its start; None for all.
        on_size: called with its size before its bytes are read. Not for rows of Parquet files.

    Raises:
        ImageError: the archive or the member cannot be read. The message names neither.
    """
    member = directory_of(archive).members.get(name)
    if member is None:
        msg = "the archive has no such member"
        raise ImageError(msg)
    if is_parquet(archive):
        return read_row(archive, _identity(archive), member.start, most_bytes)[:start]
    _require_readable(member, most_bytes)
    on_size(max(member.stored, member.size))
    try:
        with _open(archive) as file:
            if _is_zip(archive):
                from .zip_archive import read_zip_member

                return read_zip_member(file, member, start)
            file.seek(member.start)
            content = file.read(member.size if start is None else min(start, member.size))
    except OSError as error:
        msg = f"cannot be read: {error.strerror or error}"
        raise ImageError(msg) from None
    if start is None and len(content) != member.size:
        msg = "the archive ends in the middle of it"
        raise ImageError(msg)
    return content


def _require_readable(member: Member, most_bytes: int) -> None:
    if member.flaw:
        raise ImageError(member.flaw)
    if not member.size:
        msg = "file is empty"
        raise ImageError(msg)
    if max(member.size, member.stored) > most_bytes:
        msg = f"file of {max(member.size, member.stored)} bytes, expected at most {most_bytes}"
        raise ImageError(msg)


def flaw_of(archive: str) -> str:
    """Return why an archive cannot be read as a whole; "" if it can."""
    if archive_ending(archive) in COMPRESSED_SUFFIXES:
        return (
            "is a compressed archive, whose members cannot be read one by one: unpack it, or make a .tar of "
            "it, as gunzip does"
        )
    try:
        return directory_of(archive).flaw
    except ImageError as error:
        return str(error)
