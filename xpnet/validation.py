"""Judge parameters by data they were not trained on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from xpnet.batches import batches
from xpnet.labels import as_taken, require_learnable

if TYPE_CHECKING:
    from xpnet.backend import Backend
    from xpnet.matrix import ColumnMatrix
    from xpnet.models import Network
    from xpnet.parameters import Parameters


class Validation:
    """Cost and metric on data held back, a batch at a time, fetched once.

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
        require_learnable(model, Y, data.m)
        self.model, self.backend, self.dtype, self.m = model, backend, dtype, data.m
        self.batches = batches(data, as_taken(model, Y, dtype), None, backend, dtype, resident_bytes)
        self.spread = (
            float(((Y - Y.mean(axis=1, keepdims=True)) ** 2).sum()) if model.n_out and Y.size else 0.0
        )

    def __call__(self, parameters: Parameters) -> tuple[float, float]:
        """Return the cost, and accuracy (for regression R²)."""
        xp = self.backend.xp
        sums = self.backend.send(np.zeros((1, 2)), dtype=self.dtype)
        for X, Y, _ in self.batches.epoch(None, self.BATCH):
            Z = self.model.forward(parameters.views, X)
            loss = xp.sum(self.model.loss(Z, Y))
            sums[0, 0] += loss
            if self.model.output == "sigmoid":
                sums[0, 1] += xp.sum(xp.astype((Z > 0) == (Y > 0.5), sums.dtype)) / self.model.n_out
            elif self.model.output == "softmax":
                hits = xp.reshape(xp.argmax(Z, axis=0), (1, -1)) == Y
                sums[0, 1] += xp.sum(xp.astype(hits, sums.dtype))
        cost, right = (float(value) / self.m for value in self.backend.fetch(sums)[0])
        if self.model.output in ("sigmoid", "softmax"):
            return cost, right
        return cost, 1.0 - cost * self.m / self.spread if self.spread else float("nan")
