"""Linear classifiers on features that come as numbers: ridge classification or L-BFGS, whichever is better.

On embeddings ridge classification is usually as good, chooses its penalty itself, and takes a tenth of the
time. On other numbers, such as raw pixels, softmax regression can be better. So both are tried on a part of
the data.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from xpnet.data import fit_standardizer, stratified_split
from xpnet.errors import DivergenceError, ShapeError
from xpnet.linear import classify, is_linear_classifier, is_ridge_solvable, minimize

from .plan import LBFGS, RIDGE, Plan, choose_model

if TYPE_CHECKING:
    from xpnet.backend import Backend

    from ..datasets import Dataset
    from ..messages import Messages

LEAST_FEATURES = 64
"""With fewer features L-BFGS takes hardly any time, and is not compared with another method."""

COMPARED_EXAMPLES = 6000
"""The most examples on which both are compared."""

HELD_BACK = 0.25
"""The share of them that is held back, and that both predict."""

CLEARLY = 2.0
"""By how many standard errors L-BFGS must be right more often. The probabilities of ridge classification can
be believed, and those of L-BFGS with its default penalty often cannot."""

ITERATIONS = 100
"""Limit of the number of iterations of L-BFGS in the comparison."""


def with_suitable_optimizer(plan: Plan, dataset: Dataset, backend: Backend, messages: Messages) -> Plan:
    """Return the plan, with ridge classification unless L-BFGS is clearly better on left-out examples.

    Only for a linear classifier on many features that are numbers, without names, in files or in arrays; and
    only if the user did not choose how to train.
    """
    if not _is_open(plan, dataset):
        return plan
    m = dataset.data.m
    count = min(m, COMPARED_EXAMPLES)
    rows = np.sort(np.random.default_rng([plan.seed, 0, 4]).choice(m, count, replace=False))
    try:
        kept, held = stratified_split(dataset.Y[:, rows], HELD_BACK, plan.seed)
        right = _right_answers(plan, dataset, rows[kept], rows[held], backend)
    except (ShapeError, DivergenceError):  # too few examples of each class
        return plan
    only = {
        name: int(np.sum(right[name] & ~right[other])) for name, other in ((RIDGE, LBFGS), (LBFGS, RIDGE))
    }
    is_better = only[LBFGS] - only[RIDGE] > CLEARLY * math.sqrt(sum(only.values()))
    best = LBFGS if is_better else RIDGE
    compared = ", ".join(f"{name} {100 * float(each.mean()):.1f} %" for name, each in right.items())
    messages.say(f"Optimizer: {best} (right answers for {len(held)} left-out examples: {compared})")
    return replace(plan, optimizer=RIDGE) if best == RIDGE else plan


def _is_open(plan: Plan, dataset: Dataset) -> bool:
    """Return whether both methods can be used, and neither the user nor the data says which."""
    is_numbers = dataset.recipe is None and not dataset.features and bool(dataset.classes)
    if not is_numbers or dataset.data.standardizer.kind != "feature" or dataset.data.n_x < LEAST_FEATURES:
        return False
    if plan.optimizer is not None or plan.not_for(RIDGE):
        return False
    model = choose_model(plan, dataset)
    if not is_linear_classifier(model) or not is_ridge_solvable(model, dataset.data.m):
        return False
    return plan.optimizer_for(model) == LBFGS


def _right_answers(
    plan: Plan, dataset: Dataset, kept: np.ndarray, held: np.ndarray, backend: Backend
) -> dict[str, np.ndarray]:
    """Return which answers of both methods are right (k,), if trained on some examples, for k others.

    Raises:
        ShapeError: the examples to train on have one class only.
        DivergenceError: the features are too large for numbers.
    """
    part = dataset.data.part(kept)
    train = part.standardized_as(fit_standardizer(part.blocks(), "feature"))
    new, labels = train.standardizer.apply(dataset.data.part(held).X), dataset.Y[0, held]
    model, Y = choose_model(plan, dataset), dataset.Y[:, kept]
    if len(np.unique(Y)) < 2:
        msg = "the examples have one class only"
        raise ShapeError(msg)
    weight, dtype = plan.class_weight, plan.dtype
    trained = {
        RIDGE: classify(model, train, Y, backend, class_weight=weight, dtype=dtype, seed=plan.seed),
        LBFGS: minimize(
            model, train, Y, backend, l2=1.0, iterations=ITERATIONS, class_weight=weight, dtype=dtype
        ),
    }
    right = {}
    for name, result in trained.items():
        W, b = (backend.fetch(result.parameters.views[each]) for each in ("W1", "b1"))
        Z = W @ new + b
        right[name] = (Z.argmax(axis=0) if len(Z) > 1 else Z[0] > 0) == labels
    return right
