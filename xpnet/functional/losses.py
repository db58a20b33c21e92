"""Losses. The losses of classifiers take logits: a probability could be rounded to 0 or 1.

A loss is a row (1, m), one number for each example. The cost J is its mean. Only L1 and L2 return the sum
over all examples, as in the course.
"""

from typing import Any

from xpnet.arrays import (
    Array,
    cast_like,
    indices_like,
    namespace,
    require_class_labels,
    require_matrix,
    require_probabilities,
    require_same,
)
from xpnet.autodiff import primitive
from xpnet.functional.activations import sigmoid, softmax


def logistic_loss_pullback(grad: Array, loss: Array, Z: Array, Y: Array) -> tuple[Any, ...]:
    """Gradient of `logistic_loss`: grad * (A - Y) with A = sigmoid(Z)."""
    del loss
    return grad * (sigmoid(Z) - cast_like(Y, Z)), None


@primitive(logistic_loss_pullback, constants=("Y",))
def logistic_loss(Z: Array, Y: Array) -> Array:
    """Binary cross-entropy -(Y log A + (1 - Y) log(1 - A)) of A = sigmoid(Z), elementwise.

    Z: logits (1, m), or (n, m) for n independent binary outputs. Y: labels of the same shape, 0 or 1, or
        numbers between them (smoothed labels); integers, booleans or floats.

    Raises:
        ShapeError: the shapes differ, or a label is not between 0 and 1 (checked only in NumPy arrays).
    """
    require_same("logistic_loss", "Z", Z, "Y", Y)
    require_probabilities("logistic_loss", Y)
    xp = namespace(Z)
    # -log A = softplus(-Z) and -log(1 - A) = softplus(Z) = softplus(-Z) + Z
    return xp.maximum(Z, 0.0) - Z * cast_like(Y, Z) + xp.log1p(xp.exp(-xp.abs(Z)))


def softmax_cross_entropy_pullback(grad: Array, loss: Array, Z: Array, Y: Array) -> tuple[Any, ...]:
    """Gradient of `softmax_cross_entropy`: grad * (softmax(Z) - one_hot(Y))."""
    del loss
    hit = _hits(Y, Z.shape[0])
    residual = softmax(Z) - cast_like(hit, Z)
    # Where the label is out of range, the loss is NaN, and the gradient too: so training stops with an error.
    known = namespace(Z).any(hit, axis=0, keepdims=True)
    return grad * namespace(Z).where(known, residual, namespace(Z).nan), None


def _hits(Y: Array, n_classes: int) -> Array:
    """Return one-hot booleans (n_classes, m): whether the class of a column is that of the row."""
    xp = namespace(Y)
    return indices_like(Y, n_classes) == (xp.astype(Y, xp.int64) if Y.dtype == xp.uint64 else Y)


@primitive(softmax_cross_entropy_pullback, constants=("Y",))
def softmax_cross_entropy(Z: Array, Y: Array) -> Array:
    """Cross-entropy -log softmax(Z)[Y] of each column, shape (1, m).

    Z: logits (n_classes, m). Y: class indices (1, m), integers. A label out of range is an error in a NumPy
    array. On a GPU labels are not checked, because that would wait for it: there, the loss and the gradient
    of the example are NaN.

    Raises:
        ShapeError: the shapes do not fit, or a label is out of range (checked only in NumPy arrays).
        DtypeError: Y does not hold integers.
    """
    require_matrix("softmax_cross_entropy", "Z", Z)
    n_classes, m = Z.shape
    require_class_labels("softmax_cross_entropy", Y, n_classes, m)
    xp = namespace(Z)
    hit = _hits(Y, n_classes)
    shifted = Z - xp.max(Z, axis=0, keepdims=True)
    picked = xp.sum(xp.where(hit, shifted, 0.0), axis=0, keepdims=True)
    loss = xp.log(xp.sum(xp.exp(shifted), axis=0, keepdims=True)) - picked
    return xp.where(xp.any(hit, axis=0, keepdims=True), loss, xp.nan)


def squared_error_pullback(grad: Array, loss: Array, A: Array, Y: Array) -> tuple[Any, ...]:
    """Gradient of `squared_error`: grad * 2 (A - Y)."""
    del loss
    return grad * (2.0 * (A - cast_like(Y, A))), None


@primitive(squared_error_pullback, constants=("Y",))
def squared_error(A: Array, Y: Array) -> Array:
    """Squared error: the sum of (A - Y)^2 over each column, shape (1, m). A, Y: (n_out, m).

    Raises:
        ShapeError: the shapes differ, or A is not a matrix.
    """
    require_matrix("squared_error", "A", A)
    require_same("squared_error", "A", A, "Y", Y)
    xp = namespace(A)
    error = A - cast_like(Y, A)
    return xp.sum(error * error, axis=0, keepdims=True)


def L1_pullback(grad: Array, loss: Array, yhat: Array, y: Array) -> tuple[Any, ...]:
    """Gradient of `L1`: grad * sign(yhat - y)."""
    del loss
    xp = namespace(yhat)
    return grad * xp.sign(yhat - cast_like(y, yhat)), None


@primitive(L1_pullback, constants=("y",))
def L1(yhat: Array, y: Array) -> Array:
    """L1 loss: the sum of |y - yhat| over all examples, shape (). yhat, y: rows (1, m), or equal shapes.

    Raises:
        ShapeError: the shapes differ.
    """
    require_same("L1", "yhat", yhat, "y", y)
    xp = namespace(yhat)
    return xp.sum(xp.abs(cast_like(y, yhat) - yhat))


def L2_pullback(grad: Array, loss: Array, yhat: Array, y: Array) -> tuple[Any, ...]:
    """Gradient of `L2`: grad * 2 (yhat - y)."""
    del loss
    return grad * (2.0 * (yhat - cast_like(y, yhat))), None


@primitive(L2_pullback, constants=("y",))
def L2(yhat: Array, y: Array) -> Array:
    """L2 loss: the sum of (y - yhat)^2 over all examples, shape (). yhat, y: rows (1, m), or equal shapes.

    Raises:
        ShapeError: the shapes differ.
    """
    require_same("L2", "yhat", yhat, "y", y)
    xp = namespace(yhat)
    error = cast_like(y, yhat) - yhat
    return xp.sum(error * error)
