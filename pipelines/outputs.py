"""Outputs: refuse early what could not be written after an hour of work, or would overwrite an input."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xpnet.errors import OutputError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


def require_writable(outputs: Iterable[str | None], inputs: Iterable[str | None] = ()) -> None:
    """Raise unless files of those names could be made, and are none of the inputs. None is no file.

    Raises:
        OutputError: one cannot be made.
        UsageError: one is an input, or two are the same.
    """
    known = [(name, "is read") for name in inputs if name is not None]
    for output in outputs:
        if output is not None:
            _require_one(output)
            for other, what in known:
                if _are_same(output, other):
                    msg = f"{output}: {what} as well: name another file to write"
                    raise UsageError(msg)
            known.append((output, "is written"))


def refuse_output_among(output: str | None, paths: Iterable[str]) -> Iterator[str]:
    """Yield paths; raise `UsageError` at one that is the output, which would be overwritten."""
    exists = output is not None and os.path.exists(output)
    for path in paths:
        if exists and _are_same(str(output), path):
            msg = f"{output}: is one of the inputs: name another file to write"
            raise UsageError(msg)
        yield path


def _are_same(one: str, other: str) -> bool:
    try:
        return os.path.samefile(one, other)
    except (OSError, ValueError):
        return os.path.abspath(one) == os.path.abspath(other)


def _require_one(path: str) -> None:
    folder = os.path.dirname(os.path.realpath(path))
    if not path:
        msg = "the name of the file to write is empty"
        raise UsageError(msg)
    if os.path.isdir(path):
        msg = f"{path}: is a folder, expected the name of a file to write"
    elif os.path.exists(path) and not os.path.isfile(path):
        msg = f"{path}: is a device or a pipe, and would be replaced by a file: name a file"
    elif not os.path.isdir(folder):
        msg = f"{path}: there is no folder {folder}: make it first"
    elif not os.access(folder, os.W_OK | os.X_OK):
        msg = f"{path}: the folder {folder} cannot be written to"
    else:
        return
    raise OutputError(msg)


def write_text(path: str, text: str) -> None:
    """Write a text file in UTF-8, all of it or nothing. Surrogates, which UTF-8 lacks, are escaped.

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
    """Return plain data with None for numbers that are not finite."""
    if isinstance(value, dict):
        return {name: finite(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
