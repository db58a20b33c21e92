"""Metrics of a model's predictions for labelled examples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from xpnet import metrics
from xpnet.charts import html_table
from xpnet.errors import UsageError

MOST_SHOWN = 30
"""The most classes for which a notebook shows the confusion matrix."""


class Metrics(dict[str, Any]):
    """Metrics by name: plain data, which a notebook shows as tables."""

    def _repr_html_(self) -> str:
        numbers = [(name, value) for name, value in self.items() if isinstance(value, int | float)]
        tables = [html_table(("metric", "value"), numbers)]
        rows = self.get("classes", ())
        if 0 < len(rows) <= MOST_SHOWN:
            columns = ("class", "precision", "recall", "f1", "m")
            tables.append(html_table(columns, [[row[name] for name in columns] for row in rows]))
            names = [row["class"] for row in rows]
            tables.append(
                html_table(
                    ["", *names],
                    [[name, *counts] for name, counts in zip(names, self["confusion"], strict=True)],
                    "Confusion matrix: one row for each true class, one column for each predicted class",
                )
            )
        return "".join(tables)


@dataclass(frozen=True, eq=False)
class Evaluation:
    """The predictions for m labelled examples, and how good they are. A notebook shows the metrics as tables.

    Attributes:
        metrics: plain data, ready for JSON: numbers, and for a classifier also the confusion matrix
            ("confusion") and one entry for each class ("classes").
        predicted: (1, m) indices of the predicted classes, or (n_out, m) predicted values of a regression.
        probabilities: (n_classes, m) float64; None for a regression.
    """

    metrics: Metrics
    predicted: np.ndarray
    probabilities: np.ndarray | None = None

    def _repr_html_(self) -> str:
        return self.metrics._repr_html_()


def evaluate_regression(Y: np.ndarray, values: np.ndarray) -> Evaluation:
    """Return the evaluation of predicted values. Y: (1, m) targets. values: (n_out, m)."""
    found = Metrics(rmse=metrics.rmse(Y, values), r_squared=metrics.r_squared(Y, values))
    return Evaluation(found, values)


def thresholds(
    Y: np.ndarray, probabilities: np.ndarray | None, classes: tuple[str, ...], precision: float
) -> list[dict[str, Any]]:
    """Return for each of two classes from which probability on so many of its predictions are right.

    Args:
        Y: (1, m) indices of the right classes.
        probabilities: (2, m); None for a regression.
        classes: the names of the classes.
        precision: the wanted precision, more than 0, at most 1.

    Returns:
        For each class plain data: "class"; and "threshold", "precision" and "recall", None where no threshold
        has this precision.

    Raises:
        UsageError: there are not two classes, or the precision is not possible.
    """
    if probabilities is None or len(classes) != 2:
        msg = f"a threshold for a precision is for two classes, and the model has {len(classes) or 'none'}"
        raise UsageError(msg)
    if not 0 < precision <= 1:
        msg = f"the wanted precision is {precision!r}, expected more than 0, at most 1"
        raise UsageError(msg)
    rows = []
    for k, name in enumerate(classes):
        found = metrics.threshold_for_precision(
            np.equal(Y, k).astype(np.int64), probabilities[k : k + 1], precision
        )
        names = ("threshold", "precision", "recall")
        rows.append({"class": name, **dict(zip(names, found or (None, None, None), strict=True))})
    return rows


def evaluate_classes(Y: np.ndarray, probabilities: np.ndarray, classes: tuple[str, ...]) -> Evaluation:
    """Return the evaluation of a classifier.

    Args:
        Y: (1, m) indices of the right classes.
        probabilities: (n_classes, m) float64.
        classes: the names of the classes.
    """
    predicted = np.argmax(probabilities, axis=0)[None]
    confusion = metrics.confusion_matrix(Y, predicted, len(classes))
    by_class = metrics.precision_recall_f1(confusion)
    counts = confusion.sum(axis=1).tolist()
    macro_f1, macro_f1_classes = metrics.macro_f1(confusion)
    found = Metrics(
        {
            "accuracy": metrics.accuracy(Y, predicted),
            "log_loss": metrics.log_loss(Y, probabilities),
            "calibration_error": metrics.calibration_error(Y, probabilities),
            "confusion": confusion.tolist(),
            "classes": [
                {"class": name, "precision": precision, "recall": recall, "f1": f1, "m": count}
                for name, (precision, recall, f1), count in zip(
                    classes, by_class.T.tolist(), counts, strict=True
                )
            ],
            "macro_f1": macro_f1,
            "macro_f1_classes": macro_f1_classes,
        }
    )
    if len(classes) == 2 and len(np.unique(Y)) == 2:
        found["roc_auc"] = metrics.roc_auc(Y, probabilities[1:])
    return Evaluation(found, predicted, probabilities)
