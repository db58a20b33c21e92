"""Judge a model by labelled data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines.models import probabilities
from xpnet import metrics

if TYPE_CHECKING:
    from pipelines.dataset import Dataset
    from pipelines.models import Opened
    from xpnet.backend import Backend


def evaluate(opened: Opened, dataset: Dataset, backend: Backend) -> dict[str, Any]:
    """Return metrics as plain data: for a classifier also the confusion matrix and a row for each class."""
    answers = opened.scorer(backend)(dataset.data.examples).astype(np.float64)
    Y, classes = dataset.Y, opened.class_names
    report: dict[str, Any] = {"m": dataset.data.m, "skipped": len(dataset.skipped)}
    if not classes:
        return {**report, "rmse": metrics.rmse(Y, answers), "r_squared": metrics.r_squared(Y, answers)}
    chances = probabilities(opened, answers)
    predicted = np.argmax(chances, axis=0)[None]
    if opened.saved.model.output == "sigmoid":
        predicted = (answers > 0.5).astype(np.int64)
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
        report["roc_auc"] = metrics.roc_auc(Y, answers)
    return report


def to_text(report: dict[str, Any]) -> str:
    """Return a report as text."""
    lines = [f"Examples: {report['m']}" + (f" ({report['skipped']} skipped)" if report["skipped"] else "")]
    if "rmse" in report:
        return "\n".join([*lines, f"RMSE: {report['rmse']:.6g}", f"R²: {report['r_squared']:.6g}"])
    lines.append(f"Accuracy: {100 * report['accuracy']} %")
    lines.append(f"Log loss: {report['log_loss']:.6f}")
    if "roc_auc" in report:
        lines.append(f"ROC AUC: {report['roc_auc']:.6f}")
    lines.append(f"Macro F1: {report['macro_f1']:.6f}")
    width = max(len(row["class"]) for row in report["classes"])
    lines += ["", f"{'class':<{width}}  precision  recall      F1     m"]
    lines += [
        f"{r['class']:<{width}}  {r['precision']:9.4f}  {r['recall']:6.4f}  {r['f1']:6.4f}  {r['m']:4d}"
        for r in report["classes"]
    ]
    lines += ["", "Confusion matrix: a row for each class as it is, a column as it was predicted"]
    cells = [
        [row["class"], *map(str, counts)]
        for row, counts in zip(report["classes"], report["confusion"], strict=True)
    ]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines += [
        f"{row[0]:<{widths[0]}}  " + "  ".join(f"{c:>{w}}" for c, w in zip(row[1:], widths[1:], strict=True))
        for row in cells
    ]
    return "\n".join(lines)
