"""What a model file says of its training: bounded, however long it took; no times and no paths."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines.dataset import counts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pipelines.dataset import Dataset
    from xpnet.history import Epoch, History

POINTS = 200
"""Epochs that a curve keeps, at most; with the best."""

RUNS, RUN_POINTS = 24, 60
"""Runs of a sweep that are kept, at most, and epochs of each."""

CURVE = ("cost", "learning_rate", "val_cost", "val_metric")
"""What a curve says of an epoch."""


def of_training(
    method: str, history: History, dataset: Dataset, device: str, judged: Mapping[str, tuple[float, float]]
) -> dict[str, Any]:
    """Return the summary of a training, as plain data.

    Args:
        method: the way that was taken, in words.
        history: how it went.
        dataset: what was trained on.
        device: where.
        judged: cost and metric at the end, by what was judged: training, validation.
    """
    return {
        "method": method,
        "stopped": history.stopped,
        "best_epoch": history.best_epoch,
        "m": dataset.data.m,
        "counts": counts(dataset.Y[0], dataset.classes),
        "device": device,
        "last": {name: value for name, value in asdict(history.epochs[-1]).items() if name != "seconds"},
        "judged": {name: {"cost": cost, "metric": metric} for name, (cost, metric) in judged.items()},
        "curve": curve(history, POINTS),
    }


def of_sweep(runs: Sequence[tuple[dict[str, Any], History]], best: int) -> dict[str, Any]:
    """Return the summary of a sweep, as plain data: some runs, the best among them, and how many there were.

    Args:
        runs: what tells each apart, by name, with its history.
        best: index of the best.
    """
    return {
        "count": len(runs),
        "runs": [
            {"apart": runs[i][0], "best": i == best, "curve": curve(runs[i][1], RUN_POINTS)}
            for i in spread(len(runs), RUNS, best)
        ],
    }


def curve(history: History, most: int) -> dict[str, list[Any]]:
    """Return epochs by column, without columns that are empty: `most` of them, the first, best and last too."""
    kept = spread(len(history.epochs), most, history.best_epoch - 1)
    return columns([history.epochs[i] for i in kept])


def columns(epochs: Sequence[Epoch]) -> dict[str, list[Any]]:
    """Return epochs by column, without columns that are empty."""
    named: dict[str, list[Any]] = {"epoch": [epoch.epoch for epoch in epochs]}
    for name in CURVE:
        values = [getattr(epoch, name) for epoch in epochs]
        if any(value is not None for value in values):
            named[name] = values
    return named


def spread(count: int, most: int, also: int = -1) -> list[int]:
    """Return indices below `count`, in order: all, or `most` of them evenly from first to last, and `also`."""
    if count <= most:
        return list(range(count))
    kept = {round(i) for i in np.linspace(0, count - 1, most).tolist()}
    return sorted(kept | ({also} if 0 <= also < count else set()))
