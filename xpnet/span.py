"""Full-batch descent in the span of the examples: the Gram form.

Every gradient of a full batch is dZ X̂^T, a combination of the examples. So W = c W0 + C X̂^T throughout, and
with G = X̂^T X̂ (m, m) the logits are Z = c W0 X̂ + C G + b: no step touches the n_x features. Several runs
share G: their rows lie below each other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from xpnet.onepass import RESIDUALS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from xpnet.arrays import Array
    from xpnet.problem import Problem, Runs

FEATURES = 4096
"""Features standardized at a time while G is made: no standardized matrix exists."""


class Span:
    """Descent with the coefficients of the examples at hand.

    Args:
        problem: the examples, few of them, of many features.
        runs: learning rates and penalties.
        W: weights to start from, (runs n_out, n_x).
        b: biases to start from, (runs n_out, 1).
    """

    def __init__(self, problem: Problem, runs: Runs, W: Array, b: Array) -> None:
        xp, m = problem.backend.xp, problem.data.m
        self._problem, self._runs, self._m = problem, runs, m
        self._residual = RESIDUALS[problem.model.output]
        self._W0, self._b = W, b
        self._G = problem.zeros(m, m)
        self._Z0 = problem.zeros(W.shape[0], m)
        for columns, part in self._standardized():
            self._G += part.T @ part
            self._Z0 += W[:, columns] @ part
        self._C = xp.zeros_like(self._Z0)
        self._c = xp.ones_like(b)
        self._ones = problem.zeros(m, 1) + 1.0  # a product with them is a sum, in a third of its time
        self._square0 = xp.sum(W * W, axis=1, keepdims=True)
        self._step = runs.rate / m
        self._shrink = 1.0 - runs.rate * runs.l2 / m

    def step(self) -> Array:
        """Take one step; return the costs before it, (runs, 1), on the device."""
        xp = self._problem.backend.xp
        runs, c, C = self._runs, self._c, self._C
        CG = C @ self._G
        Z = CG + (c * self._Z0 + self._b if runs.penalized else self._Z0 + self._b)
        losses, dZ = self._residual(Z, self._problem.labels)
        if self._problem.weights is not None:
            losses, dZ = losses * self._problem.weights, dZ * self._problem.weights
        cost = losses @ self._ones / self._m
        if runs.penalized:
            crossed = xp.sum(C * self._Z0, axis=1, keepdims=True)
            square = c * c * self._square0 + 2.0 * c * crossed + xp.sum(CG * C, axis=1, keepdims=True)
            cost = cost + runs.penalty(square)
            C, self._c = C * self._shrink, c * self._shrink
        self._C = C - self._step * dZ
        self._b = self._b - self._step * (dZ @ self._ones)
        return cost

    def parameters(self) -> tuple[Array, Array]:
        """Return W (runs n_out, n_x) and b (runs n_out, 1) as they are now."""
        parts = [self._c * self._W0[:, columns] + self._C @ part.T for columns, part in self._standardized()]
        return self._problem.backend.xp.concat(parts, axis=1), self._b

    def _standardized(self) -> Iterator[tuple[slice, Array]]:
        """Yield the standardized matrix, some features at a time: (features, m)."""
        problem = self._problem
        data, standardizer = problem.data, problem.data.standardizer
        for start in range(0, data.n_x, FEATURES):
            columns = slice(start, min(start + FEATURES, data.n_x))
            own = columns if standardizer.scale.shape[0] > 1 else slice(None)
            part = (data.X[columns] - standardizer.mean[own]) * standardizer.scale[own]
            yield columns, problem.backend.send(np.asarray(part), dtype=problem.dtype)
