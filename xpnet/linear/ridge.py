"""Ridge classification: a linear classifier in closed form that chooses its penalty and its probabilities.

The targets are +1 for the class of an example and -1 for all others. W and b minimize the squared error plus
lambda ||W||^2. For fewer examples than features this is solved by the Gram matrix of the examples, X̂^T X̂:
with M = X̂^T X̂ + lambda I, P = M^-1 - M^-1 1 1^T M^-1 / (1^T M^-1 1) and A = Y P, it is W = A X̂^T. The error
of example i by a model that was trained on all others is A_i / P_ii, exactly (Cook and Weisberg, Residuals
and Influence in Regression, 1982, 2.2). Otherwise it is solved by X̂ X̂^T, added up in one pass. Its
eigenvalues give the error without each example for all penalties at once: it is e_i / (1 - h_i), see
`least_squares`. For very many examples or features a tenth of the examples is held out instead.

The penalty with the least squared error on left-out examples is taken. Their scores s become probabilities by
one number T, the inverse of a temperature: softmax(T s) has the least log loss. So the result is an ordinary
logistic or softmax regression, with the weights T W.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from xpnet.data import on_device
from xpnet.errors import ConfigurationError, DivergenceError
from xpnet.functional import matmul
from xpnet.linear.least_squares import BLOCK_BYTES, centered_features
from xpnet.linear.objective import is_linear_classifier
from xpnet.linear.symmetric import SymmetricMatrix, add_products
from xpnet.nn import (
    Expectation,
    History,
    Method,
    Parameters,
    PenaltyCurve,
    StopReason,
    TrainingResult,
    example_weights,
    require_trainable_labels,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from xpnet.backend import Backend
    from xpnet.data import ColumnMatrix, DeviceMatrix
    from xpnet.nn import Network

PENALTIES = (1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0, 3.0)
"""Penalties that are tried, as shares of the mean diagonal of the matrix that they are added to."""

BLOCK_ROWS = 512
"""The least number of examples in a block of products. With fewer, adding up would take as long."""

START = 4
"""Index of the penalty that is tried first."""

MAX_EXAMPLES = 16384
"""Limit of the number of equations, if there is one for each example."""

MAX_FEATURES = 40000
"""Limit of the number of equations, if there is one for each feature."""

MAX_LEFT_OUT_FEATURES = 2048
"""With more features than this, and more examples than features, no example is left out alone: the
eigenvalues would take too long."""

MAX_LEFT_OUT_WORK = 2e11
"""The same for m n_x^2, the number of operations that leaving out takes."""

LEAST_REMAINDER = 1e-5
"""An example whose 1 - h is smaller decides its own score, so the error without it is unknown."""

HELD_OUT = 0.1
"""The share of the examples that is held out, where leaving out each of them would take too long."""

NEWTON_STEPS = 50
"""Limit of the number of steps to the temperature."""


def is_ridge_solvable(model: Network, m: int) -> bool:
    """Return whether `classify` is for this model, and has few enough equations. m: number of examples."""
    return is_linear_classifier(model) and (model.n_x <= MAX_FEATURES or is_by_example(m, model.n_x))


def is_by_example(m: int, n_x: int) -> bool:
    """Return whether ridge classification has an equation for each example, not for each feature."""
    return m <= min(n_x, MAX_EXAMPLES)


def classify(
    model: Network,
    data: ColumnMatrix | DeviceMatrix,
    Y: np.ndarray,
    backend: Backend,
    *,
    class_weight: str | tuple[float, ...] | None = None,
    weights: np.ndarray | None = None,
    dtype: str = "float32",
    seed: int = 0,
) -> TrainingResult:
    """Train logistic or softmax regression as a ridge classifier, and say what to expect of it.

    Args:
        model: logistic or softmax regression, a network without hidden layers.
        data: the examples.
        Y: their labels (1, m), in host memory.
        backend: where to multiply.
        class_weight: None, "balanced", or a weight for each class.
        weights: a positive weight for each example, (1, m), in host memory; None for equal weights. They also
            count where the probabilities are chosen, and in what to expect. Class weights do not.
        dtype: dtype of the arithmetic and of the parameters, "float32" or "float64".
        seed: seed of the choice of examples to hold out.

    Returns:
        The result, with what to expect of it. Its history has one record: the log loss on left-out examples.

    Raises:
        ConfigurationError: the model is another one or too large.
        ShapeError, DtypeError: the data or the labels cannot be used.
        DivergenceError: the products of the features are too large for numbers.
    """
    began = time.perf_counter()
    if not is_ridge_solvable(model, data.m):
        msg = (
            f"{model} of {data.m} examples: expected a linear classifier, with at most {MAX_EXAMPLES} "
            f"examples or {MAX_FEATURES} features"
        )
        raise ConfigurationError(msg)
    host = on_device(data, backend).host.in_host_memory()
    host.refuse_nonfinite()
    require_trainable_labels(model, Y, host.m)
    labels = Y[0].astype(np.int64)
    combined = example_weights(model, Y, class_weight, weights)
    problem = _Problem(
        host, labels, max(2, model.n_out), None if combined is None else combined[0], backend, dtype
    )
    with backend.activate(), np.errstate(over="ignore", invalid="ignore"):
        solution = _solved(problem, seed)
        left_out = labels[solution.left_out]
        counted = None if weights is None else weights[0, solution.left_out].astype(np.float64)
        T = _inverse_temperature(solution.scores, left_out, counted)
        W, b = T * solution.W, T * solution.b
        if model.output == "sigmoid":
            W, b = W[1:] - W[:1], b[1:] - b[:1]
        views = {"W1": backend.send(W, dtype=dtype), "b1": backend.send(b, dtype=dtype)}
        parameters = Parameters.of(model, views)
    log_loss = _log_loss(T * solution.scores, left_out, counted)
    if not math.isfinite(log_loss) or not parameters.is_finite(backend):
        msg = "products of the features are too large for numbers: standardize them"
        raise DivergenceError(msg, step=1)
    right = solution.scores.argmax(axis=0) == left_out
    is_each = right.size == host.m
    expected = Expectation.of_left_out(
        right,
        log_loss,
        weights=counted,
        by="leave-one-out" if is_each else "a held-out tenth",
        penalty=solution.penalty,
        tried=PenaltyCurve.of("squared error", solution.tried),
        seed=None if is_each else seed,
    )
    history = History.of_costs([log_loss], [0.0], [time.perf_counter() - began])
    history.end(StopReason.CONVERGED, "solved exactly")
    reason = f"penalty {solution.penalty:g} by {expected.by}"
    return TrainingResult(model, parameters, history, Method.RIDGE, reason, expected)


class _Problem:
    """What both ways to solve it share: the examples, targets and weights."""

    def __init__(
        self,
        host: ColumnMatrix,
        labels: np.ndarray,
        n_classes: int,
        weights: np.ndarray | None,
        backend: Backend,
        dtype: str,
    ) -> None:
        self.host, self.backend, self.dtype = host, backend, dtype
        self.weights = np.ones(host.m) if weights is None else weights
        self.targets = np.where(np.arange(n_classes)[:, None] == labels, 1.0, -1.0)
        self.is_weighted = weights is not None
        total = np.zeros(host.n_x)
        size = max(1, BLOCK_BYTES // (8 * host.n_x))
        for start in range(0, host.m, size):
            part = slice(start, start + size)
            rows = host.examples[part]
            total += self.weights[part] @ rows if self.is_weighted else rows.sum(axis=0, dtype=np.float64)
        raw = host.standardizer.apply((total / self.weights.sum())[:, None])
        self.mean = np.broadcast_to(raw, (host.n_x, 1))[:, 0]

    @property
    def target_mean(self) -> np.ndarray:
        """The mean of the targets, (n_classes, 1); weighted."""
        w = self.weights
        found: np.ndarray = (self.targets * w).sum(axis=1, keepdims=True) / w.sum()
        return found

    def blocks(self, which: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield blocks of standardized examples less their mean: their indices, and (k, n_x) in the dtype.

        They are subtracted in float64, because features may be far from 0.

        Args:
            which: the indices of the examples.
        """
        host, size = self.host, max(BLOCK_ROWS, BLOCK_BYTES // (8 * self.host.n_x))
        scale = host.standardizer.scale.T
        shift = host.standardizer.mean.T + self.mean / scale
        for start in range(0, len(which), size):
            part = which[start : start + size]
            rows = np.empty((len(part), host.n_x), self.dtype)
            np.subtract(host.examples[part], shift, out=rows, dtype=np.float64, casting="same_kind")
            rows *= scale
            yield part, rows


@dataclass(frozen=True)
class _Solution:
    """Weights (n_classes, n_x) and (n_classes, 1), and the scores (n_classes, k) of the left-out examples.

    tried: their mean squared error by penalty.
    """

    W: np.ndarray
    b: np.ndarray
    scores: np.ndarray
    left_out: np.ndarray
    penalty: float
    tried: dict[float, float]


def _solved(problem: _Problem, seed: int) -> _Solution:
    """Solve in the way that takes the least time."""
    m, n_x = problem.host.m, problem.host.n_x
    if is_by_example(m, n_x):
        return _by_example(problem)
    if n_x <= MAX_LEFT_OUT_FEATURES and m * n_x**2 <= MAX_LEFT_OUT_WORK:
        return _by_feature(problem)
    return _by_held_out(problem, seed)


def _by_example(problem: _Problem) -> _Solution:
    """Solve by the Gram matrix of the examples; leave out each of them once."""
    host, backend, dtype = problem.host, problem.backend, problem.dtype
    products = backend.send(np.zeros((host.m, host.m), dtype))
    for _, X in centered_features(host, problem.mean):
        add_products(products, backend.send(X, dtype=dtype), backend)
    K = SymmetricMatrix(backend.fetch(products))
    Y, weights = problem.targets.astype(dtype), problem.weights
    base = K.trace / host.m or 1.0
    both = np.concatenate([Y.T, np.ones((host.m, 1), dtype)], axis=1)

    def left_out(penalty: float) -> tuple[float, Any]:
        factor = K.factored(penalty * base / weights)
        if factor is None:
            return math.nan, None
        solution = factor.solved(both)
        sums, total = solution[:, -1], float(solution[:, -1].sum())
        A = solution[:, :-1].T
        A = A - (A.sum(axis=1, keepdims=True) / total) * sums
        left = A / (factor.inverse_diagonal() - sums * sums / total)  # the errors of left-out examples
        squared = float(np.mean(weights * left.astype(np.float64) ** 2))
        return squared, (A, (Y @ sums)[:, None] / total, Y - left)

    found = _least(left_out)
    if found is None:
        return _nothing(problem, np.arange(host.m))
    penalty, (A, bias, scores), tried = found
    W = np.empty((len(Y), host.n_x))
    sent = backend.send(A, dtype=dtype)
    for part, X in centered_features(host, problem.mean):
        W[:, part] = backend.fetch(matmul(sent, backend.send(X, dtype=dtype).T))
    return _Solution(
        W, bias - W @ problem.mean[:, None], scores.astype(np.float64), np.arange(host.m), penalty, tried
    )


def _by_feature(problem: _Problem) -> _Solution:
    """Solve by the eigenvalues of the products of the features; leave out each example once."""
    host, backend, dtype, w = problem.host, problem.backend, problem.dtype, problem.weights
    y_mean, everyone = problem.target_mean, np.arange(host.m)
    G, R = _products(problem, everyone, y_mean)
    eigen = G.eigen()
    if eigen is None:
        return _nothing(problem, everyone)
    values, vectors = eigen
    inverse = 1 / (values + np.multiply(PENALTIES, G.trace / host.n_x or 1.0)[:, None])  # (penalties, n_x)
    solutions = inverse[:, None] * (vectors.T @ R).T  # (penalties, n_classes, n_x)
    basis, shares = backend.send(vectors, dtype=dtype), backend.send(inverse, dtype=dtype)
    along_basis = backend.send(solutions.reshape(-1, host.n_x), dtype=dtype)
    remainders, squares = np.empty((len(PENALTIES), host.m)), np.zeros(len(PENALTIES))
    for part, rows in problem.blocks(everyone):
        X = matmul(backend.send(rows, dtype=dtype), basis)
        h = w[part] * (backend.fetch(matmul(shares, (X * X).T)) + 1 / w.sum())
        remainders[:, part] = np.where(1 - h >= LEAST_REMAINDER, 1 - h, np.nan)
        found = backend.fetch(matmul(along_basis, X.T)).reshape(*solutions.shape[:2], -1)
        errors = ((problem.targets[:, part] - y_mean - found) ** 2).sum(axis=1)
        squares += (w[part] * errors / remainders[:, part] ** 2).sum(axis=1)
    if np.isnan(squares).all():
        return _nothing(problem, everyone)
    best = int(np.nanargmin(squares))
    W = solutions[best] @ vectors.T
    scores = np.empty(problem.targets.shape)
    sent = backend.send(W, dtype=dtype)
    for part, rows in problem.blocks(everyone):
        left = (
            problem.targets[:, part] - y_mean - backend.fetch(matmul(sent, backend.send(rows, dtype=dtype).T))
        )
        scores[:, part] = problem.targets[:, part] - left / remainders[best, part]
    tried = dict(zip(PENALTIES, (squares / problem.targets.size).tolist(), strict=True))
    return _Solution(W, y_mean - W @ problem.mean[:, None], scores, everyone, PENALTIES[best], tried)


def _by_held_out(problem: _Problem, seed: int) -> _Solution:
    """Solve by the products of the features; hold out a tenth of the examples."""
    host = problem.host
    held = np.random.default_rng([seed, 0, 2]).permutation(host.m)[: max(1, round(HELD_OUT * host.m))]
    held.sort()
    Y, w, y_mean = problem.targets, problem.weights, problem.target_mean
    G_held, R_held = _products(problem, held, y_mean)
    G, R = _products(problem, np.delete(np.arange(host.m), held), y_mean)
    base = (G.trace + G_held.trace) / host.n_x or 1.0

    def held_out(penalty: float) -> tuple[float, Any]:
        factor = G.factored(penalty * base)
        if factor is None:
            return math.nan, None
        W, scores = factor.solved(R).T, np.empty((len(Y), host.m))
        for part, X in problem.blocks(held):
            scores[:, part] = matmul(W, X.T) + y_mean
        scores = scores[:, held]
        return float(np.mean(w[held] * (scores - Y[:, held]) ** 2)), scores

    found = _least(held_out)
    if found is None:
        return _nothing(problem, held)
    penalty, scores, tried = found
    G.add(G_held)
    factor = G.factored(penalty * base)
    if factor is None:
        return _nothing(problem, held)
    W = factor.solved(R + R_held).T.astype(np.float64)
    return _Solution(W, y_mean - W @ problem.mean[:, None], scores, held, penalty, tried)


def _least(error: Callable[[float], tuple[float, Any]]) -> tuple[float, Any, dict[float, float]] | None:
    """Return the penalty with the least error, what belongs to it, and the errors of all that were tried.

    None if no error is a number.

    The error falls and then rises along the penalties. So the search goes up from the middle while it falls,
    or else down.

    Args:
        error: returns the error for a penalty, and what belongs to it.
    """
    best: tuple[float, int, Any] = (math.inf, START, None)
    tried: dict[float, float] = {}
    for step in (1, -1):
        i = best[1] if step == 1 else best[1] - 1
        while 0 <= i < len(PENALTIES):
            squared, about = error(PENALTIES[i])
            tried[PENALTIES[i]] = squared
            if math.isfinite(squared) and squared >= best[0]:
                break
            if math.isfinite(squared):
                best = squared, i, about
            elif step == -1:
                break
            i += step
        if step == 1 and best[1] > START:
            break  # it fell on the way up
    return None if best[2] is None else (PENALTIES[best[1]], best[2], tried)


def _products(problem: _Problem, which: np.ndarray, y_mean: np.ndarray) -> tuple[SymmetricMatrix, np.ndarray]:
    """Return X̂ X̂^T (n_x, n_x) and X̂ Y^T (n_x, n_classes) of some examples, in the dtype; weighted.

    Args:
        problem: all examples.
        which: the indices of the examples that count.
        y_mean: what is subtracted from the targets, (n_classes, 1).
    """
    backend, dtype, n_x = problem.backend, problem.dtype, problem.host.n_x
    roots, targets = np.sqrt(problem.weights), problem.targets - y_mean
    G = backend.send(np.zeros((n_x, n_x), dtype))
    R = backend.send(np.zeros((n_x, len(targets)), dtype))
    for part, rows in problem.blocks(which):
        weighted = rows * roots[part, None].astype(dtype) if problem.is_weighted else rows
        X = backend.send(weighted, dtype=dtype)
        add_products(G, X, backend)
        right = backend.send(np.ascontiguousarray((targets[:, part] * roots[part]).T), dtype=dtype)
        R += matmul(X.T, right)
    return SymmetricMatrix(backend.fetch(G)), backend.fetch(R)


def _nothing(problem: _Problem, left_out: np.ndarray) -> _Solution:
    """Return a solution of NaN: no penalty gave numbers."""
    n_classes = len(problem.targets)
    W = np.full((n_classes, problem.host.n_x), np.nan)
    return _Solution(W, W[:, :1], np.full((n_classes, len(left_out)), np.nan), left_out, math.nan, {})


def _log_loss(Z: np.ndarray, labels: np.ndarray, weights: np.ndarray | None = None) -> float:
    """Return the mean of -log softmax(Z) of the right classes. Z: (n_classes, m); weights: (m,) or None."""
    Z = Z - Z.max(axis=0)
    losses = np.log(np.exp(Z).sum(axis=0)) - Z[labels, np.arange(Z.shape[1])]
    return float(np.average(losses, weights=weights))


def _inverse_temperature(scores: np.ndarray, labels: np.ndarray, weights: np.ndarray | None = None) -> float:
    """Return the T for which softmax(T scores) has the least log loss, by Newton's method.

    The log loss is convex in T. If all scores are right, there is no least one: T is limited.

    Args:
        scores: of each class and example, (n_classes, m).
        labels: indices of the right classes, (m,).
        weights: of the examples, (m,), or None.
    """
    scores = scores - scores.max(axis=0)
    right = scores[labels, np.arange(scores.shape[1])]
    low, high, T = 1e-3, 1e3, 1.0
    for _ in range(NEWTON_STEPS):
        P = np.exp(T * scores)
        P /= P.sum(axis=0)
        mean = (P * scores).sum(axis=0)
        slope = float(np.average(mean - right, weights=weights))
        curvature = float(np.average((P * scores * scores).sum(axis=0) - mean * mean, weights=weights))
        low, high = (T, high) if slope < 0 else (low, T)
        step = T - slope / curvature if curvature > 0 else math.nan
        new = step if low < step < high else math.sqrt(low * high)
        if abs(new - T) <= 1e-6 * T:
            break
        T = new
    return T
