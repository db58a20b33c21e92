"""The affine map of a layer."""

from typing import Any

from xpnet.arrays import Array, namespace
from xpnet.graph import primitive
from xpnet.shapes import require_affine


def affine_pullback(grad: Array, Z: Array, W: Array, X: Array, b: Array) -> tuple[Any, ...]:
    """Gradients of `affine`: dW = dZ X^T, dX = W^T dZ, db = the sum of dZ over examples."""
    del Z, b
    xp = namespace(grad)
    return (lambda: grad @ X.T, lambda: W.T @ grad, lambda: xp.sum(grad, axis=1, keepdims=True))


@primitive(affine_pullback)
def affine(W: Array, X: Array, b: Array) -> Array:
    """Return Z = W X + b. W: (n_out, n_in), X: (n_in, m), b: (n_out, 1); Z: (n_out, m).

    Raises:
        ShapeError: the shapes do not fit.
    """
    require_affine(W, X, b)
    return W @ X + b
