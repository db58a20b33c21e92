"""Few examples of many features as few of few: their coordinates in an orthonormal basis of their own span.

With G = X̂^T X̂ = U Λ U^T the columns of Q = X̂ U Λ^(-1/2) are such a basis, and X̂ = Q (Λ^(1/2) U^T). A minimum
of logistic or softmax regression with a penalty lies in the span, W = V Q^T; W X̂ = V Λ^(1/2) U^T, and lengths
and angles of weights are those of V. So what minimizes by them takes the same steps on far smaller examples.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from xpnet.data import ColumnMatrix
from xpnet.errors import DivergenceError
from xpnet.linear.gram import GramDescent
from xpnet.nn import Network

if TYPE_CHECKING:
    from xpnet.arrays import Array
    from xpnet.linear.objective import LinearObjective

MOST = 1024
"""Examples whose G is decomposed: of more it takes longer than many passes over them."""


def is_worthwhile(problem: LinearObjective) -> bool:
    """Whether some hundred passes take less with the coordinates, their making included.

    Not with one row of weights, for which a pass over bytes takes hardly longer than one over coordinates.
    """
    m = problem.data.m
    return problem.model.n_out > 1 and m <= MOST and 4 * m <= problem.data.n_x


class ReducedObjective:
    """A problem in the span of its examples.

    Args:
        problem: logistic or softmax regression.

    Attributes:
        problem: the same in float64 on coordinates instead of features, of which there are at most m.

    Raises:
        DivergenceError: products of examples overflow.
    """

    def __init__(self, problem: LinearObjective) -> None:
        backend, model = problem.backend, problem.model
        exact = replace(problem, dtype="float64")
        W, b = exact.zeros(model.n_out, problem.data.n_x), exact.zeros(model.n_out, 1)
        # Nothing descends in it: it has G, and turns coefficients of the examples into weights.
        self._span = GramDescent(exact, exact.runs((1.0,), (0.0,)), W, b, from_zero=True)
        G = backend.fetch(self._span.G)
        if not np.isfinite(G).all():
            msg = "products of two examples are not finite: try standardized features"
            raise DivergenceError(msg, step=1)
        values, U = np.linalg.eigh(G)
        known = values > values[-1] * len(values) * np.finfo(np.float64).eps  # the rest is rounding
        known[-1] = True  # of examples that are all zeros, too
        self._U, self._lengths = U[:, known], np.sqrt(np.maximum(values[known], 0.0))
        coordinates = ColumnMatrix(np.ascontiguousarray(self._U * self._lengths))
        self.problem = replace(
            exact,
            model=Network(coordinates.n_x, model.n_out, model.output),
            data=coordinates,
            labels=backend.send(problem.labels, dtype="float64"),
            weights=None if problem.weights is None else backend.send(problem.weights, dtype="float64"),
        )

    def weights(self, V: Array) -> Array:
        """Return W = V Q^T, (n_out, n_x), of weights of the coordinates, V: (n_out, coordinates)."""
        lengths = np.where(self._lengths > 0.0, self._lengths, np.inf)
        C = self._span.backend.fetch(V) / lengths @ self._U.T
        return self._span.combined(self._span.backend.send(C))
