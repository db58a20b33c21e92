"""The backbone of a plan: which images it takes, and the network on a device."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np

from xpnet.errors import UsageError
from xpnet.features import image_size, open_backbone, read_onnx

from ..datasets import Extraction, FeatureExtractor
from .plan import PATCHES_SIZE

if TYPE_CHECKING:
    from xpnet.backend import Backend

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
    if not isinstance(data, str | os.PathLike) or not os.path.isdir(data):
        return None, None
    if plan.backbone is None:
        return (PATCHES_SIZE if plan.wants_patches else None), None
    height, width, channels = image_size(
        read_onnx(plan.backbone), plan.features_mean, plan.features_std, plan.features_colors
    )
    return f"{width}x{height}", "grayscale" if channels == 1 else None


def opened_backbone(plan: Plan, recipe: Recipe | None, backend: Backend, messages: Messages) -> Extraction:
    """Return the backbone of a plan on a device, with its bytes if the model file is to hold them.

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
    content = np.frombuffer(file.content, np.uint8)[None] if plan.embed else None
    return Extraction(FeatureExtractor(backbone=transform.backbone, content=content), transform)
