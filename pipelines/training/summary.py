"""The training summary in a model file: limited in size, without times and paths."""

from __future__ import annotations

import platform
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from xpnet.io import SavedModel
from xpnet.nn import Method
from xpnet.version import __version__

from ..datasets import class_counts
from ..outputs import finite

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from xpnet.backend import Backend
    from xpnet.nn import Epoch, History, TrainingResult

    from ..datasets import Dataset

CURVE_EPOCHS = 200
"""Approximate limit of the number of epochs in a saved curve."""

SWEEP_RUNS = 24
"""Limit of the number of saved runs of a sweep, besides the best one."""

SWEEP_CURVE_EPOCHS = 100
"""Approximate limit of the number of epochs in the saved curve of each run of a sweep."""

CURVE_COLUMNS = ("cost", "learning_rate", "val_cost", "val_metric", "metric")
"""The columns of a saved curve, besides the number of the epoch."""

FULL_BATCH_METHODS = {
    Method.FUSED: "full-batch gradient descent, one pass over the raw examples in each step ({reason})",
    Method.GRAM: "gradient descent on the Gram matrix of the examples ({reason})",
    Method.LEAST_SQUARES: "linear least squares in closed form ({reason})",
    Method.RIDGE: "ridge classification in closed form ({reason})",
    Method.LBFGS: "L-BFGS on all examples",
    Method.LBFGS_REDUCED: "L-BFGS on all examples, in reduced coordinates (few examples, many features)",
}
"""Sentences for the methods of full-batch training."""


def saved_model(
    result: TrainingResult,
    dataset: Dataset,
    backend: Backend,
    method: str,
    metrics: Mapping[str, tuple[float, float]],
    metric_examples: int = 0,
    sweep: dict[str, Any] | None = None,
) -> SavedModel:
    """Return the content of the model file. The same training gives the same bytes: no times and no paths.

    Args:
        result: the trained model.
        dataset: the training examples.
        backend: the device of the training.
        method: how the model was trained, as a sentence.
        metrics: cost and metric at the end, for "training" and "validation" data.
        metric_examples: number of training examples on which the metric of each epoch was computed, or 0.
        sweep: if the model is the best of a sweep, the summary of the sweep.
    """
    recipe, history = dataset.recipe, result.history
    last = asdict(history[-1])
    del last["seconds"]
    has_no_rate = result.method in (Method.LBFGS, Method.LBFGS_REDUCED, Method.LEAST_SQUARES, Method.RIDGE)
    if has_no_rate:  # nor a best epoch other than the last
        del last["learning_rate"]
    summary: dict[str, Any] = {
        "method": method,
        "stopped": history.stopped,
        **({} if has_no_rate else {"best_epoch": history.best_epoch}),
        "m": dataset.data.m,
        "counts": class_counts(dataset.Y[0], dataset.classes),
        "device": backend.device,
        "last": last,
        "metrics": {name: {"cost": cost, "metric": metric} for name, (cost, metric) in metrics.items()},
        "metric_examples": metric_examples or None,
        "curve": curve(history, CURVE_EPOCHS),
    }
    if sweep is not None:
        summary["sweep"] = sweep
    if result.expected is not None:
        expected = asdict(result.expected)
        summary["penalties"] = expected.pop("tried")
        summary["expected"] = expected
    if dataset.compared:
        summary["compared"] = list(dataset.compared)
    extractor = dataset.extractor
    return SavedModel(
        result.model,
        {name: backend.fetch(view) for name, view in result.parameters.views.items()},
        dataset.data.standardizer,
        dataset.classes,
        recipe.to_dict() | (extractor.to_dict() if extractor else {})
        if recipe
        else {"features": list(dataset.features), "target": dataset.target},
        dict(finite(summary)),  # R² of equal targets is NaN, and a file has finite numbers only
        {"xpnet": __version__, "numpy": np.__version__, "python": platform.python_version()},
        extractor.arrays if extractor else {},
    )


def method_sentence(result: TrainingResult, batch_size: int | None) -> str:
    """Return how a model was trained, as a sentence. batch_size: None for full-batch training."""
    if result.method is Method.AUTODIFF:
        batches = "all examples" if batch_size is None else f"batches of {batch_size}"
        return f"the computation graph, {batches}"
    sentence = FULL_BATCH_METHODS[result.method].format(reason=result.reason)
    if result.method in (Method.LBFGS, Method.LBFGS_REDUCED) and result.expected is not None:
        sentence += f", penalty {result.expected.penalty:g} by {result.expected.by}"
    return sentence


def metric_name(classes: Sequence[str]) -> str:
    """Return the name of the metric that a training reports.

    Args:
        classes: the names of the classes; empty for regression.
    """
    return "accuracy" if classes else "R²"


def training_name(metric_examples: int, m: int) -> str:
    """Return the name of the training metric's curve. It says if only some of the m examples were used."""
    return f"training, on {metric_examples} of them" if 0 < metric_examples < m else "training"


def sweep_summary(runs: Sequence[tuple[dict[str, Any], History]], best: int) -> dict[str, Any]:
    """Return the summary of a sweep as plain data: the number of its runs, and some of them with the best.

    Args:
        runs: for each run its values of the compared hyperparameters, by name, and its history.
        best: index of the best run.
    """
    kept = [
        {"compared": runs[i][0], "best": i == best, "curve": curve(runs[i][1], SWEEP_CURVE_EPOCHS)}
        for i in spread(len(runs), SWEEP_RUNS, best)
    ]
    return {"count": len(runs), "runs": finite(kept)}


def curve(history: History, most: int) -> dict[str, list[Any]]:
    """Return about `most` epochs at most, as columns by name, without empty columns.

    The first, the best and the last epoch are kept. The epochs are also divided into equal parts, and the
    epochs with the lowest and the highest cost of each part are kept. So the curve still shows all peaks.
    """
    count, costs = len(history), np.asarray(history.costs)
    if count <= most:
        return columns(history)
    kept = {0, max(history.best_epoch - 1, 0), count - 1}
    for part in np.array_split(np.arange(count), most // 2):
        kept |= {int(part[np.argmin(costs[part])]), int(part[np.argmax(costs[part])])}
    return columns([history[i] for i in sorted(kept)])


def columns(epochs: Sequence[Epoch]) -> dict[str, list[Any]]:
    """Return epochs as columns by name, without empty columns."""
    named: dict[str, list[Any]] = {"epoch": [epoch.epoch for epoch in epochs]}
    for name in CURVE_COLUMNS:
        values = [getattr(epoch, name) for epoch in epochs]
        if name == "cost" or any(value is not None for value in values):
            named[name] = values
    return named


def spread(count: int, most: int, also: int) -> list[int]:
    """Return at most about `most` indices below `count`, evenly spaced, and also the index `also`."""
    if count <= most:
        return list(range(count))
    return sorted({round(i) for i in np.linspace(0, count - 1, most).tolist()} | {also})
