"""Check the names of output files before the work begins, and write small files.

An output that cannot be written, or that would overwrite an input, is refused at once: not after an hour.
"""

from __future__ import annotations

import contextlib
import math
import os
import re
import stat
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xpnet.errors import OutputError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

FOREIGN_ENDINGS = """
    csv tsv tab json jsonl ndjson parquet pq feather arrow orc xls xlsx ods sqlite db xml yaml yml toml ini
    h5 hdf5 hdf he5 npy npz mat pkl pickle pt pth onnx pb tflite joblib safetensors
    html htm pdf svg eps ps md doc docx odt
    jpg jpeg jpe jfif png apng gif bmp dib webp tif tiff ppm pgm pbm pnm pfm tga ico icns avif heic heif jp2
    j2k jxl psd dcm dng raw
    gz bz2 xz zst lz4 zip tar tgz 7z rar py exe
""".split()  # noqa: SIM905
"""Endings of file names that promise a format. An output in another format must not have such a name."""

OUTPUT_STARTS = (
    b"\x89HDF\r\n", b"PAR1", b"path,status,", b'{"path": ', b"epoch,", b"initial_learning_rate,", b"rate,",
    b"l2,", b"seed,", b"<!doctype html", b"<?xml",
)  # fmt: skip
"""How the files begin that xpnet writes, apart from models: these have a brace after 8 bytes.

`rate,` is of older versions.
"""

STANDARD_STREAM = "-"
"""The name that means standard output, for commands that can write there."""


def require_writable(outputs: Iterable[str | None], inputs: Iterable[str | None] = ()) -> None:
    """Raise an error unless all outputs can be written and none of them is an input.

    Args:
        outputs: paths of files that will be written. None is ignored.
        inputs: paths of files and folders that will be read. None is ignored.

    Raises:
        OutputError: an output cannot be written.
        UsageError: an output is also an input or lies among the inputs, or two outputs are the same file.
    """
    known = [(name, "an input") for name in inputs if name is not None]
    folders = [name for name, _ in known if os.path.isdir(name)]
    for output in outputs:
        if output is not None:
            _refuse_open_stream(output)
            _require_one(output)
            for other, role in known:
                if _is_same_file(output, other):
                    msg = f"{output}: is also {role}: name another file to write"
                    raise UsageError(msg)
            for folder in folders:
                if _is_inside(output, folder) and not _may_be_replaced(output):
                    msg = (
                        f"{output}: exists in the folder {folder}, which is an input, and was not written by "
                        "xpnet: name another file to write"
                    )
                    raise UsageError(msg)
            known.append((output, "another output"))


def _refuse_open_stream(output: str) -> None:
    """Raise `OutputError` for names such as /dev/stdout: the file that is open there would be replaced."""
    if re.match(r"/dev/(fd/|std(out|err|in)$)|/proc/[^/]+/fd/", os.path.abspath(output)):
        msg = f"{output}: is a stream that is open already: name a file, or - where a command can write there"
        raise OutputError(msg)


def require_ending(output: str | None, what: str, *endings: str) -> None:
    """Raise an error if the name of an output promises another format than it gets.

    Args:
        output: the path of the output, or None.
        what: what is written, for the message, such as "a model".
        endings: the endings that fit, without the dot. The first one is recommended.

    Raises:
        UsageError: the ending promises another format.
    """
    ending = ending_of(output)
    if ending in FOREIGN_ENDINGS and ending not in endings:
        msg = (
            f"{output}: is a name for another format than that of {what}: name another file to write, such "
            f"as one that ends in .{endings[0]}"
        )
        raise UsageError(msg)


def ending_of(output: str | None) -> str:
    """Return the ending of a file's name in small letters, without the dot; "" if there is none."""
    return os.path.splitext(output or "")[1][1:].lower()


@contextlib.contextmanager
def locked_outputs(*outputs: str | None) -> Iterator[None]:
    """Keep other runs from writing the same outputs, until the block ends.

    Beside each output lies an empty file with the name .NAME.lock meanwhile.

    Args:
        outputs: paths of files. None is ignored.

    Raises:
        OutputError: another run writes one of them.
    """
    with contextlib.ExitStack() as stack:
        for output in outputs:
            if output is not None:
                stack.enter_context(_locked(output))
        yield


@contextlib.contextmanager
def _locked(output: str) -> Iterator[None]:
    from xpnet.io import Lock, try_lock

    folder, name = os.path.split(os.path.realpath(output))
    path = os.path.join(folder, f".{os.fsdecode(os.fsencode(name)[:200])}.lock")
    while True:
        try:
            descriptor = open_own_file(path)
        except PermissionError:  # another user's run was killed here: to lock it, reading is enough
            descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
        lock = try_lock(descriptor)
        if lock is Lock.TAKEN:
            os.close(descriptor)
            msg = f"{output}: is being written by another run: wait until it has ended, or name another file"
            raise OutputError(msg)
        # The run before may have removed the file after it was opened here: then the lock is of no use.
        if lock is Lock.UNSUPPORTED or is_at(descriptor, path):
            break
        os.close(descriptor)
    if lock is Lock.UNSUPPORTED and os.name == "posix":
        warnings.warn(
            f"{output}: this file system has no locks, so two runs that write this file are not told apart",
            stacklevel=1,
        )
    try:
        if lock is Lock.UNSUPPORTED:
            os.close(descriptor)  # Windows cannot remove an open file
        yield
    finally:
        with contextlib.suppress(OSError):  # the folder may be gone
            os.unlink(path)
        if lock is Lock.HELD:
            os.close(descriptor)


