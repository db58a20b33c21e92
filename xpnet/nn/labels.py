"""Labels and targets: checks before a training, weights of the examples, and the dtype of the loss."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from xpnet.arrays import namespace, require_class_labels
from xpnet.errors import ConfigurationError, DtypeError, ShapeError

if TYPE_CHECKING:
    from xpnet.nn.network import Network


def require_labels(model: Network, Y: np.ndarray, m: int) -> None:
    """Check that Y has labels of m examples that fit the model.

    Args:
        model: the network. Its output says which labels it needs: 0 and 1 for "sigmoid", class indices for
            "softmax", finite numbers for regression.
        Y: the labels in host memory: (1, m) for "softmax", else (n_out, m).
        m: number of examples.

    Raises:
        ShapeError: Y has another shape, a label is out of range, or a target is not finite.
        DtypeError: class indices are not integers, or other labels are not numbers.
    """
    namespace(Y, "Y: ")
    rows = 1 if model.output == "softmax" else model.n_out
    if tuple(Y.shape) != (rows, m):
        msg = f"Y has shape {tuple(Y.shape)}, expected {(rows, m)}: a label for each of {m} examples"
        raise ShapeError(msg)
    if model.output == "softmax":
        require_class_labels("Y", Y, model.n_out, m)
    elif Y.dtype.kind not in "biuf":
        msg = f"Y is {Y.dtype}, expected numbers"
        raise DtypeError(msg)
    elif model.output == "sigmoid":
        if not np.isin(Y, (0, 1)).all():
            msg = (
                f"Y holds values from {Y.min()} to {Y.max()}, expected 0 and 1; "
                "for more classes use a softmax"
            )
            raise ShapeError(msg)
    elif not np.isfinite(Y).all():
        msg = "Y holds a NaN or an infinity, expected finite targets"
        raise ShapeError(msg)


def require_trainable_labels(model: Network, Y: np.ndarray, m: int) -> None:
    """See `require_labels`. Also raise `ShapeError` if all labels of a classifier are equal."""
    require_labels(model, Y, m)
    if model.output in ("sigmoid", "softmax") and bool((Y[:, 1:] == Y[:, :1]).all()):
        msg = f"all {m} examples are of class {Y[0, 0]}: expected at least two classes"
        raise ShapeError(msg)


def example_weights(
    model: Network,
    Y: np.ndarray,
    class_weight: str | tuple[float, ...] | None,
    weights: np.ndarray | None = None,
) -> np.ndarray | None:
    """Return the weights of the examples, (1, m) float64, or None if both kinds of weights are None.

    Args:
        model: the network. With `class_weight` a classifier.
        Y: its labels, (1, m), or targets (n_out, m).
        class_weight: None; "balanced", m / (number of classes * examples of the class), which has mean 1; or
            a weight for each class. With `weights`, "balanced" counts an example as often as its weight says.
        weights: a positive weight for each example, (1, m), in host memory; or None.

    Raises:
        ConfigurationError: `class_weight` is another string, has another number of weights, or has a weight
            that is not positive; or the model is not a classifier.
        ShapeError: `weights` has another shape, or a weight is not positive or not finite.
        DtypeError: `weights` are not numbers.
    """
    own = None if weights is None else _checked_weights(weights, Y.shape[1])
    if class_weight is None:
        return own
    n_classes = 2 if model.output == "sigmoid" else model.n_out
    if model.output not in ("sigmoid", "softmax") or Y.shape[0] != 1:
        msg = (
            f"class_weight needs a classifier with one label for each example, not a {model.output!r} output"
        )
        raise ConfigurationError(msg)
    if class_weight == "balanced":
        counts = np.bincount(Y[0].astype(np.int64), None if own is None else own[0], n_classes)
        by_class = counts.sum() / (n_classes * np.where(counts > 0, counts, 1))
    elif isinstance(class_weight, str) or len(class_weight) != n_classes or min(class_weight) <= 0:
        msg = f"class_weight is {class_weight!r}, expected 'balanced' or {n_classes} positive numbers"
        raise ConfigurationError(msg)
    else:
        by_class = np.asarray(class_weight, dtype=np.float64)
    chosen: np.ndarray = by_class[Y.astype(np.int64)]
    return chosen if own is None else chosen * own


def _checked_weights(weights: np.ndarray, m: int) -> np.ndarray:
    """Return the weights of m examples, (1, m), in float64; see `example_weights`."""
    namespace(weights, "weights: ")
    if tuple(weights.shape) != (1, m):
        msg = f"weights have shape {tuple(weights.shape)}, expected {(1, m)}: one for each example"
        raise ShapeError(msg)
    if weights.dtype.kind not in "iuf":
        msg = f"weights are {weights.dtype}, expected numbers"
        raise DtypeError(msg)
    found = weights.astype(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        is_valid = (found > 0).all() and np.isfinite(found.sum())
    if not is_valid:
        msg = (
            f"weights go from {found.min()} to {found.max()}, expected positive, finite numbers: "
            "remove examples of weight 0"
        )
        raise ShapeError(msg)
    return found


def labels_for_loss(model: Network, Y: np.ndarray, dtype: str) -> np.ndarray:
    """Return labels in the dtype that the model's loss takes: int64 for "softmax", else `dtype`."""
    return Y.astype(np.int64 if model.output == "softmax" else dtype, copy=False)
