"""L-BFGS for logistic and softmax regression: it finds the minimum in few passes over the examples.

It is algorithm 7.4 of Nocedal and Wright, Numerical Optimization (2006). The length of a step satisfies
Armijo's condition, by backtracking with quadratic interpolation (3.57). Near the minimum, rounding may hide
that a step lowers the cost. Then the slope decides: Hager and Zhang, A New Conjugate Gradient Method (2005),
(27).

Where the features have a mean μ that is not 0, W and b depend on each other: a larger weight wants a smaller
bias. So the search is for W and c = b + W μ, the bias on centered features. The minimum is the same, and
several times fewer iterations lead to it. μ need not be exact: that of some of the examples is enough.

If there are far fewer examples than features, it works in reduced coordinates: see reduced.py.
"""

from __future__ import annotations

import math
import time
from collections import deque
from typing import TYPE_CHECKING

import numpy as np

from xpnet import functional as F
from xpnet.arrays import namespace
from xpnet.backend import backend_of
from xpnet.errors import ConfigurationError, DivergenceError
from xpnet.linear.descent import stack_parameters, unstack_parameters
from xpnet.linear.objective import LinearObjective
from xpnet.linear.reduced import ReducedObjective, is_worthwhile
from xpnet.nn import History, Method, StopReason, TrainingResult

if TYPE_CHECKING:
    from collections.abc import Callable

    from xpnet.arrays import Array
    from xpnet.backend import Backend
    from xpnet.data import ColumnMatrix, DeviceMatrix
    from xpnet.linear.sums import MakeSums
    from xpnet.nn import Network, Parameters

MAX_ITERATIONS = 500
"""Default limit of the number of iterations."""

MAX_ITERATIONS_REDUCED = 10_000
"""Default limit of the number of iterations in reduced coordinates, which take little time each."""

MEMORY = 10
"""Number of past iterations whose changes of weights and gradient approximate the curvature."""

MAX_BACKTRACKS = 30
"""Limit of the number of step lengths to try in an iteration."""

ROUNDING_UNITS = 16
"""A cost that is higher by at most this many rounding units counts as equal: its last bits are not exact."""

SAMPLE = 4096
"""The most examples whose mean is taken."""

MAX_STALLED = 5
"""Number of iterations in a row without a lower cost after which the training ends."""


def minimize(
    model: Network,
    data: ColumnMatrix | DeviceMatrix,
    Y: np.ndarray,
    backend: Backend,
    *,
    iterations: int | None = None,
    tolerance: float = 1e-4,
    l2: float = 0.0,
    class_weight: str | tuple[float, ...] | None = None,
    weights: np.ndarray | None = None,
    start: Parameters | None = None,
    dtype: str = "float32",
    resident_bytes: int | None = None,
    make_sums: MakeSums | None = None,
    on_progress: Callable[[int, float], object] | None = None,
) -> TrainingResult:
    """Minimize J = mean loss + l2 / (2 m) sum W^2 by L-BFGS.

    If there are far fewer examples than features, it works in reduced coordinates, in float64. To choose the
    length of a step, a few numbers are fetched for each pass over the examples.

    Args:
        model: logistic or softmax regression, a network without hidden layers.
        data: the examples.
        Y: their labels (1, m), in host memory.
        backend: where to compute.
        iterations: limit of the number of iterations; None for 500, or 10,000 in reduced coordinates.
        tolerance: L-BFGS has converged when no derivative of J is larger.
        l2: strength of the penalty. Without a penalty, linearly separable classes have no minimum.
        class_weight: None, "balanced", or a weight for each class.
        weights: a positive weight for each example, (1, m), in host memory; None for equal weights.
        start: parameters to start from; zeros by default.
        dtype: dtype of the arithmetic, "float32" or "float64".
        resident_bytes: size limit of examples that stay on the device; see `xpnet.data.DeviceMatrix`.
        make_sums: makes what computes sums over all examples; by default this process does.
        on_progress: called after each iteration with their number and the cost.

    Returns:
        The result. The first record of its history is the start, with learning rate 0. Each further record is
        an iteration, with the length of its step as learning rate.

    Raises:
        ConfigurationError: the model is not logistic or softmax regression, or a setting is out of range.
        ShapeError, DtypeError: the data or the labels cannot be used.
        DivergenceError: the cost at the start or the product of two examples is not finite.
    """
    require_valid_minimization(iterations, tolerance, l2)
    with backend.activate():
        objective = LinearObjective.of(
            model, data, Y, backend,
            class_weight=class_weight, weights=weights, dtype=dtype, resident_bytes=resident_bytes,
            make_sums=make_sums,
        )  # fmt: skip
        few = start is None and is_worthwhile(objective)
        limit = iterations or most_iterations(reduced=few)
        reduced = ReducedObjective(objective) if few else None
        cost = PenalizedCost(reduced.objective if reduced else objective, l2, reduced=few)
        P = cost.joined(*stack_parameters(cost.objective, [start]))
        P, history = minimize_cost(cost, P, limit, tolerance, on_progress)
        W, b = cost.split(P)
        if reduced is not None:
            W, b = reduced.weights(W, dtype), backend.send(b, dtype=dtype)
        (parameters,) = unstack_parameters(model, W, b)
    method = Method.LBFGS_REDUCED if few else Method.LBFGS
    return TrainingResult(model, parameters, history, method, "logistic and softmax regression are convex")


