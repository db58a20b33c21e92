"""Outputs: refuse early what could not be written after an hour of work."""

from __future__ import annotations

import os

from pipelines.errors import OutputError


def require_writable(path: str | None) -> None:
    """Raise `OutputError` unless a file of that name could be made. None is no output."""
    if path is None:
        return
    folder = os.path.dirname(path) or "."
    if os.path.isdir(path):
        msg = f"{path}: is a folder, expected the name of a file to write"
    elif not os.path.isdir(folder):
        msg = f"{path}: there is no folder {folder}: make it first"
    elif not os.access(folder, os.W_OK | os.X_OK):
        msg = f"{path}: the folder {folder} cannot be written to"
    else:
        return
    raise OutputError(msg)
