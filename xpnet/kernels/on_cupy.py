"""Faster texts of portable functions on CuPy arrays: one fused kernel where the portable text launches many.

Compiled by CuPy when first called. Only float32 and float64; other dtypes run the portable text.
"""

from collections.abc import Callable
from importlib import resources
from typing import Any

import cupy

from xpnet.arrays import Array
from xpnet.kernels import cuda_passes, cuda_products
from xpnet.shapes import require_affine, require_class_labels, require_matrix, require_same

_FORMULAS = resources.files(__package__).joinpath("stable.cu").read_text()


def _elementwise(name: str, parameters: str, results: str, formula: str) -> Any:
    """Return a kernel that computes one formula of stable.cu for each element, broadcasting."""
    return cupy.ElementwiseKernel(parameters, results, formula, f"xpnet_{name}_kernel", preamble=_FORMULAS)


_sigmoid = _elementwise("sigmoid", "T z", "T a", "a = xpnet_sigmoid(z)")
_sigmoid_pullback = _elementwise(
    "sigmoid_pullback", "T grad, T a", "T dz", "dz = xpnet_sigmoid_pullback(grad, a)"
)
_tanh_pullback = _elementwise("tanh_pullback", "T grad, T a", "T dz", "dz = xpnet_tanh_pullback(grad, a)")
_relu_pullback = _elementwise("relu_pullback", "T grad, T z", "T dz", "dz = z > T(0) ? grad : T(0)")
_softplus = _elementwise("softplus", "T z", "T a", "a = xpnet_softplus(z)")
_logistic_loss = _elementwise("logistic_loss", "T z, U y", "T loss", "loss = xpnet_logistic_loss(z, (T)y)")
_logistic_loss_pullback = _elementwise(
    "logistic_loss_pullback", "T grad, T z, U y", "T dz", "dz = xpnet_logistic_loss_pullback(grad, z, (T)y)"
)
_logistic_residual = _elementwise(
    "logistic_residual",
    "T z, T y",
    "T loss, T dz",
    "loss = xpnet_logistic_loss(z, y); dz = xpnet_sigmoid(z) - y",
)
_softmax_cross_entropy = _elementwise(
    "softmax_cross_entropy",
    "raw T Z, U y, int64 classes, int64 columns",
    "T loss",
    "loss = xpnet_softmax_cross_entropy<T>(Z, i, classes, columns, (long long)y)",
)
_softmax_cross_entropy_pullback = _elementwise(
    "softmax_cross_entropy_pullback",
    "T grad, raw T Z, U y, int64 classes, int64 columns",
    "raw T dZ",
    "xpnet_softmax_cross_entropy_pullback<T>(grad, Z, i, classes, columns, (long long)y, dZ)",
)
_softmax_residual = _elementwise(
    "softmax_residual",
    "raw T Z, raw T Y, int64 classes, int64 columns",
    "T loss, raw T dZ",
    "loss = xpnet_softmax_residual<T>(Z, Y, i, classes, columns, dZ)",
)
_descend = _elementwise("descend", "T g, T rate", "T p", "p -= rate * g")
_momentum = _elementwise("momentum", "T g, T rate, T beta", "T p, T v", "v = beta * v + g; p -= rate * v")
_nesterov = _elementwise(
    "nesterov", "T g, T rate, T beta", "T p, T v", "v = beta * v + g; p -= rate * (g + beta * v)"
)
_rmsprop = _elementwise(
    "rmsprop",
    "T g, T rate, T rho, T rest, T epsilon",
    "T p, T s",
    "s = rho * s + rest * (g * g); p -= rate * (g / (sqrt(s) + epsilon))",
)
_adam = _elementwise(
    "adam",
    "T g, T factor, T corrected, T beta1, T rest1, T beta2, T rest2, T epsilon",
    "T p, T v, T s",
    "v = beta1 * v + rest1 * g; s = beta2 * s + rest2 * (g * g);"
    " p -= factor * (v / (sqrt(s) / corrected + epsilon))",
)
_corrections = _elementwise(
    "corrections",
    "T rate, float64 t, float64 beta1, float64 beta2",
    "T factor, T corrected",
    "factor = (T)((double)rate / (1.0 - pow(beta1, t))); corrected = (T)sqrt(1.0 - pow(beta2, t))",
)
_gather_bytes = _elementwise(
    "gather_bytes",
    "raw S examples, raw int64 indices, T mean, T scale, uint32 n_x",
    "T x",
    "x = ((T)examples[indices[(unsigned)i / n_x] * n_x + (unsigned)i % n_x] - mean) * scale",
)
_gather_floats = _elementwise(
    "gather_floats",
    "raw S examples, raw int64 indices, S mean, T scale, uint32 n_x",
    "T x",
    "x = (T)(examples[indices[(unsigned)i / n_x] * n_x + (unsigned)i % n_x] - mean) * scale",
)
_standardize_bytes = _elementwise(
    "standardize_bytes", "S example, T mean, T scale", "T x", "x = ((T)example - mean) * scale"
)
_standardize_floats = _elementwise(
    "standardize_floats", "S example, S mean, T scale", "T x", "x = (T)(example - mean) * scale"
)


