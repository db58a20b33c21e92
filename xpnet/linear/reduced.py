"""Reduced coordinates: m examples of n_x > m features become examples of at most m coordinates.

The coordinates belong to an orthonormal basis of the subspace that the standardized examples X̂ span. With
X̂^T X̂ = U Λ U^T, the columns of Q = X̂ U Λ^(-1/2) are such a basis, and X̂ = Q (Λ^(1/2) U^T). The minimum of
logistic or softmax regression with a penalty is in this subspace: W = V Q^T. Then W X̂ = V Λ^(1/2) U^T, and V
has the same norm as W. So L-BFGS takes the same steps on V as on W, but V has far fewer columns.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from xpnet.data import ColumnMatrix, DeviceMatrix
from xpnet.errors import DivergenceError
from xpnet.linear.gram import GramMatrix
from xpnet.linear.sums import LocalSums
from xpnet.nn import Network

if TYPE_CHECKING:
    from xpnet.arrays import Array
    from xpnet.linear.objective import LinearObjective

MAX_EXAMPLES = 1024
"""Limit of the number of examples. With more, to decompose X^T X takes longer than many passes over them."""


def is_worthwhile(objective: LinearObjective) -> bool:
    """Return whether L-BFGS takes less time in reduced coordinates, with the time to compute them.

    About a hundred passes are assumed. With one row of weights it does not: a pass over the raw bytes takes
    hardly more time than one over the coordinates.
    """
    m = objective.data.m
    if not objective.data.host.is_in_host_memory:  # Gram matrices are computed on the host
        return False
    return objective.model.n_out > 1 and m <= MAX_EXAMPLES and 4 * m <= objective.data.n_x


class ReducedObjective:
    """An objective in reduced coordinates.

    Args:
        objective: the objective of logistic or softmax regression on features.

    Attributes:
        objective: the same objective in float64, on at most m coordinates.

    Raises:
        DivergenceError: the product of two examples is not finite.
    """

    def __init__(self, objective: LinearObjective) -> None:
        self._backend = backend = objective.backend
        exact = replace(objective, dtype="float64", make_sums=LocalSums)
        self._gram = GramMatrix(exact)
        G = self._gram.fetch()
        if not np.isfinite(G).all():
            msg = "products of two examples are not finite: try standardized features"
            raise DivergenceError(msg, step=1)
        values, U = np.linalg.eigh(G)
        # Smaller eigenvalues are rounding errors.
        kept = values > values[-1] * len(values) * np.finfo(np.float64).eps
        kept[-1] = True  # keep one coordinate if all examples are 0
        self._U, self._lengths = U[:, kept], np.sqrt(np.maximum(values[kept], 0.0))
        coordinates = ColumnMatrix(np.ascontiguousarray(self._U * self._lengths))
        self.objective = replace(
            exact,
            model=Network(coordinates.n_x, objective.model.n_out, objective.model.output),
            data=DeviceMatrix(coordinates, backend),
            labels=backend.send(objective.labels, dtype="float64"),
            weights=None if objective.weights is None else backend.send(objective.weights, dtype="float64"),
        )

    def weights(self, V: Array, dtype: str) -> Array:
        """Return W = V Q^T, the weights on features, (n_out, n_x), in a dtype.

        V: weights, (n_out, coordinates).
        """
        lengths = np.where(self._lengths > 0.0, self._lengths, np.inf)
        C = self._backend.fetch(V) / lengths @ self._U.T
        return self._gram.combine(self._backend.send(C), dtype)
