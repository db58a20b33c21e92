"""Full-batch gradient descent with the Gram matrix G = X̂^T X̂, for fewer examples than features.

X̂ is the standardized matrix. The gradient of a full batch is dZ X̂^T, a linear combination of the examples.
So the weights keep the form W = c W0 + C X̂^T, and the logits are Z = c W0 X̂ + C G + b. A step only needs G,
(m, m), and takes m^2 operations instead of 2 n_x m. Several runs share G; their rows are stacked.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from xpnet.arrays import namespace
from xpnet.functional import matmul
from xpnet.kernels import dispatched
from xpnet.linear.fused import RESIDUALS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from xpnet.arrays import Array
    from xpnet.linear.objective import LinearObjective, Runs

BLOCK_BYTES = 16 << 20
"""Approximate size in bytes of a block of examples or features in float64."""


class GramMatrix:
    """The Gram matrix of the examples, and products of other matrices with them.

    The standardized matrix is never made as a whole.

    Args:
        objective: an objective on fewer examples than features.
    """

    def __init__(self, objective: LinearObjective) -> None:
        backend, standardizer = objective.backend, objective.data.standardizer
        self._objective = objective
        raw_dtype = objective.data.host.examples.dtype
        self._bytes = raw_dtype == np.uint8 and standardizer.is_uniform
        self._scale = backend.send(standardizer.scale.T, dtype=objective.dtype)
        # Floats are centered before they are rounded to the dtype of the arithmetic, bytes after it.
        self._center, self._mean = None, backend.send(standardizer.mean.T, dtype=objective.dtype)
        if raw_dtype != np.uint8:
            self._center = backend.send(standardizer.mean.T, dtype=raw_dtype.name)
            self._mean = objective.zeros(1, 1)

    def combine(self, C: Array, dtype: str | None = None) -> Array:
        """Return C X̂^T, linear combinations of the examples, (rows, n_x), in a dtype, by default that of C.

        C: coefficients, (rows, m).
        """
        xp, data = namespace(C), self._objective.data
        parts: dict[int, Array] = {}  # the result by the first feature
        for part, chunk in data.chunks():
            own = C[:, part]
            sums = xp.sum(own, axis=1, keepdims=True)
            for features in _blocks(data.n_x, data.m):
                block = self._floats(chunk[:, features], features)
                product = matmul(own, block) - sums * _columns(self._mean, features)
                product = product * _columns(self._scale, features)
                product = xp.astype(product, getattr(xp, dtype or self._objective.dtype))
                before = parts.get(features.start)
                parts[features.start] = product if before is None else before + product
        return xp.concat(list(parts.values()), axis=1)

    def logits(self, W: Array) -> Array:
        """Return W X̂, (rows, m). The standardization is folded into W. W: (rows, n_x)."""
        xp, folded = namespace(W), W * self._scale
        shift = xp.sum(folded * self._mean, axis=1, keepdims=True)
        parts = [
            matmul(folded, self._floats(chunk[rows, :], slice(None)).T) - shift
            for _, chunk in self._objective.data.chunks()
            for rows in _blocks(chunk.shape[0], self._objective.data.n_x)
        ]
        return xp.concat(parts, axis=1)

    def _floats(self, block: Array, features: slice) -> Array:
        """Return raw values of features in the dtype of the arithmetic; floats are centered before."""
        xp = self._objective.backend.xp
        if self._center is not None:
            block = block - _columns(self._center, features)
        return xp.astype(block, getattr(xp, self._objective.dtype))

    @cached_property
    def G(self) -> Array:  # noqa: N802  (the field's name)
        """X̂^T X̂, (m, m), on the device."""
        objective = self._objective
        if self._bytes:
            return objective.backend.send(self._products().astype(objective.dtype))
        data, standardizer = objective.data.host.in_host_memory(), objective.data.standardizer
        G = objective.zeros(data.m, data.m)
        rows = max(1, BLOCK_BYTES // (8 * data.m))
        for start in range(0, data.n_x, rows):
            part = slice(start, min(start + rows, data.n_x))
            own = part if standardizer.scale.shape[0] > 1 else slice(None)
            features = (data.X[part] - standardizer.mean[own]) * standardizer.scale[own]
            X = objective.backend.send(features.astype(objective.dtype))
            G += matmul(X.T, X)
        return G

    def fetch(self) -> np.ndarray:
        """Return X̂^T X̂, (m, m) float64, in host memory."""
        return self._products() if self._bytes else self._objective.backend.fetch(self.G)

    def _products(self) -> np.ndarray:
        """Return X̂^T X̂ of uint8 examples with one scale for all features, (m, m) float64, from the host."""
        data = self._objective.data
        products: np.ndarray = (
            byte_gram(data.host.in_host_memory().examples) * float(data.standardizer.scale[0, 0]) ** 2
        )
        return products


def _blocks(count: int, size: int) -> Iterator[slice]:
    """Yield slices of so many rows or columns, which have `size` numbers each: blocks of `BLOCK_BYTES`."""
    step = max(1, BLOCK_BYTES // (8 * size))
    for start in range(0, count, step):
        yield slice(start, min(start + step, count))


def _columns(row: Array, part: slice) -> Array:
    """Return some columns of (1, n_x); a row (1, 1) stands for all of them."""
    return row if row.shape[1] == 1 else row[:, part]


class GramDescent:
    """A stepper of gradient descent that changes c, C and b; see the top of this file.

    Args:
        objective: an objective on fewer examples than features.
        runs: learning rates and penalties.
        W: initial weights, (runs n_out, n_x).
        b: initial biases, (runs n_out, 1); changed in place.
        from_zero: whether W is known to be 0.
    """

    def __init__(
        self, objective: LinearObjective, runs: Runs, W: Array, b: Array, from_zero: bool = False
    ) -> None:
        xp = objective.backend.xp
        self._objective, self._runs = objective, runs
        self._W0, self._b, self._gram = W, b, GramMatrix(objective)
        self._Z0 = objective.zeros(W.shape[0], objective.data.m) if from_zero else self._gram.logits(W)
        self._C, self._c = xp.zeros_like(self._Z0), xp.ones_like(b)
        self._square0 = xp.sum(W * W, axis=1, keepdims=True)

    def steps(self, costs: Array) -> None:
        """See `descent.Stepper.steps`."""
        objective, runs = self._objective, self._runs
        gram_steps(
            self._C, self._c, self._b, costs, self._gram.G, self._Z0, objective.labels, objective.weights,
            rate=runs.rate, l2=runs.l2, share=runs.share, square0=self._square0, penalized=runs.penalized,
            output=objective.model.output,
        )  # fmt: skip

    def parameters(self) -> tuple[Array, Array]:
        """See `descent.Stepper.parameters`."""
        xp = self._objective.backend.xp
        return self._c * self._W0 + self._gram.combine(self._C), xp.asarray(self._b, copy=True)


@dispatched
def byte_gram(examples: Array) -> Array:
    """Return the exact products of all pairs of examples, (m, m) float64. examples: uint8, (m, n_x).

    A product of x - 128 and y - 128 is at most 2^14 in size, and a sum of 2^10 of them at most 2^24. So
    float32 sums them exactly, in any order. Then x y = (x - 128) (y - 128) + 128 (x + y) - 128^2.
    """
    xp = namespace(examples)
    m, n_x = examples.shape
    G, sums = xp.zeros((m, m), dtype=xp.float64), xp.zeros((m, 1), dtype=xp.float64)
    for start in range(0, n_x, 1024):
        part = xp.astype(examples[:, start : min(start + 1024, n_x)], xp.float32) - 128.0
        G += xp.astype(matmul(part, part.T), xp.float64)
        sums += xp.astype(xp.sum(part, axis=1, keepdims=True), xp.float64)
    sums = 128.0 * sums  # sums of x - 128; G holds products of x - 128
    return G + sums + sums.T + 128.0**2 * n_x


@dispatched
def gram_steps(
    C: Array,
    c: Array,
    b: Array,
    costs: Array,
    G: Array,
    Z0: Array,
    labels: Array,
    weights: Array | None,
    *,
    rate: Array,
    l2: Array,
    share: Array,
    square0: Array,
    penalized: bool,
    output: str,
) -> None:
    """Take steps of gradient descent: change C, c and b in place, and write the costs before each step.

    Args:
        C: coefficients of the examples, (runs n_out, m).
        c: factor of W0, (runs n_out, 1).
        b: biases, (runs n_out, 1).
        costs: (runs, steps); written, a column for each step.
        G: X̂^T X̂, (m, m).
        Z0: W0 X̂, (runs n_out, m).
        labels: (n_out, m), floats.
        weights: weights of the examples, (1, m), or None.
        rate: learning rate of each row, (runs n_out, 1).
        l2: penalty of each row, (runs n_out, 1).
        share: l2 / (2 m) of each run, (runs, 1).
        square0: sum of W0^2 of each row, (runs n_out, 1).
        penalized: whether any l2 is more than 0.
        output: "sigmoid" or "softmax".
    """
    xp, m, residual = namespace(C), C.shape[1], RESIDUALS[output]
    ones = xp.ones_like(G[:, :1])  # A @ ones sums the columns of A in a third of the time of xp.sum
    step, shrink = rate / m, 1.0 - rate * l2 / m
    for i in range(costs.shape[1]):
        CG = matmul(C, G)
        Z = CG + (c * Z0 + b if penalized else Z0 + b)
        losses, dZ = residual(Z, labels)
        if weights is not None:
            losses, dZ = losses * weights, dZ * weights
        cost = losses @ ones / m
        if penalized:
            crossed = xp.sum(C * Z0, axis=1, keepdims=True)
            square = c * c * square0 + 2.0 * c * crossed + xp.sum(CG * C, axis=1, keepdims=True)
            cost = cost + share * xp.sum(xp.reshape(square, (-1, labels.shape[0])), axis=1, keepdims=True)
            C *= shrink
            c *= shrink
        costs[:, i : i + 1] = cost
        C -= step * dZ
        b -= step * (dZ @ ones)
