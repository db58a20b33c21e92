"""Fit a model: epochs until they are done or no longer help, with checkpoints between them."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xpnet.training import checkpoints as checkpoints
from xpnet.training.trainer import Training

if TYPE_CHECKING:
    import os
    from collections.abc import Callable

    import numpy as np

    from xpnet.backend import Backend
    from xpnet.data import ColumnMatrix
    from xpnet.nn import Epoch, History, Network, Parameters, Settings

CHECKPOINT_SECONDS = 2.0
"""A checkpoint is written after the first epoch, after the last, and after others if the one before is so
old, and twenty times as old as writing it took."""


@dataclass(frozen=True)
class Fitted:
    """A trained model: its configuration, its parameters on their device, and how it got there."""

    model: Network
    parameters: Parameters
    history: History


def fit(
    model: Network,
    data: ColumnMatrix,
    Y: np.ndarray,
    backend: Backend,
    settings: Settings,
    validation: tuple[ColumnMatrix, np.ndarray] | None = None,
    start: Parameters | None = None,
    on_epoch: Callable[[Epoch], Any] | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
) -> Fitted:
    """Train a model; return it with its history.

    Args and errors as for `Training`, and:
        on_epoch: is called after each epoch, with its record.
        checkpoint: a file to save the training to, and to go on from if it is there. On a CPU a training
            that was killed and goes on ends with the bytes of one that was not.

    Raises:
        ModelFileError: the checkpoint is damaged, or of another training.
        DivergenceError: a cost is not finite.
    """
    training = Training(model, data, Y, backend, settings, validation, start)
    if checkpoint is not None and Path(checkpoint).exists():
        checkpoints.load_checkpoint(checkpoint, training)
    saved, pause = -math.inf, CHECKPOINT_SECONDS
    while not (stopped := _stopped(training.history, settings)):
        record = training.epoch()
        if on_epoch is not None:
            on_epoch(record)
        now = time.monotonic()
        if checkpoint is not None and (now - saved >= pause or _stopped(training.history, settings)):
            checkpoints.save_checkpoint(checkpoint, training)
            saved = time.monotonic()
            pause = max(CHECKPOINT_SECONDS, 20 * (saved - now))
    training.history.stopped = stopped
    training.restore_best()
    return Fitted(model, training.parameters, training.history)


def _stopped(history: History, settings: Settings) -> str:
    """Return why training is over, or nothing if it is not."""
    done, patience = len(history.epochs), settings.patience
    if patience is not None and done - history.best_epoch >= patience:
        return f"no lower cost for {patience} epochs"
    return f"all {settings.epochs} epochs done" if done >= settings.epochs else ""
