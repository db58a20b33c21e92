"""Full-batch descent in the span of the examples: the Gram form.

Every gradient of a full batch is dZ X̂^T, a combination of the examples. So W = c W0 + C X̂^T throughout, and
with G = X̂^T X̂ (m, m) the logits are Z = c W0 X̂ + C G + b: no step touches the n_x features. Several runs
share G: their rows lie below each other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from xpnet.arrays import namespace
from xpnet.kernels import dispatched
from xpnet.linear.fused import RESIDUALS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from xpnet.arrays import Array
    from xpnet.linear.objective import LinearObjective, Runs

BLOCK_BYTES = 16 << 20
"""Size of the standardized features, or of the examples, that exist at a time: there is no standardized X."""


class GramDescent:
    """Descent with the coefficients of the examples at hand.

    Args:
        problem: the examples, few of them, of many features.
        runs: learning rates and penalties.
        W: weights to start from, (runs n_out, n_x).
        b: biases to start from, (runs n_out, 1), which change.
        from_zero: whether W is known to hold zeros alone.

    Attributes:
        backend: where.
        G: X̂^T X̂, (m, m).
    """

    def __init__(
        self, problem: LinearObjective, runs: Runs, W: Array, b: Array, from_zero: bool = False
    ) -> None:
        xp, standardizer = problem.backend.xp, problem.data.standardizer
        self._problem, self._runs, self.backend = problem, runs, problem.backend
        self._W0, self._b = W, b
        self._mean = problem.backend.send(standardizer.mean.T, dtype=problem.dtype)
        self._scale = problem.backend.send(standardizer.scale.T, dtype=problem.dtype)
        self.G = self._gram()
        self._Z0 = problem.zeros(W.shape[0], problem.data.m) if from_zero else self._logits(W)
        self._C, self._c = xp.zeros_like(self._Z0), xp.ones_like(b)
        self._square0 = xp.sum(W * W, axis=1, keepdims=True)

    def steps(self, costs: Array) -> None:
        """As `descent.Stepper.steps`."""
        problem, runs = self._problem, self._runs
        gram_steps(
            self._C, self._c, self._b, costs, self.G, self._Z0, problem.labels, problem.weights,
            rate=runs.rate, l2=runs.l2, share=runs.share, square0=self._square0, penalized=runs.penalized,
            output=problem.model.output,
        )  # fmt: skip

    def parameters(self) -> tuple[Array, Array]:
        """Return W (runs n_out, n_x) and b (runs n_out, 1) as they are now."""
        xp = self._problem.backend.xp
        return self._c * self._W0 + self.combined(self._C), xp.asarray(self._b, copy=True)

    def combined(self, C: Array) -> Array:
        """Return C X̂^T, (rows, n_x), of coefficients of the examples (rows, m)."""
        xp = self._problem.backend.xp
        spanned = xp.zeros_like(self._W0)
        for part, raw, mean in self._raw():
            own = C[:, part]
            spanned += own @ raw - xp.sum(own, axis=1, keepdims=True) * mean
        return spanned * self._scale

    def _logits(self, W: Array) -> Array:
        """Return W X̂, (runs n_out, m), the standardization folded into W."""
        xp, folded = self._problem.backend.xp, W * self._scale
        parts = [
            folded @ raw.T - xp.sum(folded * mean, axis=1, keepdims=True) for _, raw, mean in self._raw()
        ]
        return xp.concat(parts, axis=1)

    def _raw(self) -> Iterator[tuple[slice, Array, Array]]:
        """Yield examples (k, n_x), cast, and the mean they still hold: that of floats is subtracted."""
        problem, data = self._problem, self._problem.data
        rows = max(1, BLOCK_BYTES // (8 * data.n_x))
        for start in range(0, data.m, rows):
            part = slice(start, min(start + rows, data.m))
            block, mean = data.examples[part], self._mean
            if block.dtype != np.uint8:
                block, mean = block - data.standardizer.mean.T, 0.0 * mean
            yield part, problem.backend.send(block, dtype=problem.dtype), mean

    def _gram(self) -> Array:
        """Return X̂^T X̂, (m, m)."""
        problem, data = self._problem, self._problem.data
        standardizer = data.standardizer
        if data.examples.dtype == np.uint8 and standardizer.is_uniform:
            products = byte_gram(data.examples) * float(standardizer.scale[0, 0]) ** 2
            return problem.backend.send(products, dtype=problem.dtype)
        G = problem.zeros(data.m, data.m)
        rows = max(1, BLOCK_BYTES // (8 * data.m))
        for start in range(0, data.n_x, rows):
            part = slice(start, min(start + rows, data.n_x))
            own = part if standardizer.scale.shape[0] > 1 else slice(None)
            features = (data.X[part] - standardizer.mean[own]) * standardizer.scale[own]
            X = problem.backend.send(features, dtype=problem.dtype)
            G += X.T @ X
        return G


@dispatched
def byte_gram(examples: Array) -> Array:
    """Return the products of each two examples, (m, m) float64, exactly. examples: bytes, (m, n_x).

    Products of x - 128 are at most 2^14, so 2^10 of them sum to at most 2^24: exactly in float32, in any
    order. x y = (x - 128) (y - 128) + 128 (x + y) - 128^2 gives the rest.
    """
    xp = namespace(examples)
    m, n_x = examples.shape
    G, sums = xp.zeros((m, m), dtype=xp.float64), xp.zeros((m, 1), dtype=xp.float64)
    for start in range(0, n_x, 1024):
        part = xp.astype(examples[:, start : min(start + 1024, n_x)], xp.float32) - 128.0
        G += xp.astype(part @ part.T, xp.float64)
        sums += xp.astype(xp.sum(part, axis=1, keepdims=True), xp.float64)
    sums = 128.0 * sums  # of x - 128, as G is of their products
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
    """Take steps; change C, c and b, and leave the costs before each step.

    Args:
        C: coefficients of the examples, (runs n_out, m).
        c: (runs n_out, 1): how much is left of W0.
        b: biases, (runs n_out, 1).
        costs: (runs, steps), to be filled.
        G: X̂^T X̂, (m, m).
        Z0: W0 X̂, (runs n_out, m).
        labels: (n_out, m), floats.
        weights: of the examples, (1, m), or None.
        rate: of each row, (runs n_out, 1), and
        l2: the same.
        share: l2 / (2 m) of each run, (runs, 1).
        square0: sum of W0^2 of each row, (runs n_out, 1).
        penalized: whether any l2 is more than 0.
        output: "sigmoid" or "softmax".
    """
    xp, m, residual = namespace(C), C.shape[1], RESIDUALS[output]
    ones = xp.ones_like(G[:, :1])  # a product with them is a sum, in a third of its time
    step, shrink = rate / m, 1.0 - rate * l2 / m
    for i in range(costs.shape[1]):
        CG = C @ G
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
