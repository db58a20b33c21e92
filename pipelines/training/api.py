"""`xpnet.train`: train a model from Python. It does the same as the command `xpnet train`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from xpnet.errors import UsageError

from ..datasets import DataOptions, Dataset, dataset_from_arrays
from ..images import Recipe, decoders_for
from ..messages import Messages
from ..models import Model
from .backbones import usual_images
from .plan import Plan
from .preparation import TrainJob
from .trainer import train_job

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    from xpnet.backend import Backend
    from xpnet.data import ColumnMatrix


def train(
    data: str | os.PathLike[str] | np.ndarray | ColumnMatrix | Dataset,
    Y: Sequence[Any] | np.ndarray | None = None,
    *,
    output: str | os.PathLike[str] | None = None,
    val: str | os.PathLike[str] | tuple[Any, Any] | None = None,
    val_split: float | None = None,
    device: str | Backend | None = None,
    workers: int | None = None,
    cluster: str | None = None,
    labels: str | None = None,
    target: str | None = None,
    image_size: int | str | None = None,
    resize_mode: str | None = None,
    color_mode: str | None = None,
    decoder: str | None = None,
    frame: int | None = None,
    max_pixels: int | None = None,
    standardize: str | None = None,
    on_error: str = "skip",
    memory: int | None = None,
    resume: bool = False,
    overwrite: bool = False,
    messages: Messages | None = None,
    **plan: Any,
) -> Model:
    """Train a model, and return it.

    Args:
        data: path of a folder with a subfolder for each class, of a file of `xpnet preprocess`, of an HDF5
            file of the course, of a table, or of features (.npz, .npy, Parquet, HDF5). Or arrays: images
            (m, height, width, channels) uint8, or raw columns (n_x, m); they need labels Y.
        Y: a label for each example of arrays. Strings and integers are classes, floats are numbers to
            predict.
        output: path of the model file to write, or None.
        val: validation data; for arrays a pair (examples, labels).
        val_split: fraction of the data to hold back for validation.
        device: "auto", "cpu", "gpu", "gpu:N", or a backend of `xpnet.select`.
        workers: number of processes that decode images; by default one for each core.
        cluster: address of a Dask cluster that decodes in their place, and computes sums over all examples
            for full-batch training; or "local:N".
        labels: path of a file of path,label (CSV, JSON lines, Parquet), for a folder without a subfolder for
            each class; or, for features in a .npy file, of a .npy, CSV or Parquet file with their labels.
        target: name of the column to predict, for a table.
        image_size: size of the scaled images in pixels: 64, or "96x64" for width x height.
        resize_mode: how images are scaled; see `Recipe`.
        color_mode: "rgb" or "grayscale"; see `Recipe`.
        decoder: which library decodes JPEG files; see `Recipe`.
        frame: which frame or page of a file is read, counted from 1; see `Recipe`.
        max_pixels: the largest image that is decoded, in pixels; see `Recipe`.
        standardize: "unit", "channel", "feature" or "none"; see `xpnet.data.STANDARDIZATIONS`.
        on_error: "skip" or "fail" when an input cannot be used.
        memory: how many bytes of examples may be in memory; more of them are in files. By default half of the
            machine's.
        resume: refuse a training that is done. One that was killed resumes in any case, from the checkpoint
            beside the output.
        overwrite: start from the beginning, although there is such a checkpoint.
        messages: receives messages and progress. By default warnings become Python warnings, and the rest is
            dropped.
        plan: how to train: model, hidden, features (also the path of a backbone, an ONNX file),
            features_output, features_mean, features_std, features_colors, embed, mirror, patches, budget,
            optimizer, epochs, iterations, learning_rate, batch_size, schedule, l1, l2, dropout,
            label_smoothing, clip, class_weight, patience, initializer, seed, dtype, precision; see `Plan`.

    Raises:
        XpnetError: one of its subclasses, such as `UsageError`, `DataError`, `DeviceError`.
    """
    unknown = sorted(set(plan) - set(Plan.__dataclass_fields__))
    if unknown:
        known = [*(train.__kwdefaults__ or ()), *Plan.__dataclass_fields__]
        msg = f"train() got {unknown[0]!r}, expected one of {', '.join(known)}"
        raise UsageError(msg)
    if not isinstance(data, str | os.PathLike):
        of_files = {
            "labels": labels, "target": target, "image_size": image_size, "resize_mode": resize_mode,
            "color_mode": color_mode, "decoder": decoder, "frame": frame, "max_pixels": max_pixels,
        }  # fmt: skip
        if given := [name for name, value in of_files.items() if value is not None]:
            msg = f"{', '.join(given)}: for data in files, and this is in memory: leave it out"
            raise UsageError(msg)
    if isinstance(plan.get("features"), os.PathLike):
        plan["features"] = os.fspath(plan["features"])
    chosen = Plan(**plan)
    size, colors = usual_images(chosen, data)
    size = size if image_size is None else str(image_size)
    with decoders_for(workers, cluster) as decoders:
        options = DataOptions(
            recipe=Recipe.from_options(size, resize_mode, color_mode or colors, decoder, frame, max_pixels),
            standardize=standardize,
            labels=labels,
            target=target,
            workers=decoders,
            on_error=on_error,
            memory=memory,
        )
        job = TrainJob(
            data=_source(data, Y, standardize),
            val=_validation_source(val, standardize),
            val_split=val_split,
            options=options,
            plan=chosen,
            device=device,
            output=None if output is None else os.fspath(output),
        )
        outcome = train_job(job, messages or Messages(), resume=resume, overwrite=overwrite)
    beside = chosen.backbone or (job.data if isinstance(job.data, str) else None)  # a backbone may be there
    folders = () if beside is None else (os.path.dirname(os.path.abspath(beside)),)
    return Model.from_saved(outcome.saved, job.output, folders)


def _validation_source(
    val: str | os.PathLike[str] | tuple[Any, Any] | None, standardize: str | None
) -> str | Dataset | None:
    """Return validation data as a training job takes it."""
    if isinstance(val, tuple):
        return _source(*val, standardize)
    return None if val is None else os.fspath(val)


def _source(
    data: str | os.PathLike[str] | np.ndarray | ColumnMatrix | Dataset,
    Y: Sequence[Any] | np.ndarray | None,
    standardize: str | None,
) -> str | Dataset:
    """Return data as a training job takes it: a path, or a dataset in memory."""
    if isinstance(data, Dataset):
        return data
    if isinstance(data, str | os.PathLike):
        if Y is not None:
            msg = f"{os.fspath(data)}: files have their own labels: leave out Y"
            raise UsageError(msg)
        return os.fspath(data)
    if Y is None:
        msg = "arrays need their labels: call train(X, Y)"
        raise UsageError(msg)
    return dataset_from_arrays(data, Y, standardize)
