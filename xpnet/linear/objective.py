"""What full-batch descent works on: one problem, and the runs that descend on it together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from xpnet import functional as F
from xpnet.arrays import namespace
from xpnet.autodiff import Node, gradients
from xpnet.errors import ConfigurationError
from xpnet.linear.fused import FusedPass, LossAndGradient
from xpnet.nn import example_weights, require_trainable_labels

if TYPE_CHECKING:
    from collections.abc import Sequence

    from xpnet.arrays import Array
    from xpnet.backend import Backend
    from xpnet.data import ColumnMatrix
    from xpnet.nn import Network


@dataclass(frozen=True)
class Runs:
    """Learning rates and penalties of runs whose rows of W lie below each other, on the device.

    Attributes:
        n_out: rows of each run.
        rate: (runs n_out, 1), each run's repeated for its rows.
        l2: the same.
        share: l2 / (2 m) of each run, (runs, 1).
        penalized: whether any l2 is more than 0.
    """

    n_out: int
    rate: Array
    l2: Array
    share: Array
    penalized: bool

    def penalty(self, squares: Array) -> Array:
        """Return l2 / (2 m) sum W^2 of each run, (runs, 1). squares: of each row, (runs n_out, 1)."""
        by_run = namespace(squares).reshape(squares, (-1, self.n_out))
        return self.share * F.sum(by_run, axis=1)


@dataclass(frozen=True)
class LinearObjective:
    """Logistic or softmax regression of all examples at once.

    Attributes:
        model: a network without hidden layers.
        data: the examples.
        labels: (n_out, m) on the device, floats: 0 and 1, or one-hot columns.
        weights: of the examples, (1, m) on the device, or None.
        backend: where to compute.
        dtype: of the arithmetic, "float32" or "float64".
        resident_bytes: most raw bytes to keep on the device, or None.
    """

    model: Network
    data: ColumnMatrix
    labels: Array
    weights: Array | None
    backend: Backend
    dtype: str
    resident_bytes: int | None = None

    @classmethod
    def of(
        cls,
        model: Network,
        data: ColumnMatrix,
        Y: np.ndarray,
        backend: Backend,
        *,
        class_weight: str | tuple[float, ...] | None = None,
        dtype: str = "float32",
        resident_bytes: int | None = None,
    ) -> LinearObjective:
        """Check and send what the problem needs.

        Raises:
            ConfigurationError: a model with hidden layers or another output, or an unknown dtype.
            ShapeError, DtypeError: data or labels that cannot be learned from.
        """
        several = model.n_out > 1
        if model.hidden or (model.output, several) not in (("sigmoid", False), ("softmax", True)):
            msg = "full-batch descent is for logistic and softmax regression: train other models by `fit`"
            raise ConfigurationError(msg)
        if dtype not in ("float32", "float64"):
            msg = f"dtype is {dtype!r}, expected 'float32' or 'float64'"
            raise ConfigurationError(msg)
        data.refuse_nonfinite()
        require_trainable_labels(model, Y, data.m)
        weights = example_weights(model, Y, class_weight)
        labels = np.arange(model.n_out)[:, None] == Y if several else Y
        return cls(
            model,
            data,
            backend.send(labels, dtype=dtype),
            None if weights is None else backend.send(weights, dtype=dtype),
            backend,
            dtype,
            resident_bytes,
        )

    def zeros(self, *shape: int) -> Array:
        """Return zeros on the device."""
        return self.backend.send(np.zeros(shape), dtype=self.dtype)

    def runs(self, learning_rates: Sequence[float], l2s: Sequence[float]) -> Runs:
        """Send what tells the runs apart."""

        def column(values: Sequence[float], repeat: int) -> Array:
            return self.backend.send(np.repeat(values, repeat)[:, None], dtype=self.dtype)

        n_out = self.model.n_out
        share = column([l2 / (2 * self.data.m) for l2 in l2s], 1)
        return Runs(n_out, column(learning_rates, n_out), column(l2s, n_out), share, any(l2s))

    def one_pass(self) -> FusedPass:
        """Return what computes cost and gradient in one pass over the raw columns."""
        return FusedPass(
            self.data,
            self.labels,
            self.weights,
            self.model.output,
            self.backend,
            self.dtype,
            self.resident_bytes,
        )

    def graph_pass(self, W: Array, b: Array) -> LossAndGradient:
        """Return what one pass gives, from the computation graph on the standardized matrix."""
        xp, n_out = self.backend.xp, self.model.n_out
        X = self.backend.send(self.data.standardized(), dtype=self.dtype)
        results = []
        for start in range(0, W.shape[0], n_out):
            rows = slice(start, start + n_out)
            nodes = [Node(W[rows, :], "W"), Node(b[rows, :], "b")]
            Z = F.affine(nodes[0], X, nodes[1])
            if n_out == 1:
                losses = F.logistic_loss(Z, self.labels)
            else:
                losses = F.softmax_cross_entropy(Z, xp.reshape(xp.argmax(self.labels, axis=0), (1, -1)))
            if self.weights is not None:
                losses = losses * self.weights
            total = F.sum(losses)
            results.append((xp.reshape(total.value, (1, 1)), *gradients(total, nodes)))
        return LossAndGradient(*(xp.concat(parts, axis=0) for parts in zip(*results, strict=True)))
