"""Faster texts of portable functions on CuPy arrays: one fused kernel where the portable text launches many.

Compiled by CuPy when first called. Only float32 and float64; other dtypes run the portable text.
"""

from importlib import resources
from typing import Any

import cupy

from xpnet.arrays import Array
from xpnet.shapes import require_same

_FORMULAS = resources.files(__package__).joinpath("stable.cu").read_text()


def _elementwise(name: str, parameters: str, result: str, formula: str) -> Any:
    """Return a kernel that computes one formula of stable.cu for each element, broadcasting."""
    return cupy.ElementwiseKernel(parameters, result, formula, f"xpnet_{name}_kernel", preamble=_FORMULAS)


_sigmoid = _elementwise("sigmoid", "T z", "T a", "a = xpnet_sigmoid(z)")
_sigmoid_pullback = _elementwise(
    "sigmoid_pullback", "T grad, T a", "T dz", "dz = xpnet_sigmoid_pullback(grad, a)"
)
_tanh_pullback = _elementwise("tanh_pullback", "T grad, T a", "T dz", "dz = xpnet_tanh_pullback(grad, a)")
_softplus = _elementwise("softplus", "T z", "T a", "a = xpnet_softplus(z)")
_logistic_loss = _elementwise("logistic_loss", "T z, U y", "T loss", "loss = xpnet_logistic_loss(z, (T)y)")
_logistic_loss_pullback = _elementwise(
    "logistic_loss_pullback", "T grad, T z, U y", "T dz", "dz = xpnet_logistic_loss_pullback(grad, z, (T)y)"
)


def _handles(*arrays: Array) -> bool:
    return all(array.dtype == arrays[0].dtype and array.dtype.char in "fd" for array in arrays)


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


def softplus(z: Array) -> Array:
    """Smooth relu."""
    return _softplus(z) if _handles(z) else NotImplemented


def logistic_loss(Z: Array, Y: Array) -> Array:
    """Binary cross-entropy from logits."""
    require_same("logistic_loss", "Z", Z, "Y", Y)
    return _logistic_loss(Z, Y) if _handles(Z) else NotImplemented


def logistic_loss_pullback(grad: Array, loss: Array, Z: Array, Y: Array) -> Any:
    """Gradient of `logistic_loss`."""
    del loss
    return (_logistic_loss_pullback(grad, Z, Y), None) if _handles(grad, Z) else NotImplemented
