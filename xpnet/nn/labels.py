"""Labels and targets: refuse what cannot be learned from, before any work is done."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from xpnet.arrays import namespace, require_class_labels
from xpnet.errors import ConfigurationError, DtypeError, ShapeError

if TYPE_CHECKING:
    from xpnet.nn.network import Network


def require_labels(model: Network, Y: np.ndarray, m: int) -> None:
    """Raise unless `Y`, in host memory, labels m examples for `model`.

    For "sigmoid" 0 and 1; for "softmax" class indices; for regression finite numbers; (1, m), or (n_out, m)
    where there are several outputs.

    Raises:
        ShapeError: another shape, a label out of range, or a target that is not finite.
        DtypeError: labels that are no integers, targets that are no numbers.
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
    """Raise as `require_labels`, and `ShapeError` if all labels of a classifier are the same."""
    require_labels(model, Y, m)
    if model.output in ("sigmoid", "softmax") and bool((Y[:, 1:] == Y[:, :1]).all()):
        msg = f"all {m} examples are of class {Y[0, 0]}: expected at least two classes"
        raise ShapeError(msg)


def example_weights(
    model: Network, Y: np.ndarray, class_weight: str | tuple[float, ...] | None
) -> np.ndarray | None:
    """Return a weight for each example, (1, m) float64, or None if all weigh 1.

    Args:
        model: a classifier.
        Y: its labels (1, m).
        class_weight: "balanced", m / (number of classes * examples of the class), which has mean 1; or a
            weight for each class.

    Raises:
        ConfigurationError: another word, another number of weights, a weight that is not positive, or a model
            that is no classifier.
    """
    if class_weight is None:
        return None
    n_classes = 2 if model.output == "sigmoid" else model.n_out
    if model.output not in ("sigmoid", "softmax") or Y.shape[0] != 1:
        msg = (
            f"class_weight needs a classifier with one label for each example, not a {model.output!r} output"
        )
        raise ConfigurationError(msg)
    if class_weight == "balanced":
        counts = np.bincount(Y[0].astype(np.int64), minlength=n_classes)
        weights = Y.shape[1] / (n_classes * np.maximum(counts, 1))
    elif isinstance(class_weight, str) or len(class_weight) != n_classes or min(class_weight) <= 0:
        msg = f"class_weight is {class_weight!r}, expected 'balanced' or {n_classes} positive numbers"
        raise ConfigurationError(msg)
    else:
        weights = np.asarray(class_weight, dtype=np.float64)
    chosen: np.ndarray = weights[Y.astype(np.int64)]
    return chosen


def labels_for_loss(model: Network, Y: np.ndarray, dtype: str) -> np.ndarray:
    """Return the labels, in host memory, in the dtype that the model's loss takes."""
    return Y.astype(np.int64 if model.output == "softmax" else dtype, copy=False)
