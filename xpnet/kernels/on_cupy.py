"""Faster implementations of portable functions for CuPy: one CUDA kernel instead of many.

CuPy compiles a kernel when it is first called. They handle float32 and float64; for other dtypes the portable
function runs.
"""

from collections.abc import Callable
from typing import Any

import cupy

from xpnet.arrays import Array, require_affine, require_class_labels, require_matrix, require_same
from xpnet.kernels import cuda_elementwise as fused
from xpnet.kernels import cuda_passes, cuda_products


def _handles(*arrays: Array) -> bool:
    """Return whether all arrays are float32, or all float64."""
    return all(array.dtype == arrays[0].dtype and array.dtype.char in "fd" for array in arrays)


def _updates(p: Array, *others: Any) -> bool:
    """Return whether an optimizer's kernel handles these parameters, and the other arrays and numbers."""
    return _handles(p, *(other for other in others if not isinstance(other, float)))


def sigmoid(z: Array) -> Array:
    """A faster implementation of `sigmoid`."""
    return fused.sigmoid(z) if _handles(z) else NotImplemented


def sigmoid_pullback(grad: Array, a: Array, z: Array) -> Any:
    """A faster implementation of `sigmoid_pullback`."""
    del z
    return (fused.sigmoid_pullback(grad, a),) if _handles(grad, a) else NotImplemented


def tanh_pullback(grad: Array, a: Array, z: Array) -> Any:
    """A faster implementation of `tanh_pullback`."""
    del z
    return (fused.tanh_pullback(grad, a),) if _handles(grad, a) else NotImplemented


def relu_pullback(grad: Array, a: Array, z: Array) -> Any:
    """A faster implementation of `relu_pullback`."""
    del a
    return (fused.relu_pullback(grad, z),) if _handles(grad, z) else NotImplemented


def softplus(z: Array) -> Array:
    """A faster implementation of `softplus`."""
    return fused.softplus(z) if _handles(z) else NotImplemented


def affine(W: Array, X: Array, b: Array) -> Array:
    """A faster implementation of `affine`: the bias is added in place."""
    require_affine(W, X, b)
    Z = cuda_products.product(W, X)
    if Z.dtype != b.dtype:
        return Z + b
    Z += b
    return Z


def affine_pullback(grad: Array, Z: Array, W: Array, X: Array, b: Array) -> Any:
    """A faster implementation of `affine_pullback`: it writes to given arrays, where there are some."""
    del Z, b
    product = cuda_products.product
    return (
        lambda out: product(grad, X.T, out),
        lambda out: product(W.T, grad, out),
        lambda out: grad.sum(axis=1, keepdims=True, out=out),
    )


def dense(W: Array, X: Array, b: Array, *, activation: str) -> Any:
    """A faster implementation of `dense`: one kernel adds the bias and applies the activation, in place."""
    require_affine(W, X, b)
    finished = fused.WITH_BIAS.get(activation)
    if finished is None or not _handles(W, X, b):
        return NotImplemented
    Z = cuda_products.product(W, X)
    finished(Z, b, Z)
    return Z


def logistic_loss(Z: Array, Y: Array) -> Array:
    """A faster implementation of `logistic_loss`."""
    require_same("logistic_loss", "Z", Z, "Y", Y)
    return fused.logistic_loss(Z, Y) if _handles(Z) else NotImplemented


def logistic_loss_pullback(grad: Array, loss: Array, Z: Array, Y: Array) -> Any:
    """A faster implementation of `logistic_loss_pullback`."""
    del loss
    return (fused.logistic_loss_pullback(grad, Z, Y), None) if _handles(grad, Z) else NotImplemented


def softmax_cross_entropy(Z: Array, Y: Array) -> Array:
    """A faster implementation of `softmax_cross_entropy`: one thread for each column."""
    require_matrix("softmax_cross_entropy", "Z", Z)
    classes, m = Z.shape
    require_class_labels("softmax_cross_entropy", Y, classes, m)
    return fused.softmax_cross_entropy(Z, Y, classes, m) if _handles(Z) else NotImplemented


def softmax_cross_entropy_pullback(grad: Array, loss: Array, Z: Array, Y: Array) -> Any:
    """A faster implementation of `softmax_cross_entropy_pullback`: one thread for each column."""
    del loss
    if not _handles(grad, Z):
        return NotImplemented
    dZ = cupy.empty(Z.shape, Z.dtype)
    fused.softmax_cross_entropy_pullback(grad, Z, Y, *Z.shape, dZ)
    return dZ, None


def logistic_residual(Z: Array, Y: Array) -> Any:
    """A faster implementation of `logistic_residual`."""
    return fused.logistic_residual(Z, Y) if _handles(Z, Y) else NotImplemented