def _handles(*arrays: Array) -> bool:
    return all(array.dtype == arrays[0].dtype and array.dtype.char in "fd" for array in arrays)


def _updates(p: Array, *others: Any) -> bool:
    """Whether an optimizer's kernel handles these arrays and numbers."""
    return _handles(p, *(other for other in others if not isinstance(other, float)))


def sigmoid(z: Array) -> Array:
    """Logistic function."""
    return _sigmoid(z) if _handles(z) else NotImplemented


def sigmoid_pullback(grad: Array, a: Array, z: Array) -> Any:
    """Gradient of `sigmoid`."""
    del z
    return (_sigmoid_pullback(grad, a),) if _handles(grad, a) else NotImplemented


def tanh_pullback(grad: Array, a: Array, z: Array) -> Any:
    """Gradient of `tanh`."""
    del z
    return (_tanh_pullback(grad, a),) if _handles(grad, a) else NotImplemented


def relu_pullback(grad: Array, a: Array, z: Array) -> Any:
    """Gradient of `relu`."""
    del a
    return (_relu_pullback(grad, z),) if _handles(grad, z) else NotImplemented


def softplus(z: Array) -> Array:
    """Smooth relu."""
    return _softplus(z) if _handles(z) else NotImplemented


def affine(W: Array, X: Array, b: Array) -> Array:
    """W X + b: the bias is added in place."""
    require_affine(W, X, b)
    Z = cuda_products.product(W, X)
    if Z.dtype != b.dtype:
        return Z + b
    Z += b
    return Z


def affine_pullback(grad: Array, Z: Array, W: Array, X: Array, b: Array) -> Any:
    """Gradients of `affine`."""
    del Z, b
    product = cuda_products.product
    return (
        lambda out: product(grad, X.T, out),
        lambda out: product(W.T, grad, out),
        lambda out: grad.sum(axis=1, keepdims=True, out=out),
    )


def logistic_loss(Z: Array, Y: Array) -> Array:
    """Binary cross-entropy from logits."""
    require_same("logistic_loss", "Z", Z, "Y", Y)
    return _logistic_loss(Z, Y) if _handles(Z) else NotImplemented


def logistic_loss_pullback(grad: Array, loss: Array, Z: Array, Y: Array) -> Any:
    """Gradient of `logistic_loss`."""
    del loss
    return (_logistic_loss_pullback(grad, Z, Y), None) if _handles(grad, Z) else NotImplemented


def softmax_cross_entropy(Z: Array, Y: Array) -> Array:
    """Cross-entropy of each column: a thread for each."""
    require_matrix("softmax_cross_entropy", "Z", Z)
    classes, m = Z.shape
    require_class_labels("softmax_cross_entropy", Y, classes, m)
    return _softmax_cross_entropy(Z, Y, classes, m) if _handles(Z) else NotImplemented


