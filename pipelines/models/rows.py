"""Predictions as rows of a table: in a file, or for libraries of tables (Arrow)."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from xpnet.errors import UsageError

from ..images import name_text, path_text
from .prediction import Prediction

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable

    from .row_options import RowOptions

Row = dict[str, Any]
"""The cells of a row by the names of their columns. Empty cells are left out."""

BATCH_ROWS = 8192
"""How many rows a library of tables gets at a time."""


class Predictions(Iterator[Prediction]):
    """Predictions in order: an iterator, and also a table for other libraries.

    pyarrow, pandas, Polars and DuckDB take it where they take a stream of Arrow (its PyCapsule interface),
    as in `polars.DataFrame(predictions)`. The columns are those of a file of predictions. What was iterated
    over before is not in the table.

    Args:
        predictions: the predictions.
        columns: the names of the table's columns, in order.
    """

    def __init__(self, predictions: Generator[Prediction, None, None], columns: list[str]) -> None:
        self._predictions, self._columns = predictions, columns

    def __next__(self) -> Prediction:
        """Return the next prediction."""
        return next(self._predictions)

    def close(self) -> None:
        """End the work: there are no more predictions."""
        self._predictions.close()

    def to_arrow(self) -> Any:
        """Return all predictions as a table of pyarrow; its `to_pandas()` makes a data frame of it.

        Raises:
            UsageError: pyarrow is not installed.
        """
        return self._reader().read_all().combine_chunks()

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """Return the predictions as a stream of Arrow. They are made as the stream is read."""
        return self._reader().__arrow_c_stream__(requested_schema)

    def _reader(self) -> Any:
        schema = arrow_schema(self._columns)
        import pyarrow as pa

        def batches() -> Iterator[Any]:
            while rows := list(map(row_of, itertools.islice(self, BATCH_ROWS))):
                yield pa.RecordBatch.from_pylist(rows, schema)

        return pa.RecordBatchReader.from_batches(schema, batches())


def arrow_schema(columns: Iterable[str]) -> Any:
    """Return the columns of a table with their types: texts, numbers in float64, counts in int64.

    Raises:
        UsageError: pyarrow is not installed.
    """
    try:
        import pyarrow as pa
    except ImportError as error:
        msg = "a table of predictions needs pyarrow: pip install 'xpnet[parquet]'"
        raise UsageError(msg) from error

    def type_of(name: str) -> Any:
        if name == "frames":
            return pa.int64()
        return pa.float64() if name.startswith(("score", "p_")) else pa.string()

    return pa.schema([(name, type_of(name)) for name in columns])


def columns_for(classes: tuple[str, ...], options: RowOptions, *, of_images: bool) -> list[str]:
    """Return the names of the columns in order.

    Args:
        classes: the names of the model's classes; empty for regression.
        options: what the predictions hold.
        of_images: whether the inputs are images; else they are rows of tables.
    """
    of_file = ["frames"] if of_images else []
    ranks = range(1, min(options.topk, len(classes)) + 1)
    ranked = [f"{name}{rank}" for rank in ranks for name in ("label", "score")]
    each_class = [f"p_{name_text(name)}" for name in classes] if options.proba else []
    return ["path", "status", "label", "score", *ranked, *each_class, *of_file, "error"]


def row_of(prediction: Prediction) -> Row:
    """Return the row of a prediction. Names that are not valid UTF-8 are written as `path_text` does."""
    row: Row = {"path": path_text(prediction.path), "status": prediction.status}
    if prediction.label is not None:
        row["label"] = name_text(prediction.label)
    if prediction.score is not None:
        row["score"] = prediction.score
    for rank, (label, probability) in enumerate(prediction.top, start=1):
        row |= {f"label{rank}": name_text(label), f"score{rank}": probability}
    for label, probability in prediction.probabilities.items():
        row[f"p_{name_text(label)}"] = probability
    if prediction.frames is not None:
        row["frames"] = prediction.frames
    if prediction.error:
        row["error"] = prediction.error
    return row