def open_own_file(path: str) -> int:
    """Open a file of xpnet's own beside an output, or create it; return its descriptor.

    A link is not followed: in a folder that others can write to, it could lead to any file.

    Raises:
        OutputError: it is a link, or no regular file.
        OSError: it cannot be opened.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND
    for name in ("O_NOFOLLOW", "O_CLOEXEC", "O_NONBLOCK", "O_BINARY", "O_NOINHERIT"):
        flags |= getattr(os, name, 0)  # which of them there are depends on the system
    if not os.path.islink(path):
        descriptor = os.open(path, flags, 0o666)
        status = os.fstat(descriptor)
        if stat.S_ISREG(status.st_mode) and status.st_nlink <= 1:
            return descriptor
        os.close(descriptor)
    msg = (
        f"{path}: is a link or no regular file, expected a file of xpnet's own: remove it, or name another "
        "output"
    )
    raise OutputError(msg)


def is_at(descriptor: int, path: str) -> bool:
    """Return whether an open file is still the one at a path."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path, follow_symlinks=False))
    except OSError:
        return False


def refuse_output_among(output: str | None, paths: Iterable[str]) -> Iterator[str]:
    """Yield the paths, but raise an error at a path that is the output, which would be overwritten.

    Raises:
        UsageError: a path is the output.
    """
    there = os.stat(output) if output is not None and os.path.exists(output) else None
    for path in paths:
        if there is not None and _is_file(there, path):
            msg = f"{output}: is also an input: name another file to write"
            raise UsageError(msg)
        yield path


def _is_file(known: os.stat_result, path: str) -> bool:
    """Return whether a path leads to a known file."""
    try:
        return os.path.samestat(known, os.stat(path))
    except (OSError, ValueError):
        return False


def _is_same_file(one: str, other: str) -> bool:
    """Return whether two paths lead to the same file, also if it does not exist yet."""
    try:
        return os.path.samefile(one, other)
    except (OSError, ValueError):
        return os.path.abspath(one) == os.path.abspath(other)


def _is_inside(path: str, folder: str) -> bool:
    """Return whether a file exists somewhere below a folder."""
    if not os.path.isfile(path):
        return False
    return os.path.realpath(path).startswith(os.path.join(os.path.realpath(folder), ""))


def _may_be_replaced(path: str) -> bool:
    """Return whether an existing file is empty, or begins like a file that xpnet wrote."""
    try:
        with open(path, "rb") as file:
            start = file.read(16)
    except OSError:
        return False
    return not start or start[8:9] == b"{" or start.startswith(OUTPUT_STARTS)


def _require_one(path: str) -> None:
    """Raise `OutputError` or `UsageError` unless a file can be written at that path."""
    folder = os.path.dirname(os.path.realpath(path))
    if not path:
        msg = "the name of the file to write is empty"
        raise UsageError(msg)
    if path == STANDARD_STREAM:
        msg = "- means standard output, which cannot take this: name a file (./- is a file with the name -)"
        raise UsageError(msg)
    if re.match(r"[A-Za-z0-9]+://", path):
        msg = f"{path}: is on a server: name a file on this machine to write, and copy it there"
    elif os.path.isdir(path):
        msg = f"{path}: is a folder, expected the name of a file to write"
    elif os.path.exists(path) and not os.path.isfile(path):
        msg = f"{path}: is a device or a pipe, expected the name of a file to write"
    elif not os.path.isdir(folder):
        msg = f"{path}: there is no folder {folder}: create it first"
    elif not os.access(folder, os.W_OK | os.X_OK):
        msg = f"{path}: no file can be written into the folder {folder}: permission denied"
    else:
        return
    raise OutputError(msg)


def write_text(path: str, text: str) -> None:
    """Write a text file in UTF-8, completely or not at all. Bytes of paths that are not UTF-8 are escaped.

    Raises:
        OutputError: the file cannot be written.
    """
    from xpnet.io import atomic_write

    try:
        with atomic_write(Path(path)) as temporary:
            temporary.write_text(text, encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        msg = f"{path}: cannot be written: {error.strerror or error}"
        raise OutputError(msg) from error


def finite(value: Any) -> Any:
    """Return a copy of plain data (dicts, lists, numbers) with None for NaN and infinity, as JSON needs."""
    if isinstance(value, dict):
        return {name: finite(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
