"""Find the input images: files, folders, glob patterns and lists of paths. The order is always the same."""

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
"""The endings of image files, for files found in folders. A file given by its own path is always used."""

Identity = tuple[int, int]
"""The device and inode numbers of a folder. They are the same for every path that leads to it."""


def walk_images(folder: str) -> Iterator[str]:
    """Yield the paths of the images below a folder, sorted by name in each folder.

    Hidden files and folders are left out. Links to folders are followed, but never in circles: a link is not
    followed to a folder that contains it. A link inside a linked folder is followed only to folders that were
    not visited before. The path of a subfolder that cannot be listed is yielded too, so that decoding it
    reports the error.
    """
    seen: set[Identity] = set()
    above: list[Identity] = []  # the folders from the first one down to the current one
    linked: list[bool] = []  # for each of them, whether a link leads to it or to a folder above it
    waiting = [iter([(folder, True, False)])]  # a stack, because very deep folders would exceed recursion
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
                inside = _list_folder(path)
            except OSError:
                yield path
                continue
            seen.add(here)
            above.append(here)
            linked.append(within or is_link)
            waiting.append(inside)
        else:
            yield path


def _list_folder(folder: str) -> Iterator[tuple[str, bool, bool]]:
    """Return (path, is it a folder, is it a link) for each folder and image in a folder, sorted by name."""
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
    except OSError:  # for example a link to itself: the error is reported when it is opened
        return False


def is_image_name(name: str) -> bool:
    """Return whether a file of that name, found in a folder, is used as an image."""
    return not name.startswith(".") and name.lower().endswith(SUFFIXES)


def expand_inputs(arguments: Iterable[str], files_from: str | None = None) -> Iterator[str]:
    """Yield the path of each input: first those of the arguments, then those of a list.

    Args:
        arguments: files, folders and glob patterns. Folders are searched for images, patterns are matched.
            What does not exist is yielded unchanged, so that decoding it reports the error.
        files_from: a file with one path per line, "-" for standard input, or None.

    Raises:
        DataError: `files_from` cannot be read.
    """
    for argument in arguments:
        if os.path.isdir(argument):
            yield from walk_images(argument)
        elif not os.path.lexists(argument) and glob.has_magic(argument):
            matched = sorted(glob.iglob(argument, recursive=True))
            if "**" in argument:  # it matches folders and also the files in them: keep only the files
                matched = [path for path in matched if not os.path.isdir(path)]
            yield from expand_inputs(matched) if matched else [argument]
        else:
            yield argument
    if files_from is not None:
        yield from _read_list(files_from)


def _read_list(name: str) -> Iterator[str]:
    try:
        with contextlib.nullcontext(sys.stdin.buffer) if name == "-" else open(name, "rb") as file:
            for number, line in enumerate(file):
                content = line.removeprefix(codecs.BOM_UTF8) if number == 0 else line
                path = os.fsdecode(content.rstrip(b"\r\n"))
                if path:
                    yield path
    except OSError as error:
        msg = f"{name}: cannot be read: {error.strerror or error}"
        raise DataError(msg) from error


def class_folders(folder: str) -> tuple[str, ...]:
    """Return the names of the subfolders, sorted. Each subfolder is a class.

    Raises:
        DataError: the folder cannot be listed.
        NoInputError: the folder has no subfolders.
    """
    try:
        with os.scandir(folder) as entries:
            names = sorted(e.name for e in entries if _is_folder(e) and not e.name.startswith("."))
    except OSError as error:
        msg = f"{folder}: cannot be listed: {error.strerror or error}"
        raise DataError(msg) from error
    if not names:
        msg = f"{folder}: has no subfolders: expected one for each class, with the name of the class"
        raise NoInputError(msg)
    return tuple(names)


def path_text(path: str) -> str:
    r"""Return a path as valid Unicode text: bytes that are not UTF-8 become \xNN."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def strip_common_folder(paths: Sequence[str]) -> tuple[str, list[str]]:
    """Return (folder, rest): the folder that contains all paths, and each path relative to it.

    The folder ends with a slash, or is "" if the paths have no folder in common.
    """
    common = os.path.commonprefix(list(paths))  # noqa: RUF071  (the next line cuts it at a slash)
    folder = common[: common.rfind("/") + 1]
    return folder, [path[len(folder) :] for path in paths]
