"""The prediction for one input, and the loop that makes predictions from decoded images."""

from __future__ import annotations

import warnings
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from xpnet.errors import UsageError

from ..images import CHUNK_SIZE, decode_all, in_batches
from .row_options import RowOptions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from xpnet.io import Scorer

    from ..images import DecodedImages, Decoders, Recipe

OK, UNSURE, ERROR = STATUSES = ("ok", "unsure", "error")
"""The possible statuses of a prediction; see `Prediction`."""

CHUNKS_IN_FLIGHT = {"cpu": 0, "gpu": 2}
"""Chunks that a device may score while this process decodes the next ones, by the name of the backend.

A CPU has none, because scoring and decoding would compete for the same cores.
"""

BATCH_BYTES = 16 << 20
"""The most bytes of columns in a batch, unless one image has more. This bounds the memory."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """The prediction for one input.

    Probabilities are rounded to six significant digits, as in the files of predictions. Predicted numbers are
    not rounded.

    Attributes:
        path: the input, as it was given or found.
        status: "ok"; "unsure" if the score is below `min_confidence`; "error" if the input cannot be used.
        label: the name of the predicted class. None for regression, and for an error.
        score: the probability of the predicted class; for regression the predicted value. None for an error.
        frames: how many frames or pages the file has, of which one was scored. None for an error and for a
            line of a table.
        error: why the input cannot be used; "" otherwise.
        top: the `topk` most probable classes, each as (label, probability), the most probable first.
        probabilities: the probability of every class by its name, if they were asked for; else empty.
    """

    path: str
    status: str
    label: str | None = None
    score: float | None = None
    frames: int | None = None
    error: str = ""
    top: tuple[tuple[str, float], ...] = ()
    probabilities: dict[str, float] = field(default_factory=dict, hash=False)


class Predictor:
    """A model on a device, ready to make predictions.

    Args:
        scorer: the network on the device.
        recipe: how an image becomes a column; None for a model of a table.
        classes: the names of the classes; empty for regression.
        options: what the predictions hold.
        in_flight: how many chunks the device may score while the next ones are decoded.

    Raises:
        UsageError: the options are for a classifier, and the model predicts numbers.
    """

    def __init__(
        self,
        scorer: Scorer,
        recipe: Recipe | None,
        classes: tuple[str, ...],
        options: RowOptions,
        in_flight: int = 0,
    ) -> None:
        if not classes and options != RowOptions():
            msg = (
                "--topk, --proba and --min-confidence are for classifiers, and this model predicts numbers: "
                "leave them out"
            )
            raise UsageError(msg)
        self.scorer, self.recipe, self.classes, self.options = scorer, recipe, classes, options
        self._in_flight = in_flight

    def predict(
        self,
        paths: Iterable[str],
        workers: Decoders = 1,
        batch_size: int | None = None,
        start: int = 0,
    ) -> Iterator[list[Prediction]]:
        """Return an iterator of the predictions for all inputs in order, `batch_size` at a time.

        Args:
            paths: images. They are read as they are needed.
            workers: how many processes decode.
            batch_size: how many inputs are scored at a time: fewer if their columns are large. None for as
                many as the device takes. It does not change any prediction.
            start: how many inputs were scored before the first of these.

        Raises:
            UsageError: `batch_size` is below 1, or the model is of a table.
        """
        # This process decodes no more than the first predictions need. Handing few images to another process
        # takes as long as handing over many.
        size = max(1, min(batch_size or CHUNK_SIZE, CHUNK_SIZE)) if workers == 1 else CHUNK_SIZE
        return self.predict_parts(decode_all(paths, self.image_recipe, workers, size), batch_size, start)

    def predict_parts(
        self, parts: Iterable[DecodedImages], batch_size: int | None = None, start: int = 0
    ) -> Iterator[list[Prediction]]:
        """As `predict`, for images that are decoded already, in parts of any size."""
        batch_size = self.batch_size if batch_size is None else batch_size
        if batch_size < 1:
            msg = f"--batch-size is {batch_size}, expected 1 or more"
            raise UsageError(msg)
        size = max(1, min(batch_size, BATCH_BYTES // self.image_recipe.n_x))
        return self.predict_decoded(in_batches(parts, size), start)

    @property
    def batch_size(self) -> int:
        """How many inputs are scored at a time by default: a GPU takes blocks of many."""
        return max(CHUNK_SIZE, self.scorer.block)

    @property
    def image_recipe(self) -> Recipe:
        """How an image becomes a column.

        Raises:
            UsageError: the model is of a table.
        """
        if self.recipe is None:
            msg = "the model was trained on a table, and this is for images"
            raise UsageError(msg)
        return self.recipe

    def predict_decoded(
        self, decoding: Iterable[DecodedImages], start: int = 0
    ) -> Iterator[list[Prediction]]:
        """Yield the predictions for chunks of inputs that are columns already, in order.

        Args:
            decoding: the chunks. For a table the columns may be floats.
            start: how many inputs were scored before the first of these.
        """
        is_told = False
        for decoded, outputs in score_in_order(decoding, self.scorer, start, self._in_flight):
            if self.recipe is not None and not is_told:
                is_told = True
                if difference := self.recipe.difference_to(decoded.libraries):
                    warnings.warn(difference, stacklevel=2)
            yield list(self.predictions(decoded, outputs))

    def predictions(self, decoded: DecodedImages, outputs: np.ndarray) -> Iterator[Prediction]:
        """Yield the prediction for each decoded input. outputs: (n_out, k), what the network returned."""
        options, classes = self.options, self.classes
        is_finite = np.isfinite(outputs).all(axis=0).tolist()
        values = class_probabilities(outputs, classes) if classes else outputs
        frames: Sequence[int | None] = decoded.frames or [None] * len(decoded.paths)
        if classes:
            # A stable order: of classes with equal probabilities the first one comes first.
            order = np.argsort(-values, axis=0, kind="stable")[: max(1, options.topk)]
            ranked, best = order.T.tolist(), np.take_along_axis(values, order, axis=0).T.tolist()
        for i, (path, error) in enumerate(zip(decoded.paths, decoded.errors, strict=True)):
            if error or not is_finite[i]:
                yield Prediction(path, ERROR, error=error or "its score is not a finite number")
                continue
            if not classes:
                yield Prediction(path, OK, score=all_digits(values[0, i]), frames=frames[i])
                continue
            probabilities = list(map(six_digits, best[i]))
            labels = [classes[k] for k in ranked[i]]
            yield Prediction(
                path,
                UNSURE if probabilities[0] < options.min_confidence else OK,
                labels[0],
                probabilities[0],
                frames[i],
                top=tuple(zip(labels, probabilities, strict=True)) if options.topk else (),
                probabilities=dict(zip(classes, map(six_digits, values[:, i]), strict=True))
                if options.proba
                else {},
            )


def score_in_order(
    decoding: Iterable[DecodedImages], scorer: Scorer, start: int = 0, in_flight: int = 0
) -> Iterator[tuple[DecodedImages, np.ndarray]]:
    """Yield each chunk of decoded images with the network's outputs (n_out, k), in order.

    Args:
        decoding: chunks of k images.
        scorer: the network on a device.
        start: how many inputs were scored before.
        in_flight: how many chunks the device may score before this function waits for the first of them.
    """
    waiting: deque[tuple[DecodedImages, Callable[[], np.ndarray]]] = deque()
    for decoded in decoding:
        waiting.append((decoded, scorer.begin(decoded.columns, start)))
        start += len(decoded.paths)
        if len(waiting) > in_flight:
            chunk, wait = waiting.popleft()
            yield chunk, wait()
    for chunk, wait in waiting:
        yield chunk, wait()


def class_probabilities(outputs: np.ndarray, classes: tuple[str, ...]) -> np.ndarray:
    """Return the probability of every class, (n_classes, k), from a classifier's outputs (n_out, k).

    A logistic model of two classes has one output: the probability of the second class.
    """
    if len(classes) == 2 and len(outputs) == 1:
        return np.concatenate([1.0 - outputs, outputs])
    return outputs


def six_digits(value: Any) -> float:
    """Return a number rounded to six significant digits: a float32 holds no more."""
    return float(f"{float(value):.6g}")


def all_digits(value: np.floating[Any]) -> float:
    """Return a number whose text is the shortest one that gives the value back, in its own dtype."""
    return float(str(value))