def require_valid_minimization(iterations: int | None, tolerance: float, l2: float) -> None:
    """Raise `ConfigurationError` unless the arguments of `minimize` are in their range."""
    given = {
        "iterations": (1 if iterations is None else iterations, 1),
        "tolerance": (tolerance, 1e-300),
        "l2": (l2, 0),
    }
    for name, (value, least) in given.items():
        if not least <= value < math.inf:
            msg = f"{name} is {value!r}, expected " + ("more than 0" if least else "at least 0")
            raise ConfigurationError(msg)


def most_iterations(*, reduced: bool) -> int:
    """Return the default limit of the number of iterations."""
    return MAX_ITERATIONS_REDUCED if reduced else MAX_ITERATIONS


class PenalizedCost:
    """The cost J and its gradient. W and c = b + W μ are the columns of one matrix P, (n_out, n_x + 1).

    Args:
        objective: the cost without the penalty, on features or on reduced coordinates.
        l2: strength of the penalty.
        reduced: whether the objective is on reduced coordinates.

    Attributes:
        objective, l2: as given. `l2` may be changed.
    """

    def __init__(self, objective: LinearObjective, l2: float, *, reduced: bool) -> None:
        self.objective, self._passes = objective, objective.fused_pass()
        self.l2, self._m, self._reduced = l2, objective.data.m, reduced
        mean = typical_features(objective)
        self._mean = None if mean is None else objective.backend.send(mean, dtype=objective.dtype)

    def __call__(self, P: Array) -> tuple[float, Array]:
        """Return J and its gradient with respect to P."""
        W, b = self.split(P)
        done = self._passes(W, b)
        J = F.sum(done.loss) / self._m
        dW = done.dW / self._m
        if self.l2:
            J = J + F.sum(W * W) * (self.l2 / (2 * self._m))
            dW = dW + W * (self.l2 / self._m)
        db = done.db / self._m
        if self._mean is not None:
            dW = dW - db * self._mean
        return self.number(J), namespace(P).concat([dW, db], axis=1)

    def split(self, P: Array) -> tuple[Array, Array]:
        """Return W and b of P."""
        W, c = P[:, :-1], P[:, -1:]
        return W, c if self._mean is None else c - F.sum(W * self._mean, axis=1)

    def joined(self, W: Array, b: Array) -> Array:
        """Return P of W and b."""
        c = b if self._mean is None else b + F.sum(W * self._mean, axis=1)
        return namespace(W).concat([W, c], axis=1)

    def largest_derivative(self, g: Array) -> float:
        """Return the largest absolute derivative with respect to W and b.

        In reduced coordinates it is an upper bound of that on features. g: the gradient with respect to P.
        """
        xp = namespace(g)
        dW, db = g[:, :-1], g[:, -1:]
        if self._mean is not None:
            dW = dW + db * self._mean
        if self._reduced:
            dW = xp.sqrt(F.sum(dW * dW, axis=1))
        return self.number(xp.max(xp.abs(xp.concat([dW, db], axis=1))))

    def number(self, value: Array) -> float:
        """Fetch an array with one element as a number."""
        return float(self.objective.backend.fetch(value))


