"""L-BFGS for logistic and softmax regression: the minimum of the cost, in few passes over the examples.

Nocedal and Wright, Numerical Optimization (2006): algorithm 7.4, with steps by Armijo's condition and
backtracking by quadratic interpolation (3.57). Near the minimum, rounding may hide what a step gains; then its
slope decides: Hager and Zhang, A New Conjugate Gradient Method (2005), (27). With few examples it works on
their coordinates: see reduced.py.
"""

from __future__ import annotations

import math
import time
from collections import deque
from contextlib import nullcontext
from typing import TYPE_CHECKING

import numpy as np

from xpnet import functional as F
from xpnet.arrays import namespace
from xpnet.errors import ConfigurationError, DivergenceError
from xpnet.kernels import one_for_each_product
from xpnet.linear.descent import stack_parameters, unstack_parameters
from xpnet.linear.objective import LinearObjective
from xpnet.linear.reduced import ReducedObjective, is_worthwhile
from xpnet.nn import History, Method, StopReason, TrainingResult

if TYPE_CHECKING:
    from collections.abc import Callable

    from xpnet.arrays import Array
    from xpnet.backend import Backend
    from xpnet.data import ColumnMatrix, DeviceMatrix
    from xpnet.nn import Network, Parameters

MOST_ITERATIONS = 500
"""Iterations at most, by default."""

MOST_ITERATIONS_REDUCED = 10_000
"""The same on coordinates of few examples, where an iteration takes little time."""

MEMORY = 10
"""Iterations whose changes of weights and gradient are kept, to approximate the curvature."""

MOST_BACKTRACKS = 30
"""Shorter steps that are tried in one iteration before it ends without progress."""

ROUNDING_UNITS = 16
"""A cost that is higher by so many units of rounding counts as equal: it is a sum, and its digits end there."""

MOST_STALLED = 5
"""Iterations in a row without a lower cost, after which no progress is expected any more."""


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
    start: Parameters | None = None,
    dtype: str = "float32",
    resident_bytes: int | None = None,
    on_progress: Callable[[int, float], object] | None = None,
) -> TrainingResult:
    """Minimize J = mean loss + l2 / (2 m) sum W^2 by L-BFGS.

    With few examples of many features, it works on their coordinates, in float64. To choose the length of a
    step, the host fetches one number for each pass over the examples.

    Args:
        model: logistic or softmax regression, a network without hidden layers.
        data: the examples.
        Y: their labels (1, m), in host memory.
        backend: where to compute.
        iterations: at most; None for 500, or 10,000 on coordinates, where they take little time.
        tolerance: it has converged when no derivative of J is larger.
        l2: strength of the penalty. Without one, classes that a plane separates have no minimum.
        class_weight: None, "balanced", or a weight for each class.
        start: parameters to start from; zeros by default.
        dtype: of the arithmetic, "float32" or "float64".
        resident_bytes: the most raw bytes to keep on the device; see `xpnet.data.DeviceMatrix`.
        on_progress: is called with the iterations done and the cost, after each.

    Returns:
        The result. The first record of its history is the start, with learning rate 0; each further one is
        an iteration, with the length of its step as learning rate.

    Raises:
        ConfigurationError: another model, or settings that are not possible.
        ShapeError, DtypeError: data or labels that cannot be learned from.
        DivergenceError: the cost of the start, or the product of two examples, is not finite.
    """
    given = {
        "iterations": (1 if iterations is None else iterations, 1),
        "tolerance": (tolerance, 1e-300),
        "l2": (l2, 0),
    }
    for name, (value, least) in given.items():
        if not least <= value < math.inf:
            msg = f"{name} is {value!r}, expected " + ("more than 0" if least else "at least 0")
            raise ConfigurationError(msg)
    with backend.activate():
        objective = LinearObjective.of(
            model, data, Y, backend,
            class_weight=class_weight, dtype=dtype, resident_bytes=resident_bytes,
        )  # fmt: skip
        few = start is None and is_worthwhile(objective)
        most = iterations or (MOST_ITERATIONS_REDUCED if few else MOST_ITERATIONS)
        with one_for_each_product() if few else nullcontext():
            reduced = ReducedObjective(objective) if few else None
            cost = _Cost(reduced.objective if reduced else objective, l2, reduced=few)
            P = cost.joined(*stack_parameters(cost.objective, [start]))
            P, history = _minimized(cost, P, most, tolerance, on_progress)
        W, b = cost.split(P)
        if reduced is not None:
            W, b = (backend.send(part, dtype=dtype) for part in (reduced.weights(W), b))
        (parameters,) = unstack_parameters(model, W, b)
    method = Method.LBFGS_REDUCED if few else Method.LBFGS
    return TrainingResult(model, parameters, history, method, "logistic and softmax regression are convex")


