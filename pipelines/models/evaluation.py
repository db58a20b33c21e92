"""Judge a model by labelled data."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np

from xpnet import metrics

from ..datasets import TABLE_SUFFIXES, DataOptions, open_data, with_classes, with_labels_for
from .model import probabilities, require_same_recipe

if TYPE_CHECKING:
    from collections.abc import Callable

    from xpnet.backend import Backend

    from ..datasets import Dataset
    from .model import Model


def open_labelled(
    opened: Model,
    path: str,
    labels: str | None,
    target: str | None,
    workers: int,
    on_error: str,
    on_progress: Callable[[int, int], object],
) -> Dataset:
    """Open DATA as the model takes it: its recipe, its classes by name. Arguments as for `Reading`.

    Raises:
        DataError: it cannot be read, or holds a class that the model does not know.
        NoInputError: nothing in it can be used.
        UsageError: it was made otherwise than the model's training data.
    """
    recipe = opened.recipe if os.path.isdir(path) else None
    if path.lower().endswith(TABLE_SUFFIXES):
        target = target or opened.saved.recipe.get("target")
    reading = DataOptions(recipe, None, labels, target, workers, on_error)
    dataset = open_data(path, reading, on_progress)
    kind = {"sigmoid": "logistic", "softmax": "softmax"}.get(opened.saved.model.output, "regression")
    dataset = with_labels_for(kind, dataset)
    require_same_recipe(opened, dataset, path)
    return with_classes(dataset, opened.class_names, path)


def evaluate(opened: Model, dataset: Dataset, backend: Backend) -> dict[str, Any]:
    """Return metrics as plain data: for a classifier also the confusion matrix and a row for each class."""
    return judged(opened, dataset, answers_of(opened, dataset, backend))


def answers_of(opened: Model, dataset: Dataset, backend: Backend) -> np.ndarray:
    """Return what a model answers to each example, (n_out, m) float64."""
    return opened.scorer(backend)(dataset.data.examples).astype(np.float64)


def classified(opened: Model, answers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the probability of each class (n_classes, m) and the predicted class (1, m) of a classifier."""
    chances = probabilities(opened, answers)
    if opened.saved.model.output == "sigmoid":
        return chances, (answers > 0.5).astype(np.int64)
    return chances, np.argmax(chances, axis=0)[None]


def judged(opened: Model, dataset: Dataset, answers: np.ndarray) -> dict[str, Any]:
    """Return metrics of answers (n_out, m), as `evaluate` does."""
    Y, classes = dataset.Y, opened.class_names
    report: dict[str, Any] = {"m": dataset.data.m, "skipped": len(dataset.skipped)}
    if not classes:
        return {**report, "rmse": metrics.rmse(Y, answers), "r_squared": metrics.r_squared(Y, answers)}
    chances, predicted = classified(opened, answers)
    confusion = metrics.confusion_matrix(Y, predicted, len(classes))
    by_class = metrics.precision_recall_f1(confusion)
    report |= {
        "accuracy": metrics.accuracy(Y, predicted),
        "log_loss": metrics.log_loss(Y, chances),
        "confusion": confusion.tolist(),
        "classes": [
            {"class": name, "precision": p, "recall": r, "f1": f, "m": int(count)}
            for name, (p, r, f), count in zip(
                classes, by_class.T.tolist(), confusion.sum(axis=1), strict=True
            )
        ],
        "macro_f1": float(by_class[2].mean()),
    }
    if len(classes) == 2 and len(np.unique(Y)) == 2:
        report["roc_auc"] = metrics.roc_auc(Y, chances[1:])
    return report
