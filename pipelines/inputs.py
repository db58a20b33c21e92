"""Find the inputs: files, folders, globs and lists, in an order that is the same each time."""

from __future__ import annotations

import contextlib
import glob
import os
import sys
from typing import TYPE_CHECKING

from pipelines.errors import DataError, NoInputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

SUFFIXES = (
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".gif", ".bmp", ".dib", ".webp", ".tif", ".tiff", ".ppm",
    ".pgm", ".pbm", ".pnm", ".tga", ".ico", ".avif", ".jp2",
)  # fmt: skip
"""Names in a folder that are taken for images. A file that is named itself is always taken."""


def walk(folder: str) -> Iterator[str]:
    """Yield the paths of the images below a folder, sorted by name in each folder.

    Links are followed, but not round in circles. A subfolder that cannot be listed is yielded as a path, so
    that it is not lost without a word.
    """
    yield from _walk(folder, frozenset())


def _walk(folder: str, above: frozenset[tuple[int, int]]) -> Iterator[str]:
    try:
        status = os.stat(folder)
        here = (status.st_dev, status.st_ino)
        if here in above:
            return
        with os.scandir(folder) as entries:
            found = sorted((entry.name, _is_folder(entry)) for entry in entries)
    except OSError:
        yield folder
        return
    for name, is_folder in found:
        path = os.path.join(folder, name)
        if is_folder:
            yield from _walk(path, above | {here})
        elif is_image_name(name):
            yield path


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself, say: opening it will say why it cannot be used
        return False


def is_image_name(name: str) -> bool:
    """Whether a file in a folder is taken for an image."""
    return not name.startswith(".") and name.lower().endswith(SUFFIXES)


def expand(arguments: Iterable[str], files_from: str | None = None) -> Iterator[str]:
    """Yield the path of each input: files as named, folders walked, globs matched, then those of a list.

    Args:
        arguments: files, folders and globs. One that does not exist is yielded as it is.
        files_from: a file with a path on each line, "-" for standard input, or None.

    Raises:
        DataError: the list cannot be read.
    """
    for argument in arguments:
        if os.path.isdir(argument):
            yield from walk(argument)
        elif not os.path.lexists(argument) and glob.has_magic(argument):
            matched = sorted(glob.iglob(argument, recursive=True))
            yield from expand(matched) if matched else [argument]
        else:
            yield argument
    if files_from is not None:
        yield from _listed(files_from)


def _listed(name: str) -> Iterator[str]:
    try:
        with contextlib.nullcontext(sys.stdin.buffer) if name == "-" else open(name, "rb") as file:
            for line in file:
                path = os.fsdecode(line.rstrip(b"\r\n"))
                if path:
                    yield path
    except OSError as error:
        msg = f"{name}: cannot be read: {error.strerror or error}"
        raise DataError(msg) from error


def class_folders(folder: str) -> tuple[str, ...]:
    """Return the names of a folder's subfolders, which are its classes, sorted.

    Raises:
        DataError: the folder cannot be listed.
        NoInputError: it has no subfolders.
    """
    try:
        with os.scandir(folder) as entries:
            names = sorted(e.name for e in entries if _is_folder(e) and not e.name.startswith("."))
    except OSError as error:
        msg = f"{folder}: cannot be listed: {error.strerror or error}"
        raise DataError(msg) from error
    if not names:
        msg = f"{folder}: has no subfolders: expected one for each class, named as the class"
        raise NoInputError(msg)
    return tuple(names)


def shown(path: str) -> str:
    r"""Return a path as text that can be written anywhere: bytes that are no UTF-8 become \xNN."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")
