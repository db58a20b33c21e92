"""The parts of a file of predictions, and what makes them: this process and its workers, or a cluster.

Both decode and score some inputs, and turn the predictions into the rows of a `Part`.
"""

from __future__ import annotations

import functools
import itertools
import os
import warnings
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from xpnet.backend import select
from xpnet.errors import UsageError
from xpnet.kernels import one_for_each_product

from ..images import DIED, Needs, decode_chunk, decoding_libraries, file_digest, part_size
from ..models import ERROR, Prediction, columns_for, load, row_of
from .counts import Counts
from .formats import new_format

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ..images import Cluster, DecodedImages, Decoders, Recipe
    from ..models import Model, Predictor, RowOptions, TableInputs
    from .formats import Format


@dataclass(frozen=True)
class Part:
    """The rows of some inputs.

    Attributes:
        paths: the inputs.
        rows: their rows, as the format writes them.
        counts: how many rows have each status.
        failed: the inputs whose row is an error.
    """

    paths: list[str]
    rows: bytes
    counts: Counts
    failed: list[str]


def part_of(format_: Format, predictions: Iterable[Prediction]) -> Part:
    """Return predictions as a part of a file."""
    predictions, counts = list(predictions), Counts()
    counts.add_all(predictions)
    return Part(
        [prediction.path for prediction in predictions],
        format_.rows(map(row_of, predictions)),
        counts,
        [prediction.path for prediction in predictions if prediction.status == ERROR],
    )


@dataclass(frozen=True)
class ScoreTask:
    """Decodes and scores parts of the inputs on a cluster: see `cluster_worker.Task`. Only rows travel back.

    Attributes:
        model: the absolute path of the model file.
        digest: a hash of that file.
        needs: what all workers must have.
        options: which columns the rows have.
        format: one of `FORMATS`.
        frame: which frame of a file is read.
        max_pixels: the largest image that is decoded.
    """

    model: str
    digest: str
    needs: Needs
    options: RowOptions
    format: str
    frame: int | None
    max_pixels: int | None

    @classmethod
    def of(cls, model: Model, options: RowOptions, file_format: str, device: str | None) -> ScoreTask:
        """Return the task for a model of images.

        Raises:
            UsageError: the model has no file, or is no model of images.
        """
        path, recipe = model.path, model.recipe
        if path is None or recipe is None:
            msg = f"{model.name}: a cluster needs a model of images that was loaded from a file"
            raise UsageError(msg)
        path = os.path.abspath(path)
        needs = Needs(recipe.decoder, (path,), computes=True, device=device)
        return cls(path, file_digest(path), needs, options, file_format, recipe.frame, recipe.max_pixels)

    def __call__(self, paths: list[str], places: list[str], first: int) -> Part:
        """See `Task.__call__`."""
        predictor, format_ = _opened(self)
        decoded = replace(decode_chunk(places, predictor.image_recipe), paths=paths)
        with one_for_each_product():
            batches = predictor.predict_parts([decoded], start=first)
            return part_of(format_, itertools.chain.from_iterable(batches))

    def lost(self, path: str, first: int) -> Part:
        """See `Task.lost`."""
        del first
        return part_of(self.new_format_for(load(self.model)), [Prediction(path, ERROR, error=DIED)])

    def new_format_for(self, model: Model) -> Format:
        """Return the format of the rows."""
        return new_format(self.format, columns_for(model.classes, self.options, of_images=True))


@functools.lru_cache(1)
def _opened(task: ScoreTask) -> tuple[Predictor, Format]:
    """Return what a worker needs for a task. It stays open for the next part."""
    model = load(task.model).reading(task.frame, task.max_pixels)
    return model.predictor(select(task.needs.device), task.options), task.new_format_for(model)


class Making(Protocol):
    """What makes the parts of a file.

    Attributes:
        device: the kind of device that scores, "cpu" or "gpu".
    """

    device: str

    def parts(self, inputs: Iterator[str], format_: Format, start: int) -> Iterator[Part]:
        """Yield the parts for all inputs, in order.

        Args:
            inputs: the inputs. They are read as they are needed.
            format_: of the rows.
            start: how many inputs have rows already.
        """


class MadeHere:
    """Workers decode, and this process scores: see `Making`.

    Args:
        predictor: the model on its device.
        device: see `Making`.
        workers: what decodes.
        batch_size: as for `Predictor.predict`.
        table: the rows of tables, if these are the inputs.
        begun: the first inputs, if their decoding has begun.
    """

    def __init__(
        self,
        predictor: Predictor,
        device: str,
        workers: Decoders,
        batch_size: int | None,
        table: TableInputs | None,
        begun: Iterator[DecodedImages] | None,
    ) -> None:
        self.device, self._predictor, self._workers = device, predictor, workers
        self._batch_size, self._table, self._begun = batch_size, table, begun

    def parts(self, inputs: Iterator[str], format_: Format, start: int) -> Iterator[Part]:
        """See `Making.parts`."""
        predictor, size, table = self._predictor, self._batch_size, self._table
        if self._begun is not None:
            batches = predictor.predict_parts(self._begun, size)
        elif table is None:
            batches = predictor.predict(inputs, self._workers, size, start)
        else:
            batches = predictor.predict_decoded(table.chunks(start, size or predictor.batch_size), start)
        return (part_of(format_, batch) for batch in batches)


class MadeByCluster:
    """The workers of a cluster decode, score and write rows: see `Making`.

    Args:
        cluster: the cluster.
        task: what its workers do.
        recipe: how an image becomes a column.

    Raises:
        WorkerError, DeviceError: the workers lack something, or differ: see `Cluster.facts`.
    """

    def __init__(self, cluster: Cluster, task: ScoreTask, recipe: Recipe) -> None:
        self.device = cluster.facts(task.needs)["the device"]
        self._cluster, self._task, self._recipe = cluster, task, recipe
        # The workers have the same libraries as this process: see `Cluster.facts`.
        if told := self._recipe.difference_to(decoding_libraries(self._recipe.decoder)):
            warnings.warn(told, stacklevel=2)

    def parts(self, inputs: Iterator[str], format_: Format, start: int) -> Iterator[Part]:
        """See `Making.parts`."""
        del format_  # the task has it
        return self._cluster.map(self._task, inputs, part_size(self._recipe.n_x), start)
