"""Checks of shapes. An error names the shape that came, the one expected, and how to fix it."""

from typing import Any, NoReturn

import numpy as np

from xpnet.arrays.namespaces import Array, namespace, refuse_other_than_floats
from xpnet.errors import ArrayTypeError, DtypeError, ShapeError

_COLUMNS = frozenset({"X", "b", "w"})
"""Names of parameters for which a vector should be a column."""

_ROWS = frozenset({"A", "Y", "yhat"})
"""Names of parameters for which a vector should be a row."""


def refuse_rank_1(function: str, parameter: str, array: Array) -> NoReturn:
    """Raise `ShapeError` for an array of rank 1: a vector has to be a column (n, 1) or a row (1, m)."""
    n = array.shape[0]
    column, row = f"a column ({n}, 1), as_column({parameter})", f"a row (1, {n}), as_row({parameter})"
    if parameter in _COLUMNS:
        fix = f"make it {column}"
    elif parameter in _ROWS:
        fix = f"make it {row}"
    else:
        fix = f"make it {column}, or {row}"
    msg = f"{function}: {parameter} has shape ({n},), which is neither a column nor a row: {fix}"
    raise ShapeError(msg)


def require_floats(function: str, parameter: str, array: Array) -> Array:
    """Return an array after checking that it holds floats and does not have rank 1.

    A Python number is returned as a float64 array of shape ().

    Raises:
        ShapeError: `array` has rank 1.
        DtypeError: `array` does not hold real floating-point numbers.
        ArrayTypeError: `array` is not an array.
    """
    if type(array) in (bool, int, float):
        try:
            return np.asarray(float(array))
        except OverflowError:
            msg = f"{function}: {parameter} is an integer outside the range of float64"
            raise DtypeError(msg) from None
    namespace(array, f"{function}: {parameter}: ")
    if array.ndim == 1:
        refuse_rank_1(function, parameter, array)
    refuse_other_than_floats(function, parameter, array)
    return array


def require_matrix(function: str, parameter: str, array: Array) -> None:
    """Raise `ShapeError` unless `array` is a matrix: an array of rank 2."""
    if array.ndim != 2:
        msg = f"{function}: {parameter} has shape {tuple(array.shape)}, expected a matrix (rank 2)"
        raise ShapeError(msg)


def require_inner(function: str, left: str, x: Array, right: str, y: Array) -> None:
    """Raise `ShapeError` unless `x` and `y` are matrices that can be multiplied, `x @ y`."""
    if x.ndim != 2:
        require_matrix(function, left, x)
    if y.ndim != 2:
        require_matrix(function, right, y)
    if x.shape[1] != y.shape[0]:
        fix = f": transpose {right}?" if x.shape[1] == y.shape[1] else ""
        msg = (
            f"{function}: {left} is {tuple(x.shape)} and {right} is {tuple(y.shape)}, but the number of "
            f"columns of {left} ({x.shape[1]}) must equal the number of rows of {right} ({y.shape[0]}){fix}"
        )
        raise ShapeError(msg)


def require_affine(W: Array, X: Array, b: Array) -> None:
    """Raise `ShapeError` unless the shapes fit W X + b. W: (n_out, n_in), X: (n_in, m), b: (n_out, 1)."""
    require_inner("affine", "W", W, "X", X)
    if b.shape != (W.shape[0], 1):
        msg = (
            f"affine: b is {tuple(b.shape)} and W is {tuple(W.shape)}, expected b to be the column "
            f"({W.shape[0]}, 1), with one bias for each row of W"
        )
        raise ShapeError(msg)


def require_same(function: str, left: str, x: Array, right: str, y: Array) -> None:
    """Raise `ShapeError` unless both arrays have the same shape."""
    if x.shape != y.shape:
        fix = f": transpose {right}?" if tuple(x.shape) == tuple(y.shape)[::-1] else ""
        msg = (
            f"{function}: {left} is {tuple(x.shape)} and {right} is {tuple(y.shape)}, "
            f"but both must have the same shape{fix}"
        )
        raise ShapeError(msg)


