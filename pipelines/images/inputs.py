"""Find the input images: files, folders, archives, patterns, lists of paths. The order is always the same."""

from __future__ import annotations

import codecs
import fnmatch
import glob
import os
import re
import sys
import unicodedata
import warnings
from collections import Counter
from functools import partial
from typing import IO, TYPE_CHECKING, Any

from xpnet.errors import DataError, ImageError, NoInputError

from .archives import (
    ALL_SUFFIXES,
    ARCHIVE_SUFFIXES,
    archive_ending,
    directory_of,
    flaw_of,
    is_parquet,
    read_member,
    split_archive,
)
from .contents import exists
from .parquet_images import PARQUET_SUFFIXES
from .remote import is_bucket, is_remote, list_folder, list_objects

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from .members import Directory

SUFFIXES = (
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".gif", ".bmp", ".dib", ".webp", ".tif", ".tiff",
    ".ppm", ".pgm", ".pbm", ".pnm", ".tga", ".ico", ".avif", ".jp2", ".j2k", ".jpx", ".mpo", ".pcx", ".qoi",
    ".heic", ".heif", ".hif", ".jxl",
)  # fmt: skip
"""The endings of image files, for files found in folders. A file given by its own path is always used."""

OTHER_PICTURES = frozenset(
    {
        ".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dng", ".nef", ".nrw", ".orf", ".pef", ".raf", ".raw",
        ".rw2", ".srw", ".x3f", ".ai", ".bpg", ".cur", ".dcm", ".dds", ".djvu", ".emf", ".eps", ".exr",
        ".fits", ".hdr", ".icns", ".jbig2", ".jls", ".jng", ".jxr", ".kra", ".pam", ".pfm", ".ps", ".psb",
        ".psd", ".ras", ".rgb", ".sgi", ".svg", ".svgz", ".wdp", ".wmf", ".xbm", ".xcf", ".xpm",
    }
)  # fmt: skip
"""The endings of pictures that are not used when they are found in folders: they are counted in a warning."""

NO_PICTURES = (".txt", ".csv", ".json", ".xml", ".yaml", ".yml", ".md", ".html", ".py", ".npy", ".h5")
"""The endings of files that often lie beside images. Such files are not opened to look for a picture."""

SIGNATURES = re.compile(
    rb"\xff\xd8\xff|\x89PNG\r\n\x1a\n|GIF8[79]a|BM....\0\0\0\0|RIFF....WEBP|II[*+]\0|MM\0[*+]"
    rb"|P[1-6]\s|qoif|....ftyp(avi[fs]|hei[cmsx]|hev[cmsx]|mif1|msf1)"
    rb"|\0\0\0\x0c(JXL |jP  )|\xff\x4f\xff\x51",
    re.DOTALL,
)
"""How the content of image files begins."""

SIGNATURE_BYTES = 16
"""How many bytes of a file are compared with `SIGNATURES`."""

REPLACED = "replaced"
"""Counts, among what was passed over, the members of an archive with the name of a later one."""

LIST_BYTES = 1 << 16
"""How many bytes of a list are read at a time, at most."""

Identity = tuple[int, int]
"""The device and inode numbers of a folder. They are the same for every path that leads to it."""


def walk_images(folder: str, passed_over: Counter[str] | None = None) -> Iterator[str]:
    """Yield the paths of the images below a folder or in an archive, sorted by name in each folder.

    Images are known by the endings of their names; files without an ending are known by their content. Hidden
    files and folders are left out. Links to folders are followed, but never in circles: a link is not
    followed to a folder that contains it. A link inside a linked folder is followed only to folders that were
    not visited before. The path of a subfolder that cannot be listed, or of an archive that is damaged, is
    yielded too, so that decoding it reports the error.

    Args:
        folder: the folder, or an archive, or a folder in one.
        passed_over: counts the pictures of other kinds, and archives, by the endings of their names. With
            None there is a warning about them at the end.
    """
    found: Counter[str] = Counter() if passed_over is None else passed_over
    if (inside := _archive_of(folder)) is not None:
        yield from _walk_archive(*inside, found)
    elif is_bucket(folder):
        yield from _walk_bucket(folder, found)
    else:
        yield from _walk(folder, found)
    if passed_over is None and found:
        warnings.warn(passed_over_text(folder, found), stacklevel=2)


