"""The backbone of a plan: which images it takes, and the network on a device."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from xpnet.data import ColumnMatrix
from xpnet.errors import NoInputError, UsageError
from xpnet.features import image_size, open_backbone, read_onnx, usual_normalizations, with_own_weights

from ..datasets import (
    Extraction,
    FeatureExtractor,
    features_standardizer,
    open_some_images,
    with_labels_for,
)
from ..images import holds_images
from .features import least_log_loss
from .plan import PATCHES_SIZE, Plan

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from xpnet.backend import Backend
    from xpnet.features import BackboneTransform

    from ..datasets import DataOptions, Dataset
    from ..images import Recipe
    from ..messages import Messages, Progress

COMPARED_IMAGES = 200
"""The most images on which normalizations are compared."""


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


def some_of_folder(path: str, options: DataOptions, plan: Plan, count: int) -> Dataset | None:
    """Return at most `count` of the labelled images in a folder; None if none can be decoded."""
    try:
        images = open_some_images(path, options, count, plan.seed)
    except NoInputError:
        return None
    return with_labels_for(plan.model, images)


def opened_backbone(
    plan: Plan,
    recipe: Recipe | None,
    backend: Backend,
    messages: Messages,
    sample: Callable[[int], Dataset | None],
) -> Extraction:
    """Return the backbone of a plan on a device, with its bytes if the model file is to hold them.

    Args:
        plan: how to train, with a backbone.
        recipe: of the images that it is to take; None if the data has no images.
        backend: the device.
        messages: receives what was found out.
        sample: returns at most so many of the labelled images, or None. It is called if nothing says how
            the backbone takes images.

    Raises:
        UsageError: the data has no images, or others than the backbone takes; or it is not clear where its
            embedding is.
        DataError, ModelFileError, DeviceError: see `xpnet.features.open_backbone`.
    """
    if recipe is None:
        msg = f"--features {plan.features} is for images, and the data has none: leave it out"
        raise UsageError(msg)
    file = read_onnx(str(plan.backbone))
    if plan.embed:
        file = with_own_weights(file)
    transform = open_backbone(
        file,
        recipe.shape,
        backend,
        tensor=plan.features_output,
        mean=plan.features_mean,
        deviation=plan.features_std,
        colors=plan.features_colors,
    )
    if transform.normalization.is_assumed:
        transform = _with_suitable_normalization(transform, plan, backend, messages, sample)
    messages.say(f"Features: {file.name}, {transform.describe()}")
    if not plan.embed:
        messages.say(f"To predict, keep {file.name} beside the model file, or write it into it with --embed")
    content = np.frombuffer(file.content, np.uint8)[None] if plan.embed else None
    return Extraction(FeatureExtractor(backbone=transform.backbone, content=content), transform)


def _with_suitable_normalization(
    transform: BackboneTransform,
    plan: Plan,
    backend: Backend,
    messages: Messages,
    sample: Callable[[int], Dataset | None],
) -> BackboneTransform:
    """Return a backbone with the usual normalization whose embeddings classify left-out images best."""
    images = sample(COMPARED_IMAGES)
    if images is None or not images.classes:
        return transform
    named = usual_normalizations(transform.backbone.channels, transform.backbone.colors)

    def datasets(progress: Progress) -> Iterator[tuple[str, Dataset]]:
        for i, (name, normalization) in enumerate(named.items()):
            embeddings = transform.normalized_as(normalization)(images.data.examples)
            progress(i + 1, len(named))
            if np.isfinite(embeddings).all():
                data = ColumnMatrix(embeddings)
                yield name, replace(images, data=data.standardized_as(features_standardizer(data)))

    chooser = Plan(class_weight=plan.class_weight, dtype=plan.dtype, seed=plan.seed)
    with messages.progress("Comparing", "normalizations") as progress:
        best, words = least_log_loss(datasets(progress), chooser, backend) or ("", "")
    if not best:
        return transform
    return transform.normalized_as(replace(named[best], source=f"no file says it; {best} by the {words}"))