def typical_features(objective: LinearObjective) -> np.ndarray | None:
    """Return the mean of standardized features, (1, n_x) float64, of some examples; None if it is 0 for all.

    The examples are not chosen by chance: the same data has the same mean.
    """
    data, weights = objective.data.host, None
    if data.standardizer.kind == "feature":
        return None
    rows = np.arange(0, data.m, -(-data.m // SAMPLE))
    if objective.weights is not None:
        weights = objective.backend.fetch(objective.weights)[0, rows]
        weights = weights if weights.any() else None
    mean = _average(data.part(rows), weights)[:, None]
    return np.asarray((mean - data.standardizer.mean) * data.standardizer.scale, np.float64).T


def _average(data: ColumnMatrix, weights: np.ndarray | None) -> np.ndarray:
    """Return the weighted mean of raw examples, (n_x,) float64, in host memory. Only it leaves a device."""
    if data.is_in_host_memory:
        return np.asarray(np.average(data.examples, axis=0, weights=weights))
    backend = backend_of(data.examples)
    with backend.activate():
        w = backend.send(np.full(data.m, 1 / data.m) if weights is None else weights / weights.sum())
        return backend.fetch(w @ backend.xp.astype(data.examples, backend.xp.float64))


def minimize_cost(
    cost: PenalizedCost,
    P: Array,
    iterations: int,
    tolerance: float,
    on_progress: Callable[[int, float], object] | None,
) -> tuple[Array, History]:
    """Minimize from P; return the parameters P at the end, and the history."""
    xp, clock = namespace(P), [time.perf_counter()]
    J, g = cost(P)
    if not math.isfinite(J):
        msg = f"the cost is {J} at the start: try other parameters to start from, or standardized features"
        raise DivergenceError(msg, step=1)
    costs, lengths = [J], [0.0]
    clock.append(time.perf_counter())
    memory: deque[tuple[Array, Array, Array]] = deque(maxlen=MEMORY)
    stalled = 0

    def ended(stop: StopReason, stopped: str) -> tuple[Array, History]:
        history = History.of_costs(costs, lengths, np.diff(clock).tolist())
        history.end(stop, stopped)
        return P, history

    no_progress = StopReason.ROUNDING, "no step lowers the cost any more, in this dtype"
    for _ in range(iterations):
        if cost.largest_derivative(g) <= tolerance:
            return ended(StopReason.CONVERGED, f"converged, no derivative is larger than {tolerance:g}")
        direction = _direction(g, memory)
        slope = cost.number(F.sum(g * direction))
        # The first direction is minus the gradient. Its length says nothing about a good step length.
        length = 1.0 if memory else min(1.0, 1.0 / cost.number(F.sum(xp.abs(g))))
        for _ in range(MAX_BACKTRACKS):
            P_next = P + length * direction
            J_next, g_next = cost(P_next)
            if J_next <= J + 1e-4 * length * slope:
                break
            equal = J_next <= J + ROUNDING_UNITS * float(xp.finfo(P.dtype).eps) * abs(J)
            if equal and abs(cost.number(F.sum(g_next * direction))) <= abs(slope):
                break
            # Next try the minimum of the parabola through J and J_next with the slope at the start.
            bend = 2.0 * (J_next - J - length * slope)
            shorter = -slope * length**2 / bend if math.isfinite(bend) and bend > 0 else 0.0
            length = min(max(shorter, 0.1 * length), 0.5 * length)
        else:
            return ended(*no_progress)
        s, y = P_next - P, g_next - g
        curvature = F.sum(s * y)
        if cost.number(curvature) > 0:
            memory.append((s, y, curvature))
        stalled = 0 if J_next < J else stalled + 1
        P, J, g = P_next, min(J, J_next), g_next
        costs.append(J)
        lengths.append(length)
        clock.append(time.perf_counter())
        if on_progress is not None:
            on_progress(len(costs) - 1, J)
        if stalled == MAX_STALLED:
            return ended(*no_progress)
    return ended(StopReason.ALL_EPOCHS, f"not converged after {iterations} iterations")


def _direction(g: Array, memory: deque[tuple[Array, Array, Array]]) -> Array:
    """Return minus the approximate inverse Hessian times the gradient, by the two-loop recursion."""
    q, alphas = g, []
    for s, y, curvature in reversed(memory):
        alpha = F.sum(s * q) / curvature
        alphas.append(alpha)
        q = q - alpha * y
    if memory:
        s, y, curvature = memory[-1]
        q = q * (curvature / F.sum(y * y))
    for (s, y, curvature), alpha in zip(memory, reversed(alphas), strict=True):
        q = q + s * (alpha - F.sum(y * q) / curvature)
    return -q
