"""Examples in memory with all that is known of them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from xpnet.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from xpnet.data import ColumnMatrix

    from ..images import Recipe


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
            "counts": class_counts(self.Y[0], self.classes),
        }


def class_counts(labels: np.ndarray, classes: Sequence[str]) -> list[int]:
    """Return how many labels are of each class; nothing for numbers to predict."""
    return np.bincount(labels, minlength=len(classes)).tolist() if classes else []


def with_labels_for(kind: str | None, dataset: Dataset) -> Dataset:
    """Return the dataset with numbers to predict, or classes, as a model takes them.

    Args:
        kind: "logistic", "softmax", "network" or "regression"; None for the dataset as it is.
        dataset: the examples.

    Classes whose names are numbers become those for regression; numbers become classes, named by
    themselves, for logistic and softmax regression.

    Raises:
        DataError: a class whose name is no number.
    """
    if kind == "regression" and dataset.classes:
        try:
            values = np.asarray([float(name) for name in dataset.classes])
        except ValueError:
            values = np.asarray([np.nan])
        if not np.isfinite(values).all():
            msg = f"regression needs numbers, and the data has the classes {', '.join(dataset.classes)}"
            raise DataError(msg)
        return replace(dataset, Y=values[dataset.Y], classes=())
    if kind in ("logistic", "softmax") and not dataset.classes:
        values, indices = np.unique(dataset.Y, return_inverse=True)
        names = tuple(repr(value).removesuffix(".0") for value in values.tolist())
        return replace(dataset, Y=indices.reshape(1, -1).astype(np.int64), classes=names)
    return dataset