def count_images_in(folder: str, passed_over: Counter[str]) -> int:
    """Return how many images are in a folder itself, not in its subfolders.

    Args:
        folder: the folder, or an archive, or a folder in one.
        passed_over: counts files that are pictures and not read, by the ending of their names.

    Raises:
        OSError: the folder cannot be listed.
    """
    if (inside := _archive_of(folder)) is not None:
        directory, (archive, within) = directory_of(inside[0]), inside
        names = [name for name in directory.below(within) if "/" not in name]
        return sum(_is_wanted_member(directory, archive, within, name, passed_over) for name in names)
    if is_bucket(folder):
        return sum(_is_wanted_object(name, passed_over) for name in list_folder(folder)[1])
    return sum(not is_folder for _, is_folder, _ in _list_folder(folder, passed_over))


def passed_over_text(where: str, counts: Counter[str]) -> str:
    """Return the warning about what was passed over. counts: by the endings of the names, and `REPLACED`."""
    archives = Counter({kind: counts[kind] for kind in counts.keys() & set(ALL_SUFFIXES)})
    pictures = Counter({kind: counts[kind] for kind in counts.keys() - archives.keys() - {REPLACED}})
    said = []
    if pictures:
        said.append(
            f"passed over {pictures.total()} pictures, because files with such names are not read as "
            f"images: {_kinds(pictures)}; convert or rename them, or name them as inputs"
        )
    if archives:
        said.append(
            f"passed over {archives.total()} archives, because only those are opened that are named as "
            f"inputs: {_kinds(archives)}"
        )
    if counts[REPLACED]:
        said.append(
            f"passed over {counts[REPLACED]} members of archives, because later ones have their names"
        )
    return f"{where}: {'; '.join(said)}"


def _kinds(counts: Counter[str]) -> str:
    return ", ".join(f"{count} {kind}" for kind, count in sorted(counts.items()))


def is_archive(path: str) -> bool:
    """Return whether a file may be an archive that is read, by its name."""
    return path.lower().endswith(ARCHIVE_SUFFIXES + PARQUET_SUFFIXES)


def is_folder(path: str) -> bool:
    """Return whether a path is one of many images: a folder, also in a bucket, or an archive."""
    return os.path.isdir(path) or _archive_of(path) is not None or _is_folder_in_bucket(path)


def _is_folder_in_bucket(path: str) -> bool:
    """Return whether a path is a folder in a bucket. The server is asked only if the name does not tell."""
    if not is_bucket(path) or is_image_name(path) or archive_ending(path):
        return False
    last = path.partition("://")[2].partition("/")[2].rpartition("/")[2]
    if not os.path.splitext(last)[1]:
        return True
    try:
        return next(list_objects(path), None) is not None
    except ImageError:
        return False


def damaged_archive(folder: str) -> str:
    """Return the archive that a folder is, or is in, if a part of it cannot be read; else ""."""
    inside = _archive_of(folder)
    return inside[0] if inside is not None and flaw_of(inside[0]) else ""


def archives_named(path: str) -> list[str]:
    """Return the archives that a path names: itself, or those that match if it is a pattern."""
    if _is_pattern(path):
        return [match for match in _matches(path) if _archive_of(match) is not None]
    return [path] if _archive_of(path) is not None else []


def holds_images(path: str) -> bool:
    """Return whether a path is a folder, also in a bucket, or names archives."""
    return os.path.isdir(path) or bool(archives_named(path)) or _is_folder_in_bucket(path)


def _archive_of(path: str) -> tuple[str, str] | None:
    """Return the archive that a path leads into, and the folder in it; None if it leads to no such folder."""
    inside = None if os.path.isdir(path) else split_archive(path)
    if inside is not None and (inside[1] or is_parquet(inside[0])):
        try:
            directory = directory_of(inside[0])
            if inside[1] and next(directory.below(inside[1]), None) is None:
                return None
        except ImageError:
            return None
    return inside


def _walk_bucket(folder: str, passed_over: Counter[str]) -> Iterator[str]:
    start, is_empty = f"{folder.rstrip('/')}/", True
    try:
        for name in list_objects(folder):
            is_empty = False
            if _is_wanted_object(name, passed_over):
                yield start + name
    except ImageError:
        is_empty = True
    if is_empty:  # decoding it says why
        yield folder


def _is_wanted_object(name: str, passed_over: Counter[str]) -> bool:
    """Return whether an object with a name relative to a folder in a bucket is used as an image."""
    if any(part.startswith(".") for part in name.split("/")):
        return False
    last = name.rpartition("/")[2]
    return is_image_name(last) or _is_image(last, bytes, passed_over)


