"""Loss and gradient of logistic and softmax regression in one fused pass: each raw byte is read once.

A block of raw examples is cast, and both products with it are computed while it is in the cache. That needs
half the memory traffic of W X followed by dZ X^T, and reads a quarter of the bytes of a float32 matrix. The
standardized matrix is never made. With x̂ = (x - mean) scale,

    W x̂ + b = (W scale^T) x + (b - W (mean scale))        dW = (dZ x^T - (sum dZ) mean^T) scale^T

Several runs share one pass: their weights are stacked by rows, W (runs n_out, n_x).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from xpnet.arrays import namespace
from xpnet.kernels import dispatched

if TYPE_CHECKING:
    from collections.abc import Callable

    from xpnet.arrays import Array
    from xpnet.data import DeviceMatrix


@dataclass(frozen=True)
class LossAndGradient:
    """Loss and gradient, each summed over all examples.

    Attributes:
        loss: (runs, 1).
        dW: (runs n_out, n_x), the gradient with respect to the weights on standardized features.
        db: (runs n_out, 1).
    """

    loss: Array
    dW: Array  # noqa: N815  (the field's name)
    db: Array


class Sums(Protocol):
    """Computes sums over all examples, wherever these are."""

    def __call__(self, W: Array, b: Array) -> tuple[Array, ...]:
        """Return what `linear_loss_and_gradient` does, for all examples.

        Args:
            W: weights with the scale folded in, (runs n_out, n_x).
            b: biases with the mean folded in, (runs n_out, 1).
        """


class FusedPass:
    """A function that computes loss and gradient in one pass over the raw examples.

    Args:
        data: the examples, on their device.
        sums: computes sums over the raw examples.
        dtype: dtype of the arithmetic, "float32" or "float64".
    """

    def __init__(self, data: DeviceMatrix, sums: Sums, dtype: str) -> None:
        self._sums, standardizer = sums, data.standardizer
        folded = data.host.examples.dtype == "uint8" and standardizer.mean.any()  # see sums.py
        self._mean = data.backend.send(standardizer.mean.T, dtype=dtype) if folded else None
        self._scale = data.backend.send(standardizer.scale.T, dtype=dtype)

    def __call__(self, W: Array, b: Array) -> LossAndGradient:
        """Return loss and gradient at W (runs n_out, n_x) and b (runs n_out, 1)."""
        mean = self._mean
        folded, shift = self.folded(W, b)
        loss, G, r = self._sums(folded, shift)
        return LossAndGradient(loss, (G if mean is None else G - r * mean) * self._scale, r)

    def folded(self, W: Array, b: Array) -> tuple[Array, Array]:
        """Return the weights with the scale folded in, and the biases with the mean folded in."""
        folded = W * self._scale
        if self._mean is None:
            return folded, b
        return folded, b - namespace(W).sum(folded * self._mean, axis=1, keepdims=True)


def as_floats(block: Array, center: Array | None, like: Array) -> Array:
    """Return raw examples (k, n_x), less a center if there is one, in the dtype of another array."""
    return namespace(like).astype(block if center is None else block - center, like.dtype)


@dispatched
def linear_loss_and_gradient(
    examples: Array,
    labels: Array,
    weights: Array | None,
    W: Array,
    b: Array,
    *,
    center: Array | None,
    residual: Callable[..., tuple[Array, Array]],
    rows: int,
) -> tuple[Array, Array, Array]:
    """Return the sum of the losses (runs, 1), dZ X^T (runs n_out, n_x), and the sum of dZ (runs n_out, 1).

    Args:
        examples: raw examples, (m, n_x).
        labels: (n_out, m), floats.
        weights: weights of the examples, (1, m), or None.
        W: weights with the scale folded in, (runs n_out, n_x).
        b: biases with the mean folded in, (runs n_out, 1).
        center: subtracted from each example before the cast, (1, n_x) or (1, 1), or None.
        residual: function that computes losses and dZ from Z and the labels of a block.
        rows: number of examples in a block.
    """
    xp = namespace(W)
    m = examples.shape[0]
    G, r = xp.zeros_like(W), xp.zeros_like(b)
    loss = xp.zeros_like(b[: b.shape[0] // labels.shape[0], :])
    for start in range(0, m, rows):
        stop = min(start + rows, m)
        X = as_floats(examples[start:stop, :], center, W)
        losses, dZ = residual(W @ X.T + b, labels[:, start:stop])
        if weights is not None:
            losses, dZ = losses * weights[:, start:stop], dZ * weights[:, start:stop]
        loss += xp.sum(losses, axis=1, keepdims=True)
        G += dZ @ X
        r += xp.sum(dZ, axis=1, keepdims=True)
    return loss, G, r


@dispatched
def logistic_residual(Z: Array, Y: Array) -> tuple[Array, Array]:
    """Return the logistic losses and dZ = A - Y, both (runs, k). They share one exponential.

    Args:
        Z: logits (runs, k).
        Y: labels (1, k), floats.
    """
    xp = namespace(Z)
    e = xp.exp(-xp.abs(Z))
    A = xp.where(Z < 0.0, e, 1.0) / (1.0 + e)
    return xp.maximum(Z, 0.0) - Z * Y + xp.log1p(e), A - Y


@dispatched
def softmax_residual(Z: Array, Y: Array) -> tuple[Array, Array]:
    """Return the cross-entropies (runs, k) and dZ = A - Y (runs n_out, k). They share one exponential.

    Args:
        Z: logits (runs n_out, k).
        Y: one-hot labels (n_out, k), floats.
    """
    xp = namespace(Z)
    by_run = xp.reshape(Z, (-1, *Y.shape))
    shifted = by_run - xp.max(by_run, axis=1, keepdims=True)
    e = xp.exp(shifted)
    total = xp.sum(e, axis=1, keepdims=True)
    losses = xp.log(total) - xp.sum(shifted * Y, axis=1, keepdims=True)
    return xp.reshape(losses, (-1, Y.shape[1])), xp.reshape(e / total - Y, Z.shape)


RESIDUALS = {"sigmoid": logistic_residual, "softmax": softmax_residual}
"""Functions that compute losses and dZ from logits and labels, by the model's output."""
