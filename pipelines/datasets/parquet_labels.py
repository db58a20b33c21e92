"""Read the labels of the images in a Parquet file, which may be one of Hugging Face."""

from __future__ import annotations

from typing import Any

from xpnet.errors import DataError, UsageError

from ..images import open_parquet, walk_images
from .labels_file import LABEL_WORDS, flaw_of_label
from .named_labels import NamedLabels
from .parquet_lines import class_names
from .text_file import same_name

BATCH_ROWS = 4096
"""How many labels are read at a time."""


def read_parquet_labels(path: str, target: str | None = None) -> NamedLabels:
    """Return the rows of a Parquet file with images, with their labels.

    Integers are indices of names, if the file has the names as Hugging Face writes them; else they are names.

    Args:
        path: the file.
        target: the name of the column of labels; None for the one with a usual name.

    Raises:
        DataError: the file cannot be read, or has no such column.
        UsageError: it is not known which column has the labels.
    """
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(open_parquet(path)) as file:
            column = _column(path, file.schema_arrow.names, target)
            names = class_names(file.schema_arrow.metadata or {}, column)
            return _labelled(path, column, names, file)
    except (DataError, UsageError):
        raise
    except Exception as error:  # on damaged files pyarrow raises many types
        msg = f"{path}: cannot be read as Parquet: {' '.join(str(error).split())[:200]}"
        raise DataError(msg) from error


def _labelled(path: str, column: str, names: list[str], file: Any) -> NamedLabels:
    found = NamedLabels()
    images = walk_images(path)
    for batch in file.iter_batches(BATCH_ROWS, columns=[column]):
        for value, image in zip(batch.column(0).to_pylist(), images, strict=False):
            if isinstance(value, int) and names and not isinstance(value, bool):
                value = names[value] if 0 <= value < len(names) else None  # noqa: PLW2901
            if not isinstance(value, str | int):
                found.flaws.append((image, f"has no label in the column {column}"))
                continue
            label = same_name(str(value).strip())
            if flaw := flaw_of_label(label):
                found.flaws.append((image, flaw))
            else:
                found.add(image, label)
    return found


def _column(path: str, columns: list[str], target: str | None) -> str:
    by_name = {same_name(name): name for name in columns}
    if target is not None and same_name(target) in by_name:
        return by_name[same_name(target)]
    listed = ", ".join(columns)
    if target is not None:
        msg = f"{path}: has no column {target!r}; its columns are {listed}"
        raise DataError(msg)
    usual = [name for word in LABEL_WORDS for name in columns if name.lower() == word]
    if not usual:
        msg = f"{path}: name the column of labels with --target: its columns are {listed}"
        raise UsageError(msg)
    return usual[0]
