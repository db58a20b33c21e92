"""The pictures nearest to a mistake, as the model sees them: they show wrong labels and doubles."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from xpnet.processors import memory_bytes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from xpnet.backend import Backend
    from xpnet.data import ColumnMatrix

    from ..datasets import Dataset
    from ..models import Model

NEAREST = 4
"""How many pictures are shown for each mistake."""

MEMORY_SHARE = 0.25
"""The share of the memory that features may take. Of more pictures a sample is compared."""


@dataclass(frozen=True)
class Neighbors:
    """The examples nearest to some examples.

    Attributes:
        rows: (k, n) their indices, the nearest first.
        shares: (k, n) their distances, as shares of the median distance to all examples.
        among: how many examples were compared.
    """

    rows: np.ndarray
    shares: np.ndarray
    among: int


def with_features_that_fit(model: Model, dataset: Dataset, backend: Backend) -> Dataset:
    """Return a dataset with the features that the network takes; as it is, if these need too much memory."""
    most = _most_examples(model)
    return model.with_features(dataset, backend) if dataset.data.m <= most else dataset


def neighbors_of(rows: Sequence[int], model: Model, dataset: Dataset, backend: Backend) -> Neighbors | None:
    """Return the examples nearest to some of them, by the standardized features that the network takes.

    Args:
        rows: indices of k examples.
        model: a model.
        dataset: the examples, as images or as features.
        backend: the device that turns images into features.

    Returns:
        The neighbors, without the examples themselves; None if the model takes the pixels, or there are none.
    """
    m = dataset.data.m
    if model.extractor is None or not len(rows) or m < 2:
        return None
    among = np.arange(m)
    if dataset.extractor is None:
        most = max(1, min(m, _most_examples(model)))
        among = np.union1d(np.linspace(0, m - 1, most).round().astype(np.int64), rows)
        part = replace(dataset, data=dataset.data.part(among), Y=dataset.Y[:, among], names=())
        dataset = model.with_features(part, backend)
    data = dataset.data.standardized_as(model.saved.standardizer)
    found, shares = nearest(data, np.searchsorted(among, rows), NEAREST)
    return Neighbors(among[found], shares, len(among))


def nearest(data: ColumnMatrix, rows: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the standardized examples nearest to some of them, and their distances.

    With |q - x|^2 = |q|^2 + |x|^2 - 2 q x, all distances come from one matrix product, in blocks.

    Args:
        data: m examples, at least 2.
        rows: indices (k,) of the examples whose neighbors are looked for. They are not their own neighbors.
        count: how many neighbors of each, if there are so many.

    Returns:
        Indices (k, n), the nearest first; and their distances (k, n), divided by the median distance.
    """

    def standardized(block: np.ndarray) -> np.ndarray:
        scaled: np.ndarray = (block - data.standardizer.mean.T) * data.standardizer.scale.T
        return scaled.astype(np.float32)

    Q = standardized(data.examples[rows])
    squares, done = np.empty((len(Q), data.m), np.float32), 0
    for block in data.blocks():
        B = standardized(block)
        lengths = np.sum(Q * Q, axis=1)[:, None] + np.sum(B * B, axis=1)
        squares[:, done : done + len(B)] = lengths - 2 * (Q @ B.T)
        done += len(B)
    squares[np.arange(len(Q)), rows] = np.inf
    distances = np.sqrt(np.maximum(squares, 0))
    found = np.argsort(distances, axis=1, kind="stable")[:, : min(count, data.m - 1)]
    medians = np.median(np.sort(distances, axis=1)[:, :-1], axis=1)[:, None]
    kept = np.take_along_axis(distances, found, axis=1)
    return found, kept / np.where(medians > 0, medians, 1)


def _most_examples(model: Model) -> int:
    """Return how many examples may be in memory as features."""
    return int(MEMORY_SHARE * memory_bytes()) // (4 * model.saved.model.n_x)
