"""Linear regression in closed form: the minimum of the squared error, without steps and learning rates.

With centered columns X and targets Y, the weights solve the normal equations W (X X^T + l2/2 I) = Y X^T. For
fewer examples than features the equations of the Gram matrix are smaller, and W = C X^T with
C (X^T X + l2/2 I) = Y. Both are solved in float64.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

import numpy as np

from xpnet.data import on_device
from xpnet.errors import ConfigurationError, DivergenceError
from xpnet.nn import History, Method, Parameters, StopReason, TrainingResult, require_labels

if TYPE_CHECKING:
    from collections.abc import Iterator

    from xpnet.backend import Backend
    from xpnet.data import ColumnMatrix, DeviceMatrix
    from xpnet.nn import Network

BLOCK_BYTES = 16 << 20
"""Approximate size in bytes of a block of standardized examples or features, in float64."""

MAX_SIZE = 4096
"""Limit of the number of equations: of the examples or of the features, whichever are fewer."""


def is_solvable(model: Network, m: int) -> bool:
    """Return whether `solve` is for this model, and has few enough equations. m: number of examples."""
    return not model.hidden and model.output == "identity" and min(m, model.n_x) <= MAX_SIZE


def solve(
    model: Network,
    data: ColumnMatrix | DeviceMatrix,
    Y: np.ndarray,
    backend: Backend,
    *,
    l2: float = 0.0,
    dtype: str = "float32",
) -> TrainingResult:
    """Minimize J = mean squared error + l2 / (2 m) sum W^2 exactly.

    If several W have the lowest J, as with equal columns and no penalty, it is the one of the least norm.

    Args:
        model: linear regression, a network without hidden layers whose output is "identity".
        data: the examples.
        Y: their targets (n_out, m), in host memory.
        backend: where to multiply.
        l2: strength of the penalty.
        dtype: dtype of the parameters, "float32" or "float64".

    Returns:
        The result. Its history has one record, with learning rate 0.

    Raises:
        ConfigurationError: the model is another one or too large, or l2 is out of range.
        ShapeError, DtypeError: the data or the targets cannot be used.
        DivergenceError: the products of the features are too large for numbers.
    """
    began = time.perf_counter()
    if not is_solvable(model, data.m):
        msg = f"{model} of {data.m} examples: expected linear regression, with at most {MAX_SIZE} of either"
        raise ConfigurationError(msg)
    if not 0 <= l2 < math.inf:
        msg = f"l2 is {l2!r}, expected at least 0"
        raise ConfigurationError(msg)
    host = on_device(data, backend).host
    host.refuse_nonfinite()
    require_labels(model, Y, host.m)
    targets = np.asarray(Y, np.float64)
    y_mean = targets.mean(axis=1, keepdims=True)
    with backend.activate(), np.errstate(over="ignore", invalid="ignore"):
        mean = np.zeros(host.n_x)
        for _, rows in centered_examples(host, np.zeros(1)):
            mean += rows.sum(axis=0) / host.m
        by_example = host.m < host.n_x
        W = (_by_example if by_example else _by_feature)(host, targets - y_mean, mean, l2 / 2, backend)
        b = y_mean - W @ mean[:, None]
        cost = l2 / (2 * host.m) * float(np.sum(W * W))
        for part, rows in centered_examples(host, np.zeros(1)):
            cost += float(np.sum((W @ rows.T + b - targets[:, part]) ** 2)) / host.m
        views = {"W1": backend.send(W, dtype=dtype), "b1": backend.send(b, dtype=dtype)}
        parameters = Parameters.of(model, views)
        if not math.isfinite(cost) or not parameters.is_finite(backend):
            msg = "products of the features are too large for numbers: standardize them, or scale the targets"
            raise DivergenceError(msg, step=1)
    history = History.of_costs([cost], [0.0], [time.perf_counter() - began])
    history.end(StopReason.CONVERGED, "solved exactly")
    reason = f"m = {host.m} is {'less' if by_example else 'not less'} than n_x = {host.n_x}"
    return TrainingResult(model, parameters, history, Method.LEAST_SQUARES, reason)


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


def _by_feature(
    host: ColumnMatrix, Y: np.ndarray, mean: np.ndarray, alpha: float, backend: Backend
) -> np.ndarray:
    """Return W from X X^T, (n_x, n_x), added up in one pass over the examples."""
    products = backend.send(np.zeros((host.n_x, host.n_x + len(Y))))
    for part, rows in centered_examples(host, mean):
        X = backend.send(rows)
        both = backend.xp.concat([X, backend.send(np.ascontiguousarray(Y[:, part].T))], axis=1)
        products += X.T @ both
    fetched = backend.fetch(products)
    return _solved(fetched[:, : host.n_x], fetched[:, host.n_x :], alpha).T


def _by_example(
    host: ColumnMatrix, Y: np.ndarray, mean: np.ndarray, alpha: float, backend: Backend
) -> np.ndarray:
    """Return W from the Gram matrix X^T X, (m, m), added up in one pass over the features."""
    products = backend.send(np.zeros((host.m, host.m)))
    for _, X in centered_features(host, mean):
        sent = backend.send(X)
        products += sent.T @ sent
    C = _solved(backend.fetch(products), Y.T, alpha).T
    W = np.empty((len(Y), host.n_x))
    for part, X in centered_features(host, mean):
        W[:, part] = C @ X.T
    return W


def _solved(A: np.ndarray, B: np.ndarray, alpha: float) -> np.ndarray:
    """Return (A + alpha I)^-1 B, of the least norm if there are several. A: positive semidefinite."""
    if not np.isfinite(A).all() or not np.isfinite(B).all():
        return np.full_like(B, np.nan)
    A = A + alpha * np.eye(len(A))
    tolerance = 10 * len(A) * np.finfo(np.float64).eps  # smaller eigenvalues are rounding errors
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
