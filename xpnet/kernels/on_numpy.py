"""Faster implementations of portable functions for NumPy: the same operations, in place.

Each of these takes at most 0.8 of the time of the portable function on 1000 x 10000 float32, and not more
time on a small batch (see scripts/bench_primitives.py). The elementwise ones use one thread: with two,
sigmoid was only a fifth faster, because the speed of memory limits it.
"""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from xpnet.arrays import Array, require_affine, require_axis, require_elements, require_inner, require_matrix
from xpnet.kernels.threads import in_threads, product

MOST_PARTS = 16
"""The most parts of the examples in `linear_loss_and_gradient`."""

PARTS_BYTES = 64 << 20
"""About the most memory for the gradients of all parts; but there are two parts at least."""


def sigmoid(z: Array) -> Array:
    """A faster implementation of `sigmoid`, as 1 / (1 + e^-z).

    Where e^-z overflows, the exact result is smaller than the smallest normal number, and this returns 0.
    """
    if not z.ndim or z.dtype.char not in "fd":
        # NumPy returns scalars for rank 0: they cannot be changed in place. In float16, e^-z overflows early.
        return NotImplemented
    a = -z
    with np.errstate(over="ignore"):
        np.exp(a, a)
    a += 1.0
    return np.reciprocal(a, a)


def sigmoid_pullback(grad: Array, a: Array, z: Array) -> Any:
    """A faster implementation of `sigmoid_pullback`, in place."""
    del z
    if not a.ndim:
        return NotImplemented
    dz = 1.0 - a
    dz *= a
    dz *= grad
    return (dz,)


def sum_of_squares(x: Array) -> Any:
    """Sum of x^2 as a dot product: no array of squares is made."""
    if not x.flags.c_contiguous or x.dtype.char not in "fd":
        return NotImplemented
    return np.vdot(x, x)


def softmax(z: Array, *, axis: int = 0) -> Array:
    """A faster implementation of `softmax`, in place."""
    require_matrix("softmax", "z", z)
    require_axis("softmax", z, axis)
    require_elements("softmax", "z", z, axis)
    a = z - np.max(z, axis=axis, keepdims=True)
    np.exp(a, out=a)
    a /= np.sum(a, axis=axis, keepdims=True)
    return a


def affine(W: Array, X: Array, b: Array) -> Array:
    """A faster implementation of `affine`: the bias is added in place."""
    require_affine(W, X, b)
    Z = product(W, X)
    if Z.dtype != b.dtype:
        return Z + b
    Z += b
    return Z


def affine_pullback(grad: Array, Z: Array, W: Array, X: Array, b: Array) -> Any:
    """A faster implementation of `affine_pullback`: it writes to given arrays, where there are some."""
    del Z, b
    return (
        lambda out: product(grad, X.T, out),
        lambda out: product(W.T, grad, out),
        lambda out: np.sum(grad, axis=1, keepdims=True, out=out),
    )


def matmul(x: Array, y: Array) -> Array:
    """A faster implementation of `matmul`, in parts that threads share."""
    require_inner("matmul", "x", x, "y", y)
    return product(x, y)


def matmul_pullback(grad: Array, z: Array, x: Array, y: Array) -> Any:
    """A faster implementation of `matmul_pullback`: see `matmul`."""
    del z
    return lambda: product(grad, y.T), lambda: product(x.T, grad)


def ensemble_affine(W: Array, X: Array, b: Array, *, runs: int) -> Array:
    """A faster implementation of `ensemble_affine`: see `matmul`."""
    return product(_by_run(W, runs), _by_run(X, runs)).reshape(len(b), -1) + b


def ensemble_affine_pullback(grad: Array, Z: Array, W: Array, X: Array, b: Array, *, runs: int) -> Any:
    """A faster implementation of `ensemble_affine_pullback`: see `matmul`."""
    del Z, b
    dZ = _by_run(grad, runs)
    return (
        lambda: product(dZ, _by_run(X, runs).swapaxes(1, 2)).reshape(W.shape),
        lambda: product(_by_run(W, runs).swapaxes(1, 2), dZ).reshape(X.shape),
        lambda: np.sum(grad, axis=1, keepdims=True),
    )


def _by_run(A: Array, runs: int) -> Array:
    """Return a stacked matrix (runs n, k) as (runs, n, k)."""
    return A.reshape(runs, -1, A.shape[1])


