"""The formats of prediction files: rows to bytes, batch by batch, and a file back to rows."""

from __future__ import annotations

import codecs
import csv
import json
from typing import TYPE_CHECKING, Protocol

from xpnet.errors import DataError, UsageError

from ..models import arrow_schema

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from ..models import Row

    Conversion = Callable[[str, str], None]

PARQUET_GROUP_ROWS = 8192
"""Rows in one row group of a Parquet file."""

CSV_SPECIAL = frozenset(',"\r\n')
"""Characters that a CSV cell may hold only if it is quoted."""

MAX_FIRST_LINE_BYTES = 1 << 20
"""How much of a file's first line is read, at most, to find out what the file is."""


class Format(Protocol):
    """Turns rows into bytes, and a file back into rows.

    Attributes:
        conversion: makes the final file (second path) from the file of the written bytes (first path). None
            if the written bytes are the final file.
    """

    conversion: Conversion | None

    def head(self) -> bytes:
        """Return the bytes before the first row."""

    def rows(self, rows: Iterable[Row]) -> bytes:
        """Return the bytes of some rows. A row may lack columns."""

    def read(self, path: str) -> Iterator[Row]:
        """Yield the rows of a file.

        Raises:
            DataError: the file cannot be read, has other columns, or is damaged.
        """


class Csv:
    """Comma-separated values in UTF-8. Cells are quoted only where they must be.

    `csv.writer` is not used: before Python 3.13 it does not quote a cell with a carriage return.

    Args:
        columns: the names of the columns, in order.
    """

    conversion: Conversion | None = None

    def __init__(self, columns: list[str]) -> None:
        self._columns = columns

    def head(self) -> bytes:
        """See `Format.head`. Returns the names of the columns."""
        return self.rows([dict(zip(self._columns, self._columns, strict=True))])

    def rows(self, rows: Iterable[Row]) -> bytes:
        """See `Format.rows`."""
        lines = (_line([str(row.get(name, "")) for name in self._columns]) for row in rows)
        return "".join(f"{line}\n" for line in lines).encode("utf-8", "backslashreplace")

    def read(self, path: str) -> Iterator[Row]:
        """See `Format.read`. All values are strings."""
        try:
            with open(path, encoding="utf-8-sig", newline="") as file:
                reader = csv.reader(file)
                _require_columns(path, next(reader, []), self._columns)
                for cells in reader:
                    if len(cells) != len(self._columns):
                        msg = (
                            f"{path}: line {reader.line_num} has {len(cells)} cells, "
                            f"expected {len(self._columns)}"
                        )
                        raise DataError(msg)
                    yield {name: cell for name, cell in zip(self._columns, cells, strict=True) if cell}
        except (OSError, ValueError, csv.Error) as error:
            raise _unreadable(path, error) from error


class Jsonl:
    """One JSON object on each line, without the empty columns.

    Args:
        columns: the names of the columns, in order.
    """

    conversion: Conversion | None = None

    def __init__(self, columns: list[str]) -> None:
        self._columns = columns

    def head(self) -> bytes:
        """See `Format.head`. There is none."""
        return b""

    def rows(self, rows: Iterable[Row]) -> bytes:
        """See `Format.rows`."""
        kept = ({name: row[name] for name in self._columns if name in row} for row in rows)
        lines = "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in kept)
        return lines.encode("utf-8", "backslashreplace")

    def read(self, path: str) -> Iterator[Row]:
        """See `Format.read`."""
        try:
            with open(path, encoding="utf-8", newline="\n") as file:
                for line in file:
                    row = json.loads(line)
                    if not isinstance(row, dict) or set(row) - set(self._columns):
                        msg = f"{path}: has a line with other columns, expected {', '.join(self._columns)}"
                        raise DataError(msg)
                    yield row
        except (OSError, ValueError, RecursionError) as error:
            raise _unreadable(path, error) from error


