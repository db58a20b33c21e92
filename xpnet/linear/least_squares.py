"""Linear regression in closed form: the minimum of the squared error, without steps and learning rates.

With centered columns X and targets Y, the weights solve the normal equations W (X X^T + l2/2 I) = Y X^T. For
fewer examples than features the equations of the Gram matrix are smaller, and W = C X^T with
C (X^T X + l2/2 I) = Y. Both are solved in float64.

The penalty can be chosen by leave-one-out. The error of example i by a model that was trained on all others
is e_i / (1 - h_i): e is the error of the model of all examples, and h the diagonal of the matrix that turns
Y into the predictions (Allen, The Relationship between Variable Selection and Data Augmentation, 1974). The
eigenvalues of X X^T or X^T X give e and h for all penalties at once.

Of weighted examples, columns and targets are multiplied by the square roots of the weights.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

import numpy as np

from xpnet.data import on_device
from xpnet.errors import ConfigurationError, DivergenceError
from xpnet.functional import matmul
from xpnet.nn import (
    History,
    Method,
    Parameters,
    PenaltyCurve,
    RegressionExpectation,
    StopReason,
    TrainingResult,
    example_weights,
    require_labels,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from xpnet.arrays import Array
    from xpnet.backend import Backend
    from xpnet.data import ColumnMatrix, DeviceMatrix
    from xpnet.nn import Network

BLOCK_BYTES = 16 << 20
"""Approximate size in bytes of a block of standardized examples or features, in float64."""

MAX_SIZE = 4096
"""Limit of the number of equations: of the examples or of the features, whichever are fewer."""

MAX_CHOICE_SIZE = 2048
"""With more equations no penalty is chosen, because the eigenvalues would take too long."""

PENALTIES = (0.0, *(10.0 ** (half / 2) for half in range(-10, 5)))
"""Penalties to choose from, as shares of the mean diagonal of the matrix that they are added to."""

ALIKE = 0.01
"""Squared errors that differ by less than this share are alike: the least penalty is then taken."""

FULL_LEVERAGE = 1e-8
"""An example whose 1 - h is smaller decides its own prediction, so the error without it is unknown."""


def is_solvable(model: Network, m: int) -> bool:
    """Return whether `solve` is for this model, and has few enough equations. m: number of examples."""
    return not model.hidden and model.output == "identity" and min(m, model.n_x) <= MAX_SIZE


def solve(
    model: Network,
    data: ColumnMatrix | DeviceMatrix,
    Y: np.ndarray,
    backend: Backend,
    *,
    l2: float | None = 0.0,
    weights: np.ndarray | None = None,
    dtype: str = "float32",
) -> TrainingResult:
    """Minimize J = mean squared error + l2 / (2 m) sum W^2 exactly.

    If several W have the lowest J, as with equal columns and no penalty, it is the one of the least norm.

    Args:
        model: linear regression, a network without hidden layers whose output is "identity".
        data: the examples.
        Y: their targets (n_out, m), in host memory.
        backend: where to multiply.
        l2: strength of the penalty. None chooses the one with the least squared error by leave-one-out,
            unless the model is too large for that: then it is 0.
        weights: a positive weight for each example, (1, m), in host memory; None for equal weights.
        dtype: dtype of the parameters, "float32" or "float64".

    Returns:
        The result. Its history has one record, with learning rate 0. If the penalty was chosen, it says what
        to expect on other examples.

    Raises:
        ConfigurationError: the model is another one or too large, or l2 is out of range.
        ShapeError, DtypeError: the data or the targets cannot be used.
        DivergenceError: the products of the features are too large for numbers.
    """
    began = time.perf_counter()
    if not is_solvable(model, data.m):
        msg = f"{model} of {data.m} examples: expected linear regression, with at most {MAX_SIZE} of either"
        raise ConfigurationError(msg)
    if l2 is not None and not 0 <= l2 < math.inf:
        msg = f"l2 is {l2!r}, expected at least 0"
        raise ConfigurationError(msg)
    host = on_device(data, backend).host.in_host_memory()
    host.refuse_nonfinite()
    require_labels(model, Y, host.m)
    targets = np.asarray(Y, np.float64)
    given = example_weights(model, Y, None, weights)
    w = np.ones(host.m) if given is None else given[0]
    y_mean = (targets * w).sum(axis=1, keepdims=True) / w.sum()
    with backend.activate(), np.errstate(over="ignore", invalid="ignore"):
        mean = np.zeros(host.n_x)
        for part, rows in centered_examples(host, np.zeros(1)):
            mean += w[part] @ rows / w.sum()
        by_example = host.m < host.n_x
        equations = (_ByExample if by_example else _ByFeature)(host, targets - y_mean, w, mean, backend)
        expected = _chosen(equations) if l2 is None else None
        l2 = l2 or (expected.penalty if expected else 0.0)
        W = equations.solved(l2 / 2)
        b = y_mean - W @ mean[:, None]
        cost = l2 / (2 * host.m) * float(np.sum(W * W))
        for part, rows in centered_examples(host, np.zeros(1)):
            errors = matmul(W, rows.T) + b - targets[:, part]
            cost += float(np.sum(w[part] * errors**2)) / host.m
        views = {"W1": backend.send(W, dtype=dtype), "b1": backend.send(b, dtype=dtype)}
        parameters = Parameters.of(model, views)
        if not math.isfinite(cost) or not parameters.is_finite(backend):
            msg = "products of the features are too large for numbers: standardize them, or scale the targets"
            raise DivergenceError(msg, step=1)
    history = History.of_costs([cost], [0.0], [time.perf_counter() - began])
    history.end(StopReason.CONVERGED, "solved exactly")
    reason = f"m = {host.m} is {'less' if by_example else 'not less'} than n_x = {host.n_x}"
    if expected is not None:
        reason += f", penalty {expected.penalty:.4g} by {expected.by}"
    return TrainingResult(model, parameters, history, Method.LEAST_SQUARES, reason, expected)


def centered_examples(host: ColumnMatrix, mean: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    """Yield blocks of standardized examples: their indices, and (k, n_x) float64 less `mean`."""
    rows = max(1, BLOCK_BYTES // (8 * host.n_x))
    for start in range(0, host.m, rows):
        part = slice(start, min(start + rows, host.m))
        yield part, host.standardizer.apply(host.examples[part].T).T - mean


def centered_features(host: ColumnMatrix, mean: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    """Yield blocks of standardized features: their indices, and (k, m) float64 less `mean`."""
    rows, standardizer = max(1, BLOCK_BYTES // (8 * host.m)), host.standardizer
    for start in range(0, host.n_x, rows):
        part = slice(start, min(start + rows, host.n_x))
        own = part if standardizer.scale.shape[0] > 1 else slice(None)
        standardized = (host.X[part] - standardizer.mean[own]) * standardizer.scale[own]
        yield part, standardized - mean[part, None]


class _ByFeature:
    """The equations of X X^T, (n_x, n_x), which is added up in one pass over the examples.

    Args:
        host: the examples.
        Y: their targets less the mean, (n_out, m).
        w: weights of the examples, (m,).
        mean: of the standardized features, (n_x,).
        backend: where to multiply.
    """

    def __init__(
        self, host: ColumnMatrix, Y: np.ndarray, w: np.ndarray, mean: np.ndarray, backend: Backend
    ) -> None:
        self.w, self._roots, self._host, self._mean, self._backend = w, np.sqrt(w), host, mean, backend
        self.Y = Y * self._roots
        products = backend.send(np.zeros((host.n_x, host.n_x + len(Y))))
        for part, X in self._blocks():
            both = backend.xp.concat([X, backend.send(np.ascontiguousarray(self.Y[:, part].T))], axis=1)
            products += matmul(X.T, both)
        fetched = backend.fetch(products)
        self.matrix, self._right = fetched[:, : host.n_x], fetched[:, host.n_x :]

    def solved(self, alpha: float) -> np.ndarray:
        """Return W of the penalty alpha sum W^2."""
        return _solved(self.matrix, self._right, alpha).T

    def predictions(
        self, values: np.ndarray, vectors: np.ndarray, alphas: np.ndarray
    ) -> Iterator[tuple[slice, np.ndarray, np.ndarray]]:
        """Yield blocks of k examples: indices, predictions (alphas, n_out, k), h (alphas, k).

        The share of the bias in h, w / sum w, is left out.

        Args:
            values: the eigenvalues of `matrix`, without those of 0.
            vectors: their eigenvectors, in columns.
            alphas: the penalties.
        """
        inverse = 1 / (values + alphas[:, None])
        solutions = inverse[:, None] * (vectors.T @ self._right).T
        basis = self._backend.send(vectors)
        for part, X in self._blocks():
            along = self._backend.fetch(matmul(X, basis))
            yield part, _each(solutions, along.T), matmul(inverse, (along * along).T)

    def _blocks(self) -> Iterator[tuple[slice, Array]]:
        for part, rows in centered_examples(self._host, self._mean):
            yield part, self._backend.send(rows * self._roots[part, None])


class _ByExample:
    """The equations of the Gram matrix X^T X, (m, m), which is added up in one pass over the features.

    Args: those of `_ByFeature`.
    """

    def __init__(
        self, host: ColumnMatrix, Y: np.ndarray, w: np.ndarray, mean: np.ndarray, backend: Backend
    ) -> None:
        self.w, self._roots, self._host, self._mean = w, np.sqrt(w), host, mean
        self.Y = Y * self._roots
        products = backend.send(np.zeros((host.m, host.m)))
        for _, X in centered_features(host, mean):
            sent = backend.send(X * self._roots)
            products += matmul(sent.T, sent)
        self.matrix = backend.fetch(products)

    def solved(self, alpha: float) -> np.ndarray:
        """Return W of the penalty alpha sum W^2."""
        C = _solved(self.matrix, self.Y.T, alpha).T * self._roots
        W = np.empty((len(self.Y), self._host.n_x))
        for part, X in centered_features(self._host, self._mean):
            W[:, part] = matmul(C, X.T)
        return W

    def predictions(
        self, values: np.ndarray, vectors: np.ndarray, alphas: np.ndarray
    ) -> Iterator[tuple[slice, np.ndarray, np.ndarray]]:
        """Yield what `_ByFeature.predictions` yields, in one block."""
        kept = values / (values + alphas[:, None])
        yield (
            slice(None),
            _each(kept[:, None] * (vectors.T @ self.Y.T).T, vectors.T),
            matmul(kept, (vectors**2).T),
        )


def _chosen(equations: _ByFeature | _ByExample) -> RegressionExpectation | None:
    """Return the penalty l2 that is best by leave-one-out, and what to expect of it.

    None if there are too few or too many examples and features for that, or numbers that are too large.
    """
    matrix, Y, w = equations.matrix, equations.Y, equations.w
    m, size = Y.shape[1], len(matrix)
    base = float(np.trace(matrix)) / size
    if m < 3 or size > MAX_CHOICE_SIZE or not 0 < base < math.inf or not np.isfinite(matrix).all():
        return None
    values, vectors = np.linalg.eigh(matrix)
    is_full = values > _tolerance(size) * values[-1]
    values, vectors = values[is_full], vectors[:, is_full]
    alphas = base * np.asarray(PENALTIES)
    squares = np.empty((len(alphas), m))  # of the error of each example that was left out
    for part, found, leverage in equations.predictions(values, vectors, alphas):
        left = 1 - w[part] / w.sum() - leverage
        left[left < FULL_LEVERAGE] = math.nan
        squares[:, part] = (((Y[:, part] - found) / left[:, None]) ** 2).sum(axis=1)
    errors = squares.sum(axis=1) / w.sum()
    if np.isnan(errors).all():
        return None
    i = int(np.flatnonzero(errors <= (1 + ALIKE) * np.nanmin(errors))[0])
    rmse = math.sqrt(errors[i])
    # A left-out target is compared with the mean of the others.
    total = float(((Y * w.sum() / (w.sum() - w)) ** 2).sum()) / w.sum()
    return RegressionExpectation(
        rmse=rmse,
        error=float((squares[i] * m / w.sum()).std()) / math.sqrt(m) / (2 * rmse) if rmse else 0.0,
        r_squared=1 - float(errors[i]) / total if total else math.nan,
        examples=m,
        by="leave-one-out",
        penalty=2 * float(alphas[i]),
        tried=PenaltyCurve.of(
            "squared error", dict(zip((2 * alphas).tolist(), errors.tolist(), strict=True))
        ),
    )


def _each(A: np.ndarray, B: np.ndarray) -> np.ndarray:
    """Return A @ B of each of several matrices A, (k, n_out, n), and one B."""
    found: np.ndarray = matmul(A.reshape(-1, A.shape[2]), B)
    return found.reshape(*A.shape[:2], -1)


def _tolerance(size: int) -> float:
    """Return the share of the largest eigenvalue below which eigenvalues are rounding errors."""
    return 10 * size * float(np.finfo(np.float64).eps)


def _solved(A: np.ndarray, B: np.ndarray, alpha: float) -> np.ndarray:
    """Return (A + alpha I)^-1 B, of the least norm if there are several. A: positive semidefinite."""
    if not np.isfinite(A).all() or not np.isfinite(B).all():
        return np.full_like(B, np.nan)
    A = A + alpha * np.eye(len(A))
    tolerance = _tolerance(len(A))
    try:
        diagonal = np.diagonal(np.linalg.cholesky(A)) ** 2
    except np.linalg.LinAlgError:
        diagonal = np.zeros(1)
    if diagonal.min() > tolerance * diagonal.max():
        return np.linalg.solve(A, B)
    values, vectors = np.linalg.eigh(A)
    kept = values > tolerance * max(values[-1], np.finfo(np.float64).tiny)
    basis = vectors[:, kept]
    solution: np.ndarray = basis @ (basis.T @ B / values[kept, None])
    return solution
