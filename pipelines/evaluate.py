"""Judge a model by labelled data."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines.models import probabilities, require_same_recipe
from pipelines.plan import Plan, with_labels_for
from pipelines.reports import table
from pipelines.sources import TABLES, Reading, mapped, open_data
from xpnet import metrics

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipelines.dataset import Dataset
    from pipelines.models import Opened
    from xpnet.backend import Backend


def open_labelled(
    opened: Opened,
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
    if path.lower().endswith(TABLES):
        target = target or opened.saved.recipe.get("target")
    reading = Reading(recipe, None, labels, target, workers, on_error)
    dataset = open_data(path, reading, on_progress)
    kind = {"sigmoid": "logistic", "softmax": "softmax"}.get(opened.saved.model.output, "regression")
    dataset = with_labels_for(Plan(kind), dataset)
    require_same_recipe(opened, dataset, path)
    return mapped(dataset, opened.class_names, path)


def evaluate(opened: Opened, dataset: Dataset, backend: Backend) -> dict[str, Any]:
    """Return metrics as plain data: for a classifier also the confusion matrix and a row for each class."""
    return judged(opened, dataset, answers_of(opened, dataset, backend))


def answers_of(opened: Opened, dataset: Dataset, backend: Backend) -> np.ndarray:
    """Return what a model answers to each example, (n_out, m) float64."""
    return opened.scorer(backend)(dataset.data.examples).astype(np.float64)


def classified(opened: Opened, answers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the probability of each class (n_classes, m) and the predicted class (1, m) of a classifier."""
    chances = probabilities(opened, answers)
    if opened.saved.model.output == "sigmoid":
        return chances, (answers > 0.5).astype(np.int64)
    return chances, np.argmax(chances, axis=0)[None]


def judged(opened: Opened, dataset: Dataset, answers: np.ndarray) -> dict[str, Any]:
    """Return metrics of answers (n_out, m), as `evaluate` does."""
    Y, classes = dataset.Y, opened.class_names
    report: dict[str, Any] = {"m": dataset.data.m, "skipped": len(dataset.skipped)}
    if not classes:
        return {**report, "rmse": metrics.rmse(Y, answers), "r_squared": metrics.r_squared(Y, answers)}
    chances, predicted = classified(opened, answers)
    confusion = metrics.confusion_matrix(Y, predicted, len(classes))
    table = metrics.precision_recall_f1(confusion)
    report |= {
        "accuracy": metrics.accuracy(Y, predicted),
        "log_loss": metrics.log_loss(Y, chances),
        "confusion": confusion.tolist(),
        "classes": [
            {"class": name, "precision": p, "recall": r, "f1": f, "m": int(count)}
            for name, (p, r, f), count in zip(classes, table.T.tolist(), confusion.sum(axis=1), strict=True)
        ],
        "macro_f1": float(table[2].mean()),
    }
    if len(classes) == 2 and len(np.unique(Y)) == 2:
        report["roc_auc"] = metrics.roc_auc(Y, chances[1:])
    return report


def to_text(report: dict[str, Any]) -> str:
    """Return a report as text."""
    lines = [f"Examples: {report['m']}" + (f" ({report['skipped']} skipped)" if report["skipped"] else "")]
    if "rmse" in report:
        return "\n".join([*lines, f"RMSE: {report['rmse']:.6g}", f"R²: {report['r_squared']:.6g}"])
    lines.append(f"Accuracy: {100 * report['accuracy']:.2f} %")
    lines.append(f"Log loss: {report['log_loss']:.6f}")
    if "roc_auc" in report:
        lines.append(f"ROC AUC: {report['roc_auc']:.6f}")
    lines.append(f"Macro F1: {report['macro_f1']:.6f}")
    names = [row["class"] for row in report["classes"]]
    by_class = [
        [row["class"], *(f"{row[name]:.4f}" for name in ("precision", "recall", "f1")), row["m"]]
        for row in report["classes"]
    ]
    confusion = [[name, *counts] for name, counts in zip(names, report["confusion"], strict=True)]
    return "\n".join(
        [
            *lines,
            "",
            table([["class", "precision", "recall", "F1", "m"], *by_class]),
            "",
            "Confusion matrix: a row for each class as it is, a column as it was predicted",
            table([["", *names], *confusion]),
        ]
    )
