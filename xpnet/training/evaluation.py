"""Judge parameters by examples: held back, or a sample of those they were trained on."""

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
    from xpnet.data import ColumnMatrix
    from xpnet.nn import Network, Parameters


class Evaluator:
    """Cost and metric on some data, a batch at a time, fetched once.

    Args:
        model: the network.
        data: examples to judge by.
        Y: their labels, in host memory.
        backend: where they are sent to.
        dtype: of the arithmetic.
        resident_bytes: most raw data to keep on the device.
    """

    BATCH = 1024

    def __init__(
        self,
        model: Network,
        data: ColumnMatrix,
        Y: np.ndarray,
        backend: Backend,
        dtype: str,
        resident_bytes: int | None = None,
    ) -> None:
        require_labels(model, Y, data.m)
        self.model, self.backend, self.dtype, self.m = model, backend, dtype, data.m
        self.batches = make_batches(
            data, labels_for_loss(model, Y, dtype), None, backend, dtype, resident_bytes
        )
        self.spread = (
            float(((Y - Y.mean(axis=1, keepdims=True)) ** 2).sum()) if model.n_out and Y.size else 0.0
        )

    def __call__(self, parameters: Parameters) -> tuple[float, float]:
        """Return the cost, and accuracy (for regression R²)."""
        return self.each(parameters.views, Ensemble(self.model, 1))[0]

    def each(self, views: Mapping[str, Array], stack: Ensemble) -> list[tuple[float, float]]:
        """Return the cost, and accuracy (for regression R²), of each network of a stack."""
        xp, output = self.backend.xp, self.model.output
        sums = self.backend.send(np.zeros((stack.runs, 2)), dtype=self.dtype)
        for X, Y, _ in self.batches.epoch(None, self.BATCH):
            Z = stack.forward(views, X)
            sums[:, 0] += xp.sum(stack.loss(Z, stack.targets(Y, Z)), axis=1)
            if output == "sigmoid":
                right = xp.astype(by_run(Z > 0, stack.runs) == (Y > 0.5), sums.dtype)
                sums[:, 1] += xp.sum(right, axis=(1, 2)) / self.model.n_out
            elif output == "softmax":
                hits = xp.argmax(by_run(Z, stack.runs), axis=1) == Y
                sums[:, 1] += xp.sum(xp.astype(hits, sums.dtype), axis=1)
        fetched = self.backend.fetch(sums).astype(np.float64)
        return [self._judged(*row) for row in fetched.tolist()]

    def _judged(self, loss: float, right: float) -> tuple[float, float]:
        if self.model.output in ("sigmoid", "softmax"):
            return loss / self.m, right / self.m
        return loss / self.m, 1.0 - loss / self.spread if self.spread else float("nan")


def sample_examples(
    data: ColumnMatrix, Y: np.ndarray, count: int, seed: int
) -> tuple[ColumnMatrix, np.ndarray]:
    """Return `count` of the examples and their labels, the same ones for a seed; all, if there are no more.

    Args:
        data: the examples.
        Y: their labels, (1, m) or (n_out, m).
        count: at least 1.
        seed: of the choice.
    """
    if data.m <= count:
        return data, Y
    # Two numbers seed the order of an epoch. By a third this choice is no part of any: the examples that come
    # first or last would not stand for all.
    rows = np.random.default_rng([seed, 0, 1]).choice(data.m, count, replace=False)
    rows.sort()
    return data.part(rows), Y[:, rows]
