"""Arithmetic with broadcasting, the matrix product and the transpose, each with its derivative."""

from typing import Any

from xpnet.arrays import Array, namespace
from xpnet.graph.primitives import primitive
from xpnet.shapes import require_broadcastable, require_inner, require_matrix, require_number


def sum_to(grad: Array, array: Array) -> Array:
    """Sum `grad` over the axes along which `array` was broadcast; return the shape of `array`."""
    if grad.shape == array.shape:
        return grad
    xp = namespace(grad)
    added = grad.ndim - array.ndim
    stretched = tuple(
        axis for axis, size in enumerate(grad.shape) if axis < added or array.shape[axis - added] != size
    )
    return xp.reshape(xp.sum(grad, axis=stretched, keepdims=True), array.shape)


def _add_pullback(grad: Array, total: Array, x: Array, y: Array) -> tuple[Any, ...]:
    del total
    return lambda: sum_to(grad, x), lambda: sum_to(grad, y)


@primitive(_add_pullback, numbers=True)
def add(x: Array, y: Array) -> Array:
    """`x + y` with broadcasting. Shapes: any that broadcast; Python numbers too."""
    require_broadcastable("add", x, y)
    return x + y


def _subtract_pullback(grad: Array, difference: Array, x: Array, y: Array) -> tuple[Any, ...]:
    del difference
    return lambda: sum_to(grad, x), lambda: sum_to(-grad, y)


@primitive(_subtract_pullback, numbers=True)
def subtract(x: Array, y: Array) -> Array:
    """`x - y` with broadcasting. Shapes: any that broadcast; Python numbers too."""
    require_broadcastable("subtract", x, y)
    return x - y


def _multiply_pullback(grad: Array, product: Array, x: Array, y: Array) -> tuple[Any, ...]:
    del product
    return lambda: sum_to(grad * y, x), lambda: sum_to(grad * x, y)


@primitive(_multiply_pullback, numbers=True)
def multiply(x: Array, y: Array) -> Array:
    """Elementwise `x * y` with broadcasting. Shapes: any that broadcast; Python numbers too."""
    require_broadcastable("multiply", x, y)
    return x * y


def _divide_pullback(grad: Array, quotient: Array, x: Array, y: Array) -> tuple[Any, ...]:
    return lambda: sum_to(grad / y, x), lambda: sum_to(-grad * quotient / y, y)


@primitive(_divide_pullback, numbers=True)
def divide(x: Array, y: Array) -> Array:
    """Elementwise `x / y` with broadcasting. Shapes: any that broadcast; Python numbers too."""
    require_broadcastable("divide", x, y)
    return x / y


def _negative_pullback(grad: Array, opposite: Array, x: Array) -> tuple[Any, ...]:
    del opposite, x
    return (-grad,)


@primitive(_negative_pullback)
def negative(x: Array) -> Array:
    """`-x`, elementwise. x: any shape."""
    return -x


def _power_pullback(grad: Array, value: Array, x: Array, *, exponent: float) -> tuple[Any, ...]:
    del value
    # x ** 0 is 1 everywhere, also at 0, where 0 * x ** -1 is not a number.
    return (grad * (exponent * x ** (exponent - 1)) if exponent else grad * 0.0,)


@primitive(_power_pullback)
def power(x: Array, *, exponent: float) -> Array:
    """`x ** exponent`, elementwise. x: any shape; exponent: a Python number, a constant.

    Raises:
        ArrayTypeError: `exponent` is not a number.
    """
    require_number("power", "exponent", exponent)
    return x**exponent


def _matmul_pullback(grad: Array, product: Array, x: Array, y: Array) -> tuple[Any, ...]:
    del product
    return lambda: grad @ y.T, lambda: x.T @ grad


@primitive(_matmul_pullback)
def matmul(x: Array, y: Array) -> Array:
    """Matrix product. x: (n, k), y: (k, m); returns (n, m)."""
    require_inner("matmul", "x", x, "y", y)
    return x @ y


def _transpose_pullback(grad: Array, transposed: Array, x: Array) -> tuple[Any, ...]:
    del transposed, x
    return (grad.T,)


@primitive(_transpose_pullback)
def transpose(x: Array) -> Array:
    """Transpose, a view where the library has views. x: (n, m); returns (m, n)."""
    require_matrix("transpose", "x", x)
    return x.T