def logistic_residual(Z: Array, Y: Array) -> tuple[Array, Array]:
    """A faster implementation of `logistic_residual`, in place.

    NumPy's log1p takes three times as long as its log in float32. So this computes log(1 + e) by log, and
    corrects its rounding error.
    """
    e = np.abs(Z)
    np.negative(e, out=e)
    np.exp(e, out=e)
    u = e + 1.0
    A = np.maximum(e, Z >= 0.0)
    A /= u
    A -= Y
    # With u = 1 + e, rounded: log(1 + e) = log(u) - (u - 1 - e) / u.
    lost = u - 1.0
    lost -= e
    lost /= u
    np.log(u, out=u)
    u -= lost
    losses = np.maximum(Z, 0.0)
    losses -= Z * Y
    losses += u
    return losses, A


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
    """A faster implementation of `linear_loss_and_gradient`.

    Threads share parts of the examples. Each casts its blocks into one small buffer, which stays in the
    cache. The parts depend on the shapes only, and are added up in order.
    """
    m, n_x = examples.shape
    count = max(1, min(MOST_PARTS, m // rows, max(2, PARTS_BYTES // W.nbytes)))
    one = len(W) == 1  # products of a matrix and a vector are a fifth faster with vectors of rank 1

    def share(k: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        G, r = np.zeros_like(W), np.zeros_like(b)
        loss = np.zeros((len(W) // len(labels), 1))
        buffer, product = np.empty((rows, n_x), W.dtype), np.empty_like(W)
        last = (k + 1) * m // count
        for start in range(k * m // count, last, rows):
            stop = min(start + rows, last)
            X = buffer[: stop - start]
            if center is None:
                np.copyto(X, examples[start:stop], casting="unsafe")
            else:
                np.subtract(examples[start:stop], center, out=X, casting="unsafe")
            Z = (X @ W[0])[None] if one else W @ X.T
            Z += b
            losses, dZ = residual(Z, labels[:, start:stop])
            if weights is not None:
                losses, dZ = losses * weights[:, start:stop], dZ * weights[:, start:stop]
            loss += losses.sum(axis=1, keepdims=True)
            G += np.matmul(dZ[0], X, out=product[0]) if one else np.matmul(dZ, X, out=product)
            r += dZ.sum(axis=1, keepdims=True)
        return loss, G, r

    shares = in_threads(share, count) if count > 1 else [share(0)]
    loss, G, r = (functools.reduce(np.add, parts) for parts in zip(*shares, strict=True))
    return loss.astype(W.dtype), G, r


def adam(
    p: Array, g: Array, v: Array, s: Array, *, rate: float, beta1: float, beta2: float, epsilon: float, t: int
) -> Any:
    """A faster implementation of `adam`: it takes blocks that stay in the cache for all operations."""
    arrays = (p, g, v, s)
    alike = all(a.flags.c_contiguous and a.dtype == p.dtype and a.shape == p.shape for a in arrays)
    if not alike or not isinstance(rate, float):  # or an array of rates, for several networks
        return NotImplemented
    size, rows = p.size, 1 << 16
    corrected = (1.0 - beta2**t) ** 0.5
    factor = rate / (1.0 - beta1**t)
    buffer = np.empty(min(rows, size), p.dtype)
    for start in range(0, size, rows):
        p, g, v, s = (a.reshape(-1)[start : start + rows] for a in arrays)
        step = buffer[: p.size]
        v *= beta1
        v += np.multiply(g, 1.0 - beta1, out=step)
        s *= beta2
        np.multiply(g, g, out=step)
        step *= 1.0 - beta2
        s += step
        np.sqrt(s, out=step)
        step /= corrected
        step += epsilon
        np.divide(v, step, out=step)
        step *= factor
        p -= step
    return None


def patch_rows(images: Array, *, size: int, contrast: float) -> Array:
    """A faster implementation of `patch_rows`: the rows of a patch are copied whole, and changed in place."""
    windows = np.lib.stride_tricks.sliding_window_view(images, (size, size), axis=(1, 2))
    windows = windows.transpose(0, 1, 2, 4, 5, 3)
    d = size * size * images.shape[3]
    found = np.ones((windows[..., 0, 0, 0].size, d + 1), np.float32)
    rows = found[:, :d]
    rows.reshape(windows.shape, copy=False)[...] = windows
    rows -= rows.mean(axis=1, keepdims=True)
    variance = np.einsum("ij,ij->i", rows, rows)[:, None] / np.float32(d)
    variance += np.float32(contrast)
    rows /= np.sqrt(variance, out=variance)
    return found


def pool_cells(
    Z: Array, *, threshold: float, rows: tuple[tuple[int, int], ...], columns: tuple[tuple[int, int], ...]
) -> Array:
    """A faster implementation of `pool_cells`: sums of slices, with one array of the size of Z."""
    found = np.empty((Z.shape[0], len(rows), len(columns), 2, Z.shape[3]), Z.dtype)
    a, clipped = Z.dtype.type(threshold), np.empty_like(Z)
    for side in (0, 1):
        np.minimum(Z, -a, out=clipped) if side else np.maximum(Z, a, out=clipped)
        for i, (top, bottom) in enumerate(rows):
            strip = clipped[:, top:bottom].sum(axis=1)
            for j, (left, right) in enumerate(columns):
                cell = strip[:, left:right].sum(axis=1)
                cell /= Z.dtype.type((bottom - top) * (right - left))
                np.abs(cell + a if side else cell - a, out=found[:, i, j, side])
    return found
