"""Features that are learned from the training images: which ones suit the data, and their dictionary."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from xpnet.errors import DivergenceError, ShapeError, UsageError
from xpnet.features import PatchSettings, fit_patches
from xpnet.linear import classify, is_ridge_solvable
from xpnet.nn import Expectation

from ..datasets import FeatureExtractor, with_features
from .dictionary_size import SMALLER, affordable_count, size_by, usual_size
from .plan import choose_model

if TYPE_CHECKING:
    from collections.abc import Iterable

    from xpnet.backend import Backend

    from ..datasets import Dataset, Extraction
    from ..messages import Messages
    from .plan import Plan

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
    if is_chosen:
        found = [_sized(found[0], plan, dataset, backend, messages)]
    sample = some_examples(dataset, SHOWN_EXAMPLES if is_chosen else COMPARED_EXAMPLES, plan.seed)
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
        extraction = _fitted(_sized(best, plan, dataset, backend, messages), dataset, backend)
    known = [each for each in [*scored, pixels] if each.expected is not None]
    if len(known) > 1:
        messages.say(f"Features: {best.name} ({_compared(known)})")
    return extraction, tuple(each.to_dict(best) for each in known)


def _sized(
    candidate: Candidate, plan: Plan, dataset: Dataset, backend: Backend, messages: Messages
) -> Candidate:
    """Return patches, as many as the plan says or its budget allows."""
    settings, count = candidate.settings, plan.patches
    if plan.budget is not None and dataset.recipe is not None:
        count = affordable_count(dataset.data.m, dataset.recipe.shape, plan.budget, backend)
        messages.say(f"Budget: {count} patches (--patches {count} asks for the same again)")
    if settings is None or count is None:
        return candidate
    grid, _ = size_by(dataset.data.m)
    own: Any = {"count": count if settings.mirror else max(1, count // 2)}
    smaller = replace(settings.smaller, **own) if settings.smaller else None
    return replace(candidate, settings=replace(settings, grid=grid, smaller=smaller, **own))


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
    recipe, least = dataset.recipe, PatchSettings().size + size_by(0)[0] - 1
    is_large = recipe is not None and min(recipe.height, recipe.width) >= least
    return is_large and bool(dataset.classes) and dataset.data.standardizer.kind == "unit"


def some_examples(dataset: Dataset, most: int, seed: int) -> Dataset:
    """Return a dataset with at most so many of the examples, chosen by chance."""
    m = dataset.data.m
    if m <= most:
        return dataset
    rows = np.sort(np.random.default_rng([seed, 0, 3]).choice(m, most, replace=False))
    return replace(dataset, data=dataset.data.part(rows), Y=dataset.Y[:, rows], names=())


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
    scored = [Scored(Candidate(name, None), _expected(each, plan, backend)) for name, each in datasets]
    known = [each for each in scored if each.expected is not None]
    return (_best(known).name, _compared(known)) if known else None


def _best(scored: list[Scored]) -> Candidate:
    """Return the first candidate that nearly has the least log loss."""
    least = min(each.log_loss for each in scored)
    return next(each.candidate for each in scored if each.log_loss <= (1 + ALIKE) * least)


def _compared(known: list[Scored]) -> str:
    """Return all log losses in words."""
    examples = {each.expected.examples for each in known if each.expected is not None}
    losses = "; ".join(f"{each.candidate.name} {each.log_loss:.3f}" for each in known)
    return f"log loss of {max(examples)} left-out examples: {losses}"


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
        expected = classify(
            model, dataset.data, dataset.Y, backend,
            class_weight=plan.class_weight, dtype=plan.dtype, seed=plan.seed,
        ).expected  # fmt: skip
    except (DivergenceError, ShapeError):
        return None
    return expected if isinstance(expected, Expectation) else None
