"""Sum and mean along an axis. They keep the rank: a sum over columns is a column, never a rank-1 array."""

from typing import Any

from xpnet.arrays import Array, namespace, require_axis, require_elements
from xpnet.autodiff import primitive


def sum_pullback(grad: Array, total: Array, x: Array, *, axis: int | None = None) -> tuple[Any, ...]:
    """Gradient of `sum`: grad, stretched to the shape of x."""
    del total, axis
    return (namespace(grad).broadcast_to(grad, x.shape),)


@primitive(sum_pullback)
def sum(x: Array, *, axis: int | None = None) -> Array:  # noqa: A001  (the arrays' own word)
    """Sum along `axis`, keeping it with size 1; of all elements, shape (), if `axis` is None.

    For x of shape (n, m), axis 0 sums down each column and returns the row (1, m); axis 1 sums along each
    row and returns the column (n, 1).
    """
    require_axis("sum", x, axis)
    return namespace(x).sum(x, axis=axis, keepdims=axis is not None)


def mean_pullback(grad: Array, average: Array, x: Array, *, axis: int | None = None) -> tuple[Any, ...]:
    """Gradient of `mean`: grad / count, stretched to the shape of x."""
    xp = namespace(grad)
    del axis
    return (xp.broadcast_to(grad * _share(average, x), x.shape),)


@primitive(mean_pullback)
def mean(x: Array, *, axis: int | None = None) -> Array:
    """Mean along `axis`, keeping it with size 1; of all elements, shape (), if `axis` is None."""
    require_axis("mean", x, axis)
    require_elements("mean", "x", x, axis)
    return namespace(x).mean(x, axis=axis, keepdims=axis is not None)


def _share(average: Array, x: Array) -> float:
    """Return what one element of x adds to its mean: 1 / count."""
    share = 1.0
    for size, kept in zip(x.shape, average.shape or (1,) * x.ndim, strict=True):
        share *= kept / size
    return share
