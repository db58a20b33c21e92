"""Cost and gradient of logistic and softmax regression, reading each block of raw columns once.

Half the traffic of W X followed by dZ X^T, and a quarter of the bytes of float32: each block is cast, and
both products taken, while it is in cache. The standardized matrix never exists. With x̂ = (x - mean) scale,

    W x̂ + b = (W scale^T) x + (b - W (mean scale))        dW = (dZ x^T - (sum dZ) mean^T) scale^T
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from xpnet.arrays import namespace
from xpnet.kernels import dispatched

if TYPE_CHECKING:
    from collections.abc import Callable

    from xpnet.arrays import Array
    from xpnet.backend import Backend
    from xpnet.matrix import ColumnMatrix

BLOCK_BYTES = 4 << 20
"""Size of a block after the cast: what stays in the cache of one core, or nearly."""


@dataclass(frozen=True)
class Pass:
    """What one pass gives, each summed over all examples.

    Attributes:
        loss: shape ().
        dW: (n_out, n_x), the gradient with respect to the weights on standardized features.
        db: (n_out, 1).
    """

    loss: Array
    dW: Array  # noqa: N815  (the field's name)
    db: Array


class OnePass:
    """Raw columns on a device, ready to be passed over.

    Args:
        data: the examples.
        labels: (n_out, m) on the device, floats: 0 and 1, or one-hot columns.
        weights: of the examples, (1, m) on the device, or None.
        output: "sigmoid" or "softmax".
        backend: where to compute.
        dtype: of the arithmetic, "float32" or "float64".
    """

    def __init__(
        self,
        data: ColumnMatrix,
        labels: Array,
        weights: Array | None,
        output: str,
        backend: Backend,
        dtype: str,
    ) -> None:
        self._examples = backend.send(data.examples)
        self._labels, self._weights = labels, weights
        self._residual = RESIDUALS[output]
        self._mean = backend.send(data.standardizer.mean.T, dtype=dtype)
        self._scale = backend.send(data.standardizer.scale.T, dtype=dtype)
        itemsize = 4 if dtype == "float32" else 8
        self._rows = max(1, min(data.m, BLOCK_BYTES // (data.n_x * itemsize)))

    def __call__(self, W: Array, b: Array) -> Pass:
        """Return the summed loss and gradients at W (n_out, n_x), b (n_out, 1)."""
        xp = namespace(W)
        folded = W * self._scale
        shift = b - xp.sum(folded * self._mean, axis=1, keepdims=True)
        loss, G, r = sweep_blocks(
            self._examples,
            self._labels,
            self._weights,
            folded,
            shift,
            residual=self._residual,
            rows=self._rows,
        )
        return Pass(loss, (G - r * self._mean) * self._scale, r)


@dispatched
def sweep_blocks(
    examples: Array,
    labels: Array,
    weights: Array | None,
    W: Array,
    b: Array,
    *,
    residual: Callable[..., tuple[Array, Array]],
    rows: int,
) -> tuple[Array, Array, Array]:
    """Return the summed loss (), G = dZ X^T (n_out, n_x) and the sum of dZ (n_out, 1), over raw columns.

    Args:
        examples: (m, n_x), raw.
        labels: (n_out, m), floats.
        weights: of the examples, (1, m), or None.
        W: (n_out, n_x), and
        b: (n_out, 1): the parameters, the standardization folded in.
        residual: gives losses and dZ from Z and the labels of a block.
        rows: examples of a block.
    """
    xp = namespace(W)
    m = examples.shape[0]
    loss, G, r = xp.sum(b) * 0.0, xp.zeros_like(W), xp.zeros_like(b)
    for start in range(0, m, rows):
        stop = min(start + rows, m)
        X = xp.astype(examples[start:stop, :], W.dtype)
        losses, dZ = residual(W @ X.T + b, labels[:, start:stop])
        if weights is not None:
            losses, dZ = losses * weights[:, start:stop], dZ * weights[:, start:stop]
        loss = loss + xp.sum(losses)
        G += dZ @ X
        r += xp.sum(dZ, axis=1, keepdims=True)
    return loss, G, r


def logistic_residual(Z: Array, Y: Array) -> tuple[Array, Array]:
    """Return the logistic losses (1, k) and dZ = A - Y, sharing one exponential. Y: floats."""
    xp = namespace(Z)
    e = xp.exp(-xp.abs(Z))
    A = xp.where(Z < 0.0, e, 1.0) / (1.0 + e)
    return xp.maximum(Z, 0.0) - Z * Y + xp.log1p(e), A - Y


def softmax_residual(Z: Array, Y: Array) -> tuple[Array, Array]:
    """Return the softmax cross-entropies (1, k) and dZ = A - Y, sharing one exponential. Y: one-hot."""
    xp = namespace(Z)
    shifted = Z - xp.max(Z, axis=0, keepdims=True)
    e = xp.exp(shifted)
    total = xp.sum(e, axis=0, keepdims=True)
    return xp.log(total) - xp.sum(shifted * Y, axis=0, keepdims=True), e / total - Y


RESIDUALS = {"sigmoid": logistic_residual, "softmax": softmax_residual}
"""Losses and dZ of a block of logits, by the model's output."""
