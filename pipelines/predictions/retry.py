"""Score again the images that failed in an earlier run. All other rows are copied."""

from __future__ import annotations

import itertools
import os
from dataclasses import asdict
from typing import TYPE_CHECKING

import numpy as np

from xpnet.errors import OutputError, UsageError

from ..images import DecodedImages, decode_all, decode_chunk, file_digest, path_text
from ..models import DEFAULT_OPTIONS, ERROR, STATUSES, UNSURE, columns_for, row_of
from .counts import Counts
from .formats import new_format
from .predict import InputDigest, resumed_counts, run_identity
from .resumable_file import ResumableFile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from xpnet.backend import Backend

    from ..images import Decoders
    from ..models import Model, Predictor, Row, RowOptions
    from .formats import Format

BATCH_SIZE = 1024
"""How many inputs are compared with their rows at a time. A multiple of the block size of every `Scorer`."""


def retry_errors(
    model: Model,
    paths: Iterable[str],
    backend: Backend,
    output: str,
    options: RowOptions = DEFAULT_OPTIONS,
    *,
    format: str = "csv",  # noqa: A002  (the name of the command's option)
    workers: Decoders = 1,
    overwrite: bool = False,
    on_resume: Callable[[int], object] = lambda done: None,  # noqa: ARG005
    on_progress: Callable[[Counts], object] = lambda counts: None,  # noqa: ARG005
) -> Counts:
    """Write the output again: inputs whose row has the status "error" are scored again.

    Args and errors as for `write_predictions`, and:

    Raises:
        OutputError: the output does not exist, or is of other inputs, another model or other options.
        DataError: the output is damaged.
    """
    if not os.path.exists(output):
        msg = f"{output}: does not exist, so there is nothing to retry: leave out --retry-errors"
        raise OutputError(msg)
    if model.recipe is None:
        msg = "--retry-errors is for images, and the model was trained on a table: leave it out"
        raise UsageError(msg)
    predictor = model.predictor(backend, options)
    format_ = new_format(format, columns_for(model.classes, options, of_images=model.recipe is not None))
    counts, digest, iterator = Counts(), InputDigest(), iter(paths)
    earlier = format_.read(output)
    first = next(earlier, None)  # refuses an output with other columns before anything is written
    if first is not None:
        earlier = itertools.chain([first], earlier)
    identity = {**run_identity(model, options, format, backend.name), "--retry-errors": file_digest(output)}
    is_compared = False
    with ResumableFile.open(output, identity, overwrite) as sink:
        resumed = bool(sink.state)
        if resumed:
            counts = resumed_counts(sink, digest, iterator)
            _require_rows(output, earlier, counts.total)
            on_resume(counts.total)
        try:
            while batch := list(itertools.islice(iterator, BATCH_SIZE)):
                rows = list(itertools.islice(earlier, len(batch)))
                _require_same_inputs(output, batch, rows)
                _require_same_confidence(output, rows, options.min_confidence)
                is_compared = is_compared or _compare(
                    output, predictor, format_, batch, rows, start=counts.total
                )
                merged = _merge(predictor, batch, rows, workers, start=counts.total)
                head = b"" if counts.total else format_.head()
                for row in merged:
                    counts.add(row["status"])
                state = {"counts": asdict(counts), "inputs": digest.add(batch)}
                sink.append(head + format_.rows(merged), state)
                on_progress(counts)
            _require_end(output, earlier, counts.total)
        except _OtherRowsError:
            if not resumed:
                sink.discard()
            raise
        if not counts.total:
            sink.append(format_.head(), {})
        sink.finish(format_.conversion)
    return counts


class _OtherRowsError(OutputError):
    """The output has rows for other inputs, or rows that another model made."""


def _require_rows(output: str, rows: Iterator[Row], count: int) -> None:
    """Skip rows; raise `_OtherRowsError` if there are not so many."""
    if sum(1 for _ in itertools.islice(rows, count)) != count:
        msg = f"{output}: has less than {count} rows, but a retry of it has written so many: give --overwrite"
        raise _OtherRowsError(msg)


