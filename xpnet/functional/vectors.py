"""Columns, rows, images and labels as the matrices that everything else expects."""

import math
from typing import Any

import numpy as np

from xpnet.arrays import Array, indices_like, namespace, require_class_labels, require_floats, require_matrix
from xpnet.errors import ArrayTypeError, ShapeError


def as_column(x: Any) -> Array:
    """Return a vector as a column (n, 1). x: a list, rank-1 array, row or column; shared, not copied."""
    return namespace(vector := _vector("as_column", x)).reshape(vector, (-1, 1))


def as_row(x: Any) -> Array:
    """Return a vector as a row (1, m). x: a list, rank-1 array, row or column; shared, not copied."""
    return namespace(vector := _vector("as_row", x)).reshape(vector, (1, -1))


def _vector(function: str, x: Any) -> Array:
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
    """Unroll one image to a column, or a stack of images to a column matrix.

    images: one image (height, width) or (height, width, channels), of any dtype, gives (n_x, 1); a stack
    (m, height, width, channels) gives (n_x, m), one column for each image. n_x counts in C order. Shared with
    `images` where its memory layout allows, not copied.

    Raises:
        ShapeError: another rank, or one image of more than four channels, which is likely a grayscale stack.
    """
    xp = namespace(images)
    if images.ndim == 2 or (images.ndim == 3 and 1 <= images.shape[2] <= 4):
        return xp.reshape(images, (-1, 1))
    if images.ndim == 4:
        m, *shape = images.shape
        return xp.reshape(images, (m, math.prod(shape))).T
    msg = (
        f"image2vector: images has shape {tuple(images.shape)}, expected (height, width) or "
        "(height, width, 1 to 4 channels) for one image, (m, height, width, channels) for a stack: "
        "give gray images one channel"
    )
    raise ShapeError(msg)


def vector2image(X: Array, shape: tuple[int, ...]) -> Array:
    """Undo `image2vector`.

    X: (n_x, m), any dtype. shape: of one image, (height, width, channels) or (height, width). Returns
    (m, *shape); or, for a single column, one image of that shape.

    Raises:
        ShapeError: X is not a matrix, or its columns do not have as many rows as an image has numbers.
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
    """Divide each row by its Euclidean length; a row of zeros stays zeros. x: (n, m), float.

    Raises:
        ShapeError: x is not a matrix.
        DtypeError: x does not hold floats.
    """
    require_floats("normalize_rows", "x", x)
    require_matrix("normalize_rows", "x", x)
    xp = namespace(x)
    # Divided by its largest element first, a row's squares neither overflow nor vanish.
    if not x.shape[1]:
        return x
    largest = xp.max(xp.abs(x), axis=1, keepdims=True)
    scaled = x / xp.where(largest > 0, largest, 1.0)
    length = xp.sqrt(xp.sum(scaled * scaled, axis=1, keepdims=True))
    return scaled / xp.where(length > 0, length, 1.0)


def one_hot(Y: Array, n_classes: int, dtype: Any = None) -> Array:
    """Return the matrix (n_classes, m) whose column i is 1 in row Y[0, i] and 0 elsewhere.

    Y: class indices (1, m), integers. dtype: of the result, one of the array's library; float64 if None. A
    label out of range is refused in NumPy arrays; on a device, where reading labels back would stall it, it
    gives a column of zeros.

    Raises:
        ShapeError: Y is not a row, or a label (of a NumPy array) is out of range.
        DtypeError: Y does not hold integers.
    """
    xp = namespace(Y)
    if not isinstance(n_classes, int) or n_classes < 1:
        msg = f"one_hot: n_classes is {n_classes!r}, expected a whole number of at least 1"
        raise ShapeError(msg)
    require_class_labels("one_hot", Y, n_classes)
    return xp.astype(indices_like(Y, n_classes) == Y, xp.float64 if dtype is None else dtype)
