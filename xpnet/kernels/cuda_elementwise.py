"""Elementwise CUDA kernels: each computes one formula for every element, with broadcasting.

Most formulas are in stable.cu and patches.cu. CuPy compiles a kernel when it is first called with a dtype.
"""

from importlib import resources
from typing import Any

import cupy

_FORMULAS, _PATCHES = (
    resources.files(__package__).joinpath(name).read_text() for name in ("stable.cu", "patches.cu")
)


def _elementwise(name: str, parameters: str, results: str, formula: str, preamble: str = _FORMULAS) -> Any:
    """Return a kernel that computes a formula for each element.

    Args:
        name: name of the kernel, for profilers.
        parameters: dtypes and names of the arguments, in the language of `cupy.ElementwiseKernel`.
        results: dtypes and names of the results.
        formula: C++ that sets the results. It may call the functions of `preamble`.
        preamble: the text of stable.cu or of patches.cu.
    """
    return cupy.ElementwiseKernel(parameters, results, formula, f"xpnet_{name}_kernel", preamble=preamble)


sigmoid = _elementwise("sigmoid", "T z", "T a", "a = xpnet_sigmoid(z)")
sigmoid_pullback = _elementwise(
    "sigmoid_pullback", "T grad, T a", "T dz", "dz = xpnet_sigmoid_pullback(grad, a)"
)
tanh_pullback = _elementwise("tanh_pullback", "T grad, T a", "T dz", "dz = xpnet_tanh_pullback(grad, a)")
relu_pullback = _elementwise("relu_pullback", "T grad, T z", "T dz", "dz = z > T(0) ? grad : T(0)")
softplus = _elementwise("softplus", "T z", "T a", "a = xpnet_softplus(z)")
logistic_loss = _elementwise("logistic_loss", "T z, U y", "T loss", "loss = xpnet_logistic_loss(z, (T)y)")
logistic_loss_pullback = _elementwise(
    "logistic_loss_pullback", "T grad, T z, U y", "T dz", "dz = xpnet_logistic_loss_pullback(grad, z, (T)y)"
)
logistic_residual = _elementwise(
    "logistic_residual",
    "T z, T y",
    "T loss, T dz",
    "loss = xpnet_logistic_loss(z, y); dz = xpnet_sigmoid(z) - y",
)
softmax_cross_entropy = _elementwise(
    "softmax_cross_entropy",
    "raw T Z, U y, int64 classes, int64 columns",
    "T loss",
    "loss = xpnet_softmax_cross_entropy<T>(Z, i, classes, columns, (long long)y)",
)
softmax_cross_entropy_pullback = _elementwise(
    "softmax_cross_entropy_pullback",
    "T grad, raw T Z, U y, int64 classes, int64 columns",
    "raw T dZ",
    "xpnet_softmax_cross_entropy_pullback<T>(grad, Z, i, classes, columns, (long long)y, dZ)",
)
softmax_residual = _elementwise(
    "softmax_residual",
    "raw T Z, raw T Y, int64 classes, int64 columns",
    "T loss, raw T dZ",
    "loss = xpnet_softmax_residual<T>(Z, Y, i, classes, columns, dZ)",
)
descend = _elementwise("descend", "T g, T rate", "T p", "p -= rate * g")
momentum = _elementwise("momentum", "T g, T rate, T beta", "T p, T v", "v = beta * v + g; p -= rate * v")
nesterov = _elementwise(
    "nesterov", "T g, T rate, T beta", "T p, T v", "v = beta * v + g; p -= rate * (g + beta * v)"
)
rmsprop = _elementwise(
    "rmsprop",
    "T g, T rate, T rho, T rest, T epsilon",
    "T p, T s",
    "s = rho * s + rest * (g * g); p -= rate * (g / (sqrt(s) + epsilon))",
)
adam = _elementwise(
    "adam",
    "T g, T factor, T corrected, T beta1, T rest1, T beta2, T rest2, T epsilon",
    "T p, T v, T s",
    "v = beta1 * v + rest1 * g; s = beta2 * s + rest2 * (g * g);"
    " p -= factor * (v / (sqrt(s) / corrected + epsilon))",
)
corrections = _elementwise(
    "corrections",
    "T rate, float64 t, float64 beta1, float64 beta2",
    "T factor, T corrected",
    "factor = (T)((double)rate / (1.0 - pow(beta1, t))); corrected = (T)sqrt(1.0 - pow(beta2, t))",
)
gather_bytes = _elementwise(
    "gather_bytes",
    "raw S examples, raw int64 indices, T mean, T scale, uint32 n_x",
    "T x",
    "x = ((T)examples[indices[(unsigned)i / n_x] * n_x + (unsigned)i % n_x] - mean) * scale",
)
gather_floats = _elementwise(
    "gather_floats",
    "raw S examples, raw int64 indices, S mean, T scale, uint32 n_x",
    "T x",
    "x = (T)(examples[indices[(unsigned)i / n_x] * n_x + (unsigned)i % n_x] - mean) * scale",
)
standardize_bytes = _elementwise(
    "standardize_bytes", "S example, T mean, T scale", "T x", "x = ((T)example - mean) * scale"
)
standardize_floats = _elementwise(
    "standardize_floats", "S example, S mean, T scale", "T x", "x = (T)(example - mean) * scale"
)
patch_contrast = _elementwise(
    "patch_contrast",
    "raw S images, int32 size, int32 height, int32 width, int32 channels, float32 added",
    "float32 mean, float32 inverse",
    "xpnet_patch_contrast(images, i, size, height, width, channels, added, mean, inverse)",
    _PATCHES,
)
patch_numbers = _elementwise(
    "patch_numbers",
    "raw S images, raw float32 mean, raw float32 inverse,"
    " int32 size, int32 height, int32 width, int32 channels, int32 length",
    "float32 x",
    "const long long patch = i / length;"
    " x = xpnet_patch_number(images, patch, (int)(i % length), size, height, width, channels,"
    " mean[patch], inverse[patch])",
    _PATCHES,
)
pool_cells = _elementwise(
    "pool_cells",
    "raw float32 Z, int32 down, int32 across, int32 count, int32 rows, int32 columns, float32 threshold",
    "raw float32 found",
    "xpnet_pool_cell(Z, i, down, across, count, rows, columns, threshold, found)",
    _PATCHES,
)
WITH_BIAS = {
    activation: _elementwise(f"bias_{activation}", "T z, T b", "T a", f"const T sum = z + b; a = {formula}")
    for activation, formula in {
        "sigmoid": "xpnet_sigmoid(sum)",
        "tanh": "tanh(sum)",
        "relu": "xpnet_positive_part(sum)",
        "leaky_relu": "sum > T(0) ? sum : T(0.01) * sum",
    }.items()
}
"""By the name of an activation: the kernel that adds the bias (n_out, 1) to W X (n_out, m) and applies it.

The slope of leaky_relu is 0.01, the default of the portable function, and the only one that a layer uses.
"""
