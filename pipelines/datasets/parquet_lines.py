"""Read a Parquet file as lines of words and numbers, as a file of labels has them."""

from __future__ import annotations

import io
import json
import os
from typing import Any

from xpnet.errors import DataError, UsageError

from ..images import exists, read_content
from .limits import FREE_BYTES, MAX_COMPRESSION
from .text_file import MAX_MEMBER_BYTES, same_name

BATCH_ROWS = 4096
"""How many rows are read at a time."""

ROW_BYTES = 8
"""About how many bytes a row takes in memory, at least."""


def read_parquet_lines(path: str) -> list[tuple[int, dict[str, Any]]]:
    """Return (number of the row, counted from 1, values by the names of the columns) of each row.

    Columns of lists, bytes and the like are left out. Integers become names, if Hugging Face wrote some.

    Args:
        path: the file; it may be a member of an archive, or on a server.

    Raises:
        DataError: the file cannot be read, has two columns of a name, or claims more rows than fit into it.
        UsageError: pyarrow is not installed.
    """
    try:
        import pyarrow.parquet as pq
    except ImportError as error:
        msg = f"{path}: Parquet files need pyarrow: pip install 'xpnet[parquet]'"
        raise UsageError(msg) from error
    try:
        is_member = not os.path.lexists(path) and exists(path)
        opened = io.BytesIO(read_content(path, MAX_MEMBER_BYTES)) if is_member else path
        size = opened.getbuffer().nbytes if isinstance(opened, io.BytesIO) else os.path.getsize(path)
        with pq.ParquetFile(opened) as file:
            return _lines(file, size)
    except MemoryError as error:
        msg = f"{path}: does not fit into memory"
        raise DataError(msg) from error
    except Exception as error:  # on damaged files pyarrow raises many types
        reason = getattr(error, "strerror", None) or str(error)
        msg = f"{path}: cannot be read as Parquet: {' '.join(reason.split())[:200]}"
        raise DataError(msg) from error


def _lines(file: Any, size: int) -> list[tuple[int, dict[str, Any]]]:
    """Return the lines of an open file of this size."""
    columns = _plain_columns(file.schema_arrow)
    if file.metadata.num_rows * ROW_BYTES > max(FREE_BYTES, size * MAX_COMPRESSION):
        msg = f"it is damaged: it has {file.metadata.num_rows} rows, and only {size} bytes"
        raise DataError(msg)
    names = {column: class_names(file.schema_arrow.metadata or {}, column) for column in columns}
    found: list[tuple[int, dict[str, Any]]] = []
    for batch in file.iter_batches(BATCH_ROWS, columns=columns):
        for row in batch.to_pylist():
            values = {name: _named(value, names[name]) for name, value in row.items()}
            found.append((len(found) + 1, values))
    return found


def _plain_columns(schema: Any) -> list[str]:
    """Return the names of the columns with words or numbers."""
    import pyarrow as pa

    types, found = pa.types, []
    for field in schema:
        kind = field.type.value_type if types.is_dictionary(field.type) else field.type
        is_word = types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind)
        if is_word or types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind):
            found.append(field.name)
    if len({same_name(name) for name in found}) < len(found):
        msg = f"it has two columns of one name: {', '.join(found)}"
        raise DataError(msg)
    return found


def class_names(metadata: dict[bytes, bytes], column: str) -> list[str]:
    """Return the names of the classes that Hugging Face wrote into a schema for a column, or none."""
    try:
        names = json.loads(metadata[b"huggingface"])["info"]["features"][column]["names"]
    except (KeyError, TypeError, ValueError, RecursionError):
        return []
    return names if isinstance(names, list) and all(isinstance(name, str) for name in names) else []


def _named(value: Any, names: list[str]) -> Any:
    """Return the name of a class for its index; None for an index without a name."""
    if not names or not isinstance(value, int) or isinstance(value, bool):
        return value
    return names[value] if 0 <= value < len(names) else None
