"""Read the bytes of an input by its name: of a file, a member of an archive, or an object on a server."""

from __future__ import annotations

import contextlib
import glob
import os
import stat
from typing import TYPE_CHECKING

from xpnet.errors import ImageError

from .archives import archive_ending, flaw_of, has_member, is_parquet, read_member, split_archive
from .remote import is_bucket, is_remote, list_objects, read_object, status_of

if TYPE_CHECKING:
    from collections.abc import Callable


def read_content(
    name: str,
    most_bytes: int,
    on_size: Callable[[int], object] = lambda size: None,  # noqa: ARG005
) -> bytes:
    """Return the bytes of an input.

    A file on the disk is meant first. If there is none, the name may lead into an archive.

    Args:
        name: the input.
        most_bytes: a larger one is refused.
        on_size: of an input on a server, called with its size before its bytes are there.

    Raises:
        ImageError: it cannot be read, is empty or too large. The message does not name it.
    """
    if is_remote(name):
        inside = split_archive(name)
        if inside is not None and inside[1]:
            return read_member(*inside, most_bytes, on_size=on_size)
        return read_object(name, most_bytes, on_size)
    try:
        status = os.stat(name)
        if stat.S_ISDIR(status.st_mode):
            os.scandir(name).close()  # a folder found in a folder: the reason may be that it cannot be listed
        _require_readable(status, most_bytes)
        with open(name, "rb") as file:
            return file.read()
    except (FileNotFoundError, NotADirectoryError) as error:
        if (inside := split_archive(name)) is not None:
            return read_member(*inside, most_bytes)
        msg = f"cannot be read: {error.strerror}"
        if glob.has_magic(name) and not os.path.lexists(name) and not any(glob.iglob(name)):
            msg = "no file has this name, and as a pattern it matches none"
        raise ImageError(msg) from None
    except OSError as error:
        msg = f"cannot be read: {error.strerror or error}"
        raise ImageError(msg) from None
    except ImageError:
        if flaw := why_no_image(name):
            raise ImageError(flaw) from None
        raise
    except ValueError as error:  # the path contains a NUL character
        msg = f"cannot be read: {error}"
        raise ImageError(msg) from None


def why_no_image(name: str) -> str:
    """Return why a file that is an archive by its name gives no image; "" for other files."""
    if not (archive_ending(name) or is_parquet(name)) or not (is_remote(name) or os.path.isfile(name)):
        return ""
    return flaw_of(name) or "is an archive: name it as an input by itself, to read the images in it"


def exists(name: str) -> bool:
    """Return whether there is an input of that name: a file or a folder, also in an archive or a bucket."""
    if os.path.lexists(name):
        return True
    inside = split_archive(name)
    if inside is not None and inside[1]:
        return has_member(*inside)
    if not is_remote(name):
        return inside is not None
    with contextlib.suppress(ImageError):
        return bool(status_of(name))
    with contextlib.suppress(ImageError):
        return is_bucket(name) and next(list_objects(name), None) is not None
    return False


def _require_readable(status: os.stat_result, most_bytes: int) -> None:
    """Raise `ImageError` unless it is a regular file of a possible size: reading a pipe might never end."""
    if not stat.S_ISREG(status.st_mode):
        msg = "is a directory" if stat.S_ISDIR(status.st_mode) else "is not a regular file"
        raise ImageError(msg)
    if not status.st_size:
        msg = "file is empty"
        raise ImageError(msg)
    if status.st_size > most_bytes:
        msg = f"file of {status.st_size} bytes, expected at most {most_bytes}"
        raise ImageError(msg)
