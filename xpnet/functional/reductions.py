"""Sums and means. Along an axis they keep the rank: the sum of each row is a column, not a rank-1 array."""

from typing import Any

from xpnet.arrays import Array, namespace, require_axis, require_elements
from xpnet.autodiff import primitive


def sum_pullback(grad: Array, total: Array, x: Array, *, axis: int | None = None) -> tuple[Any, ...]:
    """Gradient of `sum`: grad, broadcast to the shape of x."""
    del total, axis
    return (namespace(grad).broadcast_to(grad, x.shape),)


@primitive(sum_pullback)
def sum(x: Array, *, axis: int | None = None) -> Array:  # noqa: A001  (as arrays call it)
    """Sum along `axis`, which remains with size 1; with `axis` None the sum of all elements, shape ().

    For x of shape (n, m), axis 0 adds up each column and returns a row (1, m). Axis 1 adds up each row and
    returns a column (n, 1).
    """
    require_axis("sum", x, axis)
    return namespace(x).sum(x, axis=axis, keepdims=axis is not None)


def mean_pullback(grad: Array, average: Array, x: Array, *, axis: int | None = None) -> tuple[Any, ...]:
    """Gradient of `mean`: grad / count, broadcast to the shape of x."""
    xp = namespace(grad)
    del axis
    return (xp.broadcast_to(grad * _share(average, x), x.shape),)


@primitive(mean_pullback)
def mean(x: Array, *, axis: int | None = None) -> Array:
    """Mean along `axis`, which remains with size 1; with `axis` None the mean of all elements, shape ()."""
    require_axis("mean", x, axis)
    require_elements("mean", "x", x, axis)
    return namespace(x).mean(x, axis=axis, keepdims=axis is not None)


def _share(average: Array, x: Array) -> float:
    """Return 1 / count, for the number of elements that each mean is taken over."""
    share = 1.0
    for size, kept in zip(x.shape, average.shape or (1,) * x.ndim, strict=True):
        share *= kept / size
    return share


def sum_of_squares_pullback(grad: Array, total: Array, x: Array) -> tuple[Any, ...]:
    """Gradient of `sum_of_squares`: grad * 2 x."""
    del total
    return (2.0 * grad * x,)


@primitive(sum_of_squares_pullback)
def sum_of_squares(x: Array) -> Array:
    """Sum of x^2 over all elements, shape (): the L2 penalty of weights. x: any shape, float."""
    return namespace(x).sum(x * x)


def sum_of_absolutes_pullback(grad: Array, total: Array, x: Array) -> tuple[Any, ...]:
    """Gradient of `sum_of_absolutes`: grad * sign(x)."""
    del total
    return (grad * namespace(x).sign(x),)


@primitive(sum_of_absolutes_pullback)
def sum_of_absolutes(x: Array) -> Array:
    """Sum of |x| over all elements, shape (): the L1 penalty of weights. x: any shape, float."""
    xp = namespace(x)
    return xp.sum(xp.abs(x))