def softmax_residual(Z: Array, Y: Array) -> Any:
    """A faster implementation of `softmax_residual`: one thread for each column of each run."""
    if not _handles(Z, Y):
        return NotImplemented
    classes, m = Y.shape
    losses, dZ = cupy.empty((Z.shape[0] // classes, m), Z.dtype), cupy.empty(Z.shape, Z.dtype)
    fused.softmax_residual(Z, Y, classes, m, losses, dZ)
    return losses, dZ


def descend(p: Array, g: Array, *, rate: float) -> Any:
    """A faster implementation of `descend`."""
    if not _updates(p, g, rate):
        return NotImplemented
    fused.descend(g, rate, p)
    return None


def momentum(p: Array, g: Array, v: Array, *, rate: float, beta: float, nesterov: bool) -> Any:
    """A faster implementation of `momentum`."""
    if not _updates(p, g, v, rate):
        return NotImplemented
    (fused.nesterov if nesterov else fused.momentum)(g, rate, beta, p, v)
    return None


def rmsprop(p: Array, g: Array, s: Array, *, rate: float, rho: float, epsilon: float) -> Any:
    """A faster implementation of `rmsprop`."""
    if not _updates(p, g, s, rate):
        return NotImplemented
    fused.rmsprop(g, rate, rho, 1.0 - rho, epsilon, p, s)
    return None


def adam(
    p: Array, g: Array, v: Array, s: Array, *, rate: float, beta1: float, beta2: float, epsilon: float, t: int
) -> Any:
    """A faster implementation of `adam`."""
    if not _updates(p, g, v, s, rate):
        return NotImplemented
    if isinstance(t, int):
        factor, corrected = rate / (1.0 - beta1**t), (1.0 - beta2**t) ** 0.5
    else:
        factor, corrected = cupy.empty(t.shape, p.dtype), cupy.empty(t.shape, p.dtype)
        fused.corrections(rate, t, beta1, beta2, factor, corrected)
    fused.adam(g, factor, corrected, beta1, 1.0 - beta1, beta2, 1.0 - beta2, epsilon, p, v, s)
    return None


def gather(
    examples: Array, indices: Array | None, mean: Array | None, scale: float | Array, dtype: Any
) -> Any:
    """A faster implementation of `gather`."""
    mean = 0.0 if mean is None else mean
    bytes_ = examples.dtype == cupy.uint8
    if indices is None:
        x = cupy.empty(examples.shape, dtype)
        (fused.standardize_bytes if bytes_ else fused.standardize_floats)(examples, mean, scale, x)
    elif indices.shape[0] * examples.shape[1] >= 1 << 32:
        return NotImplemented  # the kernel counts elements in 32 bits, because their divisions are faster
    else:
        x = cupy.empty((indices.shape[0], examples.shape[1]), dtype)
        arguments = (examples, indices, mean, scale, examples.shape[1], x)
        (fused.gather_bytes if bytes_ else fused.gather_floats)(*arguments)
    return x


def patch_rows(images: Array, *, size: int, contrast: float) -> Any:
    """A faster implementation of `patch_rows`: each number is computed from the bytes and written once."""
    if images.dtype != cupy.uint8 or not images.flags.c_contiguous:
        return NotImplemented
    m, height, width, channels = images.shape
    patches, length = m * (height - size + 1) * (width - size + 1), size * size * channels + 1
    shape = size, height, width, channels
    mean, inverse = cupy.empty(patches, cupy.float32), cupy.empty(patches, cupy.float32)
    fused.patch_contrast(images, *shape, contrast, mean, inverse)
    rows = cupy.empty((patches, length), cupy.float32)
    fused.patch_numbers(images, mean, inverse, *shape, length, rows)
    return rows


def pool_cells(
    Z: Array, *, threshold: float, rows: tuple[tuple[int, int], ...], columns: tuple[tuple[int, int], ...]
) -> Any:
    """A faster implementation of `pool_cells`, for the cells of a regular grid: Z is read once."""
    k, down, across, count = Z.shape
    regular = rows == _cells(down, len(rows)) and columns == _cells(across, len(columns))
    if not regular or Z.dtype != cupy.float32 or not Z.flags.c_contiguous:
        return NotImplemented
    found = cupy.empty((k, len(rows), len(columns), 2, count), cupy.float32)
    numbers = down, across, count, len(rows), len(columns), threshold
    fused.pool_cells(Z, *numbers, found, size=found.size // 2)
    return found


def _cells(length: int, grid: int) -> tuple[tuple[int, int], ...]:
    """Return first and last + 1 of each cell along a side, as the kernel computes them."""
    return tuple((i * length // grid, -(-(i + 1) * length // grid)) for i in range(grid))


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
) -> Any:
    """A faster implementation of `linear_loss_and_gradient`, for float32 and examples of bytes.

    One logistic regression reads the examples once, everything else reads them twice.
    """
    del rows
    known = {"logistic_residual": labels.shape[0] == 1, "softmax_residual": labels.shape[0] > 1}
    bytes_ = center is None and examples.dtype == cupy.uint8 and cuda_passes.handles(examples)
    if not bytes_ or W.dtype != cupy.float32 or not known.get(residual.__name__):
        return NotImplemented
    if W.shape[0] == 1:
        build = cuda_passes.one_pass_build(examples.shape[1])
        if build is not None:
            return cuda_passes.one_pass(examples, labels, weights, W, b, build)
    return cuda_passes.two_passes(examples, labels, weights, W, b)
