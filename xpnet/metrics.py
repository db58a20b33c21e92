"""Metrics: how good predicted classes, probabilities or numbers are. NumPy arrays in, numbers out.

Labels are rows (1, m) of class indices. Probabilities are (n_classes, m), or with two classes (1, m), those
of class 1.
"""

from __future__ import annotations

import numpy as np

from xpnet.errors import ShapeError

CALIBRATION_BINS = 10
"""Bins of equal width of the score, for `reliability`."""


def accuracy(Y: np.ndarray, predicted: np.ndarray) -> float:
    """Return the fraction of correct predictions. Y, predicted: (1, m) class indices."""
    _require_rows("accuracy", Y, predicted)
    return float(np.mean(predicted == Y))


def confusion_matrix(Y: np.ndarray, predicted: np.ndarray, n_classes: int) -> np.ndarray:
    """Return counts (n_classes, n_classes): row i, column j is how often class i was predicted as class j.

    Y, predicted: (1, m) class indices.

    Raises:
        ShapeError: a label is not one of the classes.
    """
    _require_rows("confusion_matrix", Y, predicted)
    for name, labels in (("Y", Y), ("predicted", predicted)):
        if labels.min() < 0 or labels.max() >= n_classes:
            msg = (
                f"confusion_matrix: {name} holds labels from {labels.min()} to {labels.max()}, "
                f"expected 0 to {n_classes - 1}"
            )
            raise ShapeError(msg)
    pairs = Y[0].astype(np.int64) * n_classes + predicted[0].astype(np.int64)
    return np.bincount(pairs, minlength=n_classes**2).reshape(n_classes, n_classes)


def precision_recall_f1(confusion: np.ndarray) -> np.ndarray:
    """Return the precision, recall and F1 score of each class, (3, n_classes); 0 where one is undefined.

    See `macro_f1` for the mean of the last row. confusion: the result of `confusion_matrix`.
    """
    right = np.diagonal(confusion).astype(np.float64)
    called, present = confusion.sum(axis=0), confusion.sum(axis=1)
    precision = np.divide(right, called, out=np.zeros_like(right), where=called > 0)
    recall = np.divide(right, present, out=np.zeros_like(right), where=present > 0)
    total = precision + recall
    f1 = np.divide(2 * precision * recall, total, out=np.zeros_like(right), where=total > 0)
    return np.stack([precision, recall, f1])


def macro_f1(confusion: np.ndarray) -> tuple[float, int]:
    """Return the mean F1 score of the classes that occur, and their number.

    A class that is neither among the labels nor predicted has no F1 score. scikit-learn leaves it out too.

    confusion: the result of `confusion_matrix`.
    """
    occurs = confusion.sum(axis=0) + confusion.sum(axis=1) > 0
    return float(precision_recall_f1(confusion)[2, occurs].mean()), int(occurs.sum())


def log_loss(Y: np.ndarray, probabilities: np.ndarray) -> float:
    """Return the mean of -log p, where p is the predicted probability of the true class; inf if one is 0.

    Y: (1, m) class indices. probabilities: (n_classes, m), or (1, m), those of class 1.
    """
    rows = probabilities
    if len(rows) == 1:
        rows = np.concatenate([1.0 - rows, rows])
    _require_probabilities("log_loss", Y, probabilities)
    given = np.take_along_axis(rows, Y.astype(np.int64), axis=0)
    with np.errstate(divide="ignore"):
        return float(-np.mean(np.log(given)))


def calibration_error(Y: np.ndarray, probabilities: np.ndarray) -> float:
    """Return the expected calibration error: how far scores are from how often they are right, on average.

    The score of an example is the probability of its predicted class. Examples are put into ten bins by it.
    Of each bin it is the difference between the mean score and the share of right predictions, weighted by
    its examples. Few examples make it larger, by chance (Guo et al., On Calibration of Modern Neural
    Networks, 2017).

    Y: (1, m) class indices. probabilities: (n_classes, m), two classes or more.
    """
    counts, scores, right = reliability(Y, probabilities)
    return float(np.nansum(counts * np.abs(scores - right)) / Y.size)