def _walk_archive(archive: str, folder: str, passed_over: Counter[str]) -> Iterator[str]:
    try:
        directory = directory_of(archive)
    except ImageError:
        yield archive
        return
    for name in directory.below(folder):
        if _is_wanted_member(directory, archive, folder, name, passed_over):
            yield "/".join(filter(None, (archive, folder, name)))
    if not folder:
        if directory.replaced:
            passed_over[REPLACED] += directory.replaced
        if directory.flaw:
            yield archive


def _is_wanted_member(
    directory: Directory, archive: str, folder: str, name: str, passed_over: Counter[str]
) -> bool:
    """Return whether a member of an archive, with a name relative to a folder in it, is used as an image."""
    if directory.has_only_images:
        return True
    if any(part.startswith(".") and part != ".." for part in name.split("/")):
        return False
    last = name.rpartition("/")[2]

    def start() -> bytes:
        whole = f"{folder}/{name}" if folder else name
        return read_member(archive, whole, sys.maxsize, SIGNATURE_BYTES)

    return is_image_name(last) or _is_image(last, start, passed_over)


def _walk(folder: str, passed_over: Counter[str]) -> Iterator[str]:
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
                inside = _list_folder(path, passed_over)
            except OSError:
                yield path
                continue
            seen.add(here)
            above.append(here)
            linked.append(within or is_link)
            waiting.append(inside)
        else:
            yield path


def _list_folder(folder: str, passed_over: Counter[str]) -> Iterator[tuple[str, bool, bool]]:
    """Return (path, is it a folder, is it a link) for each folder and image in a folder, sorted by name."""
    with os.scandir(folder) as entries:
        found = [
            (e.name, is_folder, e.is_symlink())
            for e in entries
            if not e.name.startswith(".")
            and (
                (is_folder := _is_folder(e))
                or is_image_name(e.name)
                or _is_image(e.name, partial(_start, e), passed_over)
            )
        ]
    return iter(
        [(os.path.join(folder, name), is_folder, is_link) for name, is_folder, is_link in sorted(found)]
    )


def _is_image(name: str, start: Callable[[], bytes], passed_over: Counter[str]) -> bool:
    """Return whether a file without a usual ending is an image by its content.

    Pictures of other kinds, images with unusual endings, and archives are counted in `passed_over`.

    Args:
        name: the name of the file, without its folder.
        start: returns its first bytes; none of a file that is not a regular one.
        passed_over: counts files that are not used, by the endings of their names.
    """
    suffix = os.path.splitext(name)[1].lower()
    if suffix in NO_PICTURES:
        return False
    if (ending := archive_ending(name)) or suffix in OTHER_PICTURES:
        passed_over[ending or suffix] += 1
        return False
    try:
        is_image = SIGNATURES.match(start()) is not None
    except (OSError, ImageError):  # it cannot be told whether it is meant as an image
        return False
    if is_image and suffix:
        passed_over[path_text(suffix)] += 1
    return is_image and not suffix


