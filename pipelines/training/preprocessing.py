"""Turn images into a data file of features, once: trainings, sweeps and evaluations then read them."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from xpnet.backend import Backend, select
from xpnet.errors import DataError, UsageError

from ..datasets import (
    DataOptions,
    open_data,
    read_data_file,
    refuse_features,
    require_images,
    write_data,
    write_data_file,
)
from ..images import Recipe, holds_images
from ..models import load
from .backbones import opened_backbone, some_of_folder
from .features import learn_features, some_examples
from .preparation import refuse_standardize

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..datasets import Dataset, Extraction
    from ..messages import Messages
    from .plan import Plan

HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"
"""The first bytes of a data file."""


def write_features(
    data: str,
    output: str,
    options: DataOptions,
    features: Plan | str,
    messages: Messages,
    device: str | Backend | None = None,
) -> list[tuple[str, str]]:
    """Turn images into features, and write these as a data file; return (input, reason) of what was skipped.

    Features are written block by block. Images are in memory only if patches are learned from them.

    Args:
        data: the images: a folder, or a data file.
        output: the file to write. It appears when it is complete.
        options: how the data is read.
        features: a plan that says which features; or the path of a model, or of a data file of features, for
            the features that these have.
        messages: receives messages and progress.
        device: a name for `xpnet.select`, or a backend.

    Raises:
        UsageError: an option does not fit, or the model takes pixels.
        OutputError: the file cannot be written.
        DataError, ModelFileError, NoInputError, DeviceError, WorkerError: a file cannot be read or used.
    """
    refuse_standardize(options)
    backend = device if isinstance(device, Backend) else select(device)
    messages.detail(f"Device {backend.device}: {backend.reason}")
    if isinstance(features, str):
        known = read_extraction(features, backend)
        if holds_images(data):
            options = replace(options, recipe=known.recipe_with(options))
        else:
            known.require(_opened(data, options, messages), data)
        return _write(data, output, options, known.extraction, messages)
    if features.backbone is not None:
        recipe: Recipe | None
        some: Callable[[int], Dataset | None]
        if holds_images(data):
            recipe, some = options.recipe or Recipe(), partial(some_of_folder, data, options, features)
        else:
            dataset = _opened(data, options, messages)
            recipe, some = dataset.recipe, partial(some_examples, dataset, seed=features.seed)
        extraction = opened_backbone(features, recipe, backend, messages, some)
        return _write(data, output, options, extraction, messages)
    dataset = _opened(data, options, messages)
    refuse_features(dataset, f"{data}:")
    learned, compared = learn_features(dataset, features, backend, messages)
    with messages.progress("Extracting") as progress:
        write_data_file(output, replace(dataset, compared=compared), learned, progress)
    return list(dataset.skipped)


@dataclass(frozen=True)
class KnownFeatures:
    """The features of a model or of a data file, for other images.

    Attributes:
        path: the model or data file.
        recipe: of the images that it takes.
        extraction: what turns them into features, on a device.
    """

    path: str
    recipe: Recipe
    extraction: Extraction

    def recipe_with(self, options: DataOptions) -> Recipe:
        """Return the recipe for the images of a folder, with the limit that the options give.

        Raises:
            UsageError: the options say another recipe.
        """
        given = options.recipe or Recipe()
        if given not in (Recipe(), self.recipe):
            msg = f"{self.path}: its features are of {self.recipe}: leave out other options for images"
            raise UsageError(msg)
        return replace(self.recipe, max_pixels=given.max_pixels)

    def require(self, dataset: Dataset, name: str) -> None:
        """Raise `DataError` unless a dataset has images by the same recipe. name: for the message."""
        require_images(dataset, self.extraction, f"{name}:")
        if dataset.recipe != self.recipe:
            msg = f"{name}: was made by {dataset.recipe}, and the features of {self.path} by {self.recipe}"
            raise DataError(msg)


def read_extraction(path: str, backend: Backend) -> KnownFeatures:
    """Return what made the features of a model, or of a data file of features.

    Raises:
        DataError, ModelFileError: the file cannot be read, or the file of a backbone is missing.
        UsageError: it has no features of images; or onnxruntime is not installed.
        DeviceError: onnxruntime cannot use the device.
    """
    if _starts_as_hdf5(path):
        dataset = read_data_file(path)
        recipe, extractor = dataset.recipe, dataset.extractor
        extraction = None if extractor is None else extractor.on(backend, path)
    else:
        model = load(path)
        recipe, extraction = model.recipe, model.extraction(backend)
    if recipe is None or extraction is None:
        msg = f"--features {path}: has no features of images: name a model of patches or of a backbone"
        raise UsageError(msg)
    return KnownFeatures(path, recipe, extraction)


def _starts_as_hdf5(path: str) -> bool:
    if not os.path.isfile(path):
        msg = (
            f"--features {path}: there is no such file: expected patches, auto, none, an ONNX file, a model, "
            "or a data file of features"
        )
        raise DataError(msg)
    try:
        with open(path, "rb") as file:
            return file.read(len(HDF5_SIGNATURE)) == HDF5_SIGNATURE
    except OSError as error:
        msg = f"{path}: cannot be read: {error.strerror or error}"
        raise DataError(msg) from error


def _opened(data: str, options: DataOptions, messages: Messages) -> Dataset:
    with messages.progress("Decoding") as progress:
        return open_data(data, options, progress, messages.warn)


def _write(
    data: str, output: str, options: DataOptions, extraction: Extraction, messages: Messages
) -> list[tuple[str, str]]:
    with messages.progress("Extracting") as progress:
        return write_data(data, output, replace(options, extraction=extraction), progress, messages.warn)