def reliability(Y: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Return the points of a reliability diagram, (3, 10), a column for each bin of scores from 0 to 1.

    The rows are the number of examples in the bin, their mean score, and the share of right predictions. The
    last two are NaN where a bin has no examples.

    Y: (1, m) class indices. probabilities: (n_classes, m), two classes or more.
    """
    _require_probabilities("reliability", Y, probabilities)
    scores, is_right = probabilities.max(axis=0), probabilities.argmax(axis=0) == Y[0]
    bins = np.clip((scores * CALIBRATION_BINS).astype(np.int64), 0, CALIBRATION_BINS - 1)
    counts, *sums = (np.bincount(bins, each, CALIBRATION_BINS) for each in (None, scores, is_right))
    means = np.full((2, CALIBRATION_BINS), np.nan)
    np.divide(sums, counts, out=means, where=counts > 0)
    return np.concatenate([counts[None], means])


def threshold_for_precision(
    Y: np.ndarray, scores: np.ndarray, precision: float
) -> tuple[float, float, float] | None:
    """Return the lowest threshold at which so many of the positive predictions are right.

    Predictions are positive where the score is the threshold or more.

    Y: (1, m), 0 and 1. scores: (1, m), any numbers. precision: the wanted precision, 0 to 1.

    Returns:
        The threshold, and its precision and recall; None if no threshold has this precision.
    """
    _require_rows("threshold_for_precision", Y, scores)
    order = np.argsort(-scores[0], kind="stable")
    right = np.cumsum(Y[0, order] == 1)
    if not right[-1]:
        return None
    ends = np.append(np.flatnonzero(np.diff(scores[0, order])), Y.size - 1)  # equal scores go together
    reached = right[ends] / (ends + 1)
    enough = np.flatnonzero(reached >= precision)
    if not enough.size:
        return None
    last = enough[-1]
    return (
        float(scores[0, order[ends[last]]]),
        float(reached[last]),
        float(right[ends[last]] / right[-1]),
    )


def roc_auc(Y: np.ndarray, scores: np.ndarray) -> float:
    """Return the area under the ROC curve.

    It is the probability that a random example of class 1 has a higher score than a random example of class
    0. Equal scores count half (as in the Mann-Whitney U statistic).

    Y: (1, m), 0 and 1, both present. scores: (1, m), any numbers.

    Raises:
        ShapeError: the shapes do not fit, or one of the classes is missing.
    """
    _require_rows("roc_auc", Y, scores)
    positive = Y[0] == 1
    ones, zeros = int(positive.sum()), int((~positive).sum())
    if not ones or not zeros:
        msg = f"roc_auc: {ones} examples of class 1 and {zeros} of class 0, expected at least one of each"
        raise ShapeError(msg)
    _, place, counts = np.unique(scores[0], return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    ranks = (last - (counts - 1) / 2)[place]  # the mean rank of equal scores, from 1
    return float((ranks[positive].sum() - ones * (ones + 1) / 2) / (ones * zeros))


def rmse(Y: np.ndarray, predicted: np.ndarray) -> float:
    """Return the root mean squared error. Y, predicted: (n_out, m)."""
    _require_same("rmse", Y, predicted)
    return float(np.sqrt(np.mean((Y - predicted) ** 2)))


def r_squared(Y: np.ndarray, predicted: np.ndarray) -> float:
    """Return R², the coefficient of determination; NaN if all targets are equal.

    R² = 1 - (sum of squared errors) / (sum of squared deviations of Y from its mean). With several outputs,
    the mean of their R². Y, predicted: (n_out, m).
    """
    _require_same("r_squared", Y, predicted)
    error = np.sum((Y - predicted) ** 2, axis=1)
    spread = np.sum((Y - Y.mean(axis=1, keepdims=True)) ** 2, axis=1)
    shares = np.divide(error, spread, out=np.full_like(spread, np.nan, dtype=np.float64), where=spread > 0)
    return float(1.0 - np.mean(shares))


def _require_rows(function: str, Y: np.ndarray, other: np.ndarray) -> None:
    _require_same(function, Y, other)
    if Y.ndim != 2 or Y.shape[0] != 1:
        msg = f"{function}: Y has shape {Y.shape}, expected a row (1, m)"
        raise ShapeError(msg)


def _require_probabilities(function: str, Y: np.ndarray, probabilities: np.ndarray) -> None:
    if Y.shape != (1, probabilities.shape[1]):
        msg = (
            f"{function}: Y has shape {Y.shape} and probabilities {probabilities.shape}: "
            "expected (1, m) and (n_classes, m)"
        )
        raise ShapeError(msg)
    _require_some(function, Y)


def _require_same(function: str, Y: np.ndarray, other: np.ndarray) -> None:
    if Y.shape != other.shape:
        msg = f"{function}: Y has shape {Y.shape} and the predictions {other.shape}, expected the same shape"
        raise ShapeError(msg)
    _require_some(function, Y)


def _require_some(function: str, Y: np.ndarray) -> None:
    if not Y.size:
        msg = f"{function}: no examples, expected at least one"
        raise ShapeError(msg)
