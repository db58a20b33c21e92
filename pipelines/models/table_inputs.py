"""Rows of tables and of files of features, as inputs of a model that takes numbers."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

from xpnet.data import ColumnMatrix
from xpnet.errors import UsageError

from ..datasets import FEATURE_INPUT_SUFFIXES, TABLE_SUFFIXES
from ..images import DecodedImages, exists

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from ..datasets import TableRows


class TableInputs:
    """The lines of tables, and the examples in files of features. Large files of features stay mapped.

    Args:
        paths: the files.
        features: the names of the model's features; empty if it knows none.
        n_x: how many features the model has.
        model: how messages name the model.

    Attributes:
        names: of each row the table and the number of the line; of an example its own name, or the file and
            its index.
        content: a hash of what the rows hold.

    Raises:
        UsageError: a file is of another kind, or has another number of features than the model.
        DataError, NoInputError: a file cannot be read, lacks a column, or has no rows.
    """

    def __init__(self, paths: Iterable[str], features: Sequence[str], n_x: int, model: str) -> None:
        self.names: list[str] = []
        self._parts: list[TableRows] = []
        digest = hashlib.blake2b(digest_size=16)
        for path in paths:
            part = _read(path, features, n_x, model)
            self.names += part.names if part.are_own else [f"{path}: {name}" for name in part.names]
            self._parts.append(part)
            for block in ColumnMatrix(part.examples).blocks():
                digest.update(np.ascontiguousarray(block).data)
        errors = "\0".join(error for part in self._parts for error in part.errors)
        digest.update(errors.encode("utf-8", "backslashreplace"))
        self.content = digest.digest()

    def chunks(self, start: int, size: int) -> Iterator[DecodedImages]:
        """Yield the rows from a position on, as chunks of columns. A chunk has the rows of one file."""
        before = 0
        for part in self._parts:
            count = len(part.errors)
            for first in range(max(0, start - before), count, size):
                rows = slice(first, min(first + size, count))
                errors, examples = part.errors[rows], part.examples[rows]
                if any(errors):
                    examples = np.where(np.asarray([not error for error in errors])[:, None], examples, 0)
                names = self.names[before + rows.start : before + rows.stop]
                yield DecodedImages(names, examples.astype(part.examples.dtype, copy=False), errors)
            before += count


def _read(path: str, features: Sequence[str], n_x: int, model: str) -> TableRows:
    from ..datasets import read_example_rows, read_table_rows  # only here: models of images need no h5py

    is_table = path.lower().endswith(TABLE_SUFFIXES)
    if is_table and not features:
        msg = f"{model}: holds no names of columns, so tables cannot be read for it"
        raise UsageError(msg)
    if is_table:
        return read_table_rows(path, features)
    if exists(path) and not path.lower().endswith(FEATURE_INPUT_SUFFIXES):
        msg = (
            f"{path}: is no table, and {model} was trained on one: expected a file that ends in "
            f"{' or '.join(TABLE_SUFFIXES)}, or one of features: {', '.join(FEATURE_INPUT_SUFFIXES)}"
        )
        raise UsageError(msg)
    found = read_example_rows(path, features)
    if found.examples.shape[1] != n_x:
        msg = f"{path}: has {found.examples.shape[1]} features, and {model} expects {n_x}"
        raise UsageError(msg)
    return found
