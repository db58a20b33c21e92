"""Features that are learned from the training images: which ones suit the data, and their dictionary."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from xpnet.errors import DivergenceError, ShapeError, UsageError
from xpnet.features import PatchSettings, fit_patches
from xpnet.linear import classify, is_ridge_solvable
from xpnet.processors import memory_bytes

from ..datasets import FeatureExtractor, with_features
from .plan import choose_model

if TYPE_CHECKING:
    from xpnet.backend import Backend
    from xpnet.nn import Expectation

    from ..datasets import Dataset, Extraction
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

COMPARED_EXAMPLES = 1000
"""The most examples on which features are compared, to choose some."""

SHOWN_EXAMPLES = 500
"""The most examples on which features that are chosen already are compared with pixels, to be shown."""

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


@dataclass(frozen=True)
class Scored:
    """Features that were compared.

    Attributes:
        candidate: the features.
        expected: what to expect of a ridge classifier on left-out examples; None if there is none.
    """

    candidate: Candidate
    expected: Expectation | None

    @property
    def log_loss(self) -> float:
        """The log loss on left-out examples; infinite if it is not known."""
        return math.inf if self.expected is None else self.expected.log_loss

    def to_dict(self, used: Candidate) -> dict[str, Any]:
        """Return an entry of `Dataset.compared`. used: the features that are used."""
        expected = self.expected
        assert expected is not None  # noqa: S101  (others are left out)
        return {
            "features": self.candidate.name,
            "log_loss": float(expected.log_loss),
            "accuracy": float(expected.accuracy),
            "examples": expected.examples,
            "is_used": self.candidate == used,
        }


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


def learn_features(
    dataset: Dataset, plan: Plan, backend: Backend, messages: Messages
) -> tuple[Extraction | None, tuple[dict[str, Any], ...]]:
    """Learn the features that the plan asks for from images; for "auto" those that suit the data best.

    Returns:
        What turns images into features, None to keep the pixels; and how well features suit the data, as
        `Dataset.compared` has it.

    Raises:
        UsageError: patches are asked for, and the data has no images, or they are too small.
    """
    if not plan.wants_patches:
        return None, ()
    is_auto, recipe = plan.chosen_features == "auto", dataset.recipe
    if is_auto and not _has_plain_images(dataset):
        return None, ()
    found = candidates(plan, dataset.data.m, min(recipe.height, recipe.width) if recipe else 0)
    is_chosen = len(found) == 1 and not is_auto
    sample = _sample(dataset, plan, SHOWN_EXAMPLES if is_chosen else COMPARED_EXAMPLES)
    pixels = Scored(Candidate("pixels", None), _expected(sample, plan, backend))
    learned_from = dataset if is_chosen else sample
    fitted = {each: _fitted(each, learned_from, backend) for each in found}
    scored = [
        Scored(each, _expected_of(fitted[each], sample, plan, backend) if pixels.expected else None)
        for each in found
    ]
    best = _best([*scored, pixels] if is_auto else scored)
    extraction = fitted.get(best)
    if extraction is not None and learned_from is not dataset:
        extraction = _fitted(best, dataset, backend)
    known = [each for each in [*scored, pixels] if each.expected is not None]
    if len(known) > 1:
        compared = "; ".join(f"{each.candidate.name} {each.log_loss:.3f}" for each in known)
        m = sample.data.m
        messages.say(f"Features: {best.name} (log loss of {m} left-out examples: {compared})")
    return extraction, tuple(each.to_dict(best) for each in known)


def _fitted(candidate: Candidate, dataset: Dataset, backend: Backend) -> Extraction:
    """Return features of patches, which are learned from images, on a device.

    Raises:
        UsageError: the data has no images, or they are too small.
    """
    if dataset.recipe is None:
        msg = "--features patches is for images, and the data is a table: leave it out"
        raise UsageError(msg)
    try:
        patches = fit_patches(dataset.data.examples, dataset.recipe.shape, candidate.settings)
    except ShapeError as error:
        msg = f"{error}: give a larger --image-size"
        raise UsageError(msg) from error
    return FeatureExtractor(patches=patches).on(backend)


def _has_plain_images(dataset: Dataset) -> bool:
    """Return whether the data are classified images that are large enough, and standardized as usual."""
    recipe, least = dataset.recipe, PatchSettings().size + SIZES["few"][0] - 1
    is_large = recipe is not None and min(recipe.height, recipe.width) >= least
    return is_large and bool(dataset.classes) and dataset.data.standardizer.kind == "unit"


def _sample(dataset: Dataset, plan: Plan, most: int) -> Dataset:
    """Return at most so many of the examples."""
    m = dataset.data.m
    if m <= most:
        return dataset
    rows = np.sort(np.random.default_rng([plan.seed, 0, 3]).choice(m, most, replace=False))
    return replace(dataset, data=dataset.data.part(rows), Y=dataset.Y[:, rows], names=())


def _best(scored: list[Scored]) -> Candidate:
    """Return the first candidate that nearly has the least log loss."""
    least = min(each.log_loss for each in scored)
    return next(each.candidate for each in scored if each.log_loss <= (1 + ALIKE) * least)


def _expected_of(extraction: Extraction, images: Dataset, plan: Plan, backend: Backend) -> Expectation | None:
    """Return what to expect of a ridge classifier on the features of images; None if there is none."""
    return _expected(with_features(images, extraction, "the training data"), plan, backend)


def _expected(dataset: Dataset, plan: Plan, backend: Backend) -> Expectation | None:
    """Return what to expect of a ridge classifier on left-out examples; None if there is none."""
    if len(np.unique(dataset.Y)) < 2 or not dataset.classes:
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
