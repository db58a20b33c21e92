"""A dataset: examples in memory, with their labels and descriptions."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from xpnet.data import ColumnMatrix, scratch
from xpnet.errors import DataError

from .feature_extractor import standardized_features

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from xpnet.data import Standardizer

    from ..images import Recipe
    from .feature_extractor import Extraction, FeatureExtractor


@dataclass(frozen=True, eq=False)
class Dataset:
    """Examples in memory, ready for training or evaluation.

    Attributes:
        data: the column matrix (n_x, m) of the examples, with its standardization.
        Y: class indices (1, m) int64; for regression, targets (1, m) float64.
        classes: the names of the classes, by class index; empty for regression.
        recipe: how an image became a column; None for a table.
        features: the names of a table's feature columns; empty for images.
        target: the name of a table's target column; "" for images.
        names: the paths of the m images, or empty if they are not known.
        skipped: (input, reason) of each input that could not be used.
        extractor: what turned the pixels into the features in `data`; None if `data` has the pixels, or there
            are no images.
        compared: how well a quick comparison found that features suit the data, as plain data: of each kind
            its name ("features"), "log_loss" and "accuracy" on so many left-out examples ("examples"), and
            whether the data has them ("is_used"). Empty if there was none.
    """

    data: ColumnMatrix
    Y: np.ndarray
    classes: tuple[str, ...]
    recipe: Recipe | None = None
    features: tuple[str, ...] = ()
    target: str = ""
    names: tuple[str, ...] = ()
    skipped: tuple[tuple[str, str], ...] = field(default=())
    extractor: FeatureExtractor | None = None
    compared: tuple[dict[str, Any], ...] = ()

    @property
    def kind(self) -> str:
        """The kind of its data file: "images", "features" of images, or "table"."""
        if self.recipe is None:
            return "table"
        return "images" if self.extractor is None else "features"

    def describe(self) -> dict[str, Any]:
        """Return the description that `describe_data_file` gives for a data file of this dataset."""
        data, recipe = self.data, self.recipe
        return {
            "kind": self.kind,
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
            **({} if self.extractor is None else self.extractor.to_dict()),
        }


def class_counts(labels: np.ndarray, classes: Sequence[str]) -> list[int]:
    """Return the number of examples of each class, by class index. Without classes the list is empty.

    Args:
        labels: class indices (m,), or targets.
        classes: the names of the classes; empty for regression.
    """
    return np.bincount(labels, minlength=len(classes)).tolist() if classes else []


def without_unused_classes(
    labels: np.ndarray, classes: tuple[str, ...], on_warning: Callable[[str], object]
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Leave out classes without examples: return the new class indices (m,) and the names of the classes.

    Args:
        labels: class indices (m,).
        classes: the names of the classes.
        on_warning: called with a sentence that names the classes that are left out.
    """
    used, indices = np.unique(labels, return_inverse=True)
    if len(used) == len(classes):
        return labels, classes
    left_out = [name for i, name in enumerate(classes) if i not in set(used.tolist())]
    on_warning(f"left out {', '.join(left_out)}: a class needs at least one image that can be used")
    return indices.astype(np.int64), tuple(classes[i] for i in used)


def with_labels_for(kind: str | None, dataset: Dataset) -> Dataset:
    """Return the dataset with the kind of labels that a model needs: classes, or numbers to predict.

    For regression, classes whose names are numbers become these numbers. For logistic and softmax regression,
    each different number becomes a class with the number as its name. All else is unchanged.

    Args:
        kind: "logistic", "softmax", "network" or "regression"; None changes nothing.
        dataset: the examples.

    Raises:
        DataError: regression is asked for, and the name of a class is not a finite number.
    """
    if kind == "regression" and dataset.classes:
        try:
            values = np.asarray([float(name) for name in dataset.classes])
        except ValueError:
            values = np.asarray([np.nan])
        if not np.isfinite(values).all():
            classes = ", ".join(dataset.classes)
            msg = f"regression needs numbers as labels, but the data has the classes {classes}"
            raise DataError(msg)
        return replace(dataset, Y=values[dataset.Y], classes=())
    if kind in ("logistic", "softmax") and not dataset.classes:
        values, indices = np.unique(dataset.Y, return_inverse=True)
        names = tuple(repr(value).removesuffix(".0") for value in values.tolist())
        return replace(dataset, Y=indices.reshape(1, -1).astype(np.int64), classes=names)
    return dataset


def refuse_features(dataset: Dataset, name: str) -> None:
    """Raise `DataError` if a dataset holds features of images, not the images. name: for the message."""
    if dataset.extractor is not None:
        msg = f"{name} holds features already, by {dataset.extractor.name}, and no pixels: name the images"
        raise DataError(msg)


def require_images(dataset: Dataset, extraction: Extraction, name: str) -> None:
    """Raise `DataError` unless a dataset holds images that an extractor takes. name: for the message."""
    extractor = extraction.extractor
    if dataset.recipe is None or dataset.recipe.shape != extractor.shape:
        what = f"was made by {dataset.recipe}" if dataset.recipe else "has no images"
        msg = f"{name} {what}, and {extractor.name} takes images of the shape {extractor.shape}"
        raise DataError(msg)
    refuse_features(dataset, name)


def with_features(
    dataset: Dataset,
    extraction: Extraction,
    name: str,
    on_progress: Callable[[int, int], object] | None = None,
    standardizer: Standardizer | None = None,
) -> Dataset:
    """Return a dataset with standardized features in place of the pixels of its images.

    Args:
        dataset: the images; or features by the same extractor, which are returned as they are.
        extraction: what turns them into features.
        name: the data, for messages.
        on_progress: called with the number of images that are done, and of all.
        standardizer: the standardization of the features; None fits it to them.

    Raises:
        DataError: the data has no images, or others than the extractor takes, or features by another
            extractor; or a feature is a NaN or an infinity.
    """
    if dataset.extractor is not None:
        extraction.extractor.require_same(dataset.extractor, name)
        return dataset
    require_images(dataset, extraction, name)
    found, done = scratch((dataset.data.m, extraction.extractor.count), np.float32, dataset.data.memory), 0
    for block in extraction.blocks(dataset.data.examples, on_progress):
        found[done : done + len(block)] = block
        done += len(block)
    data = standardized_features(found) if standardizer is None else ColumnMatrix(found, standardizer)
    data = data.limited_to(dataset.data.memory)
    return replace(dataset, data=data, extractor=extraction.extractor)
