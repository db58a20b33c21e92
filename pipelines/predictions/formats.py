"""The formats of predictions: rows to bytes as they come, and a file of predictions back to rows."""

from __future__ import annotations

import csv
import json
from typing import TYPE_CHECKING, Any, Protocol

from xpnet.errors import DataError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

PARQUET_ROWS = 8192
"""Rows of one group of a Parquet file."""

SPECIAL = frozenset(',"\r\n')
"""What a cell of CSV must be quoted for."""

Row = dict[str, Any]


class Format(Protocol):
    """Turns rows into bytes, and a file back into rows."""

    def head(self) -> bytes:
        """Return what the bytes begin with."""

    def rows(self, rows: Iterable[Row]) -> bytes:
        """Return the bytes of some rows. A column may be missing from a row."""

    def read(self, path: str) -> Iterator[Row]:
        """Yield the rows of a file.

        Raises:
            DataError: it has other columns, or is damaged.
        """


class Csv:
    """Comma-separated values in UTF-8, quoted where they must be.

    Not by `csv.writer`, which before Python 3.13 leaves a carriage return in a name unquoted.
    """

    def __init__(self, columns: list[str]) -> None:
        self._columns = columns

    def head(self) -> bytes:
        """As `Format.head`."""
        return self.rows([dict(zip(self._columns, self._columns, strict=True))])

    def rows(self, rows: Iterable[Row]) -> bytes:
        """As `Format.rows`."""
        lines = (",".join(_quoted(str(row.get(name, ""))) for name in self._columns) for row in rows)
        return "".join(f"{line}\n" for line in lines).encode("utf-8", "backslashreplace")

    def read(self, path: str) -> Iterator[Row]:
        """As `Format.read`."""
        try:
            with open(path, encoding="utf-8", newline="") as file:
                reader = csv.reader(file)
                _require_columns(path, next(reader, []), self._columns)
                for cells in reader:
                    if len(cells) != len(self._columns):
                        msg = (
                            f"{path}: line {reader.line_num} has {len(cells)} cells, not {len(self._columns)}"
                        )
                        raise DataError(msg)
                    yield {name: cell for name, cell in zip(self._columns, cells, strict=True) if cell}
        except (OSError, ValueError, csv.Error) as error:
            raise _unreadable(path, error) from error


class Jsonl:
    """A JSON object on each line, without the columns that are empty."""

    def __init__(self, columns: list[str]) -> None:
        self._columns = columns

    def head(self) -> bytes:
        """As `Format.head`."""
        return b""

    def rows(self, rows: Iterable[Row]) -> bytes:
        """As `Format.rows`."""
        kept = ({name: row[name] for name in self._columns if name in row} for row in rows)
        lines = "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in kept)
        return lines.encode("utf-8", "backslashreplace")

    def read(self, path: str) -> Iterator[Row]:
        """As `Format.read`."""
        try:
            with open(path, encoding="utf-8", newline="\n") as file:
                for line in file:
                    row = json.loads(line)
                    if not isinstance(row, dict) or set(row) - set(self._columns):
                        msg = f"{path}: holds a line with other columns than {', '.join(self._columns)}"
                        raise DataError(msg)
                    yield row
        except (OSError, ValueError, RecursionError) as error:
            raise _unreadable(path, error) from error


class Parquet(Jsonl):
    """Apache Parquet. Its end holds an index, so it is made at last, of the lines written until then."""

    def __init__(self, columns: list[str]) -> None:
        super().__init__(columns)
        try:
            import pyarrow.parquet  # noqa: F401  (only whether it is there)
        except ImportError as error:
            msg = "--format parquet needs pyarrow: pip install 'xpnet[parquet]'"
            raise UsageError(msg) from error

    def convert(self, written: str, output: str) -> None:
        """Make the file named by the second path of the lines in the first."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        numbers = {n for n in self._columns if n.startswith(("score", "p_"))}
        schema = pa.schema([(n, pa.float64() if n in numbers else pa.string()) for n in self._columns])
        with pq.ParquetWriter(output, schema) as writer:
            group: list[Row] = []
            for row in super().read(written):
                group.append(row)
                if len(group) == PARQUET_ROWS:
                    writer.write_table(pa.Table.from_pylist(group, schema))
                    group = []
            writer.write_table(pa.Table.from_pylist(group, schema))

    def read(self, path: str) -> Iterator[Row]:
        """As `Format.read`."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            with pq.ParquetFile(path) as file:
                _require_columns(path, file.schema_arrow.names, self._columns)
                for group in file.iter_batches():
                    for row in group.to_pylist():
                        yield {name: value for name, value in row.items() if value is not None}
        except (OSError, ValueError, pa.ArrowException) as error:
            raise _unreadable(path, error) from error


def conversion(format_: Format) -> Callable[[str, str], None] | None:
    """Return what makes the file of the bytes that were written, or None if they are the file."""
    return format_.convert if isinstance(format_, Parquet) else None


def _quoted(text: str) -> str:
    if not SPECIAL.isdisjoint(text):
        return '"' + text.replace('"', '""') + '"'
    return text


def _require_columns(path: str, found: list[str], expected: list[str]) -> None:
    if found != expected:
        msg = f"{path}: has the columns {', '.join(found) or 'none'}, expected {', '.join(expected)}"
        raise DataError(msg)


def _unreadable(path: str, error: Exception) -> DataError:
    return error if isinstance(error, DataError) else DataError(f"{path}: cannot be read: {error}")


FORMATS: dict[str, type[Csv | Jsonl | Parquet]] = {"csv": Csv, "jsonl": Jsonl, "parquet": Parquet}
"""The formats by name."""

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
