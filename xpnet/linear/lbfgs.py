"""L-BFGS for logistic and softmax regression: the minimum itself, in few passes over the examples.

Nocedal and Wright, Numerical Optimization (2006): algorithm 7.4, with steps by Armijo's condition and
backtracking by quadratic interpolation (3.57). Where rounding hides what a step gains, its slope says whether
it gains: Hager and Zhang, A New Conjugate Gradient Method (2005), (27). Of few examples their coordinates are
worked on: see coordinates.py.
"""

from __future__ import annotations

import math
from collections import deque
from contextlib import nullcontext
from typing import TYPE_CHECKING

import numpy as np

from xpnet import functional as F
from xpnet.arrays import namespace
from xpnet.errors import ConfigurationError, DivergenceError
from xpnet.kernels import one_for_each_product
from xpnet.linear.descent import Descent, stack_parameters, unstack_parameters
from xpnet.linear.objective import LinearObjective
from xpnet.linear.reduced import ReducedObjective, is_worthwhile

if TYPE_CHECKING:
    from collections.abc import Callable

    from xpnet.arrays import Array
    from xpnet.backend import Backend
    from xpnet.data import ColumnMatrix
    from xpnet.nn import Network, Parameters

ITERATIONS = {False: 500, True: 10_000}
"""Most steps, by whether they are in the span of few examples."""

MEMORY = 10
"""Steps whose changes are remembered, to know the curvature by."""

BACKTRACKS = 30
"""Shorter and shorter steps that are tried before giving up."""

HIDDEN = 16
"""Roundings of the cost, which is a sum, that may hide what a step gains."""

STALLED = 5
"""Steps without a lower cost before giving up: close to the minimum, rounding may hide what one gains."""


def minimize(
    model: Network,
    data: ColumnMatrix,
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
) -> Descent:
    """Minimize J = mean loss + l2 / (2 m) sum W^2 by L-BFGS; of few examples in their span, in float64.

    The host looks at the cost of each pass to choose the step: one small fetch, beside a pass over all data.

    Args:
        model: logistic or softmax regression, a network without hidden layers.
        data: the examples.
        Y: their labels (1, m), in host memory.
        backend: where to compute.
        iterations: most steps; None for 500, or in the span, where they take little, for 10,000.
        tolerance: the end is where no derivative of J is larger.
        l2: strength of the penalty. Without one, separable classes have no minimum.
        class_weight: None, "balanced", or a weight for each class.
        start: parameters to start from; zeros by default.
        dtype: of the arithmetic, "float32" or "float64".
        resident_bytes: most raw bytes to keep on the device; see `xpnet.data.batches`.
        on_progress: is called with the steps done and the cost, after each.

    Returns:
        The descent; its costs begin with that of the start, and `reason` says why it ended.

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
        problem = LinearObjective.of(
            model, data, Y, backend,
            class_weight=class_weight, dtype=dtype, resident_bytes=resident_bytes,
        )  # fmt: skip
        few = start is None and is_worthwhile(problem)
        most = iterations or ITERATIONS[few]
        with one_for_each_product() if few else nullcontext():
            coordinates = ReducedObjective(problem) if few else None
            cost = _Cost(coordinates.problem if coordinates else problem, l2, of_coordinates=few)
            P = cost.joined(*stack_parameters(cost.problem, [start]))
            P, costs, reason = _minimized(cost, P, most, tolerance, on_progress)
        W, b = cost.split(P)
        if coordinates is not None:
            W, b = (backend.send(part, dtype=dtype) for part in (coordinates.weights(W), b))
        (parameters,) = unstack_parameters(model, W, b)
    method = "l-bfgs in the span" if few else "l-bfgs"
    return Descent(parameters, np.asarray(costs), method, reason)


class _Cost:
    """J and its gradient, of W and b in one matrix (n_out, n_x + 1), or of weights of coordinates."""

    def __init__(self, problem: LinearObjective, l2: float, *, of_coordinates: bool) -> None:
        self.problem, self._passes = problem, problem.one_pass()
        self._m, self._l2, self._of_coordinates = problem.data.m, l2, of_coordinates

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
        """Return the largest derivative; of coordinates the most that one of the features can have."""
        xp = namespace(g)
        if self._of_coordinates:
            W, b = self.split(g)
            g = self.joined(xp.sqrt(F.sum(W * W, axis=1)), b)
        return self.number(xp.max(xp.abs(g)))

    def number(self, value: Array) -> float:
        return float(self.problem.backend.fetch(value))


def _minimized(
    cost: _Cost,
    P: Array,
    iterations: int,
    tolerance: float,
    on_progress: Callable[[int, float], object] | None,
) -> tuple[Array, list[float], str]:
    """Return the parameters at the end, the costs on the way, and why it ended."""
    xp = namespace(P)
    J, g = cost(P)
    if not math.isfinite(J):
        msg = f"the cost is {J} at the start: try other parameters to start from, or standardized features"
        raise DivergenceError(msg, step=1)
    costs = [J]
    memory: deque[tuple[Array, Array, Array]] = deque(maxlen=MEMORY)
    stalled, ended = 0, "no step lowers the cost any more, in this dtype"
    for _ in range(iterations):
        if cost.steepest(g) <= tolerance:
            return P, costs, f"converged, no derivative is larger than {tolerance:g}"
        direction = _direction(g, memory)
        slope = cost.number(F.sum(g * direction))
        # The first direction is the bare gradient, whose length says nothing about the step.
        length = 1.0 if memory else min(1.0, 1.0 / cost.number(F.sum(xp.abs(g))))
        for _ in range(BACKTRACKS):
            P_next = P + length * direction
            J_next, g_next = cost(P_next)
            if J_next <= J + 1e-4 * length * slope:
                break
            hidden = J_next <= J + HIDDEN * float(xp.finfo(P.dtype).eps) * abs(J)
            if hidden and abs(cost.number(F.sum(g_next * direction))) <= abs(slope):
                break
            bent = 2.0 * (J_next - J - length * slope)
            shorter = -slope * length**2 / bent if math.isfinite(bent) and bent > 0 else 0.0
            length = min(max(shorter, 0.1 * length), 0.5 * length)
        else:
            return P, costs, ended
        s, y = P_next - P, g_next - g
        curvature = F.sum(s * y)
        if cost.number(curvature) > 0:
            memory.append((s, y, curvature))
        stalled = 0 if J_next < J else stalled + 1
        P, J, g = P_next, min(J, J_next), g_next
        costs.append(J)
        if on_progress is not None:
            on_progress(len(costs) - 1, J)
        if stalled == STALLED:
            return P, costs, ended
    return P, costs, f"not converged after {iterations} iterations"


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
