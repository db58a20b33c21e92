"""What the page shows of labelled data: metrics, confusion, thresholds, mistakes, unsure examples."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..images import strip_common_folder
from ..models import answers_of, classified, judged
from .charts import Series, lines
from .pictures import jpeg

if TYPE_CHECKING:
    from xpnet.backend import Backend

    from ..datasets import Dataset
    from ..models import Model

EXAMPLES = 24
"""Mistakes that are shown, and unsure examples."""

CLASSES = 30
"""The most classes for which the whole confusion matrix is shown; of more the most frequent confusions."""

PAIRS, ROWS = 20, 200
"""Confusions, and rows of a table by class, at most."""

THRESHOLDS = 200
"""Steps of the threshold from 0 to 1."""

POINTS = 300
"""Points of a curve, or of a cloud, at most."""


def judge(opened: Model, dataset: Dataset, backend: Backend) -> dict[str, Any]:
    """Return what there is to show of a model's answers to labelled data."""
    answers = answers_of(opened, dataset, backend)
    found: dict[str, Any] = {"metrics": judged(opened, dataset, answers), "m": dataset.data.m}
    if not opened.class_names:
        return found | _numbers(dataset, answers)
    chances, predicted = classified(opened, answers)
    found |= _confusions(found["metrics"])
    if len(opened.class_names) == 2:
        found["threshold"] = thresholds(dataset.Y[0], chances[1])
        if "roc_auc" in found["metrics"]:
            found["roc"] = roc(dataset.Y[0], chances[1])
    return found | _examples(opened.class_names, dataset, chances, predicted[0])


def _confusions(metrics: dict[str, Any]) -> dict[str, Any]:
    """Return the confusion matrix with the share of each cell in its row, or the most frequent confusions."""
    confusion, names = np.asarray(metrics["confusion"]), [row["class"] for row in metrics["classes"]]
    shares = confusion / np.maximum(1, confusion.sum(axis=1, keepdims=True))
    wrong = confusion - np.diag(np.diagonal(confusion))
    order = np.argsort(-wrong, axis=None, kind="stable")[:PAIRS]
    pairs = [
        (names[i], names[j], int(wrong[i, j]))
        for i, j in zip(*np.unravel_index(order, wrong.shape), strict=True)
    ]
    matrix = None
    if len(names) <= CLASSES:
        cells = [
            [{"count": n, "heat": round(10 * share)} for n, share in zip(row, part, strict=True)]
            for row, part in zip(confusion.tolist(), shares.tolist(), strict=True)
        ]
        matrix = list(zip(names, cells, strict=True))
    by_class = (
        sorted(metrics["classes"], key=lambda row: row["f1"]) if len(names) > ROWS else metrics["classes"]
    )
    return {
        "names": names,
        "matrix": matrix,
        "pairs": [pair for pair in pairs if pair[2]] if len(names) > 2 else [],
        "by_class": by_class[:ROWS],
    }


def thresholds(Y: np.ndarray, chances: np.ndarray) -> dict[str, list[int]]:
    """Return what each threshold from 0 to 1 would give: counts of true and false positives and negatives.

    Args:
        Y: (m,) 0 and 1.
        chances: (m,) probability of class 1, which is predicted above the threshold.
    """
    at = np.arange(THRESHOLDS + 1) / THRESHOLDS
    ones, zeros = (np.sort(chances[k == Y]) for k in (1, 0))
    missed, right = (np.searchsorted(values, at, side="right") for values in (ones, zeros))
    counts = {"tp": len(ones) - missed, "fn": missed, "fp": len(zeros) - right, "tn": right}
    return {name: values.tolist() for name, values in counts.items()}


