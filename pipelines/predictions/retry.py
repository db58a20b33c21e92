"""Score again what failed before; all other rows stay as they are."""

from __future__ import annotations

import itertools
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from xpnet.errors import OutputError

from ..images import DecodedImages, decode_all, decode_chunk, path_text
from ..models import STATUSES, Counts, RowOptions, Rows
from .formats import FORMATS, conversion
from .predict import file_digest, image_recipe, resume_key
from .resumable_file import ResumableFile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from xpnet.backend import Backend

    from ..models import Model
    from .formats import Format, Row

BATCH = 1024
"""Inputs that are compared with their rows at a time: whole blocks of any scorer."""


def retry(
    opened: Model,
    paths: Iterable[str],
    backend: Backend,
    output: str,
    options: RowOptions,
    *,
    format: str = "csv",
    workers: int = 1,
    on_progress: Callable[[Counts], object] = lambda counts: None,  # noqa: ARG005
) -> Counts:
    """Write the output anew: rows of status "error" are scored again, all others are taken over.

    Args and errors as for `xpnet.pipelines.predictions.predict.predict`, and:

    Raises:
        OutputError: the output is missing, of other inputs, or of another model or other options.
        DataError: it is damaged.
    """
    if not os.path.exists(output):
        msg = f"{output}: is not there, so there is nothing to retry: leave out --retry-errors"
        raise OutputError(msg)
    rows = Rows(opened, options)
    format_ = FORMATS[format](rows.columns)
    again = _Again(opened, rows, format_, backend, workers, output)
    counts, old, iterator = Counts(), format_.read(output), iter(paths)
    first = next(old, None)
    if first is not None:  # which refuses an output of other columns before anything is written
        old = itertools.chain([first], old)
    known = {**resume_key(opened, options, format, backend), "retry": file_digest(output)}
    with ResumableFile.open(output, known, resume=False) as partial:
        try:
            partial.append(format_.head(), {"retried": 0})
            while batch := list(itertools.islice(iterator, BATCH)):
                before = list(itertools.islice(old, len(batch)))
                _require_same(output, batch, before)
                if not again.compared:
                    again.compare(batch, before, counts.total)
                partial.append(format_.rows(again.merged(batch, before, counts)), {"retried": counts.total})
                on_progress(counts)
            _require_end(output, old, counts.total)
        except BaseException:
            partial.discard()
            raise
        partial.finish(conversion(format_))
    return counts


def _require_same(output: str, batch: list[str], before: list[Row]) -> None:
    for i, path in enumerate(batch):
        row = before[i] if i < len(before) else {}
        if row.get("path") != path_text(path) or row.get("status") not in STATUSES:
            found = f"a row for {row['path']}" if "path" in row else "no row"
            msg = f"{output}: has {found}, where the input is {path_text(path)}: it is of other inputs"
            raise OutputError(msg)


def _require_end(output: str, old: Iterator[Row], total: int) -> None:
    if next(old, None) is not None:
        msg = f"{output}: has more than {total} rows, and {total} is how many inputs there are now"
        raise OutputError(msg)


@dataclass
class _Again:
    """Scores some inputs again.

    Attributes:
        compared: whether a good row was found to be what it is now.
    """

    opened: Model
    rows: Rows
    format_: Format
    backend: Backend
    workers: int
    output: str
    compared: bool = False

    def __post_init__(self) -> None:
        self._recipe, self._scorer = image_recipe(self.opened), self.opened.scorer(self.backend)

    def compare(self, batch: list[str], before: list[Row], done: int) -> None:
        """Score the first good row again: another model or other options would mix two kinds of rows."""
        for i, row in enumerate(before):
            if row.get("status") != "error":
                (now,) = self._rows(decode_chunk([batch[i]], self._recipe), done + i, Counts())
                if self.format_.rows([now]) != self.format_.rows([row]):
                    msg = (
                        f"{self.output}: has another row for {row['path']} than it gets now: it was made by "
                        "another model, with other options, or of another image; score all without "
                        "--retry-errors"
                    )
                    raise OutputError(msg)
                self.compared = True
                return

    def merged(self, batch: list[str], before: list[Row], counts: Counts) -> Iterator[Row]:
        """Yield a row for each input: the one it had, or a new one where that was an error."""
        failed = [i for i, row in enumerate(before) if row.get("status") == "error"]
        X = np.zeros((len(batch), self._recipe.n_x), np.uint8)
        errors = [""] * len(batch)
        done = iter(failed)
        for part in decode_all([batch[i] for i in failed], self._recipe, self.workers):
            places = list(itertools.islice(done, len(part.paths)))
            X[places] = part.columns
            for i, error in zip(places, part.errors, strict=True):
                errors[i] = error
        first, size = counts.total, self._scorer.block
        blocks = sorted({i // size for i in failed})
        answers = {k: self._scorer(X[k * size : (k + 1) * size], first + k * size) for k in blocks}
        for i, row in enumerate(before):
            if row.get("status") == "error":
                decoded = DecodedImages([batch[i]], X[i : i + 1], [errors[i]])
                place = i % size
                yield from self.rows.of(decoded, answers[i // size][:, place : place + 1], counts)
            else:
                counts.add(str(row.get("status")))
                yield row

    def _rows(self, decoded: DecodedImages, first: int, counts: Counts) -> Iterator[Row]:
        return self.rows.of(decoded, self._scorer(decoded.columns, first), counts)
