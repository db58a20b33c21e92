"""The sections on labelled data: metrics, confusions, calibration, threshold, mistakes, their neighbors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from xpnet import metrics
from xpnet.charts import Chart, Series, lines

from ..images import strip_common_folder
from .neighbors import neighbors_of, with_features_that_fit
from .pictures import LARGEST_SIDE, jpeg, thumbnails

if TYPE_CHECKING:
    from xpnet.backend import Backend

    from ..datasets import Dataset
    from ..images import Decoders
    from ..models import Model

EXAMPLES = 24
"""The most mistakes that are shown, and the most uncertain examples."""

NEIGHBORHOODS = 8
"""The most mistakes that are shown with the pictures nearest to them."""

MATRIX_CLASSES = 30
"""The most classes for which the whole confusion matrix is shown."""

CONFUSIONS = 20
"""The most pairs of classes in the table of frequent confusions."""

CLASS_ROWS = 200
"""The most rows of the table of classes: of more classes those with the lowest F1."""

HEAT_LEVELS = 10
"""Number of color steps of the confusion matrix; style classes heat-0 to heat-10."""

THRESHOLDS = 200
"""Number of steps of the threshold from 0 to 1."""

POINTS = 300
"""The most points of a ROC curve, or of predicted numbers."""


def evaluation_section(
    model: Model, dataset: Dataset, backend: Backend, workers: Decoders = 1
) -> dict[str, Any]:
    """Return the metrics, charts and examples of a model's predictions for labelled data.

    Args:
        model: the model.
        dataset: the data.
        backend: the device.
        workers: what decodes the pictures to show, if the data holds features in place of them.
    """
    seen = with_features_that_fit(model, dataset, backend)
    evaluation = model.evaluate_dataset(seen, backend)
    probabilities, predicted = evaluation.probabilities, evaluation.predicted
    section: dict[str, Any] = {"metrics": evaluation.metrics, "m": dataset.data.m}
    if probabilities is None:
        section |= _regression(dataset, predicted)
    else:
        section |= _confusions(evaluation.metrics)
        section["calibration"] = _calibration(dataset.Y, probabilities)
        if len(model.classes) == 2:
            section["threshold"] = threshold_counts(dataset.Y[0], probabilities[1])
            if "roc_auc" in evaluation.metrics:
                section["roc"] = roc_chart(dataset.Y[0], probabilities[1])
        section |= _classified_examples(model.classes, dataset, probabilities, predicted[0])
    section["nearest"] = _nearest(section["mistakes"][:NEIGHBORHOODS], model, dataset, seen, backend)
    return section | _completed(dataset, section, workers)


def _confusions(found: dict[str, Any]) -> dict[str, Any]:
    """Return the confusion matrix with the color of each cell, frequent confusions, and metrics by class."""
    confusion, names = np.asarray(found["confusion"]), [row["class"] for row in found["classes"]]
    shares = confusion / np.maximum(1, confusion.sum(axis=1, keepdims=True))
    mistakes = confusion - np.diag(np.diagonal(confusion))
    order = np.argsort(-mistakes, axis=None, kind="stable")[:CONFUSIONS]
    pairs = [
        (names[i], names[j], int(mistakes[i, j]))
        for i, j in zip(*np.unravel_index(order, mistakes.shape), strict=True)
    ]
    matrix = None
    if len(names) <= MATRIX_CLASSES:
        cells = [
            [{"count": n, "heat": round(HEAT_LEVELS * share)} for n, share in zip(row, part, strict=True)]
            for row, part in zip(confusion.tolist(), shares.tolist(), strict=True)
        ]
        matrix = list(zip(names, cells, strict=True))
    classes = found["classes"]
    if len(classes) > CLASS_ROWS:
        classes = sorted(classes, key=lambda row: row["f1"])[:CLASS_ROWS]
    return {
        "names": names,
        "matrix": matrix,
        "pairs": [pair for pair in pairs if pair[2]] if len(names) > 2 else [],
        "by_class": classes,
    }


def _calibration(Y: np.ndarray, probabilities: np.ndarray) -> dict[str, Any]:
    """Return the reliability diagram, and the rows of a table: bin, number of examples, mean score, share."""
    counts, scores, right = metrics.reliability(Y, probabilities)
    kept = np.flatnonzero(counts)
    series = [
        Series("examples of similar score", scores[kept].tolist(), right[kept].tolist(), "dots"),
        Series("score = share of right", [0.0, 1.0], [0.0, 1.0], "guide"),
    ]
    title = "Reliability: how often predictions are right, by their score"
    bins = len(counts)
    rows = [
        [f"{i / bins:.1f} to {(i + 1) / bins:.1f}", int(counts[i]), float(scores[i]), float(right[i])]
        for i in kept.tolist()
    ]
    return {
        "chart": lines(title, "mean score", "share of right", series, limits=(0.0, 1.0)),
        "head": ["score", "examples", "mean score", "right"],
        "rows": rows,
    }


def threshold_counts(Y: np.ndarray, probabilities: np.ndarray) -> dict[str, list[int]]:
    """Return the counts of true and false positives and negatives for each threshold from 0 to 1.

    Args:
        Y: (m,) labels 0 and 1.
        probabilities: (m,) of class 1, which is predicted if its probability is above the threshold.
    """
    thresholds = np.arange(THRESHOLDS + 1) / THRESHOLDS
    ones, zeros = (np.sort(probabilities[k == Y]) for k in (1, 0))
    fn, tn = (np.searchsorted(values, thresholds, side="right") for values in (ones, zeros))
    counts = {"tp": len(ones) - fn, "fn": fn, "fp": len(zeros) - tn, "tn": tn}
    return {name: values.tolist() for name, values in counts.items()}


def roc_chart(Y: np.ndarray, probabilities: np.ndarray) -> Chart:
    """Return the ROC curve as a chart.

    Args:
        Y: (m,) labels 0 and 1; both occur.
        probabilities: (m,) of class 1.
    """
    order = np.argsort(-probabilities, kind="stable")
    positive = np.cumsum(Y[order] == 1)
    negative = np.arange(1, len(order) + 1) - positive
    # Examples of the same probability are on the same side of any threshold: one point for all of them.
    last = np.append(np.flatnonzero(np.diff(probabilities[order])), len(order) - 1)
    kept = last[_evenly(len(last))]
    x = [0.0, *(negative[kept] / negative[-1]).tolist()]
    y = [0.0, *(positive[kept] / positive[-1]).tolist()]
    series = [
        Series("ROC curve", x, y, strong=True),
        Series("random guessing", [0.0, 1.0], [0.0, 1.0], "guide"),
    ]
    title = "ROC curve: true positive rate against false positive rate"
    return lines(title, "false positive rate", "true positive rate", series, limits=(0.0, 1.0))


def _classified_examples(
    names: tuple[str, ...], dataset: Dataset, probabilities: np.ndarray, predicted: np.ndarray
) -> dict[str, Any]:
    """Return the mistakes with the lowest probability of the true class, and the most uncertain examples."""
    Y = dataset.Y[0]
    of_truth = np.take_along_axis(probabilities, Y[None], axis=0)[0]
    second, first = np.partition(probabilities, -2, axis=0)[-2:]
    wrong = np.flatnonzero(predicted != Y)
    worst = wrong[np.argsort(of_truth[wrong], kind="stable")[:EXAMPLES]]
    uncertain = np.argsort(first - second, kind="stable")[:EXAMPLES]

    def shown(i: int) -> dict[str, Any]:
        is_right = bool(predicted[i] == Y[i])
        return _example(dataset, i) | {
            "truth": names[Y[i]],
            "predicted": f"{names[predicted[i]]} {probabilities[predicted[i], i]:.3f}",
            "is_right": is_right,
            "note": "" if is_right else f"{of_truth[i]:.2g} for {names[Y[i]]}",
        }

    return {
        "wrong": len(wrong),
        "mistakes": [shown(i) for i in worst.tolist()],
        "uncertain": [shown(i) for i in uncertain.tolist()],
    }


def _regression(dataset: Dataset, outputs: np.ndarray) -> dict[str, Any]:
    """Return a chart of predicted numbers, and the examples with the largest errors, of the first output."""
    Y, predicted = dataset.Y[0].astype(np.float64), outputs[0]
    errors = np.abs(Y - predicted)
    kept = _evenly(len(Y))
    low, high = float(min(Y.min(), predicted.min())), float(max(Y.max(), predicted.max()))
    series = [
        Series("examples", Y[kept].tolist(), predicted[kept].tolist(), "dots"),
        Series("predicted = true", [low, high], [low, high], "guide"),
    ]
    chart = lines("Predicted numbers against the true ones", "true", "predicted", series, log_y=False)
    worst = [
        _example(dataset, i)
        | {
            "truth": f"{Y[i]:.6g}",
            "predicted": f"{predicted[i]:.6g}",
            "is_right": False,
            "note": f"off by {errors[i]:.6g}",
        }
        for i in np.argsort(-errors, kind="stable")[:EXAMPLES].tolist()
    ]
    regression = {"chart": chart, "points": len(kept)}
    return {"regression": regression, "wrong": len(Y), "mistakes": worst, "uncertain": []}


def _evenly(count: int) -> np.ndarray:
    """Return at most `POINTS` of the indices below `count`, the first and the last among them."""
    return np.unique(np.linspace(0, count - 1, min(count, POINTS)).round().astype(int))


def _nearest(
    mistakes: list[dict[str, Any]], model: Model, dataset: Dataset, seen: Dataset, backend: Backend
) -> dict[str, Any] | None:
    """Return for some mistakes the examples nearest to them, or None.

    Args:
        mistakes: the mistakes, which become part of the result.
        model: the model.
        dataset: the data.
        seen: the data as the model sees it, if that fits into memory.
        backend: the device.
    """
    found = neighbors_of([mistake["row"] for mistake in mistakes], model, seen, backend)
    if found is None:
        return None

    def shown(mistake: dict[str, Any], i: int, share: float) -> dict[str, Any]:
        label = dataset.Y[0, i]
        truth = model.classes[label] if model.classes else f"{label:.6g}"
        is_other = bool(model.classes) and truth != mistake["truth"]
        return _example(dataset, i) | {"truth": truth, "share": share, "is_other": is_other}

    groups = [
        {"mistake": mistake, "others": [shown(mistake, i, share) for i, share in zip(*pairs, strict=True)]}
        for mistake, *pairs in zip(mistakes, found.rows.tolist(), found.shares.tolist(), strict=True)
    ]
    return {"groups": groups, "among": found.among}


def _completed(dataset: Dataset, section: dict[str, Any], workers: Decoders) -> dict[str, Any]:
    """Add to the examples of a section the pictures of data that hold features, and shorten all names.

    Returns:
        The folder of all examples, and how many pictures are missing because the files are not there.
    """
    others = [each for group in (section["nearest"] or {"groups": []})["groups"] for each in group["others"]]
    shown = [*section["mistakes"], *section["uncertain"], *others]
    missing = 0
    if dataset.extractor is not None and dataset.names:
        paths = {example["row"]: example["name"] for example in shown}
        pictures = thumbnails(list(paths.values()), LARGEST_SIDE, workers)
        found = {row: picture for row, (picture, _) in zip(paths, pictures, strict=True)}
        for example in shown:
            example["picture"] = found[example["row"]]
        missing = list(found.values()).count("")
    folder, names = strip_common_folder([example["name"] for example in shown])
    for example, name in zip(shown, names, strict=True):
        example["name"] = name
    return {"folder": folder, "missing": missing}


def _example(dataset: Dataset, i: int) -> dict[str, Any]:
    """Return row and name of an example, and its image as the model sees it; "" if the data has no pixels."""
    name = dataset.names[i] if dataset.names else f"example {i}"
    recipe, picture = dataset.recipe, ""
    if recipe is not None and dataset.extractor is None:
        picture = jpeg(np.ascontiguousarray(dataset.data.examples[i]).reshape(recipe.shape))
    return {"row": i, "name": name, "picture": picture}
