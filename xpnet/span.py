"""Full-batch descent in the span of the examples: the Gram form.

Every gradient of a full batch is dZ X̂^T, a combination of the examples. So W = c W0 + C X̂^T throughout, and
with G = X̂^T X̂ (m, m) the logits are Z = c W0 X̂ + C G + b: no step touches the n_x features.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from xpnet.onepass import RESIDUALS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from xpnet.arrays import Array
    from xpnet.backend import Backend
    from xpnet.matrix import ColumnMatrix

FEATURES = 4096
"""Features standardized at a time while G is made: no standardized matrix exists."""


class Span:
    """Descent with the coefficients of the examples at hand.

    Args:
        data: the examples; few of them, of many features.
        labels: (n_out, m) on the device, floats: 0 and 1, or one-hot columns.
        weights: of the examples, (1, m) on the device, or None.
        output: "sigmoid" or "softmax".
        backend: where to compute.
        dtype: of the arithmetic.
        W: weights to start from, (n_out, n_x).
        b: biases to start from, (n_out, 1).
        rate: the learning rate.
        l2: strength of the penalty l2 / (2 m) sum W^2.
    """

    def __init__(
        self,
        data: ColumnMatrix,
        labels: Array,
        weights: Array | None,
        output: str,
        backend: Backend,
        dtype: str,
        W: Array,
        b: Array,
        rate: float,
        l2: float,
    ) -> None:
        xp = backend.xp
        self._data, self._backend, self._dtype = data, backend, dtype
        self._labels, self._weights, self._residual = labels, weights, RESIDUALS[output]
        self._W0, self._b, self._rate, self._l2, self._m = W, b, rate, l2, data.m
        self._G = backend.send(np.zeros((data.m, data.m)), dtype=dtype)
        self._Z0 = xp.zeros_like(labels)
        for columns, part in self._standardized():
            self._G += part.T @ part
            self._Z0 += W[:, columns] @ part
        self._square0 = xp.sum(W * W)
        self._C = xp.zeros_like(labels)
        self._c = 1.0

    def step(self) -> Array:
        """Take one step; return the cost before it, shape (), on the device."""
        xp = self._backend.xp
        m, rate, l2, C = self._m, self._rate, self._l2, self._C
        CG = C @ self._G
        losses, dZ = self._residual(CG + self._c * self._Z0 + self._b, self._labels)
        if self._weights is not None:
            losses, dZ = losses * self._weights, dZ * self._weights
        cost = xp.sum(losses) / m
        if l2:
            square = self._c**2 * self._square0 + 2.0 * self._c * xp.sum(C * self._Z0) + xp.sum(CG * C)
            cost = cost + square * (l2 / (2 * m))
            C = C * (1.0 - rate * l2 / m)
            self._c *= 1.0 - rate * l2 / m
        self._C = C - (rate / m) * dZ
        self._b = self._b - (rate / m) * xp.sum(dZ, axis=1, keepdims=True)
        return cost

    def parameters(self) -> tuple[Array, Array]:
        """Return W (n_out, n_x) and b (n_out, 1) as they are now."""
        parts = [self._c * self._W0[:, columns] + self._C @ part.T for columns, part in self._standardized()]
        return self._backend.xp.concat(parts, axis=1), self._b

    def _standardized(self) -> Iterator[tuple[slice, Array]]:
        """Yield the standardized matrix, some features at a time: (features, m)."""
        data, standardizer = self._data, self._data.standardizer
        for start in range(0, data.n_x, FEATURES):
            columns = slice(start, min(start + FEATURES, data.n_x))
            own = columns if standardizer.scale.shape[0] > 1 else slice(None)
            part = (data.X[columns] - standardizer.mean[own]) * standardizer.scale[own]
            yield columns, self._backend.send(part, dtype=self._dtype)
