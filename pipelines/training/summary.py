"""What a model file says of its training: bounded, however long it took; no times and no paths."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from ..datasets import class_counts
from ..outputs import finite

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from xpnet.nn import Epoch, History

    from ..datasets import Dataset

POINTS = 200
"""Epochs that a curve keeps, about, of more than that."""

RUNS, RUN_POINTS = 24, 100
"""Runs of a sweep that are kept, beside the best, and epochs of each, about."""

CURVE = ("cost", "learning_rate", "val_cost", "val_metric", "metric")
"""What a curve says of an epoch."""


def of_training(
    method: str,
    history: History,
    dataset: Dataset,
    device: str,
    judged: Mapping[str, tuple[float, float]],
    judged_examples: int = 0,
) -> dict[str, Any]:
    """Return the summary of a training, as plain data.

    Args:
        method: the way that was taken, in words.
        history: how it went.
        dataset: what was trained on.
        device: where.
        judged: cost and metric at the end, by what was judged: training, validation.
        judged_examples: of how many of the training examples each epoch has the metric.
    """
    summary = {
        "method": method,
        "stopped": history.stopped,
        "best_epoch": history.best_epoch,
        "m": dataset.data.m,
        "counts": class_counts(dataset.Y[0], dataset.classes),
        "device": device,
        "last": {name: value for name, value in asdict(history.epochs[-1]).items() if name != "seconds"},
        "judged": {name: {"cost": cost, "metric": metric} for name, (cost, metric) in judged.items()},
        "judged_examples": judged_examples or None,
        "curve": curve(history, POINTS),
    }
    return dict(finite(summary))  # R² of equal targets is no number, and a file holds none but numbers


def training_name(judged_examples: int, m: int) -> str:
    """Return the name of the training metric's curve, which says so if it is of some of the m examples."""
    return f"training, on {judged_examples} of them" if 0 < judged_examples < m else "training"


def of_sweep(runs: Sequence[tuple[dict[str, Any], History]], best: int) -> dict[str, Any]:
    """Return the summary of a sweep, as plain data: some runs, the best among them, and how many there were.

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
    """Return epochs by column, without columns that are empty.

    Of more than `most`, the first, the best and the last are kept, and from each of equal parts that with the
    lowest and that with the highest cost: a cost that jumps up and down is not taken for a smooth one.
    """
    epochs, costs = history.epochs, np.asarray(history.costs)
    if len(epochs) <= most:
        return columns(epochs)
    kept = {0, max(history.best_epoch - 1, 0), len(epochs) - 1}
    for part in np.array_split(np.arange(len(epochs)), most // 2):
        kept |= {int(part[np.argmin(costs[part])]), int(part[np.argmax(costs[part])])}
    return columns([epochs[i] for i in sorted(kept)])


def columns(epochs: Sequence[Epoch]) -> dict[str, list[Any]]:
    """Return epochs by column, without columns that are empty."""
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
