"""The inputs of a training: the job, the data and the device."""

from __future__ import annotations

import contextlib
import functools
import os
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from xpnet.backend import Backend, select
from xpnet.data import fit_standardizer, stratified_split
from xpnet.errors import DataError, UsageError

from ..datasets import (
    EMBEDDING_SUFFIXES,
    PARQUET_SUFFIXES,
    TABLE_SUFFIXES,
    DataOptions,
    Dataset,
    doubt_about_targets,
    doubts_about_images,
    features_standardizer,
    is_data_file,
    open_data,
    with_classes,
    with_features,
    with_labels_for,
)
from ..images import Workers, holds_images
from ..outputs import locked_outputs, require_ending, require_writable
from .backbones import opened_backbone, some_of_folder
from .features import learn_features, some_examples
from .plan import Plan, choose_model

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..datasets import Extraction, FeatureExtractor
    from ..messages import Messages


VALIDATION = "the validation data"
"""What messages call validation data."""

MOST_ROUNDING = 1e-4
"""How much of their standard deviation targets may be rounded by."""


@dataclass(frozen=True, kw_only=True)
class TrainJob:
    """A training job: the data, how to train, and the files to write.

    Attributes:
        data: the training data: a path, or a dataset in memory.
        plan: how to train.
        options: how to read the data.
        device: a name for `xpnet.select`, or a backend.
        val: other data to validate with, or None.
        val_split: share of the data to hold back for validation, or None.
        output: path of the model file, or None.
        history: path of the CSV file with the record of each epoch, or None.
        other_outputs: paths of other files that are written after the training.

    Raises:
        UsageError: both `val` and `val_split` are given, or the plan asks for features, which have a
            standardization of their own, and the options name another one.
    """

    data: str | Dataset
    plan: Plan
    options: DataOptions = field(default_factory=DataOptions)
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
        if self.plan.features not in (None, "none", "auto"):
            refuse_standardize(self.options)


def refuse_standardize(options: DataOptions) -> None:
    """Raise `UsageError` if options of data with features say how to standardize."""
    if options.standardize is not None:
        msg = "--standardize is for pixels, and each feature is brought to one scale: leave it out"
        raise UsageError(msg)


@dataclass(frozen=True)
class Prepared:
    """The data of a training, and its device.

    Attributes:
        dataset: the training examples.
        validation: the validation examples, or None.
        backend: the device.
        skipped: inputs that cannot be used, each with the reason.
        plan: the plan of the job, with the features that were chosen.
    """

    dataset: Dataset
    validation: Dataset | None
    backend: Backend
    skipped: list[tuple[str, str]]
    plan: Plan


@contextlib.contextmanager
def outputs_of(job: TrainJob) -> Iterator[None]:
    """Check the outputs of a job, and keep other runs from writing them until the block ends.

    Raises:
        OutputError: an output cannot be written, or another run is writing it.
        UsageError: an output is also an input, two outputs are the same file, or a name promises another
            format.
    """
    inputs = [name for name in (job.data, job.val, job.options.labels) if isinstance(name, str)]
    require_writable([job.output, job.history, *job.other_outputs], inputs)
    require_ending(job.output, "a model file", "safetensors")
    require_ending(job.history, "a history, CSV", "csv")
    with locked_outputs(job.output, job.history):
        yield


