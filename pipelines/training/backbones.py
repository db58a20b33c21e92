"""Training on the embeddings of a backbone: which images it takes, and datasets with embeddings."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from xpnet.data import ColumnMatrix, fit_standardizer
from xpnet.errors import DataError, UsageError
from xpnet.features import image_size, open_backbone, read_onnx, require_finite

from ..images import holds_images
from .features import limited_scale
from .plan import PATCHES_SIZE

if TYPE_CHECKING:
    from xpnet.backend import Backend
    from xpnet.features import BackboneTransform

    from ..datasets import Dataset
    from ..images import Recipe
    from ..messages import Messages
    from .plan import Plan


def usual_images(plan: Plan, data: object) -> tuple[str | None, str | None]:
    """Return image size and color mode of images in a folder where no option says them; None for the usual.

    Args:
        plan: how to train. A backbone is read to find out what it takes.
        data: the training data. Only images in a folder can be decoded in another size.

    Raises:
        ModelFileError: the backbone cannot be read.
        UsageError, DataError: it takes no images, or what says so is damaged.
    """
    if not isinstance(data, str | os.PathLike) or not holds_images(os.fspath(data)):
        return None, None
    if plan.backbone is None:
        return (PATCHES_SIZE if plan.wants_patches else None), None
    height, width, channels = image_size(
        read_onnx(plan.backbone), plan.features_mean, plan.features_std, plan.features_colors
    )
    return f"{width}x{height}", "grayscale" if channels == 1 else None


def opened_backbone(
    plan: Plan, recipe: Recipe | None, backend: Backend, messages: Messages
) -> tuple[BackboneTransform, np.ndarray | None]:
    """Return the backbone of a plan on a device, and its bytes (1, n) if the model file is to hold them.

    Args:
        plan: how to train, with a backbone.
        recipe: of the images that it is to take; None if the data has no images.
        backend: the device.
        messages: receives what was found out.

    Raises:
        UsageError: the data has no images, or others than the backbone takes; or it is not clear where its
            embedding is; or it cannot be written into the model file.
        DataError, ModelFileError, DeviceError: see `xpnet.features.open_backbone`.
    """
    if recipe is None:
        msg = f"--features {plan.features} is for images, and the data has none: leave it out"
        raise UsageError(msg)
    file = read_onnx(str(plan.backbone))
    if plan.embed and file.graph.external:
        msg = f"--embed: {file.path} has its weights in other files, and a model file holds one: leave it out"
        raise UsageError(msg)
    transform, found = open_backbone(
        file,
        recipe.shape,
        backend,
        tensor=plan.features_output,
        mean=plan.features_mean,
        deviation=plan.features_std,
        colors=plan.features_colors,
    )
    messages.say(f"Features: {file.name}, {found}")
    if not plan.embed:
        messages.say(f"To predict, keep {file.name} beside the model file, or write it into it with --embed")
    return transform, np.frombuffer(file.content, np.uint8)[None] if plan.embed else None


def embedded(
    images: Dataset, transform: BackboneTransform, content: np.ndarray | None, messages: Messages
) -> Dataset:
    """Return a dataset with the embeddings of its images, not yet standardized.

    Args:
        images: the images; or embeddings already, if they were made while images were decoded.
        transform: the backbone.
        content: its bytes, if the model file is to hold them.
        messages: receives the progress.

    Raises:
        DataError: the data has no images, or others than the backbone takes; or an embedding holds a NaN or
            an infinity.
        ModelFileError: onnxruntime fails.
    """
    backbone, data = transform.backbone, images.data
    if images.recipe is None or images.recipe.shape != backbone.shape:
        msg = (
            f"the validation data was made by {images.recipe}, and the backbone {backbone.name} takes images "
            f"of the shape {backbone.shape}"
        )
        raise DataError(msg)
    if data.n_x != backbone.count or data.examples.dtype == np.uint8:
        with messages.progress("Embedding") as progress:
            data = ColumnMatrix(transform(data.examples, progress))
    require_finite(data.examples, backbone.name)
    return replace(images, data=data, backbone=backbone, embedded=content)


def standardized(dataset: Dataset, validation: Dataset | None) -> tuple[Dataset, Dataset | None]:
    """Return datasets of embeddings with the standardization of the training data."""
    data = dataset.data.standardized_as(limited_scale(fit_standardizer(dataset.data.blocks(), "feature")))
    if validation is not None:
        validation = replace(validation, data=validation.data.standardized_as(data.standardizer))
    return replace(dataset, data=data), validation