class Parquet(Jsonl):
    """Apache Parquet. Its index is at the end, so it cannot grow row by row.

    Rows are written as JSON lines, and these are converted when all are there.

    Raises:
        UsageError: pyarrow is not installed.
    """

    def __init__(self, columns: list[str]) -> None:
        super().__init__(columns)
        self.conversion = self._convert
        try:
            import pyarrow.parquet  # noqa: F401  (only to find out whether it is installed)
        except ImportError as error:
            msg = "--format parquet needs pyarrow: pip install 'xpnet[parquet]'"
            raise UsageError(msg) from error

    def _convert(self, written: str, output: str) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        schema = arrow_schema(self._columns)
        with pq.ParquetWriter(output, schema) as writer:
            group: list[Row] = []
            for row in super().read(written):
                group.append(row)
                if len(group) == PARQUET_GROUP_ROWS:
                    writer.write_table(pa.Table.from_pylist(group, schema))
                    group = []
            writer.write_table(pa.Table.from_pylist(group, schema))

    def read(self, path: str) -> Iterator[Row]:
        """See `Format.read`."""
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


FORMATS: dict[str, type[Csv | Jsonl | Parquet]] = {"csv": Csv, "jsonl": Jsonl, "parquet": Parquet}
"""The formats by name, which is also the ending of a file's name."""


def new_format(name: str, columns: list[str]) -> Format:
    """Return the format of that name, for rows with these columns.

    Raises:
        UsageError: there is no such format, or it needs a library that is not installed.
    """
    if name not in FORMATS:
        msg = f"--format is {name!r}, expected one of {', '.join(FORMATS)}"
        raise UsageError(msg)
    return FORMATS[name](columns)


def first_line(path: str) -> bytes:
    """Return the first line of a file, or the beginning of a very long one.

    Raises:
        OSError: the file cannot be read.
    """
    with open(path, "rb") as file:
        return file.readline(MAX_FIRST_LINE_BYTES)


def read_predictions(path: str, start: bytes) -> tuple[list[str], Iterator[Row]] | None:
    """Return the columns and the rows of a file of predictions, or None for another file.

    Args:
        path: the file.
        start: its first line, from `first_line`.

    Raises:
        DataError, OSError, ValueError: the file is damaged. Some damage is found only when the rows are read.
    """
    if start.startswith(b"PAR1"):
        columns = _parquet_columns(path)
        return columns, Parquet(columns).read(path)
    start = start.removeprefix(codecs.BOM_UTF8)  # a spreadsheet may have written it
    if start.startswith(b"path,status,"):
        with open(path, encoding="utf-8-sig", newline="") as file:
            columns = next(csv.reader(file))
        return columns, Csv(columns).read(path)
    if start.startswith(b'{"path": '):
        with open(path, encoding="utf-8") as file:
            columns = list({name: None for line in file for name in json.loads(line)})
        return columns, Jsonl(columns).read(path)
    return None


def _parquet_columns(path: str) -> list[str]:
    Parquet([])  # raises UsageError if pyarrow is not installed
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


def _line(cells: list[str]) -> str:
    """Return a line of CSV, without its end."""
    line = ",".join(cells)
    is_plain = line.count(",") == len(cells) - 1 and '"' not in line and "\r" not in line and "\n" not in line
    return line if is_plain else ",".join(map(_quoted, cells))


def _quoted(cell: str) -> str:
    if CSV_SPECIAL.isdisjoint(cell):
        return cell
    return '"' + cell.replace('"', '""') + '"'


def _require_columns(path: str, found: list[str], expected: list[str]) -> None:
    if found != expected:
        msg = f"{path}: has the columns {', '.join(found) or 'none'}, expected {', '.join(expected)}"
        raise DataError(msg)


def _unreadable(path: str, error: Exception) -> DataError:
    return error if isinstance(error, DataError) else DataError(f"{path}: cannot be read: {error}")
