"""Learned features in a training: which ones suit the data, and a dataset with them in place of pixels."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from xpnet.data import ColumnMatrix, Standardizer, fit_standardizer
from xpnet.errors import DivergenceError, ShapeError, UsageError
from xpnet.features import PatchSettings, fit_patches
from xpnet.linear import classify, is_ridge_solvable

from .plan import choose_model

if TYPE_CHECKING:
    from xpnet.backend import Backend
    from xpnet.nn import Expectation

    from ..datasets import Dataset
    from ..messages import Messages
    from .plan import Plan

GRID, GRID_OF_MANY, MANY_EXAMPLES = 4, 3, 10_000
"""Cells of the grid of patch features along each side; with so many examples, fewer. It is then faster."""

COUNT, COUNT_UNMIRRORED = 800, 400
"""Patches in the dictionary. Without mirror images half of them give as many features."""

LEAST_DEVIATION = 1e-3
"""The least deviation of a feature that is taken for full, as a share of the median one."""

COMPARED_EXAMPLES = 1000
"""The most examples on which features are compared."""


@dataclass(frozen=True)
class Candidate:
    """Features that may suit the data.

    Attributes:
        name: what they are called in messages.
        settings: of the patches; None for pixels.
    """

    name: str
    settings: PatchSettings | None


def candidates(plan: Plan, m: int) -> list[Candidate]:
    """Return the features to compare. m: number of examples."""
    grid = GRID if m < MANY_EXAMPLES else GRID_OF_MANY
    alike = PatchSettings(count=COUNT, grid=grid, mirror=True, seed=plan.seed)
    unlike = PatchSettings(count=COUNT_UNMIRRORED, grid=grid, mirror=False, seed=plan.seed)
    named = {
        True: Candidate("patches, mirror images are alike", alike),
        False: Candidate("patches, mirror images are not alike", unlike),
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
    found = candidates(plan, dataset.data.m)
    if plan.features == "auto":
        if not _has_plain_images(dataset):
            return dataset, validation
        found.append(Candidate("pixels", None))
    chosen = found[0] if len(found) == 1 else _best(found, dataset, plan, backend, messages)
    if chosen.settings is None:
        return dataset, validation
    return dataset_with(chosen.settings, dataset, validation, backend)


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
    data = data.standardized_as(_limited(fit_standardizer(data.blocks(), "feature")))
    if validation is not None:
        held = ColumnMatrix(transform(validation.data.examples), data.standardizer)
        validation = replace(validation, data=held, patches=patches)
    return replace(dataset, data=data, patches=patches), validation


def _has_plain_images(dataset: Dataset) -> bool:
    """Return whether the data are classified images that are large enough, and standardized as usual."""
    recipe, least = dataset.recipe, PatchSettings().size + GRID - 1
    is_large = recipe is not None and min(recipe.height, recipe.width) >= least
    return is_large and bool(dataset.classes) and dataset.data.standardizer.kind == "unit"


def _best(
    found: list[Candidate], dataset: Dataset, plan: Plan, backend: Backend, messages: Messages
) -> Candidate:
    """Return the candidate whose ridge classifier has the least log loss on left-out examples."""
    m = dataset.data.m
    if m > COMPARED_EXAMPLES:
        rows = np.sort(np.random.default_rng([plan.seed, 0, 3]).choice(m, COMPARED_EXAMPLES, replace=False))
        dataset = replace(dataset, data=dataset.data.part(rows), Y=dataset.Y[:, rows])
    expected: list[tuple[float, Candidate]] = []
    for each in found:
        own = dataset_with(each.settings, dataset, None, backend)[0] if each.settings else dataset
        loss = _expected(own, plan, backend)
        expected.append((np.inf if loss is None else loss.log_loss, each))
    best = min(expected, key=lambda pair: pair[0])[1]  # of equal ones the first
    compared = "; ".join(f"{each.name} {loss:.3f}" for loss, each in expected)
    messages.say(f"Features: {best.name} (log loss of {dataset.data.m} left-out examples: {compared})")
    return best


def _expected(dataset: Dataset, plan: Plan, backend: Backend) -> Expectation | None:
    """Return what to expect of a ridge classifier; None if there is none."""
    if len(np.unique(dataset.Y)) < 2:
        return None
    model = choose_model(plan, dataset)
    if not is_ridge_solvable(model, dataset.data.m):
        return None
    try:
        return classify(
            model, dataset.data, dataset.Y, backend,
            class_weight=plan.class_weight, dtype=plan.dtype, seed=plan.seed,
        ).expected  # fmt: skip
    except (DivergenceError, ShapeError):
        return None


def _limited(standardizer: Standardizer) -> Standardizer:
    """Return a standardization that does not enlarge features which hardly differ between examples."""
    most = 1.0 / (LEAST_DEVIATION * float(np.median(1.0 / standardizer.scale)))
    return replace(standardizer, scale=np.minimum(standardizer.scale, most))
