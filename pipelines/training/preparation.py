"""What a training starts from: the job, the examples to train on and to validate with, and the device."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from xpnet.backend import Backend, select
from xpnet.data import fit_standardizer, stratified_split
from xpnet.errors import DataError, UsageError

from ..datasets import TABLE_SUFFIXES, DataOptions, Dataset, open_data, with_classes, with_labels_for
from ..outputs import require_writable
from .plan import Plan, choose_model

if TYPE_CHECKING:
    from ..messages import Messages


@dataclass(frozen=True, kw_only=True)
class TrainJob:
    """What to train on, how, and where the results go.

    Attributes:
        data: what to train on: a path, or a dataset in memory.
        options: how the data is read.
        plan: how to train.
        device: a name as for `xpnet.select`, or a backend.
        val: other data to validate with, or None.
        val_split: the share of the data to hold back for validation, or None.
        output: the model file, or None.
        history: the CSV file of the cost of each epoch, or None.
        other_outputs: further files that will be written after the training.
    """

    data: str | Dataset
    plan: Plan
    options: DataOptions = DataOptions()
    device: str | Backend | None = None
    val: str | Dataset | None = None
    val_split: float | None = None
    output: str | None = None
    history: str | None = None
    other_outputs: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.val is not None and self.val_split is not None:
            msg = "--val and --val-split are two ways to validate: give one of them"
            raise UsageError(msg)


@dataclass(frozen=True)
class Prepared:
    """What a training starts from.

    Attributes:
        dataset: the examples to train on.
        validation: the examples to validate with, or None.
        backend: the device.
        skipped: inputs that cannot be used, each with its reason.
    """

    dataset: Dataset
    validation: Dataset | None
    backend: Backend
    skipped: list[tuple[str, str]]


def prepare(job: TrainJob, messages: Messages) -> Prepared:
    """Open the data of a job, and choose the device.

    Raises:
        UsageError: options that contradict each other or the data.
        DataError, NoInputError: data that cannot be read or used.
        OutputError: an output that cannot be written.
        DeviceError: a device that cannot be used.
    """
    inputs = [name for name in (job.data, job.val, job.options.labels) if isinstance(name, str)]
    require_writable([job.output, job.history, *job.other_outputs], inputs)
    backend = job.device if isinstance(job.device, Backend) else select(job.device)
    messages.detail(f"Device {backend.device}: {backend.reason}")
    dataset = _opened(job.data, job.options, job.plan, messages)
    choose_model(job.plan, dataset)  # raises for a plan that does not fit, before more data is read
    skipped = [] if _was_reported(job.data) else list(dataset.skipped)
    validation = None
    if job.val is not None:
        options = job.options
        if isinstance(job.val, str):
            options = replace(
                options,
                recipe=dataset.recipe if os.path.isdir(job.val) else None,
                standardize=None,
                labels=None,
                target=dataset.target if job.val.lower().endswith(TABLE_SUFFIXES) else None,
            )
        validation = _opened(job.val, options, job.plan, messages)
        skipped += [] if _was_reported(job.val) else list(validation.skipped)
        name = job.val if isinstance(job.val, str) else "the validation data"
        validation = standardized_alike(with_classes(validation, dataset.classes, name), dataset)
    elif job.val_split is not None:
        dataset, validation = hold_out(dataset, job.val_split, job.plan.seed)
    return Prepared(dataset, validation, backend, skipped)


def _opened(data: str | Dataset, options: DataOptions, plan: Plan, messages: Messages) -> Dataset:
    if isinstance(data, Dataset):
        return with_labels_for(plan.model, data)
    with messages.progress("Decoding") as progress:
        return with_labels_for(plan.model, open_data(data, options, progress))


def _was_reported(data: str | Dataset) -> bool:
    """Return whether the inputs that cannot be used were reported when a data file was made."""
    return isinstance(data, str) and os.path.isfile(data) and not data.lower().endswith(TABLE_SUFFIXES)


def hold_out(dataset: Dataset, share: float, seed: int) -> tuple[Dataset, Dataset]:
    """Split a dataset into one to train on and one to validate with: the same share of each class.

    The standardization is fitted again, to the examples to train on.

    Raises:
        UsageError: one of the two would be empty.
    """
    if dataset.classes:
        kept, held = stratified_split(dataset.Y, share, seed)
    else:
        m = dataset.data.m
        count = round(m * share)
        if not 0 < count < m:
            msg = (
                f"--val-split {share} of {m} examples is {count}: "
                "expected some to train on and some to validate with"
            )
            raise UsageError(msg)
        order = np.random.default_rng(seed).permutation(m)
        kept, held = np.sort(order[count:]), np.sort(order[:count])

    def part(rows: np.ndarray) -> Dataset:
        names = tuple(dataset.names[i] for i in rows) if dataset.names else ()
        return replace(dataset, data=dataset.data.part(rows), Y=dataset.Y[:, rows], names=names)

    kind, channels = dataset.data.standardizer.kind, dataset.recipe.channels if dataset.recipe else 1
    left = part(kept)
    standardizer = fit_standardizer(left.data.blocks(), kind, channels)
    left = replace(left, data=left.data.standardized_as(standardizer))
    return left, standardized_alike(part(held), left)


def standardized_alike(validation: Dataset, dataset: Dataset) -> Dataset:
    """Return validation data with the standardization of the training data.

    Raises:
        DataError: it has other features, or they were made in another way.
    """
    if validation.data.n_x != dataset.data.n_x or validation.recipe != dataset.recipe:
        msg = (
            f"the validation data has {validation.data.n_x} features made by {validation.recipe}, "
            f"but the training data has {dataset.data.n_x} made by {dataset.recipe}"
        )
        raise DataError(msg)
    return replace(validation, data=validation.data.standardized_as(dataset.data.standardizer))
