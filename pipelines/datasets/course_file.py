"""The course's own HDF5 layout: train_set_x and train_set_y (or test_...), and list_classes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from xpnet.data import ColumnMatrix, Moments, standardizer_from_moments
from xpnet.errors import DataError

from ..images import Recipe
from .dataset import Dataset

if TYPE_CHECKING:
    import h5py

MOST_CLASSES = 100_000
"""The highest label for which a name is made up where there is none."""


def read_course_file(file: h5py.File) -> Dataset:
    """Return the examples of an open file.

    Raises:
        DataError: it holds something else.
    """
    known, images, labels = describe_course_file(file)
    recipe = Recipe.from_dict(known["recipe"])
    return Dataset(
        ColumnMatrix(
            images[:].reshape(len(labels), -1), standardizer_from_moments(Moments(), "unit", recipe.channels)
        ),
        labels.astype(np.int64)[None],
        tuple(known["classes"]),
        recipe,
    )


def describe_course_file(file: h5py.File) -> tuple[dict[str, Any], h5py.Dataset, np.ndarray]:
    """Return what an open file says of itself, its images, and its labels (m,).

    Raises:
        DataError: it holds something else.
    """
    part = next((part for part in ("train", "test") if f"{part}_set_x" in file), None)
    if part is None:
        found = ", ".join(list(file)[:5]) or "nothing"
        msg = f"holds {found}; expected a file of xpnet preprocess, or train_set_x and train_set_y"
        raise DataError(msg)
    images, stored = file[f"{part}_set_x"], file[f"{part}_set_y"]
    shape = images.shape
    if len(shape) != 4 or shape[3] not in (1, 3) or images.dtype != np.uint8 or not shape[0]:
        msg = f"holds images of shape {shape} {images.dtype}, expected bytes (m, height, width, 3 or 1)"
        raise DataError(msg)
    if stored.shape != shape[:1] or stored.dtype.kind not in "iu":
        msg = f"holds labels of shape {stored.shape} {stored.dtype}, expected {shape[0]} whole numbers"
        raise DataError(msg)
    labels = stored[:]
    known = {
        "kind": "the course's layout",
        "recipe": Recipe(shape[1], shape[2], color_mode="rgb" if shape[3] == 3 else "grayscale").to_dict(),
        "standardize": "unit",
        "classes": _classes(file, int(labels.min()), int(labels.max())),
        "skipped": [],
    }
    return known, images, labels


def _classes(file: h5py.File, lowest: int, highest: int) -> list[str]:
    """Return the classes' names; their numbers, where there are no names or too few."""
    stored = file.get("list_classes")
    if stored is not None and stored.dtype.kind not in "SO":
        msg = f"holds list_classes of {stored.dtype}, expected texts"
        raise DataError(msg)
    names = [] if stored is None else [bytes(name).decode() for name in stored[:]]
    if lowest < 0 or highest >= max(len(names), MOST_CLASSES) or len(set(names)) < len(names):
        msg = f"holds labels from {lowest} to {highest} for the classes {', '.join(names) or 'without names'}"
        raise DataError(msg)
    return names if len(names) > highest else list(map(str, range(highest + 1)))
