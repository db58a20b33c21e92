"""Learned features in a training: which ones suit the data, and a dataset with them in place of pixels."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from xpnet.data import ColumnMatrix, Standardizer, fit_standardizer
from xpnet.errors import DivergenceError, ShapeError, UsageError
from xpnet.features import PatchSettings, fit_patches
from xpnet.linear import classify, is_ridge_solvable
from xpnet.processors import memory_bytes

from .plan import choose_model

if TYPE_CHECKING:
    from xpnet.backend import Backend
    from xpnet.nn import Expectation

    from ..datasets import Dataset
    from ..messages import Messages
    from .plan import Plan

GRID, GRID_OF_MANY, MANY_EXAMPLES = 4, 3, 10_000
"""Cells of the grid of patch features along each side; with so many examples, fewer. It is then faster."""

LEAST_GRID = 2
"""Cells where features of more cells would take too much memory."""

COUNT, LEAST_COUNT = 800, 100
"""Patches in the dictionary, and the fewest where features of more would take too much memory.

Without mirror images half of them give as many features.
"""

MEMORY_SHARE = 0.25
"""The share of the memory that features may take."""

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
    grid, count = grid_and_count(m, int(MEMORY_SHARE * memory_bytes()))
    alike = PatchSettings(count=count, grid=grid, mirror=True, seed=plan.seed)
    unlike = PatchSettings(count=count // 2, grid=grid, mirror=False, seed=plan.seed)
    named = {
        True: Candidate("patches, mirror images are alike", alike),
        False: Candidate("patches, mirror images are not alike", unlike),
    }
    return list(named.values()) if plan.mirror is None else [named[plan.mirror]]


def grid_and_count(m: int, most_bytes: int) -> tuple[int, int]:
    """Return cells along each side and patches for m examples, whose features fit into a number of bytes.

    An example has grid^2 count features in float32. If not even the fewest fit, these are returned.
    """
    for grid in (GRID, GRID_OF_MANY, LEAST_GRID):
        if grid == GRID and m >= MANY_EXAMPLES:
            continue
        if 4 * m * grid**2 * COUNT <= most_bytes:
            return grid, COUNT
    count = most_bytes // (4 * m * LEAST_GRID**2)
    return LEAST_GRID, max(LEAST_COUNT, count // 2 * 2)


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
    if plan.chosen_features == "auto":
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
