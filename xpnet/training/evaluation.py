"""Evaluation: cost and metric of a network on validation or training examples."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from xpnet.data import make_batches
from xpnet.nn import labels_for_loss, require_labels
from xpnet.training.ensemble import Ensemble, by_run

if TYPE_CHECKING:
    from collections.abc import Mapping

    from xpnet.arrays import Array
    from xpnet.backend import Backend
    from xpnet.data import Batches, DeviceMatrix
    from xpnet.nn import Network, Parameters

BATCH_BYTES = 32 << 20
"""Limit of the size in bytes of a batch: of its standardized examples, and of the values of a layer."""

MAX_BATCH_EXAMPLES = 1024
"""Limit of the number of examples in a batch."""


class Evaluator:
    """Computes cost and metric of a network on some examples, in batches. The result is fetched once.

    The cost is the mean loss, without penalties. The metric is the accuracy, or R² for regression.

    Args:
        model: the network.
        batches: the examples with their labels, on the device.
        Y: the labels in host memory, (1, m) or (n_out, m).
        backend: the device.
        dtype: dtype of the arithmetic, "float32" or "float64".
    """

    def __init__(self, model: Network, batches: Batches, Y: np.ndarray, backend: Backend, dtype: str) -> None:
        self._model, self._batches, self._backend, self._dtype = model, batches, backend, dtype
        self._m = Y.shape[1]
        self._itemsize = 4 if dtype == "float32" else 8
        self._squares = float(((Y - Y.mean(axis=1, keepdims=True)) ** 2).sum())

    @classmethod
    def of(cls, model: Network, data: DeviceMatrix, Y: np.ndarray, dtype: str) -> Evaluator:
        """Return an evaluator on all examples of a device matrix.

        Raises:
            ShapeError, DtypeError: the labels do not fit the model or the examples, or a value is not finite.
        """
        require_labels(model, Y, data.m)
        data.host.refuse_nonfinite()
        batches = make_batches(data, labels_for_loss(model, Y, dtype), None, dtype)
        return cls(model, batches, Y, data.backend, dtype)

    def __call__(self, parameters: Parameters) -> tuple[float, float]:
        """Return cost and metric."""
        return self.each(parameters.views, Ensemble(self._model, 1))[0]

    def each(self, views: Mapping[str, Array], ensemble: Ensemble) -> list[tuple[float, float]]:
        """Return cost and metric of each network of an ensemble. views: its stacked parameters, by name."""
        xp, output = self._backend.xp, self._model.output
        sums = self._backend.send(np.zeros((ensemble.runs, 2)), dtype=self._dtype)
        width = max(self._model.n_x, ensemble.runs * self._model.widest)
        size = max(1, min(MAX_BATCH_EXAMPLES, BATCH_BYTES // (width * self._itemsize)))
        for X, Y, _ in self._batches.epoch(None, size):
            Z = ensemble.forward(views, X)
            sums[:, 0] += xp.sum(ensemble.loss(Z, ensemble.targets(Y, Z)), axis=1)
            if output == "sigmoid":
                correct = xp.astype(by_run(Z > 0, ensemble.runs) == (Y > 0.5), sums.dtype)
                sums[:, 1] += xp.sum(correct, axis=(1, 2)) / self._model.n_out
            elif output == "softmax":
                hits = xp.argmax(by_run(Z, ensemble.runs), axis=1) == Y
                sums[:, 1] += xp.sum(xp.astype(hits, sums.dtype), axis=1)
        fetched = self._backend.fetch(sums).astype(np.float64)
        return [self._cost_and_metric(*row) for row in fetched.tolist()]

    def _cost_and_metric(self, loss: float, correct: float) -> tuple[float, float]:
        if self._model.output in ("sigmoid", "softmax"):
            return loss / self._m, correct / self._m
        return loss / self._m, 1.0 - loss / self._squares if self._squares else float("nan")


def sample_indices(m: int, count: int, seed: int) -> np.ndarray | None:
    """Return the indices of a random sample of m examples, ascending, (count,); None if it is all of them.

    Args:
        m: number of examples.
        count: number of examples to choose, at least 1.
        seed: seed of the choice.
    """
    if m <= count:
        return None
    # The order of an epoch has a seed of two numbers. With a third one the sample is independent of it.
    rows = np.random.default_rng([seed, 0, 1]).choice(m, count, replace=False)
    rows.sort()
    return rows