def require_broadcastable(function: str, x: Array, y: Array) -> None:
    """Raise `ShapeError` unless the shapes of `x` and `y` can be broadcast. Python numbers always can."""
    left, right = getattr(x, "shape", ()), getattr(y, "shape", ())
    if left == right:
        return
    for p, q in zip(reversed(left), reversed(right), strict=False):
        if p != q and 1 not in (p, q):
            msg = (
                f"{function}: x is {tuple(left)} and y is {tuple(right)}, which do not broadcast: from the "
                f"right, two sizes must be equal, or one of them must be 1, but here they are {p} and {q}"
            )
            raise ShapeError(msg)


def require_axis(function: str, x: Array, axis: int | None) -> None:
    """Raise `ShapeError` unless `axis` is None or one of the axes of `x`."""
    if axis is not None and not (isinstance(axis, int) and -x.ndim <= axis < x.ndim):
        shape = tuple(x.shape)
        msg = f"{function}: axis is {axis!r}, and x has shape {shape}: expected None or 0 to {x.ndim - 1}"
        raise ShapeError(msg)


def require_elements(function: str, parameter: str, x: Array, axis: int | None) -> None:
    """Raise `ShapeError` if `x` has no elements along `axis`; with `axis` None, if it has none at all."""
    if 0 in (x.shape if axis is None else (x.shape[axis],)):
        where = "" if axis is None else f" along axis {axis}"
        msg = f"{function}: {parameter} has shape {tuple(x.shape)}, expected at least one element{where}"
        raise ShapeError(msg)


def require_number(function: str, parameter: str, value: Any) -> None:
    """Raise `ArrayTypeError` unless `value` is a Python number."""
    if not isinstance(value, int | float):
        msg = f"{function}: {parameter} is a {type(value).__name__}, expected a Python number"
        raise ArrayTypeError(msg)


def require_class_labels(function: str, Y: Array, n_classes: int, m: int | None = None) -> None:
    """Raise an error unless `Y` is a row (1, m) of class indices 0 to n_classes - 1.

    The values are checked only in NumPy arrays: to read those on a GPU, the program would have to wait for
    it. The docstring of the caller says what a label out of range does there.

    Raises:
        ShapeError: `Y` has another shape, or a label is out of range.
        DtypeError: `Y` does not hold integers.
    """
    namespace(Y, f"{function}: Y: ")
    if Y.ndim != 2 or Y.shape[0] != 1 or m not in (None, Y.shape[1]):
        one_hot = Y.ndim == 2 and Y.shape[0] == n_classes and m in (None, Y.shape[1])
        msg = (
            f"{function}: Y has shape {tuple(Y.shape)}, expected (1, {'m' if m is None else m}), "
            f"one class index for each column{': convert one-hot labels with argmax' if one_hot else ''}"
        )
        raise ShapeError(msg)
    if not namespace(Y).isdtype(Y.dtype, "integral"):
        msg = f"{function}: Y is {Y.dtype}, expected integer class indices 0 to {n_classes - 1}"
        raise DtypeError(msg)
    if isinstance(Y, np.ndarray) and Y.size and not (Y.min() >= 0 and Y.max() < n_classes):
        msg = (
            f"{function}: Y holds labels from {Y.min()} to {Y.max()}, expected 0 to {n_classes - 1} "
            f"for {n_classes} classes (Z has one row for each class)"
        )
        raise ShapeError(msg)


def require_probabilities(function: str, Y: Array) -> None:
    """Raise `ShapeError` if `Y` is a NumPy array with a number outside 0 to 1."""
    if not isinstance(Y, np.ndarray) or not Y.size:
        return
    # Viewed as unsigned, a negative integer is a large one: one pass over Y is enough.
    seen = Y.view(f"u{Y.itemsize}") if Y.dtype.kind == "i" and Y.dtype.isnative else Y
    if not (seen.max() <= 1 and (seen is not Y or Y.min() >= 0)):
        msg = (
            f"{function}: Y holds values from {Y.min()} to {Y.max()}, expected 0 to 1: "
            "for more than two classes use softmax_cross_entropy"
        )
        raise ShapeError(msg)
