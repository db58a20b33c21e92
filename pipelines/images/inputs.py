"""Find the inputs: files, folders, globs and lists, in an order that is the same each time."""

from __future__ import annotations

import codecs
import contextlib
import glob
import os
import sys
from typing import TYPE_CHECKING

from xpnet.errors import DataError, NoInputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

SUFFIXES = (
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".gif", ".bmp", ".dib", ".webp", ".tif", ".tiff", ".ppm",
    ".pgm", ".pbm", ".pnm", ".tga", ".ico", ".avif", ".jp2",
)  # fmt: skip
"""Names in a folder that are taken for images. A file that is named itself is always taken."""

Identity = tuple[int, int]
"""Device and number of a folder: the same by whatever path."""


def walk_images(folder: str) -> Iterator[str]:
    """Yield the paths of the images below a folder, sorted by name in each folder.

    Hidden files and folders are left out. Links to folders are followed, but not round in circles, and from
    within a linked folder only to folders that were not seen. A subfolder that cannot be listed is yielded as
    a path, so that it is not lost without a word.
    """
    seen: set[Identity] = set()
    above: list[Identity] = []  # the folders on the way down to here, and
    linked: list[bool] = []  # whether there was a link on the way
    waiting = [iter([(folder, True, False)])]  # not by recursion: folders may lie in folders very deep
    while waiting:
        path, is_folder, is_link = next(waiting[-1], ("", False, False))
        if not path:
            waiting.pop()
            if above:
                above.pop()
                linked.pop()
        elif is_folder:
            within = bool(linked) and linked[-1]
            try:
                status = os.stat(path)
                here = (status.st_dev, status.st_ino)
                if here in above or (is_link and within and here in seen):
                    continue
                inside = _listed_folder(path)
            except OSError:
                yield path
                continue
            seen.add(here)
            above.append(here)
            linked.append(within or is_link)
            waiting.append(inside)
        else:
            yield path


def _listed_folder(folder: str) -> Iterator[tuple[str, bool, bool]]:
    """Return the folders and images in a folder: path, whether a folder, whether a link; sorted by name."""
    with os.scandir(folder) as entries:
        found = [(e.name, _is_folder(e), e.is_symlink()) for e in entries if not e.name.startswith(".")]
    return iter(
        [
            (os.path.join(folder, name), is_folder, is_link)
            for name, is_folder, is_link in sorted(found)
            if is_folder or is_image_name(name)
        ]
    )


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself, say: opening it will say why it cannot be used
        return False


def is_image_name(name: str) -> bool:
    """Whether a file in a folder is taken for an image."""
    return not name.startswith(".") and name.lower().endswith(SUFFIXES)


def expand_inputs(arguments: Iterable[str], files_from: str | None = None) -> Iterator[str]:
    """Yield the path of each input: files as named, folders walked, globs matched, then those of a list.

    Args:
        arguments: files, folders and globs. One that does not exist is yielded as it is.
        files_from: a file with a path on each line, "-" for standard input, or None.

    Raises:
        DataError: the list cannot be read.
    """
    for argument in arguments:
        if os.path.isdir(argument):
            yield from walk_images(argument)
        elif not os.path.lexists(argument) and glob.has_magic(argument):
            matched = sorted(glob.iglob(argument, recursive=True))
            if "**" in argument:  # which matches a folder and also all that is in it
                matched = [path for path in matched if not os.path.isdir(path)]
            yield from expand_inputs(matched) if matched else [argument]
        else:
            yield argument
    if files_from is not None:
        yield from _listed(files_from)


def _listed(name: str) -> Iterator[str]:
    try:
        with contextlib.nullcontext(sys.stdin.buffer) if name == "-" else open(name, "rb") as file:
            for number, line in enumerate(file):
                named = line.removeprefix(codecs.BOM_UTF8) if number == 0 else line
                path = os.fsdecode(named.rstrip(b"\r\n"))
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


def path_text(path: str) -> str:
    r"""Return a path as text that can be written anywhere: bytes that are no UTF-8 become \xNN."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def strip_common_folder(paths: Sequence[str]) -> tuple[str, list[str]]:
    """Return the folder that all paths are below, with its slash, or nothing; and what is left of each."""
    common = os.path.commonprefix(list(paths))  # noqa: RUF071  (cut at a slash)
    below = common[: common.rfind("/") + 1]
    return below, [path[len(below) :] for path in paths]