def _require_same_inputs(output: str, batch: list[str], rows: list[Row]) -> None:
    """Raise `_OtherRowsError` unless there is a row for each input."""
    for i, path in enumerate(batch):
        row = rows[i] if i < len(rows) else {}
        if row.get("path") != path_text(path) or row.get("status") not in STATUSES:
            found = f"a row for {row['path']}" if "path" in row else "no row"
            msg = (
                f"{output}: has {found} where the input is {path_text(path)}: "
                "it was made from other inputs; name the same inputs in the same order"
            )
            raise _OtherRowsError(msg)


def _require_same_confidence(output: str, rows: list[Row], least: float) -> None:
    """Raise `_OtherRowsError` if a status does not follow from its score and the least confidence."""
    for row in rows:
        if row["status"] != ERROR and (float(row.get("score", 1.0)) < least) != (row["status"] == UNSURE):
            msg = (
                f"{output}: the row for {row['path']} is {row['status']}, which it would not be with "
                f"--min-confidence {least:g}: give the option of the earlier run"
            )
            raise _OtherRowsError(msg)


def _require_end(output: str, rows: Iterator[Row], total: int) -> None:
    if next(rows, None) is not None:
        msg = f"{output}: has more than {total} rows, but there are {total} inputs: name the same inputs"
        raise _OtherRowsError(msg)


def _compare(
    output: str, predictor: Predictor, format_: Format, batch: list[str], rows: list[Row], start: int
) -> bool:
    """Score the first input whose row is not an error again, and require the same row.

    Another model or other options would give another row: then the file would hold a mixture.

    Args:
        output: the file, for the message.
        predictor: makes the row.
        format_: in which the rows are compared.
        batch: the inputs.
        rows: the row of each input.
        start: how many inputs came before this batch.

    Returns:
        Whether there was such an input.

    Raises:
        _OtherRowsError: the row differs.
    """
    for i, row in enumerate(rows):
        if row["status"] != ERROR:
            decoded = decode_chunk([batch[i]], predictor.image_recipe)
            (now,) = predictor.predictions(decoded, predictor.scorer(decoded.columns, start + i))
            if format_.rows([row_of(now)]) != format_.rows([row]):
                msg = (
                    f"{output}: the row for {row['path']} is not the one it gets now: the file was made by "
                    "another model, with other options, or the image has changed; leave out --retry-errors "
                    "to score all inputs again"
                )
                raise _OtherRowsError(msg)
            return True
    return False


def _merge(
    predictor: Predictor, batch: list[str], rows: list[Row], workers: Decoders, start: int
) -> list[Row]:
    """Return the row for each input: the earlier row, or a new one if that was an error.

    Each image keeps its place in the block in which it is scored, so that its digits do not change.
    """
    failed = [i for i, row in enumerate(rows) if row["status"] == ERROR]
    columns = np.zeros((len(batch), predictor.image_recipe.n_x), np.uint8)
    errors, frames = [""] * len(batch), [0] * len(batch)
    remaining = iter(failed)
    for part in decode_all([batch[i] for i in failed], predictor.image_recipe, workers):
        places = list(itertools.islice(remaining, len(part.paths)))
        columns[places] = part.columns
        for i, error, count in zip(places, part.errors, part.frames, strict=True):
            errors[i], frames[i] = error, count
    size = predictor.scorer.block
    blocks = sorted({i // size for i in failed})
    outputs = {k: predictor.scorer(columns[k * size : (k + 1) * size], start + k * size) for k in blocks}
    merged = list(rows)
    for i in failed:
        decoded = DecodedImages([batch[i]], columns[i : i + 1], [errors[i]], [frames[i]])
        place = i % size
        (now,) = predictor.predictions(decoded, outputs[i // size][:, place : place + 1])
        merged[i] = row_of(now)
    return merged