def prepare(job: TrainJob, messages: Messages) -> Prepared:
    """Read the data of a job, and select the device.

    Args:
        job: the training job.
        messages: receives messages and the progress of decoding.

    Raises:
        UsageError: options contradict each other or the data.
        DataError, NoInputError: the data cannot be read or used.
        DeviceError: the device cannot be used.
    """
    backend = job.device if isinstance(job.device, Backend) else select(job.device)
    messages.detail(f"Device {backend.device}: {backend.reason}")
    dataset, plan, extraction = _training_data(job, backend, messages)
    skipped = [] if _was_reported(job.data) else list(dataset.skipped)
    validation = None
    if job.val is not None:
        validation = _validation_data(job, dataset, extraction, backend, messages)
        skipped += [] if _was_reported(job.val) else list(validation.skipped)
    elif job.val_split is not None:
        dataset, validation = validation_split(dataset, job.val_split, plan.seed)
    if isinstance(job.options.workers, Workers):
        job.options.workers.stop()  # all images are decoded
    for doubt in doubts_about_images(dataset, validation):
        messages.warn(doubt)
    if plan.model is None and (doubt := doubt_about_targets(dataset)):
        messages.warn(doubt)
    if dataset.extractor is None:
        learned, compared = learn_features(dataset, plan, backend, messages)
        dataset = replace(dataset, compared=compared or dataset.compared)
        if learned is not None:
            dataset = with_features(dataset, learned, "the training data")
            if validation is not None:
                standardizer = dataset.data.standardizer
                validation = with_features(validation, learned, VALIDATION, standardizer=standardizer)
    if validation is not None:
        validation = with_standardization_of(validation, dataset)
    if plan.chosen_features == "auto":
        chosen = ("none", None) if dataset.extractor is None else ("patches", plan.mirror)
        plan = replace(plan, features=chosen[0], mirror=chosen[1])
    if plan.dtype == "float32" and needs_float64(dataset):
        messages.say("The targets differ little for their size: float64 is used in place of float32")
        plan = replace(plan, dtype="float64")
    return Prepared(dataset, validation, backend, skipped, plan)


def _training_data(
    job: TrainJob, backend: Backend, messages: Messages
) -> tuple[Dataset, Plan, Extraction | None]:
    """Return the training data, with features unless these are to be learned from it.

    Returns:
        The data; the plan, which also says what features the data came with; and what turned images into
        features here, or None.
    """
    plan, options, extraction = job.plan, job.options, None
    has_files = isinstance(job.data, str) and holds_images(job.data)
    if plan.backbone is not None and options.recipe is not None and has_files:
        of_folder = functools.partial(some_of_folder, str(job.data), options, plan)
        extraction = opened_backbone(plan, options.recipe, backend, messages, of_folder)
        options = replace(options, extraction=extraction)
    dataset = _opened(job.data, options, plan, messages)
    choose_model(plan, dataset)  # if the plan does not fit, this raises before more data is read
    if extraction is not None:
        return dataset, plan, extraction
    if dataset.extractor is not None:
        name = job.data if isinstance(job.data, str) else "the training data"
        return dataset, plan_for_features(plan, dataset.extractor, name), None
    if plan.backbone is not None:
        some = functools.partial(some_examples, dataset, seed=plan.seed)
        extraction = opened_backbone(plan, dataset.recipe, backend, messages, some)
        with messages.progress("Embedding") as progress:
            dataset = with_features(dataset, extraction, "the training data", progress)
    return dataset, plan, extraction


def plan_for_features(plan: Plan, extractor: FeatureExtractor, name: str) -> Plan:
    """Return the plan for data that holds features of images: as if it had asked for them.

    Args:
        plan: how to train.
        extractor: what made the features.
        name: the data, for messages.

    Raises:
        UsageError: the plan asks for features, and so for images.
    """
    given = {"--features": plan.features not in (None, "none", "auto"), "--mirror": plan.mirror is not None}
    if wanted := [option for option, is_given in given.items() if is_given]:
        msg = (
            f"{name}: holds features already, by {extractor.name}, and no pixels: "
            f"leave out {' and '.join(wanted)}, or name the images"
        )
        raise UsageError(msg)
    return replace(plan, features="patches" if extractor.backbone is None else extractor.backbone.name)