def _start(entry: os.DirEntry[str]) -> bytes:
    """Return the first bytes of a file."""
    if not entry.is_file():  # reading a pipe might never end
        return b""
    with open(entry.path, "rb", buffering=0) as file:
        return file.read(SIGNATURE_BYTES)


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
        arguments: files, folders, archives and glob patterns. Folders and archives are searched for images,
            patterns are matched. What does not exist is yielded unchanged, so that decoding it reports the
            error.
        files_from: a file with one path per line, or with a NUL character after each path, as from
            `find -print0`; "-" for standard input; or None.

    Raises:
        DataError: `files_from` cannot be read.
    """
    passed_over: Counter[str] = Counter()
    for argument in arguments:
        yield from _expand(argument, passed_over)
    if passed_over:
        warnings.warn(passed_over_text("the folders", passed_over), stacklevel=2)
    if files_from is not None:
        yield from _read_list(files_from)


def _expand(argument: str, passed_over: Counter[str]) -> Iterator[str]:
    if _is_pattern(argument):
        matched = _matches(argument)
        for path in matched:
            yield from _expand(path, passed_over)
        if not matched:
            yield argument
    elif is_folder(argument):
        yield from walk_images(argument, passed_over)
    else:
        yield argument


def _is_pattern(path: str) -> bool:
    """Return whether a path is a glob pattern. What exists is meant by its name."""
    if not glob.has_magic(path):
        return False
    return not exists(path) if is_bucket(path) else not (os.path.lexists(path) or is_folder(path))


def _matches(pattern: str) -> list[str]:
    """Return the paths that match a glob pattern, sorted.

    A folder that exists is meant by its name, not as a pattern: in `photos [2020]/*.jpg`, the brackets are no
    pattern. Where nothing matches, all brackets are taken for themselves.
    """
    if is_bucket(pattern):
        return _matches_in_bucket(pattern)
    for meant in (_without_magic_in_folders(pattern), pattern, pattern.replace("[", "[[]")):
        matched = sorted(glob.iglob(meant, recursive=True))
        if "**" in meant:  # it matches folders and also the files in them: keep only the files
            matched = [path for path in matched if not os.path.isdir(path)]
        if matched:
            return matched
    return []


def _matches_in_bucket(pattern: str) -> list[str]:
    """Return the objects, and the folders, that match a pattern, as the server sorts. Hidden ones do not."""
    parts = pattern.split("/")
    first = next(i for i, part in enumerate(parts) if glob.has_magic(part))
    folder, wanted = "/".join(parts[:first]), parts[first:]
    try:
        found = [_leading_match(name.split("/"), wanted) for name in list_objects(folder)]
    except ImageError:  # reading it says why
        return []
    return list(dict.fromkeys("/".join([folder, *match]) for match in found if match is not None))


def _leading_match(parts: list[str], wanted: list[str]) -> list[str] | None:
    """Return the first parts of a name, which match all parts of a pattern; None if there are none."""
    if not wanted:
        return []
    if wanted[0] == "**" and (rest := _leading_match(parts, wanted[1:])) is not None:
        return rest
    if not parts or (parts[0].startswith(".") and not wanted[0].startswith(".")):
        return None
    if not fnmatch.fnmatchcase(parts[0], wanted[0]):
        return None
    rest = _leading_match(parts[1:], wanted if wanted[0] == "**" else wanted[1:])
    return None if rest is None else [parts[0], *rest]


def _without_magic_in_folders(pattern: str) -> str:
    """Return a pattern in which the folders at its start that exist are escaped."""
    for separator in reversed(list(re.finditer(r"[/\\]" if os.sep == "\\" else "/", pattern))):
        folder, rest = pattern[: separator.start()], pattern[separator.start() :]
        if folder and os.path.isdir(folder):
            return glob.escape(folder) + rest
    return pattern


def _read_list(name: str) -> Iterator[str]:
    """Yield the paths in a list, which has one on each line, or has NUL characters between them.

    Raises:
        DataError: the list cannot be read.
    """
    try:
        if name == "-":
            yield from _listed_paths(sys.stdin.buffer, name)
        else:
            with open(name, "rb") as file:
                yield from _listed_paths(file, name)
    except OSError as error:
        msg = f"{name}: cannot be read: {error.strerror or error}"
        raise DataError(msg) from error


def _listed_paths(file: IO[bytes], name: str) -> Iterator[str]:
    start = b""
    while b"\n" not in start and b"\0" not in start and (block := _block(file)):
        start += block
    encoding = _utf16_encoding(start)
    if encoding:
        start = _decoded_list(start + file.read(), encoding, name)
    is_text = b"\0" not in start  # otherwise it is that of `find -print0`
    for item in _split(start.removeprefix(codecs.BOM_UTF8), file, b"\n" if is_text else b"\0"):
        path = os.fsdecode(item.rstrip(b"\r\n") if is_text else item)
        if path.strip():
            yield _meant_path(path) if is_text else path


def _block(file: IO[bytes]) -> bytes:
    """Return the next bytes of a file: those that are there, so that a slow pipe is read as it is written."""
    read: Any = getattr(file, "read1", file.read)
    block: bytes = read(LIST_BYTES)
    return block


def _split(start: bytes, file: IO[bytes], separator: bytes) -> Iterator[bytes]:
    """Yield the items of a list whose first bytes were read already."""
    rest = start
    while True:
        *items, rest = rest.split(separator)
        yield from items
        block = _block(file)
        if not block:
            yield rest
            return
        rest += block


def _utf16_encoding(start: bytes) -> str:
    """Return the encoding of a list whose characters have two or four bytes; "" for any other list."""
    if start.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        return "utf-32"
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    # Without a byte-order mark: the characters of most paths, and the end of a line, have a zero byte.
    if b"\n\0" in start and start[1:2] == b"\0":
        return "utf-16-le"
    return "utf-16-be" if b"\0\n" in start and start[:1] == b"\0" else ""


def _decoded_list(content: bytes, encoding: str, name: str) -> bytes:
    try:
        text = content.decode(encoding)
        try:
            return os.fsencode(text)
        except UnicodeEncodeError:  # a locale such as C: names of files are then taken as bytes, in UTF-8
            return text.encode("utf-8", "surrogateescape")
    except ValueError as error:
        msg = f"{name}: cannot be read as {encoding.upper()}: {error}"
        raise DataError(msg) from error


def _meant_path(path: str) -> str:
    """Return the path that a line of a list means.

    It is the line itself, if there is such a file. Otherwise it may have spaces or quotes around it, Windows'
    backslashes, or the same letters as the name of the file in another Unicode form. Servers are not asked.
    """
    stripped = path.strip()
    if is_remote(stripped):
        return stripped
    if exists(path):
        return path
    unquoted = stripped[1:-1] if stripped[:1] in ("'", '"') and stripped[:1] == stripped[-1:] else stripped
    for name in dict.fromkeys((stripped, unquoted, unquoted.replace("\\", "/"))):
        for form in (name, unicodedata.normalize("NFC", name), unicodedata.normalize("NFD", name)):
            if form and exists(form):
                return form
    return path


def subfolders(folder: str) -> list[str]:
    """Return the names of the subfolders, sorted. Hidden ones are left out.

    Args:
        folder: the folder, or an archive, or a folder in one.

    Raises:
        DataError: the folder cannot be listed.
    """
    try:
        if (inside := _archive_of(folder)) is not None:
            below = directory_of(inside[0]).below(inside[1])
            found = {name.partition("/")[0] for name in below if "/" in name}
        elif is_bucket(folder):
            found = set(list_folder(folder)[0])
        else:
            with os.scandir(folder) as entries:
                found = {entry.name for entry in entries if _is_folder(entry)}
    except OSError as error:
        msg = f"{folder}: cannot be listed: {error.strerror or error}"
        raise DataError(msg) from error
    except ImageError as error:
        msg = f"{folder}: {error}"
        raise DataError(msg) from error
    return sorted(name for name in found if not name.startswith("."))


def file_names(folder: str) -> list[str]:
    """Return the names of what is in a folder, or of the objects in one of a bucket, sorted.

    Hidden ones are left out.

    Raises:
        DataError: the folder cannot be listed.
    """
    try:
        found = list_folder(folder)[1] if is_bucket(folder) else os.listdir(folder)
    except OSError as error:
        msg = f"{folder}: cannot be listed: {error.strerror or error}"
        raise DataError(msg) from error
    except ImageError as error:
        msg = f"{folder}: {error}"
        raise DataError(msg) from error
    return sorted(name for name in found if not name.startswith("."))


def class_folders(folder: str) -> tuple[str, ...]:
    """Return the names of the subfolders, sorted. Each subfolder is a class.

    Args and errors as for `subfolders`, and:

    Raises:
        NoInputError: the folder has no subfolders.
    """
    names = subfolders(folder)
    if not names:
        msg = f"{folder}: has no subfolders: expected one for each class, with the name of the class"
        raise NoInputError(msg)
    return tuple(names)


def joined(folder: str, name: str) -> str:
    """Return the path of a file in a folder. In a bucket the separator is the same on every system."""
    return f"{folder.rstrip('/')}/{name}" if is_remote(folder) else os.path.join(folder, name)


def path_text(path: str) -> str:
    r"""Return a path as valid Unicode text: bytes that are not UTF-8 become \xNN."""
    try:
        return os.fsencode(path).decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:  # the locale cannot name such a file, but a file of ours may hold the name
        return name_text(path)


def name_text(name: str) -> str:
    r"""Return a name that is no path, such as that of a class, as `path_text` does, in any locale."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def strip_common_folder(paths: Sequence[str]) -> tuple[str, list[str]]:
    """Return (folder, rest): the folder that contains all paths, and each path relative to it.

    The folder ends with a slash, or is "" if the paths have no folder in common.
    """
    first, last = min(paths, default=""), max(paths, default="")  # what these two share, all share
    shared = next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), len(first))
    folder = first[: first.rfind("/", 0, shared) + 1]
    return folder, [path[len(folder) :] for path in paths]
