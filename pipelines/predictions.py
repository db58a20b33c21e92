"""Read a file of predictions, of whichever format."""

from __future__ import annotations

import csv
import json
from typing import TYPE_CHECKING

from pipelines.errors import DataError
from pipelines.formats import Csv, Jsonl, Parquet

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipelines.formats import Row

MOST_LINE = 1 << 20
"""Bytes of the first line that are looked at."""


def first_line(path: str) -> bytes:
    """Return how a file begins.

    Raises:
        OSError: it cannot be read.
    """
    with open(path, "rb") as file:
        return file.readline(MOST_LINE)


def read_predictions(path: str, start: bytes) -> tuple[list[str], Iterator[Row]] | None:
    """Return the columns and the rows of a file of predictions, or None if it is something else.

    Args:
        path: of the file.
        start: how it begins.

    Raises:
        DataError, OSError, ValueError: it is damaged; perhaps only when its rows are read.
    """
    if start.startswith(b"PAR1"):
        columns = _parquet_columns(path)
        return columns, Parquet(columns).read(path)
    if start.startswith(b"path,status,"):
        with open(path, encoding="utf-8", newline="") as file:
            columns = next(csv.reader(file))
        return columns, Csv(columns).read(path)
    if start.startswith(b'{"path": '):
        with open(path, encoding="utf-8") as file:
            columns = list({name: None for line in file for name in json.loads(line)})
        return columns, Jsonl(columns).read(path)
    return None


def _parquet_columns(path: str) -> list[str]:
    Parquet([])  # which says what to install if it is missing
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        columns = list(pq.read_schema(path).names)
    except (OSError, pa.ArrowException) as error:
        msg = f"{path}: cannot be read as Parquet: {error}"
        raise DataError(msg) from error
    if columns[:2] != ["path", "status"]:
        msg = f"{path}: is a Parquet file of another program: it has the columns {', '.join(columns)}"
        raise DataError(msg)
    return columns
