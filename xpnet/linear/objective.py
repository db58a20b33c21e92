"""The objective of full-batch training: the cost on all examples, for one or several runs at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from xpnet import functional as F
from xpnet.arrays import namespace
from xpnet.autodiff import Node, gradients
from xpnet.data import on_device
from xpnet.errors import ConfigurationError
from xpnet.linear.fused import FusedPass, LossAndGradient
from xpnet.linear.sums import LocalSums
from xpnet.nn import example_weights, require_trainable_labels

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from xpnet.arrays import Array
    from xpnet.backend import Backend
    from xpnet.data import ColumnMatrix, DeviceMatrix
    from xpnet.linear.sums import MakeSums
    from xpnet.nn import Network


def is_linear_classifier(model: Network) -> bool:
    """Return whether a model is logistic or softmax regression, whose cost is convex."""
    several = model.n_out > 1
    return not model.hidden and (model.output, several) in (("sigmoid", False), ("softmax", True))


@dataclass(frozen=True)
class Runs:
    """Learning rates and penalties of several runs on the device. Their weights are stacked by rows.

    Attributes:
        n_out: number of rows of W of each run.
        rate: learning rate of each row, (runs n_out, 1).
        l2: penalty of each row, (runs n_out, 1).
        share: l2 / (2 m) of each run, (runs, 1).
        penalized: whether any l2 is more than 0.
    """

    n_out: int
    rate: Array
    l2: Array
    share: Array
    penalized: bool

    def penalty(self, squares: Array) -> Array:
        """Return l2 / (2 m) sum W^2 of each run, (runs, 1). squares: sums of W^2 by row, (runs n_out, 1)."""
        by_run = namespace(squares).reshape(squares, (-1, self.n_out))
        return self.share * F.sum(by_run, axis=1)


@dataclass(frozen=True)
class LinearObjective:
    """The cost of logistic or softmax regression on all examples.

    Attributes:
        model: a network without hidden layers.
        data: the examples, on their device.
        labels: (n_out, m) floats on the device: 0 and 1, or one-hot columns.
        weights: weights of the examples, (1, m) on the device, or None.
        dtype: dtype of the arithmetic, "float32" or "float64".
        make_sums: makes what computes sums over all examples for the fused pass.
    """

    model: Network
    data: DeviceMatrix
    labels: Array
    weights: Array | None
    dtype: str
    make_sums: MakeSums = LocalSums

    @classmethod
    def of(
        cls,
        model: Network,
        data: ColumnMatrix | DeviceMatrix,
        Y: np.ndarray,
        backend: Backend,
        *,
        class_weight: str | tuple[float, ...] | None = None,
        weights: np.ndarray | None = None,
        dtype: str = "float32",
        resident_bytes: int | None = None,
        make_sums: MakeSums | None = None,
    ) -> LinearObjective:
        """Return the objective of a model on examples: check them, and send them with the labels.

        Args: those of `xpnet.linear.descend`.

        Raises:
            ConfigurationError: the model is not logistic or softmax regression, or the dtype is unknown.
            ShapeError, DtypeError: the data or the labels cannot be used.
        """
        if not is_linear_classifier(model):
            msg = (
                f"full-batch training is for logistic and softmax regression, and the model is {model}: "
                "train it with fit"
            )
            raise ConfigurationError(msg)
        if dtype not in ("float32", "float64"):
            msg = f"dtype is {dtype!r}, expected 'float32' or 'float64'"
            raise ConfigurationError(msg)
        placed = on_device(data, backend, resident_bytes)
        placed.host.refuse_nonfinite()
        require_trainable_labels(model, Y, placed.m)
        combined = example_weights(model, Y, class_weight, weights)
        labels = np.arange(model.n_out)[:, None] == Y if model.n_out > 1 else Y
        return cls(
            model,
            placed,
            backend.send(labels, dtype=dtype),
            None if combined is None else backend.send(combined, dtype=dtype),
            dtype,
            make_sums or LocalSums,
        )

    @property
    def backend(self) -> Backend:
        """The device."""
        return self.data.backend

    def zeros(self, *shape: int) -> Array:
        """Return zeros on the device, in the dtype of the arithmetic."""
        return self.backend.send(np.zeros(shape), dtype=self.dtype)

    def runs(self, learning_rates: Sequence[float], l2s: Sequence[float]) -> Runs:
        """Send the learning rates and penalties of several runs; return them as `Runs`."""

        def column(values: Sequence[float], repeat: int) -> Array:
            return self.backend.send(np.repeat(values, repeat)[:, None], dtype=self.dtype)

        n_out = self.model.n_out
        share = column([l2 / (2 * self.data.m) for l2 in l2s], 1)
        return Runs(n_out, column(learning_rates, n_out), column(l2s, n_out), share, any(l2s))

    def fused_pass(self) -> FusedPass:
        """Return a function of W and b that computes loss and gradient in one pass over the raw examples."""
        sums = self.make_sums(self.data, self.labels, self.weights, self.model.output, self.dtype)
        return FusedPass(self.data, sums, self.dtype)

    def logits(self, W: Array, b: Array) -> Iterator[tuple[slice, Array]]:
        """Yield blocks of examples in order: the slice of their indices, and their Z, (runs n_out, k).

        W: (runs n_out, n_x). b: (runs n_out, 1).
        """
        local = LocalSums(self.data, self.labels, self.weights, self.model.output, self.dtype)
        return local.logits(*FusedPass(self.data, local, self.dtype).folded(W, b))

    def autodiff_pass(self, W: Array, b: Array) -> LossAndGradient:
        """Return the same loss and gradient by the computation graph on the standardized matrix."""
        xp, n_out = self.backend.xp, self.model.n_out
        X = self.backend.send(self.data.host.standardized(), dtype=self.dtype)
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
