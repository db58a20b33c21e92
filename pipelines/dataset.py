"""Examples in memory with all that is known of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipelines.recipe import Recipe
    from xpnet.matrix import ColumnMatrix


@dataclass(frozen=True, eq=False)
class Dataset:
    """Examples in memory, ready to train on or to be judged by.

    Attributes:
        data: the column matrix, with its standardization.
        Y: class indices (1, m) int64, or targets (1, m) float64.
        classes: their names, by index; empty for regression.
        recipe: how an image became a column; None for a table.
        features: names of a table's columns, but for
        target: that of the one to predict.
        names: of the examples: paths, as far as they are known.
        skipped: inputs that could not be used, each with its reason.
    """

    data: ColumnMatrix
    Y: np.ndarray
    classes: tuple[str, ...]
    recipe: Recipe | None = None
    features: tuple[str, ...] = ()
    target: str = ""
    names: tuple[str, ...] = ()
    skipped: tuple[tuple[str, str], ...] = field(default=())

    def describe(self) -> dict[str, Any]:
        """Return what `describe` says of a data file that holds this."""
        data, recipe = self.data, self.recipe
        return {
            "kind": "images" if recipe else "table",
            "recipe": recipe and recipe.to_dict(),
            "target": self.target,
            "standardize": data.standardizer.kind,
            "classes": list(self.classes),
            "skipped": list(self.skipped),
            "m": data.m,
            "n_x": data.n_x,
            "shape": list(recipe.shape) if recipe else [data.n_x],
            "dtype": str(data.examples.dtype),
            "counts": counts(self.Y[0], self.classes),
        }


def counts(labels: np.ndarray, classes: Sequence[str]) -> list[int]:
    """Return how many labels are of each class; nothing for numbers to predict."""
    return np.bincount(labels, minlength=len(classes)).tolist() if classes else []