def _validation_data(
    job: TrainJob, dataset: Dataset, extraction: Extraction | None, backend: Backend, messages: Messages
) -> Dataset:
    """Return the validation data, with the features of the training data if these are known.

    Args:
        job: the training job.
        dataset: the training data.
        extraction: what turned its images into features, if that was done here.
        backend: the device.
        messages: receives messages and progress.
    """
    options, extractor = replace(job.options, extraction=None), dataset.extractor
    source = job.data if isinstance(job.data, str) else None
    if isinstance(job.val, str):
        has_files = holds_images(job.val)
        if has_files and extractor is not None:
            extraction = extraction or extractor.on(backend, source)
            options = replace(options, extraction=extraction)
        options = replace(
            options,
            recipe=dataset.recipe if has_files else None,
            standardize=None,
            labels=None,
            target=options.target if has_files else None,
            ignored_columns=(),
            columns=None,
        )
        if not has_files and job.val.lower().endswith(TABLE_SUFFIXES + PARQUET_SUFFIXES):
            options = replace(options, target=dataset.target, columns=dataset.features or None)
    assert job.val is not None  # noqa: S101  (the caller asked)
    validation = _opened(job.val, options, job.plan, messages)
    if extractor is not None and validation.extractor is None:
        extraction = extraction or extractor.on(backend, source)
        with messages.progress("Extracting") as progress:
            validation = with_features(
                validation, extraction, VALIDATION, progress, dataset.data.standardizer
            )
    name = job.val if isinstance(job.val, str) else VALIDATION
    validation = with_classes(validation, dataset.classes, name)
    if (validation.extractor is None) == (extractor is None):  # else features are learned first
        validation = with_standardization_of(validation, dataset)
    return validation


def needs_float64(dataset: Dataset) -> bool:
    """Return whether float32 rounds the targets of a regression by more than a little of their deviation."""
    if dataset.classes:
        return False
    rounding = float(np.abs(dataset.Y).max()) * float(np.finfo(np.float32).eps)
    return rounding > MOST_ROUNDING * float(dataset.Y.std()) > 0


def _opened(data: str | Dataset, options: DataOptions, plan: Plan, messages: Messages) -> Dataset:
    if isinstance(data, Dataset):
        return with_labels_for(plan.model, data)
    with messages.progress("Decoding") as progress:
        return with_labels_for(plan.model, open_data(data, options, progress, messages.warn))


def _was_reported(data: str | Dataset) -> bool:
    """Return whether the data is a file of `xpnet preprocess`, which has reported what it skipped."""
    others = TABLE_SUFFIXES + EMBEDDING_SUFFIXES
    is_file = isinstance(data, str) and os.path.isfile(data) and not holds_images(data)
    return is_file and not str(data).lower().endswith(others) and is_data_file(str(data))


def validation_split(dataset: Dataset, share: float, seed: int) -> tuple[Dataset, Dataset]:
    """Split a dataset into one to train on and one to validate with, with the same share of each class.

    The standardization is fitted again to the examples to train on.

    Args:
        dataset: the examples.
        share: share of the examples to validate with, more than 0 and less than 1.
        seed: seed of the random choice.

    Raises:
        UsageError, ConfigurationError, ShapeError: the share is out of range, or one part would be empty.
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
    if left.extractor is None:
        standardizer = fit_standardizer(left.data.blocks(), kind, channels)
    else:
        standardizer = features_standardizer(left.data)
    left = replace(left, data=left.data.standardized_as(standardizer))
    return left, with_standardization_of(part(held), left)


def with_standardization_of(validation: Dataset, dataset: Dataset) -> Dataset:
    """Return the validation data with the standardization of the training data.

    Raises:
        DataError: the two have different features, or their images were decoded in different ways.
    """
    if validation.extractor is not None:
        if dataset.extractor is None:
            msg = (
                f"the validation data holds features by {validation.extractor.name}, and the training data "
                "pixels: give both as images, or both as features"
            )
            raise DataError(msg)
        dataset.extractor.require_same(validation.extractor, VALIDATION)
    if validation.features and dataset.features and validation.features != dataset.features:
        found, expected = ", ".join(validation.features), ", ".join(dataset.features)
        msg = f"the validation data has the columns {found}; the training data has {expected}"
        raise DataError(msg)
    if validation.data.n_x != dataset.data.n_x or validation.recipe != dataset.recipe:
        msg = (
            f"the validation data has {validation.data.n_x} features made by {validation.recipe}, "
            f"but the training data has {dataset.data.n_x} made by {dataset.recipe}"
        )
        raise DataError(msg)
    return replace(validation, data=validation.data.standardized_as(dataset.data.standardizer))
