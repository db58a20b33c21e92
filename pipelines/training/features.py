"""Learned features in a training: which ones suit the data, and a dataset with them in place of pixels."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from xpnet.data import ColumnMatrix, Standardizer, fit_standardizer
from xpnet.errors import DivergenceError, ShapeError, UsageError
from xpnet.features import PatchSettings, fit_patches
from xpnet.linear import classify, is_ridge_solvable

from .dictionary_size import SMALLER, affordable_count, size_by, usual_size
from .plan import choose_model

if TYPE_CHECKING:
    from xpnet.backend import Backend

    from ..datasets import Dataset
    from ..messages import Messages
    from .plan import Plan

LEAST_DEVIATION = 1e-3
"""The least deviation of a feature that is taken for full, as a share of the median one."""

COMPARED_EXAMPLES = 1000
"""The most examples on which features are compared."""

ALIKE = 0.03
"""Log losses that differ by less than this share are alike: with so few examples, that is chance."""


@dataclass(frozen=True)
class Candidate:
    """Features that may suit the data.

    Attributes:
        name: what they are called in messages.
        settings: of the patches; None for pixels.
    """

    name: str
    settings: PatchSettings | None


def candidates(plan: Plan, m: int, least_side: int) -> list[Candidate]:
    """Return the features to compare, of as many patches as are usual.

    Args:
        plan: how to train.
        m: number of examples.
        least_side: height or width of the images, the smaller one.
    """
    grid, count = usual_size(m)
    has_smaller = round(least_side * SMALLER.scale) >= SMALLER.size + SMALLER.grid - 1

    def settings(mirror: bool) -> PatchSettings:
        own: Any = {"count": count if mirror else count // 2, "mirror": mirror, "seed": plan.seed}
        return PatchSettings(grid=grid, smaller=replace(SMALLER, **own) if has_smaller else None, **own)

    named = {
        True: Candidate("patches, mirror images are alike", settings(True)),
        False: Candidate("patches, mirror images are not alike", settings(False)),
    }
    return list(named.values()) if plan.mirror is None else [named[plan.mirror]]


def with_features(
    dataset: Dataset, validation: Dataset | None, plan: Plan, backend: Backend, messages: Messages
) -> tuple[Dataset, Dataset | None]:
    """Return datasets with the features that the plan asks for; for "auto" those that suit the data best.

    Raises:
        UsageError: patches are asked for, and the data has no images, or they are too small.
    """
    if not plan.wants_patches:
        return dataset, validation
    recipe = dataset.recipe
    found = candidates(plan, dataset.data.m, min(recipe.height, recipe.width) if recipe else 0)
    if plan.chosen_features == "auto":
        if not _has_plain_images(dataset):
            return dataset, validation
        found.append(Candidate("pixels", None))
    chosen = found[0] if len(found) == 1 else _best(found, dataset, plan, backend, messages)
    if chosen.settings is None:
        return dataset, validation
    return dataset_with(
        _sized(chosen.settings, plan, dataset, backend, messages), dataset, validation, backend
    )


def _sized(
    settings: PatchSettings, plan: Plan, dataset: Dataset, backend: Backend, messages: Messages
) -> PatchSettings:
    """Return settings with as many patches as the plan says, or as its budget allows."""
    count = plan.patches
    if plan.budget is not None and dataset.recipe is not None:
        count = affordable_count(dataset.data.m, dataset.recipe.shape, plan.budget, backend)
        messages.say(f"Budget: {count} patches (--patches {count} asks for the same again)")
    if count is None:
        return settings
    grid, _ = size_by(dataset.data.m)
    own: Any = {"count": count if settings.mirror else max(1, count // 2)}
    smaller = replace(settings.smaller, **own) if settings.smaller else None
    return replace(settings, grid=grid, smaller=smaller, **own)


def dataset_with(
    settings: PatchSettings, dataset: Dataset, validation: Dataset | None, backend: Backend
) -> tuple[Dataset, Dataset | None]:
    """Return datasets with features of patches, which are learned from the training images.

    Raises:
        UsageError: the data has no images, or they are too small.
    """
    if dataset.recipe is None:
        msg = "--features patches is for images, and the data is a table: leave it out"
        raise UsageError(msg)
    try:
        patches = fit_patches(dataset.data.examples, dataset.recipe.shape, settings)
    except ShapeError as error:
        msg = f"{error}: give a larger --image-size"
        raise UsageError(msg) from error
    transform = patches.on(backend)
    data = ColumnMatrix(transform(dataset.data.examples))
    data = data.standardized_as(limited_scale(fit_standardizer(data.blocks(), "feature")))
    if validation is not None:
        held = ColumnMatrix(transform(validation.data.examples), data.standardizer)
        validation = replace(validation, data=held, patches=patches)
    return replace(dataset, data=data, patches=patches), validation


def _has_plain_images(dataset: Dataset) -> bool:
    """Return whether the data are classified images that are large enough, and standardized as usual."""
    recipe, least = dataset.recipe, PatchSettings().size + size_by(0)[0] - 1
    is_large = recipe is not None and min(recipe.height, recipe.width) >= least
    return is_large and bool(dataset.classes) and dataset.data.standardizer.kind == "unit"


def _best(
    found: list[Candidate], dataset: Dataset, plan: Plan, backend: Backend, messages: Messages
) -> Candidate:
    """Return the first candidate whose ridge classifier nearly has the least log loss on left-out data."""
    m = dataset.data.m
    if m > COMPARED_EXAMPLES:
        rows = np.sort(np.random.default_rng([plan.seed, 0, 3]).choice(m, COMPARED_EXAMPLES, replace=False))
        dataset = replace(dataset, data=dataset.data.part(rows), Y=dataset.Y[:, rows])
    expected: list[tuple[float, Candidate]] = []
    for each in found:
        own = dataset_with(each.settings, dataset, None, backend)[0] if each.settings else dataset
        expected.append((_left_out_loss(own, plan, backend), each))
    least = min(loss for loss, _ in expected)
    best = next(each for loss, each in expected if loss <= (1 + ALIKE) * least)
    compared = "; ".join(f"{each.name} {loss:.3f}" for loss, each in expected)
    messages.say(f"Features: {best.name} (log loss of {dataset.data.m} left-out examples: {compared})")
    return best


def _left_out_loss(dataset: Dataset, plan: Plan, backend: Backend) -> float:
    """Return the log loss of a ridge classifier on left-out examples; infinity if there is none."""
    if len(np.unique(dataset.Y)) < 2:
        return math.inf
    model = choose_model(plan, dataset)
    if not is_ridge_solvable(model, dataset.data.m):
        return math.inf
    try:
        result = classify(
            model, dataset.data, dataset.Y, backend,
            class_weight=plan.class_weight, dtype=plan.dtype, seed=plan.seed,
        )  # fmt: skip
    except (DivergenceError, ShapeError):
        return math.inf
    return float(result.costs[-1])


def limited_scale(standardizer: Standardizer) -> Standardizer:
    """Return a standardization that does not enlarge features which hardly differ between examples."""
    most = 1.0 / (LEAST_DEVIATION * float(np.median(1.0 / standardizer.scale)))
    return replace(standardizer, scale=np.minimum(standardizer.scale, most))
