"""`xpnet.train`: train a model from Python, the way the command does."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from xpnet.data import ColumnMatrix
from xpnet.errors import UsageError

from ..datasets import DataOptions, Dataset, dataset_from_arrays
from ..images import Recipe, workers_for
from ..messages import Messages
from ..models import Model
from .plan import Plan
from .preparation import TrainJob
from .trainer import train_job

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    from xpnet.backend import Backend


def train(
    data: str | os.PathLike[str] | np.ndarray | ColumnMatrix | Dataset,
    Y: Sequence[Any] | np.ndarray | None = None,
    *,
    output: str | os.PathLike[str] | None = None,
    val: str | os.PathLike[str] | tuple[Any, Any] | None = None,
    val_split: float | None = None,
    device: str | Backend | None = None,
    workers: int | None = None,
    labels: str | None = None,
    target: str | None = None,
    image_size: int | str | None = None,
    resize_mode: str | None = None,
    color_mode: str | None = None,
    decoder: str | None = None,
    standardize: str | None = None,
    on_error: str = "skip",
    resume: bool = False,
    messages: Messages | None = None,
    **plan: Any,
) -> Model:
    """Train a model, and return it.

    Args:
        data: a folder with a subfolder for each class, a file of `xpnet preprocess`, an HDF5 file of the
            course, or a CSV table; or arrays: images (m, height, width, channels) uint8, or raw columns
            (n_x, m), with their labels Y.
        Y: a label for each example of arrays: texts or integers are classes, floats are numbers to predict.
        output: the model file to write, or None.
        val: other data to validate with; for arrays the pair of examples and labels.
        val_split: the share of the data to hold back for validation.
        device: "auto", "cpu", "gpu", "gpu:N", or a backend of `xpnet.select`.
        workers: processes that decode images; one for each core by default. In a script, more than one needs
            the guard `if __name__ == "__main__":`.
        labels: a CSV file of path,label, for a folder without a subfolder for each class.
        target: the column to predict, for a table.
        image_size: pixels to scale images to: 64, or "96x64" for width x height.
        resize_mode, color_mode, decoder: how images are decoded; see `Recipe`.
        standardize: "unit", "channel", "feature" or "none".
        on_error: "skip" inputs that cannot be used, or "fail".
        resume: whether to resume a training that was killed, from the checkpoint beside the output.
        messages: takes progress and messages; by default only warnings are given, as Python's warnings.
        plan: how to train: model, hidden, optimizer, epochs, iterations, learning_rate, batch_size, schedule,
            l1, l2, dropout, label_smoothing, clip, class_weight, patience, seed, dtype, precision; see `Plan`.

    Raises:
        XpnetError: of a kind that says what is wrong: `UsageError`, `DataError`, `DeviceError`, ...
    """
    unknown = sorted(set(plan) - set(Plan.__dataclass_fields__))
    if unknown:
        msg = f"train() got {unknown[0]!r}, expected one of {', '.join(Plan.__dataclass_fields__)}"
        raise UsageError(msg)
    size = None if image_size is None else str(image_size)
    options = DataOptions(
        recipe=Recipe.from_options(size, resize_mode, color_mode, decoder), standardize=standardize, labels=labels,
        target=target, workers=workers_for(workers), on_error=on_error,
    )  # fmt: skip
    job = TrainJob(
        data=_source(data, Y, standardize),
        val=_source(*val, standardize) if isinstance(val, tuple) else None if val is None else os.fspath(val),
        val_split=val_split,
        options=options,
        plan=Plan(**plan),
        device=device,
        output=None if output is None else os.fspath(output),
    )
    outcome = train_job(job, messages or Messages(), resume=resume)
    return Model.from_saved(outcome.saved, job.output)


def _source(
    data: str | os.PathLike[str] | np.ndarray | ColumnMatrix | Dataset,
    Y: Sequence[Any] | np.ndarray | None,
    standardize: str | None,
) -> str | Dataset:
    """Return a path, or a dataset in memory."""
    if isinstance(data, Dataset):
        return data
    if isinstance(data, str | os.PathLike):
        if Y is not None:
            msg = f"{os.fspath(data)}: files have their own labels: leave out Y"
            raise UsageError(msg)
        return os.fspath(data)
    if Y is None:
        msg = "arrays need their labels: train(X, Y)"
        raise UsageError(msg)
    return dataset_from_arrays(data, Y, standardize)
