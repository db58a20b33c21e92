"""Full-batch gradient descent of logistic and softmax regression, three ways to the same answer.

- "graph": the computation graph on the standardized matrix. The specification of the other two.
- "one-pass": raw columns are read once a step; see onepass.py.
- "span": descent that starts at W0 stays in W0 + span of the examples, so with G = X̂^T X̂ a step costs m^2
  instead of 2 n_x m; see span.py. Chosen when m < n_x.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from xpnet import functional as F
from xpnet.errors import ConfigurationError, DivergenceError
from xpnet.graph import Node, gradients
from xpnet.labels import require_learnable, weights_of
from xpnet.onepass import OnePass, Pass
from xpnet.parameters import Parameters
from xpnet.span import Span

if TYPE_CHECKING:
    from collections.abc import Callable

    from xpnet.arrays import Array
    from xpnet.backend import Backend
    from xpnet.matrix import ColumnMatrix
    from xpnet.models import Network

METHODS = ("auto", "graph", "one-pass", "span")

WINDOW = 500
"""Steps whose costs are kept on the device before they are fetched at once."""


@dataclass(frozen=True)
class Descent:
    """What `descend` returns.

    Attributes:
        parameters: W1 and b1 after the last step, on their device.
        costs: of each step before its update, (iterations,) float64, in host memory.
        method: which of the three ways was taken, and
        reason: why.
    """

    parameters: Parameters
    costs: np.ndarray
    method: str
    reason: str


class Stepper(Protocol):
    """One way to descend."""

    def step(self) -> Array:
        """Take one step; return the cost before it, shape (), on the device."""

    def parameters(self) -> tuple[Array, Array]:
        """Return W (n_out, n_x) and b (n_out, 1) as they are now."""


def descend(
    model: Network,
    data: ColumnMatrix,
    Y: np.ndarray,
    backend: Backend,
    *,
    iterations: int,
    learning_rate: float,
    l2: float = 0.0,
    class_weight: str | tuple[float, ...] | None = None,
    start: Parameters | None = None,
    method: str = "auto",
    dtype: str = "float32",
) -> Descent:
    """Minimize J = mean loss + l2 / (2 m) sum W^2 by full-batch gradient descent.

    Args:
        model: logistic or softmax regression, a network without hidden layers.
        data: the examples.
        Y: their labels (1, m), in host memory.
        backend: where to compute.
        iterations: steps.
        learning_rate: of each.
        l2: strength of the penalty.
        class_weight: None, "balanced", or a weight for each class.
        start: parameters to start from; zeros by default.
        method: "graph", "one-pass", "span", or "auto": the span if m < n_x, else one pass.
        dtype: of the arithmetic, "float32" or "float64".

    Raises:
        ConfigurationError: another model or method, or settings that are not possible.
        ShapeError, DtypeError: data or labels that cannot be learned from.
        DivergenceError: a cost is not finite.
    """
    _refuse_other(model, method, iterations, learning_rate, l2, dtype)
    data.refuse_nonfinite()
    require_learnable(model, Y, data.m)
    weights = weights_of(model, Y, class_weight)
    reason = "it was asked for"
    if method == "auto":
        method = "span" if data.m < data.n_x else "one-pass"
        reason = f"m = {data.m} is {'less' if method == 'span' else 'not less'} than n_x = {data.n_x}"
    labels = Y if model.output == "sigmoid" else np.arange(model.n_out)[:, None] == Y
    with backend.activate():
        problem = _Problem(
            model,
            data,
            backend.send(labels, dtype=dtype),
            None if weights is None else backend.send(weights, dtype=dtype),
            backend,
            dtype,
        )
        count = sum(rows * columns for rows, columns in model.shapes.values())
        begin = Parameters(
            model,
            backend.send(
                np.zeros((count, 1)) if start is None else backend.fetch(start.buffer).copy(), dtype=dtype
            ),
        )
        W, b = begin.views["W1"], begin.views["b1"]
        stepper: Stepper
        if method == "span":
            stepper = Span(
                data, problem.labels, problem.weights, model.output, backend, dtype, W, b, learning_rate, l2
            )
        else:
            passes: Callable[[Array, Array], Pass]
            passes = problem.one_pass() if method == "one-pass" else problem.graph_pass
            stepper = _Explicit(passes, W, b, data.m, learning_rate, l2)
        costs = _run(stepper, iterations, backend, dtype)
        W, b = stepper.parameters()
        xp = backend.xp
        buffer = xp.concat([xp.reshape(W, (-1, 1)), xp.reshape(b, (-1, 1))], axis=0)
    return Descent(Parameters(model, buffer), costs, method, reason)


def _run(stepper: Stepper, iterations: int, backend: Backend, dtype: str) -> np.ndarray:
    window = backend.send(np.zeros((1, min(WINDOW, iterations))), dtype=dtype)
    costs = np.empty(iterations)
    for first in range(0, iterations, WINDOW):
        count = min(WINDOW, iterations - first)
        for i in range(count):
            window[0, i] = stepper.step()
        costs[first : first + count] = backend.fetch(window)[0, :count]
        bad = np.flatnonzero(~np.isfinite(costs[first : first + count]))
        if bad.size:
            step = first + int(bad[0]) + 1
            msg = (
                f"the cost became {costs[step - 1]} at step {step}: "
                "try a smaller learning rate, or standardized features"
            )
            raise DivergenceError(msg, step=step)
    return costs


class _Explicit:
    """Descent with the weights at hand."""

    def __init__(
        self, passes: Callable[[Array, Array], Pass], W: Array, b: Array, m: int, rate: float, l2: float
    ) -> None:
        self._passes, self._W, self._b = passes, W, b
        self._m, self._rate, self._l2 = m, rate, l2

    def step(self) -> Array:
        done = self._passes(self._W, self._b)
        m, l2, W = self._m, self._l2, self._W
        cost = done.loss / m
        dW = done.dW / m
        if l2:
            cost = cost + F.sum(W * W) * (l2 / (2 * m))
            dW = dW + W * (l2 / m)
        self._W = W - self._rate * dW
        self._b = self._b - (self._rate / m) * done.db
        return cost

    def parameters(self) -> tuple[Array, Array]:
        return self._W, self._b


@dataclass(frozen=True)
class _Problem:
    """What all three ways begin from."""

    model: Network
    data: ColumnMatrix
    labels: Array
    weights: Array | None
    backend: Backend
    dtype: str

    def one_pass(self) -> OnePass:
        return OnePass(self.data, self.labels, self.weights, self.model.output, self.backend, self.dtype)

    def graph_pass(self, W: Array, b: Array) -> Pass:
        """Return what one pass gives, from the computation graph on the standardized matrix."""
        xp = self.backend.xp
        X = self.backend.send(self.data.standardized(), dtype=self.dtype)
        nodes = [Node(W, "W"), Node(b, "b")]
        Z = F.affine(nodes[0], X, nodes[1])
        if self.model.output == "sigmoid":
            losses = F.logistic_loss(Z, self.labels)
        else:
            losses = F.softmax_cross_entropy(Z, xp.reshape(xp.argmax(self.labels, axis=0), (1, -1)))
        if self.weights is not None:
            losses = losses * self.weights
        total = F.sum(losses)
        dW, db = gradients(total, nodes)
        return Pass(total.value, dW, db)


def _refuse_other(
    model: Network, method: str, iterations: int, learning_rate: float, l2: float, dtype: str
) -> None:
    if (
        model.hidden
        or model.output not in ("sigmoid", "softmax")
        or (model.output, model.n_out > 1) == ("sigmoid", True)
    ):
        msg = "full-batch descent is for logistic and softmax regression: train other models by `fit`"
        raise ConfigurationError(msg)
    if method not in METHODS:
        msg = f"method is {method!r}, expected one of {', '.join(METHODS)}"
        raise ConfigurationError(msg)
    for name, value in {"iterations": iterations, "learning_rate": learning_rate}.items():
        if not 0 < value < float("inf"):
            msg = f"{name} is {value!r}, expected more than 0"
            raise ConfigurationError(msg)
    if not 0 <= l2 < float("inf"):
        msg = f"l2 is {l2!r}, expected at least 0"
        raise ConfigurationError(msg)
    if dtype not in ("float32", "float64"):
        msg = f"dtype is {dtype!r}, expected 'float32' or 'float64'"
        raise ConfigurationError(msg)
