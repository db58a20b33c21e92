"""Hold examples back for validation: the same share of each class, the same ones for a seed."""

from __future__ import annotations

import numpy as np

from xpnet.errors import ConfigurationError, ShapeError


def stratified_split(Y: np.ndarray, share: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return indices (m1,) to train on and (m2,) to validate by, both ascending.

    Args:
        Y: class indices (1, m); of each class `share` is held back, to the nearest whole number, and at least
            one example stays to train on.
        share: more than 0 and less than 1.
        seed: of the choice.

    Raises:
        ConfigurationError: another share.
        ShapeError: Y is no row, or nothing would be held back.
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
        msg = f"{share} of each class of {Y.shape[1]} examples is none: hold back more, or add examples"
        raise ShapeError(msg)
    return np.setdiff1d(np.arange(Y.shape[1]), validate), validate
