"""Check the names of output files before the work begins, and write small files.

An output that cannot be written, or that would overwrite an input, is refused at once: not after an hour.
"""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xpnet.errors import OutputError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


def require_writable(outputs: Iterable[str | None], inputs: Iterable[str | None] = ()) -> None:
    """Raise an error unless all outputs can be written and none of them is an input.

    Args:
        outputs: paths of files that will be written. None is ignored.
        inputs: paths of files that will be read. None is ignored.

    Raises:
        OutputError: an output cannot be written.
        UsageError: an output is also an input, or two outputs are the same file.
    """
    known = [(name, "an input") for name in inputs if name is not None]
    for output in outputs:
        if output is not None:
            _require_one(output)
            for other, role in known:
                if _is_same_file(output, other):
                    msg = f"{output}: is also {role}: name another file to write"
                    raise UsageError(msg)
            known.append((output, "another output"))


def refuse_output_among(output: str | None, paths: Iterable[str]) -> Iterator[str]:
    """Yield the paths, but raise an error at a path that is the output, which would be overwritten.

    Raises:
        UsageError: a path is the output.
    """
    exists = output is not None and os.path.exists(output)
    for path in paths:
        if exists and _is_same_file(str(output), path):
            msg = f"{output}: is also an input: name another file to write"
            raise UsageError(msg)
        yield path


def _is_same_file(one: str, other: str) -> bool:
    """Return whether two paths lead to the same file, also if it does not exist yet."""
    try:
        return os.path.samefile(one, other)
    except (OSError, ValueError):
        return os.path.abspath(one) == os.path.abspath(other)


def _require_one(path: str) -> None:
    """Raise `OutputError` or `UsageError` unless a file can be written at that path."""
    folder = os.path.dirname(os.path.realpath(path))
    if not path:
        msg = "the name of the file to write is empty"
        raise UsageError(msg)
    if os.path.isdir(path):
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
