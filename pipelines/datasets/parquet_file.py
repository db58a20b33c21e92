"""Read Parquet files: columns of numbers as in a table, or one column of lists of equal length."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from xpnet.errors import DataError, UsageError

from .limits import FREE_BYTES, MAX_COMPRESSION
from .text_file import same_name

if TYPE_CHECKING:
    from collections.abc import Sequence

BATCH_ROWS = 4096
"""How many rows are read at a time."""

TARGETS = ("label", "labels", "target", "targets", "class", "y")
"""Names of the column to predict, if none is named."""

NAMES = ("path", "name", "id")
"""Names of the column with the names of the rows."""

LISTS = ("features", "embedding", "embeddings", "x")
"""Names of the column of lists, if there are several."""


@dataclass(frozen=True)
class ParquetRows:
    """What a Parquet file holds.

    Attributes:
        X: the features, (m, n_x) float32 or float64; NaN where there is no number.
        columns: the names of their columns; empty for a column of lists.
        targets: the values to predict: numbers (m,), or strings with None for an empty cell; None without.
        target: the name of their column, or "".
        names: the names of the rows; empty if there is no column with them.
        flaws: why a row cannot be used, by its index.
    """

    X: np.ndarray
    columns: tuple[str, ...]
    targets: np.ndarray | list[Any] | None
    target: str
    names: list[str]
    flaws: dict[int, str]


def read_parquet(
    path: str,
    *,
    target: str | None = None,
    columns: Sequence[str] | None = None,
    ignored: Sequence[str] = (),
    labelled: bool = True,
) -> ParquetRows:
    """Read a Parquet file.

    Args:
        path: the file.
        target: the name of the column to predict; None for the one column with a usual name.
        columns: the names of the columns of features; None for the only column of lists, or else all columns
            of the table but the target and the names.
        ignored: names of columns that are no features.
        labelled: whether a column to predict is needed.

    Raises:
        DataError: the file cannot be read, lacks a column, or has columns of other types.
        UsageError: pyarrow is not installed, or it is not known which column to predict.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        msg = f"{path}: Parquet files need pyarrow: pip install 'xpnet[parquet]'"
        raise UsageError(msg) from error
    try:
        with pq.ParquetFile(path) as file:
            return _Reader(pa, file, path).read(target, columns, ignored, labelled)
    except (DataError, UsageError):
        raise
    except MemoryError as error:
        msg = f"{path}: does not fit into memory"
        raise DataError(msg) from error
    except Exception as error:  # on damaged files pyarrow raises many types
        msg = f"{path}: cannot be read as Parquet: {' '.join(str(error).split())[:200]}"
        raise DataError(msg) from error


