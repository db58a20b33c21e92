"""Standardization of features: (x - mean) * scale for each row, fitted in one pass over the raw examples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from xpnet.backend import backend_of
from xpnet.errors import ShapeError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from xpnet.arrays import Array

STANDARDIZATIONS = ("none", "unit", "channel", "feature")
"""Kinds of standardization.

- "none": none.
- "unit": x / 255.
- "channel": mean 0 and variance 1 over all pixels of a channel.
- "feature": mean 0 and variance 1 of each feature.
"""

_EXACT_ROWS = 256
"""Number of squared bytes that float32 sums exactly: 256 * 255^2 is less than 2^24."""


@dataclass(frozen=True, eq=False)
class Standardizer:
    """A fitted standardization.

    Attributes:
        kind: one of `STANDARDIZATIONS`.
        mean: mean of each row, (n_x, 1), or (1, 1) if all rows share it; float64, in host memory.
        scale: factor of each row, in the same shape and dtype. It is 1 for a row with a single value, which
            becomes 0.
    """

    kind: str
    mean: np.ndarray
    scale: np.ndarray

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Standardizer)
            and self.kind == other.kind
            and np.array_equal(self.mean, other.mean)
            and np.array_equal(self.scale, other.scale)
        )

    __hash__ = None  # type: ignore[assignment]

    @property
    def is_uniform(self) -> bool:
        """Whether the mean of all rows is 0, and all rows share one scale."""
        return self.scale.size == 1 and not self.mean.any()

    def apply(self, X: np.ndarray) -> np.ndarray:
        """Return the standardized matrix, (n_x, m) float64. X: raw columns, (n_x, m), in host memory."""
        standardized: np.ndarray = (X - self.mean) * self.scale
        return standardized


def fit_standardizer(blocks: Iterable[Array], kind: str, channels: int = 1) -> Standardizer:
    """Fit a standardization in one pass.

    Sums of bytes are exact, and do not depend on the division into blocks. Floats are merged by Chan's
    formula, in float64.

    Args:
        blocks: blocks of raw examples, (k, n_x) each, bytes or floats, of NumPy or CuPy.
        kind: one of `STANDARDIZATIONS`.
        channels: channels of the images, which vary fastest along the features; for "channel".

    Raises:
        ShapeError: the kind is unknown, there are no examples, or the number of features is not a multiple
            of `channels`.
    """
    moments = Moments()
    for block in blocks if kind in ("channel", "feature") else ():
        moments.add(block)
    return standardizer_from_moments(moments, kind, channels)


def standardizer_from_moments(moments: Moments, kind: str, channels: int = 1) -> Standardizer:
    """Return the standardization with these moments. Arguments and errors: see `fit_standardizer`."""
    if kind not in STANDARDIZATIONS:
        msg = f"standardize: kind is {kind!r}, expected one of {', '.join(STANDARDIZATIONS)}"
        raise ShapeError(msg)
    if kind in ("none", "unit"):
        return Standardizer(kind, np.zeros((1, 1)), np.full((1, 1), 1.0 if kind == "none" else 1 / 255))
    if not moments.count:
        msg = f"standardize: no examples to fit {kind!r} to"
        raise ShapeError(msg)
    mean, variance = moments.mean, moments.variance
    if kind == "channel":
        if mean.size % channels:
            msg = f"standardize: {mean.size} features are not a multiple of {channels} channels"
            raise ShapeError(msg)
        mean, variance = _by_channel(mean, variance, channels)
    deviation = np.sqrt(variance)
    # If all values are equal, rounding may leave a deviation slightly above 0.
    constant = deviation <= 1e-12 * np.maximum(1.0, np.abs(mean))
    scale = np.where(constant, 1.0, 1.0 / np.where(constant, 1.0, deviation))
    return Standardizer(kind, mean[:, None], scale[:, None])


class Moments:
    """Mean and variance of each feature, accumulated over blocks of examples.

    Attributes:
        count: number of examples so far.
    """

    def __init__(self) -> None:
        self.count = 0
        self._sums = np.zeros(0, dtype=np.int64)
        self._squares = np.zeros(0, dtype=np.int64)
        self._mean = np.zeros(0)
        self._spread = np.zeros(0)
        self._bytes = False

    def add(self, block: Array) -> None:
        """Add examples. block: (k, n_x), bytes or floats; all blocks have the same n_x and dtype."""
        if not block.shape[0]:
            return
        if not self.count:
            n_x = block.shape[1]
            self._bytes = block.dtype == np.uint8
            self._sums, self._squares = np.zeros(n_x, np.int64), np.zeros(n_x, np.int64)
            self._mean, self._spread = np.zeros(n_x), np.zeros(n_x)
        if not isinstance(block, np.ndarray):
            self._add_from_device(block)
        elif self._bytes:
            self._add_bytes(block)
        else:
            self._add_floats(block)

    def join(self, other: Moments) -> None:
        """Add the examples of others, which have the same n_x and dtype."""
        if not self.count:
            self.__dict__.update(other.__dict__)
        elif other.count and self._bytes:
            self._sums, self._squares = self._sums + other._sums, self._squares + other._squares
            self.count += other.count
        elif other.count:
            self._merge(other.count, other._mean, other._spread)

    @property
    def mean(self) -> np.ndarray:
        """Mean of each feature, (n_x,) float64."""
        return self._sums / self.count if self._bytes else self._mean

    @property
    def variance(self) -> np.ndarray:
        """Variance of each feature (divided by the count), (n_x,) float64."""
        if not self._bytes:
            return self._spread / self.count
        # In Python's integers this is exact: the subtraction loses no digits.
        numerator: Any = self.count * self._squares.astype(object) - self._sums.astype(object) ** 2
        variance: np.ndarray = numerator.astype(np.float64) / float(self.count) ** 2
        return variance

    def _add_bytes(self, block: np.ndarray) -> None:
        for start in range(0, len(block), _EXACT_ROWS):
            part = block[start : start + _EXACT_ROWS].astype(np.float32)
            self._sums += part.sum(axis=0).astype(np.int64)
            np.multiply(part, part, out=part)
            self._squares += part.sum(axis=0).astype(np.int64)
            self.count += len(part)

    def _add_floats(self, block: np.ndarray) -> None:
        wide = block.astype(np.float64)
        k, mean = len(wide), wide.mean(axis=0)
        wide -= mean
        self._merge(k, mean, np.einsum("ij,ij->j", wide, wide))

    def _add_from_device(self, block: Array) -> None:
        """Add examples on a device. Only their sums are fetched."""
        backend, k = backend_of(block), block.shape[0]
        xp = backend.xp
        with backend.activate():
            if self._bytes:
                wide = xp.astype(block, xp.int64)
                self._sums += backend.fetch(xp.sum(wide, axis=0))
                self._squares += backend.fetch(xp.sum(wide * wide, axis=0))
                self.count += k
                return
            wide = xp.astype(block, xp.float64)
            mean = xp.mean(wide, axis=0)
            wide = wide - mean
            self._merge(k, backend.fetch(mean), backend.fetch(xp.sum(wide * wide, axis=0)))

    def _merge(self, k: int, mean: np.ndarray, spread: np.ndarray) -> None:
        """Add k examples with this mean, and this sum of squared differences from it; both (n_x,)."""
        shift = mean - self._mean
        total = self.count + k
        self._spread = self._spread + (spread + shift**2 * (self.count * k / total))
        self._mean = self._mean + shift * (k / total)
        self.count = total


def _by_channel(mean: np.ndarray, variance: np.ndarray, channels: int) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and variance over all pixels of each channel, repeated for each pixel."""
    means, variances = mean.reshape(-1, channels), variance.reshape(-1, channels)
    pooled = means.mean(axis=0)
    spread = variances.mean(axis=0) + ((means - pooled) ** 2).mean(axis=0)
    pixels = len(means)
    return np.tile(pooled, pixels), np.tile(spread, pixels)
