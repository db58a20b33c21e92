"""Faster texts of portable functions on NumPy arrays: the same steps, in one buffer.

Each is here because it takes at most 0.8 of the portable function's time on 1000 x 10000 float32, and no
longer than it on a small batch (scripts/bench_primitives.py). Threads were tried and left out: two cores
gained a fifth on the sigmoid, which by then waits for memory.
"""

from typing import Any

import numpy as np

from xpnet.arrays import Array
from xpnet.shapes import require_affine, require_axis, require_elements, require_matrix


def sigmoid(z: Array) -> Array:
    """1 / (1 + e^-z): where e^-z overflows, the result is below the smallest normal number, and 0 here."""
    if not z.ndim or z.dtype.char not in "fd":
        return NotImplemented  # NumPy makes rank 0 a scalar, which has no buffer; float16 ends too early
    a = -z
    with np.errstate(over="ignore"):
        np.exp(a, a)
    a += 1.0
    return np.reciprocal(a, a)


def sigmoid_pullback(grad: Array, a: Array, z: Array) -> Any:
    """Gradient of `sigmoid`."""
    del z
    if not a.ndim:
        return NotImplemented
    dz = 1.0 - a
    dz *= a
    dz *= grad
    return (dz,)


def tanh_pullback(grad: Array, a: Array, z: Array) -> Any:
    """Gradient of `tanh`."""
    del z
    if not a.ndim:
        return NotImplemented
    dz = a * a
    np.subtract(1.0, dz, out=dz)
    dz *= grad
    return (dz,)


def softmax(z: Array, *, axis: int = 0) -> Array:
    """Softmax along `axis`."""
    require_matrix("softmax", "z", z)
    require_axis("softmax", z, axis)
    require_elements("softmax", "z", z, axis)
    a = z - np.max(z, axis=axis, keepdims=True)
    np.exp(a, out=a)
    a /= np.sum(a, axis=axis, keepdims=True)
    return a


def affine(W: Array, X: Array, b: Array) -> Array:
    """W X + b."""
    require_affine(W, X, b)
    Z = W @ X
    if Z.dtype != b.dtype:
        return Z + b
    Z += b
    return Z