def softmax_cross_entropy_pullback(grad: Array, loss: Array, Z: Array, Y: Array) -> Any:
    """Gradient of `softmax_cross_entropy`."""
    del loss
    if not _handles(grad, Z):
        return NotImplemented
    dZ = cupy.empty(Z.shape, Z.dtype)
    _softmax_cross_entropy_pullback(grad, Z, Y, *Z.shape, dZ)
    return dZ, None


def logistic_residual(Z: Array, Y: Array) -> Any:
    """Losses and A - Y."""
    return _logistic_residual(Z, Y) if _handles(Z, Y) else NotImplemented


def softmax_residual(Z: Array, Y: Array) -> Any:
    """Losses and A - Y: a thread for each run's column."""
    if not _handles(Z, Y):
        return NotImplemented
    classes, m = Y.shape
    losses, dZ = cupy.empty((Z.shape[0] // classes, m), Z.dtype), cupy.empty(Z.shape, Z.dtype)
    _softmax_residual(Z, Y, classes, m, losses, dZ)
    return losses, dZ


def descend(p: Array, g: Array, *, rate: float) -> Any:
    """Plain step."""
    if not _updates(p, g, rate):
        return NotImplemented
    _descend(g, rate, p)
    return None


def momentum(p: Array, g: Array, v: Array, *, rate: float, beta: float, nesterov: bool) -> Any:
    """Step with momentum."""
    if not _updates(p, g, v, rate):
        return NotImplemented
    (_nesterov if nesterov else _momentum)(g, rate, beta, p, v)
    return None


def rmsprop(p: Array, g: Array, s: Array, *, rate: float, rho: float, epsilon: float) -> Any:
    """Step by the root mean square."""
    if not _updates(p, g, s, rate):
        return NotImplemented
    _rmsprop(g, rate, rho, 1.0 - rho, epsilon, p, s)
    return None


def adam(
    p: Array, g: Array, v: Array, s: Array, *, rate: float, beta1: float, beta2: float, epsilon: float, t: int
) -> Any:
    """Both moments and the step."""
    if not _updates(p, g, v, s, rate):
        return NotImplemented
    if isinstance(t, int):
        factor, corrected = rate / (1.0 - beta1**t), (1.0 - beta2**t) ** 0.5
    else:
        factor, corrected = cupy.empty(t.shape, p.dtype), cupy.empty(t.shape, p.dtype)
        _corrections(rate, t, beta1, beta2, factor, corrected)
    _adam(g, factor, corrected, beta1, 1.0 - beta1, beta2, 1.0 - beta2, epsilon, p, v, s)
    return None


def gather(
    examples: Array, indices: Array | None, mean: Array | None, scale: float | Array, dtype: Any
) -> Any:
    """Rows, cast and standardized."""
    mean = 0.0 if mean is None else mean
    bytes_ = examples.dtype == cupy.uint8
    if indices is None:
        x = cupy.empty(examples.shape, dtype)
        (_standardize_bytes if bytes_ else _standardize_floats)(examples, mean, scale, x)
    elif indices.shape[0] * examples.shape[1] >= 1 << 32:
        return NotImplemented  # more elements than the kernel counts: its divisions are of 32 bits
    else:
        x = cupy.empty((indices.shape[0], examples.shape[1]), dtype)
        arguments = (examples, indices, mean, scale, examples.shape[1], x)
        (_gather_bytes if bytes_ else _gather_floats)(*arguments)
    return x


def sweep_blocks(
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
    """Sum over raw bytes: one row of logistic regression in one pass, everything else in two."""
    del rows
    handled = W.dtype == cupy.float32 and examples.dtype == cupy.uint8 and examples.flags.c_contiguous
    if not handled or center is not None:
        return NotImplemented
    if W.shape[0] == 1 and residual.__name__ == "logistic_residual":
        build = cuda_passes.build_for(examples)
        if build is not None:
            return cuda_passes.one_pass(examples, labels, weights, W, b, build)
    return cuda_passes.two_passes(examples, labels, weights, W, b, residual)
