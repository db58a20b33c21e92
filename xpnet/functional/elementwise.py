"""Exponential and logarithm, with their derivatives."""

from typing import Any

from xpnet.arrays import Array, namespace, require_floats
from xpnet.autodiff import primitive


def exp_pullback(grad: Array, y: Array, x: Array) -> tuple[Any, ...]:
    """Gradient of `exp`: grad * e^x."""
    del x
    return (grad * y,)


@primitive(exp_pullback)
def exp(x: Array) -> Array:
    """Exponential e^x, elementwise; inf where it overflows. x: any shape, float."""
    return namespace(x).exp(x)


def exp_derivative(x: Array) -> Array:
    """Derivative of exp at x: e^x. x: any shape, float."""
    return exp(x)


def log_pullback(grad: Array, y: Array, x: Array) -> tuple[Any, ...]:
    """Gradient of `log`: grad / x."""
    del y
    return (grad / x,)


@primitive(log_pullback)
def log(x: Array) -> Array:
    """Natural logarithm, elementwise; -inf at 0. x: any shape, float."""
    return namespace(x).log(x)


def log_derivative(x: Array) -> Array:
    """Derivative of log at x: 1 / x. x: any shape, float."""
    return 1.0 / require_floats("log_derivative", "x", x)
