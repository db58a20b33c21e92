"""Few examples of many features, in the subspace that they span in an orthonormal basis of their span.

With G = X̂^T X̂ = U Λ U^T, the columns of Q = X̂ U Λ^(-1/2) are such a basis, and X̂ = Q (Λ^(1/2) U^T). A minimum
of logistic or softmax regression with a penalty lies in the span of the examples, W = V Q^T. Then W X̂ =
V Λ^(1/2) U^T, and V has the same lengths and angles as W. So L-BFGS takes the same steps on the coordinates,
which are far fewer than the features.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from xpnet.data import ColumnMatrix, DeviceMatrix
from xpnet.errors import DivergenceError
from xpnet.linear.gram import GramMatrix
from xpnet.nn import Network

if TYPE_CHECKING:
    from xpnet.arrays import Array
    from xpnet.linear.objective import LinearObjective

MOST_EXAMPLES = 1024
"""The most examples whose G is decomposed: for more, that takes longer than many passes over them."""


def is_worthwhile(objective: LinearObjective) -> bool:
    """Return whether about a hundred passes take less time on the coordinates, with the time to compute them.

    Not with one row of weights: then a pass over the bytes takes hardly longer than one over coordinates.
    """
    m = objective.data.m
    return objective.model.n_out > 1 and m <= MOST_EXAMPLES and 4 * m <= objective.data.n_x


class ReducedObjective:
    """An objective on the coordinates of its examples.

    Args:
        objective: of logistic or softmax regression.

    Attributes:
        objective: the same in float64, on at most m coordinates instead of n_x features.

    Raises:
        DivergenceError: products of examples overflow.
    """

    def __init__(self, objective: LinearObjective) -> None:
        self._backend = backend = objective.backend
        exact = replace(objective, dtype="float64")
        self._gram = GramMatrix(exact)
        G = self._gram.fetch()
        if not np.isfinite(G).all():
            msg = "products of two examples are not finite: try standardized features"
            raise DivergenceError(msg, step=1)
        values, U = np.linalg.eigh(G)
        known = values > values[-1] * len(values) * np.finfo(np.float64).eps  # smaller ones are rounding
        known[-1] = True  # also if all examples are zeros
        self._U, self._lengths = U[:, known], np.sqrt(np.maximum(values[known], 0.0))
        coordinates = ColumnMatrix(np.ascontiguousarray(self._U * self._lengths))
        self.objective = replace(
            exact,
            model=Network(coordinates.n_x, objective.model.n_out, objective.model.output),
            data=DeviceMatrix(coordinates, backend),
            labels=backend.send(objective.labels, dtype="float64"),
            weights=None if objective.weights is None else backend.send(objective.weights, dtype="float64"),
        )

    def weights(self, V: Array) -> Array:
        """Return W = V Q^T, (n_out, n_x). V: weights of the coordinates, (n_out, coordinates)."""
        lengths = np.where(self._lengths > 0.0, self._lengths, np.inf)
        C = self._backend.fetch(V) / lengths @ self._U.T
        return self._gram.combine(self._backend.send(C))
