"""Convert vectors, images and labels to the matrices that the other functions expect."""

import math
from typing import Any

import numpy as np

from xpnet.arrays import Array, indices_like, namespace, require_class_labels, require_floats, require_matrix
from xpnet.errors import ArrayTypeError, ShapeError


def as_column(x: Any) -> Array:
    """Return a vector as a column (n, 1), not copied. x: a list, or an array (n,), (n, 1) or (1, n)."""
    return namespace(vector := _vector("as_column", x)).reshape(vector, (-1, 1))


def as_row(x: Any) -> Array:
    """Return a vector as a row (1, m), not copied. x: a list, or an array (m,), (m, 1) or (1, m)."""
    return namespace(vector := _vector("as_row", x)).reshape(vector, (1, -1))


def _vector(function: str, x: Any) -> Array:
    """Return a vector as an array, after checking its shape."""
    if isinstance(x, list | tuple):
        try:
            x = np.asarray(x)
        except ValueError as error:
            msg = f"{function}: the list is not a vector: {error}"
            raise ShapeError(msg) from None
        if x.dtype.kind not in "biuf":
            msg = f"{function}: the list holds {x.dtype} values, expected numbers"
            raise ArrayTypeError(msg)
    namespace(x, f"{function}: x: ")
    if x.ndim == 1 or (x.ndim == 2 and 1 in x.shape):
        return x
    msg = f"{function}: x has shape {tuple(x.shape)}, expected a vector: (n,), (n, 1) or (1, n)"
    raise ShapeError(msg)


def image2vector(images: Array) -> Array:
    """Unroll one image to a column, or several images to a column matrix.

    Args:
        images: of any dtype: one image (height, width) or (height, width, channels), or several images
            (m, height, width, channels).

    Returns:
        (n_x, 1) for one image, (n_x, m) for several, with the numbers of an image in C order. Not copied if
        the memory layout allows it.

    Raises:
        ShapeError: `images` has another rank, or is one image with more than four channels. That is probably
            several gray images, which need a last axis of size 1.
    """
    xp = namespace(images)
    if images.ndim == 2 or (images.ndim == 3 and 1 <= images.shape[2] <= 4):
        return xp.reshape(images, (-1, 1))
    if images.ndim == 4:
        m, *shape = images.shape
        return xp.reshape(images, (m, math.prod(shape))).T
    msg = (
        f"image2vector: images has shape {tuple(images.shape)}, expected (height, width) or "
        "(height, width, 1 to 4 channels) for one image, (m, height, width, channels) for several: "
        "give gray images one channel"
    )
    raise ShapeError(msg)


def vector2image(X: Array, shape: tuple[int, ...]) -> Array:
    """Convert columns back to images: the inverse of `image2vector`.

    Args:
        X: (n_x, m), any dtype.
        shape: of one image, (height, width, channels) or (height, width).

    Returns:
        (m, *shape); for a single column, one image of that shape.

    Raises:
        ShapeError: X is not a matrix, or its number of rows is not the number of values of an image.
    """
    require_matrix("vector2image", "X", X)
    n_x, m = X.shape
    if n_x != math.prod(shape) or any(size < 1 for size in shape):
        msg = (
            f"vector2image: X is {tuple(X.shape)}, and an image of shape {tuple(shape)} unrolls to "
            f"{math.prod(shape)} rows, not {n_x}"
        )
        raise ShapeError(msg)
    return namespace(X).reshape(X.T, shape if m == 1 else (m, *shape))


def normalize_rows(x: Array) -> Array:
    """Divide each row by its Euclidean length. A row of zeros does not change. x: (n, m), float.

    Raises:
        ShapeError: x is not a matrix.
        DtypeError: x does not hold floats.
    """
    require_floats("normalize_rows", "x", x)
    require_matrix("normalize_rows", "x", x)
    xp = namespace(x)
    # Each row is first divided by its largest element, so that its squares neither overflow nor underflow.
    if not x.shape[1]:
        return x
    largest = xp.max(xp.abs(x), axis=1, keepdims=True)
    scaled = x / xp.where(largest > 0, largest, 1.0)
    length = xp.sqrt(xp.sum(scaled * scaled, axis=1, keepdims=True))
    return scaled / xp.where(length > 0, length, 1.0)


def one_hot(Y: Array, n_classes: int, dtype: Any = None) -> Array:
    """Return the matrix (n_classes, m) whose column i is 1 in row Y[0, i] and 0 elsewhere.

    Args:
        Y: class indices (1, m), integers. A label out of range is an error in a NumPy array. On a GPU labels
            are not checked, because that would wait for it: there, it gives a column of zeros.
        n_classes: the number of classes.
        dtype: of the result, a dtype of the library of Y; float64 if None.

    Raises:
        ShapeError: Y is not a row, or a label is out of range (checked only in NumPy arrays).
        DtypeError: Y does not hold integers.
    """
    xp = namespace(Y)
    if not isinstance(n_classes, int) or n_classes < 1:
        msg = f"one_hot: n_classes is {n_classes!r}, expected a whole number of at least 1"
        raise ShapeError(msg)
    require_class_labels("one_hot", Y, n_classes)
    return xp.astype(indices_like(Y, n_classes) == Y, xp.float64 if dtype is None else dtype)
