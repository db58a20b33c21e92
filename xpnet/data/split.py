"""Hold examples back: the same share of each class, once for validation or in turn as folds."""

from __future__ import annotations

import numpy as np

from xpnet.errors import ConfigurationError, ShapeError


def stratified_split(Y: np.ndarray, share: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return indices (m1,) of examples to train on, and (m2,) to validate with, both ascending.

    Args:
        Y: class indices, (1, m).
        share: share of each class to hold back, more than 0 and less than 1. The number is rounded, and at
            least one example of each class is kept to train on.
        seed: seed of the random choice.

    Raises:
        ConfigurationError: `share` is out of range.
        ShapeError: Y is not a row, or no example would be held back.
    """
    if not 0 < share < 1:
        msg = f"the share to hold back is {share!r}, expected more than 0 and less than 1"
        raise ConfigurationError(msg)
    if Y.ndim != 2 or Y.shape[0] != 1:
        msg = f"Y has shape {Y.shape}, expected a row (1, m)"
        raise ShapeError(msg)
    generator = np.random.default_rng(seed)
    held: list[np.ndarray] = []
    for label in np.unique(Y):
        members = np.flatnonzero(Y[0] == label)
        count = min(round(share * len(members)), len(members) - 1)
        held.append(generator.permutation(members)[:count])
    validate = np.sort(np.concatenate(held)) if held else np.zeros(0, np.int64)
    if not len(validate):
        msg = (
            f"a share of {share} of each class of {Y.shape[1]} examples is less than one example: "
            "hold back more, or add examples"
        )
        raise ShapeError(msg)
    return np.setdiff1d(np.arange(Y.shape[1]), validate), validate


def stratified_folds(Y: np.ndarray, folds: int, seed: int = 0) -> np.ndarray:
    """Deal examples into folds for cross-validation; return the fold of each example, (m,).

    The folds have equally many examples, and equally many of each class, up to one. An example that is the
    only one of its class has fold -1: without it, there would be nothing to learn the class from.

    Args:
        Y: class indices, (1, m).
        folds: the number of folds, 2 or more. There are fewer if there are fewer examples.
        seed: seed of the random choice.

    Raises:
        ConfigurationError: `folds` is out of range.
        ShapeError: Y is not a row, or no class has two examples.
    """
    if folds < 2:
        msg = f"the number of folds is {folds!r}, expected 2 or more"
        raise ConfigurationError(msg)
    if Y.ndim != 2 or Y.shape[0] != 1:
        msg = f"Y has shape {Y.shape}, expected a row (1, m)"
        raise ShapeError(msg)
    generator = np.random.default_rng(seed)
    members = [np.flatnonzero(Y[0] == label) for label in np.unique(Y)]
    dealt = [generator.permutation(each) for each in members if len(each) > 1]
    if not dealt:
        msg = (
            f"each of the {Y.shape[1]} examples is the only one of its class: cross-validation needs a class "
            "with two examples or more"
        )
        raise ShapeError(msg)
    order = np.concatenate(dealt)
    fold = np.full(Y.shape[1], -1)
    fold[order] = np.arange(len(order)) % folds
    return fold
