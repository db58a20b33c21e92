"""What a model file says of its training: of bounded size, without times and paths."""

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

POINTS = 200
"""Epochs that a curve keeps, about, of more than that."""

RUNS, RUN_POINTS = 24, 100
"""Runs of a sweep that are kept, beside the best, and epochs of each, about."""

CURVE = ("cost", "learning_rate", "val_cost", "val_metric", "metric")
"""What a curve says of an epoch."""


def saved_model(
    result: TrainingResult,
    dataset: Dataset,
    backend: Backend,
    method: str,
    metrics: Mapping[str, tuple[float, float]],
    metric_examples: int = 0,
    sweep: dict[str, Any] | None = None,
) -> SavedModel:
    """Return what the model file holds. No times and no paths: the same training gives the same bytes.

    Args:
        result: the trained model.
        dataset: the examples that it was trained on.
        backend: the device that it was trained on.
        method: how it was trained, as a sentence.
        metrics: cost and metric at the end, for "training" and "validation" data.
        metric_examples: how many training examples each epoch's metric was computed on; 0 for none.
        sweep: the summary of the sweep that it is the best of, or None.
    """
    recipe, history = dataset.recipe, result.history
    last = asdict(history[-1])
    del last["seconds"]
    summary = {
        "method": method,
        "stopped": history.stopped,
        "best_epoch": history.best_epoch,
        "m": dataset.data.m,
        "counts": class_counts(dataset.Y[0], dataset.classes),
        "device": backend.device,
        "last": last,
        "metrics": {name: {"cost": cost, "metric": metric} for name, (cost, metric) in metrics.items()},
        "metric_examples": metric_examples or None,
        "curve": curve(history, POINTS),
    }
    if sweep is not None:
        summary["sweep"] = sweep
    return SavedModel(
        result.model,
        {name: backend.fetch(view) for name, view in result.parameters.views.items()},
        dataset.data.standardizer,
        dataset.classes,
        recipe.to_dict() if recipe else {"features": list(dataset.features), "target": dataset.target},
        dict(finite(summary)),  # a file holds finite numbers only, and R² of equal targets is none
        {"xpnet": __version__, "numpy": np.__version__, "python": platform.python_version()},
    )


def method_sentence(result: TrainingResult, batch_size: int | None) -> str:
    """Return how a model was trained, as a sentence. batch_size: None for all examples at once."""
    if result.method is Method.AUTODIFF:
        batches = "all examples" if batch_size is None else f"batches of {batch_size}"
        return f"the computation graph, {batches}"
    return METHODS[result.method].format(reason=result.reason)


METHODS = {
    Method.FUSED: "gradient descent, one pass over all examples a step ({reason})",
    Method.GRAM: "gradient descent on the Gram matrix of the examples ({reason})",
    Method.LBFGS: "L-BFGS on all examples",
    Method.LBFGS_REDUCED: "L-BFGS on all examples, in the subspace that they span",
}
"""Sentences for the methods of full-batch training."""


def training_name(metric_examples: int, m: int) -> str:
    """Return the name of the training metric's curve: it says so if it is of some of the m examples."""
    return f"training, on {metric_examples} of them" if 0 < metric_examples < m else "training"


def sweep_summary(runs: Sequence[tuple[dict[str, Any], History]], best: int) -> dict[str, Any]:
    """Return the summary of a sweep as plain data: some of its runs with the best one, and their number.

    Args:
        runs: what tells each apart, by name, with its history.
        best: index of the best.
    """
    kept = [
        {"apart": runs[i][0], "best": i == best, "curve": curve(runs[i][1], RUN_POINTS)}
        for i in spread(len(runs), RUNS, best)
    ]
    return {"count": len(runs), "runs": finite(kept)}


def curve(history: History, most: int) -> dict[str, list[Any]]:
    """Return at most about `most` epochs by column, without empty columns.

    The first, the best and the last epoch are kept. The others are cut into equal parts, and of each part the
    epochs with the lowest and the highest cost are kept, so that a curve with peaks still shows them.
    """
    count, costs = len(history), np.asarray(history.costs)
    if count <= most:
        return columns(history)
    kept = {0, max(history.best_epoch - 1, 0), count - 1}
    for part in np.array_split(np.arange(count), most // 2):
        kept |= {int(part[np.argmin(costs[part])]), int(part[np.argmax(costs[part])])}
    return columns([history[i] for i in sorted(kept)])


def columns(epochs: Sequence[Epoch]) -> dict[str, list[Any]]:
    """Return epochs by column, without empty columns."""
    named: dict[str, list[Any]] = {"epoch": [epoch.epoch for epoch in epochs]}
    for name in CURVE:
        values = [getattr(epoch, name) for epoch in epochs]
        if name == "cost" or any(value is not None for value in values):
            named[name] = values
    return named


def spread(count: int, most: int, also: int) -> list[int]:
    """Return indices below `count`: all, or, evenly from first to last, `most` of them and `also`."""
    if count <= most:
        return list(range(count))
    return sorted({round(i) for i in np.linspace(0, count - 1, most).tolist()} | {also})