class _Cost:
    """J and its gradient, at W and b in one matrix (n_out, n_x + 1).

    Args:
        objective: on features, or on coordinates.
        l2: strength of the penalty.
        reduced: whether it is on coordinates.
    """

    def __init__(self, objective: LinearObjective, l2: float, *, reduced: bool) -> None:
        self.objective, self._passes = objective, objective.fused_pass()
        self._m, self._l2, self._reduced = objective.data.m, l2, reduced

    def __call__(self, P: Array) -> tuple[float, Array]:
        W, b = self.split(P)
        done = self._passes(W, b)
        J = F.sum(done.loss) / self._m
        dW = done.dW / self._m
        if self._l2:
            J = J + F.sum(W * W) * (self._l2 / (2 * self._m))
            dW = dW + W * (self._l2 / self._m)
        return self.number(J), self.joined(dW, done.db / self._m)

    @staticmethod
    def split(P: Array) -> tuple[Array, Array]:
        return P[:, :-1], P[:, -1:]

    @staticmethod
    def joined(W: Array, b: Array) -> Array:
        return namespace(W).concat([W, b], axis=1)

    def steepest(self, g: Array) -> float:
        """Return the largest absolute derivative; on coordinates an upper bound for that of all features."""
        xp = namespace(g)
        if self._reduced:
            W, b = self.split(g)
            g = self.joined(xp.sqrt(F.sum(W * W, axis=1)), b)
        return self.number(xp.max(xp.abs(g)))

    def number(self, value: Array) -> float:
        return float(self.objective.backend.fetch(value))


def _minimized(
    cost: _Cost,
    P: Array,
    iterations: int,
    tolerance: float,
    on_progress: Callable[[int, float], object] | None,
) -> tuple[Array, History]:
    """Return the parameters at the end, and the history."""
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
        if cost.steepest(g) <= tolerance:
            return ended(StopReason.CONVERGED, f"converged, no derivative is larger than {tolerance:g}")
        direction = _direction(g, memory)
        slope = cost.number(F.sum(g * direction))
        # The first direction is the gradient itself, whose length says nothing about that of the step.
        length = 1.0 if memory else min(1.0, 1.0 / cost.number(F.sum(xp.abs(g))))
        for _ in range(MOST_BACKTRACKS):
            P_next = P + length * direction
            J_next, g_next = cost(P_next)
            if J_next <= J + 1e-4 * length * slope:
                break
            equal = J_next <= J + ROUNDING_UNITS * float(xp.finfo(P.dtype).eps) * abs(J)
            if equal and abs(cost.number(F.sum(g_next * direction))) <= abs(slope):
                break
            bent = 2.0 * (J_next - J - length * slope)
            shorter = -slope * length**2 / bent if math.isfinite(bent) and bent > 0 else 0.0
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
        if stalled == MOST_STALLED:
            return ended(*no_progress)
    return ended(StopReason.ALL_EPOCHS, f"not converged after {iterations} iterations")


def _direction(g: Array, memory: deque[tuple[Array, Array, Array]]) -> Array:
    """Return minus the gradient times the inverse Hessian as far as it is known: the two-loop recursion."""
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