class _Reader:
    """Reads an open file. pa: pyarrow."""

    def __init__(self, pa: Any, file: Any, path: str) -> None:
        self._pa, self._file, self._path = pa, file, path
        self._types: dict[str, tuple[str, Any]] = {}
        for field in file.schema_arrow:
            name = same_name(field.name)
            if name in self._types:
                msg = f"{path}: has two columns named {name!r}, expected one"
                raise DataError(msg)
            self._types[name] = field.name, _plain_type(pa, field.type)

    def read(
        self, target: str | None, columns: Sequence[str] | None, ignored: Sequence[str], labelled: bool
    ) -> ParquetRows:
        """See `read_parquet`."""
        at = self._target(target) if labelled else ""
        names = next((name for name in self._types if name.lower() in NAMES and name != at), "")
        used = self._features(columns, {at, *map(same_name, ignored)}, names)
        if names in used:
            names = ""
        is_list = self._is_list(self._types[used[0]][1])
        X, flaws, others = self._values(used, [name for name in (at, names) if name], is_list)
        targets: Any = None
        if at:
            kind = self._types[at][1]
            targets = others[at]
            if self._is_number(kind) and not (is_list and self._pa.types.is_integer(kind)):
                targets = np.asarray([np.nan if value is None else value for value in targets], np.float64)
        texts = ["" if value is None else str(value) for value in others.get(names, [])]
        return ParquetRows(X, () if is_list else tuple(used), targets, at, texts, flaws)

    def _target(self, target: str | None) -> str:
        if target is not None:
            return self._known(same_name(target))
        usual = [name for name in self._types if name.lower() in TARGETS]
        if len(usual) != 1:
            msg = f"{self._path}: name the column to predict with --target: its columns are {self._listed()}"
            raise UsageError(msg)
        return usual[0]

    def _features(self, columns: Sequence[str] | None, left_out: set[str], names: str) -> list[str]:
        for name in left_out - {""}:
            self._known(name)
        if columns is not None:
            used = [name for name in map(self._known, map(same_name, columns)) if name not in left_out]
        else:
            used = [name for name in self._types if name not in left_out | {names}]
            lists = [name for name in used if self._is_list(self._types[name][1])]
            usual = [name for name in lists if name.lower() in LISTS]
            chosen = lists if len(lists) == 1 else usual
            if lists and len(chosen) != 1:
                msg = (
                    f"{self._path}: has several columns of lists, {', '.join(lists)}: name one with --columns"
                )
                raise DataError(msg)
            used = chosen or used
        if not used:
            msg = f"{self._path}: has no column of features; its columns are {self._listed()}"
            raise DataError(msg)
        lists = [name for name in used if self._is_list(self._types[name][1])]
        if lists and len(used) > 1:
            msg = f"{self._path}: {lists[0]} holds lists: expected it alone, or columns of numbers"
            raise DataError(msg)
        for name in used:
            kind = self._types[name][1]
            if not self._is_number(kind.value_type if lists else kind):
                msg = (
                    f"{self._path}: the column {name} holds {kind}, expected numbers: leave it out with "
                    f"--ignore-columns {name}"
                )
                raise DataError(msg)
        return used

    def _values(
        self, used: list[str], others: list[str], is_list: bool
    ) -> tuple[np.ndarray, dict[int, str], dict[str, list[Any]]]:
        """Return the features, the flaws of rows, and the values of other columns."""
        m = int(self._file.metadata.num_rows)
        if not m:
            msg = f"{self._path}: has no rows"
            raise DataError(msg)
        kinds = [self._types[name][1] for name in used]
        dtype = np.result_type(*(_float_for(kind.value_type if is_list else kind) for kind in kinds))
        flaws: dict[int, str] = {}
        found: dict[str, list[Any]] = {name: [] for name in others}
        X, start = np.zeros((0, 0)), 0
        stored = [self._types[name][0] for name in (*used, *others)]
        for batch in self._file.iter_batches(BATCH_ROWS, columns=stored):
            stop = start + batch.num_rows
            columns = {name: batch.column(batch.schema.get_field_index(self._types[name][0]))
                       for name in (*used, *others)}  # fmt: skip
            if not X.size:
                width = self._width(columns[used[0]]) if is_list else len(used)
                if width:
                    self._require_size(m * width * dtype.itemsize)
                    X = np.full((m, width), np.nan, dtype)
            if stop > m or (stop > start and not X.size):
                what = f"more than {m} rows" if stop > m else f"no lists with numbers in {used[0]}"
                msg = f"{self._path}: has {what}"
                raise DataError(msg)
            if is_list:
                flaws |= self._fill(X[start:stop], columns[used[0]], used[0], start)
            else:
                for i, name in enumerate(used):
                    X[start:stop, i] = columns[name].to_numpy(zero_copy_only=False)
            for name in others:
                found[name] += columns[name].to_pylist()
            start = stop
        if start != m:
            msg = f"{self._path}: is damaged: has {start} of {m} rows"
            raise DataError(msg)
        return X, flaws, found

    def _fill(self, rows: np.ndarray, column: Any, name: str, start: int) -> dict[int, str]:
        """Write a column of lists into rows; return the flaws. start: index of the first row."""
        lengths = self._lengths(column)
        good = lengths == rows.shape[1]
        column = column if good.all() else column.filter(self._pa.array(good))
        values = column.flatten().to_numpy(zero_copy_only=False)
        rows[good] = values.reshape(-1, rows.shape[1])
        return {
            start + i: f"{name} has {max(0, int(lengths[i]))} numbers, expected {rows.shape[1]}"
            for i in np.flatnonzero(~good).tolist()
        }

    def _lengths(self, column: Any) -> np.ndarray:
        """Return the length of each list; -1 for an empty cell."""
        import pyarrow.compute as pc

        return np.asarray(pc.list_value_length(column).fill_null(-1))

    def _width(self, column: Any) -> int:
        """Return the length of the first list that has one."""
        return next((int(length) for length in self._lengths(column) if length > 0), 0)

    def _require_size(self, size: int) -> None:
        held = os.path.getsize(self._path)
        if size > max(FREE_BYTES, held * MAX_COMPRESSION):
            msg = f"{self._path}: is damaged: it has {size} bytes of features, and the file only {held} bytes"
            raise DataError(msg)

    def _known(self, name: str) -> str:
        if name not in self._types:
            msg = f"{self._path}: has no column {name!r}; its columns are {self._listed()}"
            raise DataError(msg)
        return name

    def _listed(self) -> str:
        return ", ".join(self._types) or "none"

    def _is_list(self, kind: Any) -> bool:
        types = self._pa.types
        return bool(types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind))

    def _is_number(self, kind: Any) -> bool:
        return bool(self._pa.types.is_integer(kind) or self._pa.types.is_floating(kind))


def _plain_type(pa: Any, kind: Any) -> Any:
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _float_for(kind: Any) -> np.dtype:
    """Return the float dtype that holds the numbers of a type of pyarrow."""
    return np.dtype(np.float32 if str(kind) in SMALL else np.float64)


SMALL = ("halffloat", "float", "int8", "uint8", "int16", "uint16")
"""Types whose numbers float32 holds."""
