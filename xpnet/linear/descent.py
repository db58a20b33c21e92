"""Full-batch gradient descent of logistic and softmax regression, by three methods with the same result.

- "autodiff": the computation graph on the standardized matrix. It is the specification of the other two.
- "fused": each step reads the raw examples once; see fused.py.
- "gram": each step computes with the Gram matrix of the examples; see gram.py. It is chosen if m < n_x.

Several runs with their own learning rates and penalties can be trained together; see `xpnet.training.sweep`.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Protocol

import numpy as np

from xpnet import functional as F
from xpnet.data import DeviceMatrix
from xpnet.errors import ConfigurationError, DivergenceError
from xpnet.linear.gram import GramDescent
from xpnet.linear.objective import LinearObjective, Runs
from xpnet.nn import UPDATE_FUNCTIONS, History, Method, Parameters, StopReason, TrainingResult

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from xpnet.arrays import Array
    from xpnet.backend import Backend
    from xpnet.data import ColumnMatrix
    from xpnet.linear.fused import LossAndGradient
    from xpnet.linear.sums import MakeSums
    from xpnet.nn import Network

METHODS = ("auto", "autodiff", "fused", "gram")
"""Values of the argument `method`; "auto" chooses one of the others."""

WINDOW = 500
"""Number of steps whose costs stay on the device before they are fetched together."""


class Stepper(Protocol):
    """A method of gradient descent with its current parameters, for several runs at once."""

    def steps(self, costs: Array) -> None:
        """Take a step for each column of `costs`, (runs, steps); write into it the costs before the step."""

    def parameters(self) -> tuple[Array, Array]:
        """Return the current parameters, W (runs n_out, n_x) and b (runs n_out, 1)."""


def descend(
    model: Network,
    data: ColumnMatrix | DeviceMatrix,
    Y: np.ndarray,
    backend: Backend,
    *,
    iterations: int,
    learning_rate: float,
    l2: float = 0.0,
    class_weight: str | tuple[float, ...] | None = None,
    weights: np.ndarray | None = None,
    start: Parameters | None = None,
    method: str = "auto",
    dtype: str = "float32",
    resident_bytes: int | None = None,
    make_sums: MakeSums | None = None,
    on_progress: Callable[[int, float], object] | None = None,
) -> TrainingResult:
    """Minimize J = mean loss + l2 / (2 m) sum W^2 by full-batch gradient descent.

    Args:
        model: logistic or softmax regression, a network without hidden layers.
        data: the examples.
        Y: their labels (1, m), in host memory.
        backend: where to compute.
        iterations: number of steps.
        learning_rate: learning rate of all steps.
        l2: strength of the penalty.
        class_weight: None, "balanced", or a weight for each class.
        weights: a positive weight for each example, (1, m), in host memory; None for equal weights.
        start: parameters to start from; zeros by default.
        method: "autodiff", "fused", "gram", or "auto": gram if m < n_x, else fused.
        dtype: dtype of the arithmetic, "float32" or "float64".
        resident_bytes: size limit of examples that stay on the device; see `xpnet.data.DeviceMatrix`.
        make_sums: makes what computes sums over all examples; by default this process does.
        on_progress: called with the number of steps done and the last cost, each time costs are fetched.

    Raises:
        ConfigurationError: the model is not logistic or softmax regression, or a setting is out of range.
        ShapeError, DtypeError: the data or the labels cannot be used.
        DivergenceError: a cost or a parameter is not finite.
    """
    chosen, reason = choose_method(method, data)
    require_valid_descent(iterations, (learning_rate,), (l2,))
    began = time.perf_counter()
    with backend.activate():
        objective = LinearObjective.of(
            model, data, Y, backend,
            class_weight=class_weight, weights=weights, dtype=dtype, resident_bytes=resident_bytes,
            make_sums=make_sums,
        )  # fmt: skip
        stepper = make_stepper(objective, chosen, objective.runs((learning_rate,), (l2,)), [start])
        costs = run_descent(stepper, objective, iterations, 1, on_progress=on_progress)[0]
        (parameters,) = unstack_parameters(model, *stepper.parameters())
        if not parameters.is_finite(backend):
            msg = f"a parameter is not finite after step {iterations}: try a smaller learning rate"
            raise DivergenceError(msg, step=iterations)
    seconds = (time.perf_counter() - began) / iterations
    history = History.of_costs(costs.tolist(), [learning_rate] * iterations, [seconds] * iterations)
    history.end(StopReason.ALL_EPOCHS, f"all {iterations} iterations done")
    return TrainingResult(model, parameters, history, chosen, reason)


def choose_method(method: str, data: ColumnMatrix | DeviceMatrix) -> tuple[Method, str]:
    """Return the method of descent, and as a sentence why it was chosen.

    Args:
        method: one of `METHODS`.
        data: the examples.

    Raises:
        ConfigurationError: the method is unknown.
    """
    if method not in METHODS:
        msg = f"method is {method!r}, expected one of {', '.join(METHODS)}"
        raise ConfigurationError(msg)
    if method != "auto":
        return Method(method), "it was asked for"
    host = data.host if isinstance(data, DeviceMatrix) else data
    if not host.is_in_host_memory:
        return Method.FUSED, "the examples are on a device, and Gram matrices are computed on the host"
    few = data.m < data.n_x
    return Method.GRAM if few else Method.FUSED, (
        f"m = {data.m} is {'less' if few else 'not less'} than n_x = {data.n_x}"
    )


def require_valid_descent(iterations: int, learning_rates: Sequence[float], l2s: Sequence[float]) -> None:
    """Raise `ConfigurationError` unless iterations and rates are positive and penalties not negative."""
    for name, value in [("iterations", iterations), *(("learning_rate", rate) for rate in learning_rates)]:
        if not 0 < value < math.inf:
            msg = f"{name} is {value!r}, expected more than 0"
            raise ConfigurationError(msg)
    for l2 in l2s:
        if not 0 <= l2 < math.inf:
            msg = f"l2 is {l2!r}, expected at least 0"
            raise ConfigurationError(msg)


def make_stepper(
    objective: LinearObjective, method: Method, runs: Runs, starts: Sequence[Parameters | None]
) -> Stepper:
    """Return the stepper of a method.

    Args:
        objective: the cost to minimize.
        method: `Method.AUTODIFF`, `Method.FUSED` or `Method.GRAM`.
        runs: learning rates and penalties.
        starts: initial parameters of each run on the device, which are copied; None for zeros.
    """
    W, b = stack_parameters(objective, starts)
    if method == Method.GRAM:
        return GramDescent(objective, runs, W, b, from_zero=all(start is None for start in starts))
    passes = objective.fused_pass() if method == Method.FUSED else objective.autodiff_pass
    return _WeightDescent(passes, runs, W, b, objective.data.m)


def run_descent(
    stepper: Stepper,
    objective: LinearObjective,
    iterations: int,
    count: int,
    strict: bool = True,
    on_progress: Callable[[int, float], object] | None = None,
) -> np.ndarray:
    """Take steps; return the costs before them, (runs, iterations) float64, in host memory.

    Args:
        stepper: takes the steps.
        objective: the cost that it minimizes.
        iterations: number of steps.
        count: number of runs.
        strict: whether to raise an error at the first cost that is not finite. If not, the steps end when no
            run has a finite cost, and the costs that are missing are NaN.
        on_progress: called with the number of steps done and the lowest last cost, each time costs are
            fetched.

    Raises:
        DivergenceError: with `strict`, a cost is not finite.
    """
    window = objective.zeros(count, min(WINDOW, iterations))
    costs = np.full((count, iterations), np.nan)
    for first in range(0, iterations, WINDOW):
        steps = min(WINDOW, iterations - first)
        stepper.steps(window[:, :steps])
        costs[:, first : first + steps] = objective.backend.fetch(window)[:, :steps]
        finite = np.isfinite(costs[:, first : first + steps])
        if strict and not finite.all():
            step = first + int(np.flatnonzero(~finite.all(axis=0))[0]) + 1
            msg = (
                f"the cost became {costs[:, step - 1].max()} at step {step}: "
                "try a smaller learning rate, or standardized features"
            )
            raise DivergenceError(msg, step=step)
        if not finite[:, -1].any():
            break
        if on_progress is not None:
            on_progress(first + steps, float(np.nanmin(costs[:, first + steps - 1])))
    return costs


def stack_parameters(objective: LinearObjective, starts: Sequence[Parameters | None]) -> tuple[Array, Array]:
    """Return W (runs n_out, n_x) and b (runs n_out, 1): the parameters of all runs, copied and stacked."""
    model, xp = objective.model, objective.backend.xp
    stacked = []
    for name in ("W1", "b1"):
        zeros = objective.zeros(*model.shapes[name]) if None in starts else None
        parts = [
            zeros if start is None else objective.backend.send(start.views[name], dtype=objective.dtype)
            for start in starts
        ]
        stacked.append(xp.concat(parts, axis=0))
    return stacked[0], stacked[1]


def unstack_parameters(model: Network, W: Array, b: Array) -> list[Parameters]:
    """Return the parameters of each run. W: (runs n_out, n_x); b: (runs n_out, 1)."""
    results = []
    for start in range(0, W.shape[0], model.n_out):
        rows = slice(start, start + model.n_out)
        results.append(Parameters.of(model, {"W1": W[rows, :], "b1": b[rows, :]}))
    return results


class _WeightDescent:
    """Gradient descent with W and b on the device, which are changed in place."""

    def __init__(
        self, passes: Callable[[Array, Array], LossAndGradient], runs: Runs, W: Array, b: Array, m: int
    ) -> None:
        self._passes, self._runs = passes, runs
        self._W, self._b, self._m = W, b, m
        self._step, self._shrink = runs.rate / m, 1.0 - runs.rate * runs.l2 / m

    def steps(self, costs: Array) -> None:
        """See `Stepper.steps`."""
        for i in range(costs.shape[1]):
            costs[:, i : i + 1] = self._step_once()

    def _step_once(self) -> Array:
        done = self._passes(self._W, self._b)
        W, runs, step = self._W, self._runs, UPDATE_FUNCTIONS["sgd"]
        cost = done.loss / self._m
        if runs.penalized:
            cost = cost + runs.penalty(F.sum(W * W, axis=1))
            W *= self._shrink
        step(W, done.dW, rate=self._step)
        step(self._b, done.db, rate=self._step)
        return cost

    def parameters(self) -> tuple[Array, Array]:
        """See `Stepper.parameters`."""
        return self._W, self._b