def roc(Y: np.ndarray, chances: np.ndarray) -> dict[str, Any]:
    """Return the ROC curve of (m,) labels 0 and 1, both present, and probabilities of class 1."""
    order = np.argsort(-chances, kind="stable")
    positive = np.cumsum(Y[order] == 1)
    negative = np.arange(1, len(order) + 1) - positive
    # Where a probability occurs more than once, its examples are called 1 together.
    last = np.append(np.flatnonzero(np.diff(chances[order])), len(order) - 1)
    kept = last[np.unique(np.linspace(0, len(last) - 1, min(len(last), POINTS)).round().astype(int))]
    x = [0.0, *(negative[kept] / negative[-1]).tolist()]
    y = [0.0, *(positive[kept] / positive[-1]).tolist()]
    series = [Series("ROC curve", x, y, strong=True), Series("by chance", [0.0, 1.0], [0.0, 1.0], "guide")]
    labels = "false positive rate", "true positive rate"
    return {
        "chart": lines("ROC curve: " + " against ".join(labels[::-1]), *labels, series, within=(0.0, 1.0))
    }


def _examples(
    names: tuple[str, ...], dataset: Dataset, chances: np.ndarray, predicted: np.ndarray
) -> dict[str, Any]:
    """Return the mistakes in which the right class was least probable, and the examples that were closest."""
    Y = dataset.Y[0]
    given = np.take_along_axis(chances, Y[None], axis=0)[0]
    best = np.partition(chances, -2, axis=0)[-2:]
    wrong = np.flatnonzero(predicted != Y)
    worst = wrong[np.argsort(given[wrong], kind="stable")[:EXAMPLES]]
    unsure = np.argsort(best[1] - best[0], kind="stable")[:EXAMPLES]

    def shown(i: int) -> dict[str, Any]:
        said = f"{names[predicted[i]]} {chances[predicted[i], i]:.3f}"
        return _example(dataset, i) | {
            "truth": names[Y[i]],
            "said": said,
            "right": bool(predicted[i] == Y[i]),
            "note": "" if predicted[i] == Y[i] else f"{given[i]:.2g} for {names[Y[i]]}",
        }

    return _below(len(wrong), [shown(i) for i in worst.tolist()], [shown(i) for i in unsure.tolist()])


def _numbers(dataset: Dataset, answers: np.ndarray) -> dict[str, Any]:
    """Return what there is to show of predicted numbers, of the first output."""
    Y, predicted = dataset.Y[0].astype(np.float64), answers[0]
    errors = np.abs(Y - predicted)
    kept = np.unique(np.linspace(0, len(Y) - 1, min(len(Y), POINTS)).round().astype(int))
    low, high = float(min(Y.min(), predicted.min())), float(max(Y.max(), predicted.max()))
    series = [
        Series("examples", Y[kept].tolist(), predicted[kept].tolist(), "dots"),
        Series("as they should be", [low, high], [low, high], "guide"),
    ]
    chart = lines("Predicted numbers against the true ones", "true", "predicted", series, log_y=False)
    worst = [
        _example(dataset, i)
        | {
            "truth": f"{Y[i]:.6g}",
            "said": f"{predicted[i]:.6g}",
            "right": False,
            "note": f"off by {errors[i]:.6g}",
        }
        for i in np.argsort(-errors, kind="stable")[:EXAMPLES].tolist()
    ]
    return {"cloud": {"chart": chart, "shown": len(kept)}, **_below(len(Y), worst, [])}


def _below(wrong: int, mistakes: list[dict[str, Any]], unsure: list[dict[str, Any]]) -> dict[str, Any]:
    """Return examples with what their names begin with said once."""
    below, names = strip_common_folder([example["name"] for example in [*mistakes, *unsure]])
    for example, name in zip([*mistakes, *unsure], names, strict=True):
        example["name"] = name
    return {"wrong": wrong, "mistakes": mistakes, "unsure": unsure, "below": below}


def _example(dataset: Dataset, i: int) -> dict[str, Any]:
    """Return the name of an example, and its picture as the model sees it, or nothing for a table's row."""
    name = dataset.names[i] if dataset.names else f"example {i}"
    recipe, picture = dataset.recipe, ""
    if recipe is not None:
        picture = jpeg(np.ascontiguousarray(dataset.data.examples[i]).reshape(recipe.shape))
    return {"name": name, "picture": picture}
