"""Learned features in a training: which ones suit the data, and a dataset with them in place of pixels."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from xpnet.data import ColumnMatrix, Standardizer, fit_standardizer
from xpnet.errors import DivergenceError, ShapeError, UsageError
from xpnet.features import PatchSettings, fit_patches
from xpnet.linear import classify, is_ridge_solvable
from xpnet.processors import memory_bytes

from .plan import choose_model

if TYPE_CHECKING:
    from collections.abc import Iterable

    from xpnet.backend import Backend
    from xpnet.nn import Expectation

    from ..datasets import Dataset
    from ..messages import Messages
    from .plan import Plan

MANY_EXAMPLES = 10_000
"""With so many examples there are fewer features, which takes less time."""

SIZES = {"few": (4, 800), "many": (3, 560)}
"""Cells of the grid of patch features along each side, and patches in the dictionary, by the examples.

Without mirror images half of the patches give as many features.
"""

LEAST_GRID, LEAST_COUNT = 2, 100
"""The fewest cells and patches, where features of more would take too much memory."""

SMALLER = PatchSettings(size=4, grid=2, scale=14 / 32)
"""The patches of a smaller copy of the image, which show larger parts of it."""

MEMORY_SHARE = 0.25
"""The share of the memory that features may take."""

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
    """Return the features to compare.

    Args:
        plan: how to train.
        m: number of examples.
        least_side: height or width of the images, the smaller one.
    """
    grid, count = grid_and_count(m, int(MEMORY_SHARE * memory_bytes()))
    has_smaller = round(least_side * SMALLER.scale) >= SMALLER.size + SMALLER.grid - 1

    def settings(mirror: bool) -> PatchSettings:
        own: Any = {"count": count if mirror else count // 2, "mirror": mirror, "seed": plan.seed}
        return PatchSettings(grid=grid, smaller=replace(SMALLER, **own) if has_smaller else None, **own)

    named = {
        True: Candidate("patches, mirror images are alike", settings(True)),
        False: Candidate("patches, mirror images are not alike", settings(False)),
    }
    return list(named.values()) if plan.mirror is None else [named[plan.mirror]]


def grid_and_count(m: int, most_bytes: int) -> tuple[int, int]:
    """Return cells along each side and patches for m examples, whose features fit into a number of bytes.

    An example has a feature for each cell and patch, in float32; and those of `SMALLER`. If not even the
    fewest fit, these are returned.
    """
    cells_of_smaller = SMALLER.grid**2
    for grid, count in (SIZES["few"], SIZES["many"])[m >= MANY_EXAMPLES :]:
        if 4 * m * (grid**2 + cells_of_smaller) * count <= most_bytes:
            return grid, count
    count = int(most_bytes / (4 * m * (LEAST_GRID**2 + cells_of_smaller)))
    return LEAST_GRID, max(LEAST_COUNT, min(SIZES["many"][1], count // 2 * 2))


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
    data = data.standardized_as(limited_scale(fit_standardizer(data.blocks(), "feature")))
    if validation is not None:
        held = ColumnMatrix(transform(validation.data.examples), data.standardizer)
        validation = replace(validation, data=held, patches=patches)
    return replace(dataset, data=data, patches=patches), validation


def _has_plain_images(dataset: Dataset) -> bool:
    """Return whether the data are classified images that are large enough, and standardized as usual."""
    recipe, least = dataset.recipe, PatchSettings().size + SIZES["few"][0] - 1
    is_large = recipe is not None and min(recipe.height, recipe.width) >= least
    return is_large and bool(dataset.classes) and dataset.data.standardizer.kind == "unit"


def _best(
    found: list[Candidate], dataset: Dataset, plan: Plan, backend: Backend, messages: Messages
) -> Candidate:
    """Return the first candidate whose ridge classifier nearly has the least log loss on left-out data."""
    dataset = some_examples(dataset, COMPARED_EXAMPLES, plan.seed)
    named = {each.name: each for each in found}
    datasets = (
        (name, dataset_with(each.settings, dataset, None, backend)[0] if each.settings else dataset)
        for name, each in named.items()
    )
    best, words = least_log_loss(datasets, plan, backend) or (found[0].name, "nothing to compare them by")
    messages.say(f"Features: {best} ({words})")
    return named[best]


def some_examples(dataset: Dataset, most: int, seed: int) -> Dataset:
    """Return a dataset with at most so many of the examples, chosen by chance."""
    m = dataset.data.m
    if m <= most:
        return dataset
    rows = np.sort(np.random.default_rng([seed, 0, 3]).choice(m, most, replace=False))
    return replace(dataset, data=dataset.data.part(rows), Y=dataset.Y[:, rows])


def least_log_loss(
    datasets: Iterable[tuple[str, Dataset]], plan: Plan, backend: Backend
) -> tuple[str, str] | None:
    """Return the first dataset whose ridge classifier nearly has the least log loss on left-out examples.

    Args:
        datasets: the same examples with different features, each with a name.
        plan: how to train.
        backend: the device.

    Returns:
        Its name, and all log losses in words; None if nothing can be expected of any.
    """
    found = {}
    for name, dataset in datasets:
        if (expected := _expected(dataset, plan, backend)) is not None:
            found[name] = expected
    if not found:
        return None
    most = (1 + ALIKE) * min(each.log_loss for each in found.values())
    best = next(name for name, each in found.items() if each.log_loss <= most)
    losses = "; ".join(f"{name} {each.log_loss:.3f}" for name, each in found.items())
    return best, f"log loss of {found[best].examples} left-out examples: {losses}"


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


def limited_scale(standardizer: Standardizer) -> Standardizer:
    """Return a standardization that does not enlarge features which hardly differ between examples."""
    most = 1.0 / (LEAST_DEVIATION * float(np.median(1.0 / standardizer.scale)))
    return replace(standardizer, scale=np.minimum(standardizer.scale, most))
