"""Read the HDF5 files of the course: train_set_x and train_set_y (or test_...), and list_classes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from xpnet.data import ColumnMatrix, Moments, standardizer_from_moments
from xpnet.errors import DataError

from ..images import Recipe
from .dataset import Dataset
from .hdf5_input import dataset_in, rows_of
from .text_file import same_name

if TYPE_CHECKING:
    import os

MAX_UNNAMED_CLASSES = 100_000
"""Labels below this number get a class without a name in the file: the number is the name."""

MAX_NAMES_BYTES = 1 << 20
"""Limit of the length of all names of classes together."""


def read_course_file(file: h5py.File, path: str | os.PathLike[str]) -> Dataset:
    """Return the examples of an open file of the course.

    Raises:
        DataError: the file has other contents.
    """
    description, images, labels = describe_course_file(file)
    recipe = Recipe.from_dict(description["recipe"])
    return Dataset(
        ColumnMatrix(rows_of(images, path), standardizer_from_moments(Moments(), "unit", recipe.channels)),
        labels.astype(np.int64)[None],
        tuple(description["classes"]),
        recipe,
    )


def is_course_file(file: h5py.File) -> bool:
    """Return whether a file has examples by the names of the course."""
    return any(f"{part}_set_x" in file for part in ("train", "test"))


def describe_course_file(file: h5py.File) -> tuple[dict[str, Any], h5py.Dataset, np.ndarray]:
    """Return the description of an open file, its images (m, height, width, channels) and its labels (m,).

    The description has the entries of a data file's description. The images are not read yet.

    Raises:
        DataError: the file has other contents.
    """
    part = next((part for part in ("train", "test") if f"{part}_set_x" in file), None)
    if part is None:
        found = ", ".join(list(file)[:5]) or "nothing"
        msg = (
            f"contains {found}; expected a file of xpnet preprocess, train_set_x and train_set_y, or "
            "features and labels"
        )
        raise DataError(msg)
    images, stored = dataset_in(file, f"{part}_set_x"), dataset_in(file, f"{part}_set_y")
    shape = images.shape
    if len(shape) != 4 or shape[3] not in (1, 3) or images.dtype != np.uint8 or not shape[0]:
        msg = f"has images of shape {shape} {images.dtype}, expected (m, height, width, 3 or 1) uint8"
        raise DataError(msg)
    if stored.shape != shape[:1] or stored.dtype.kind not in "iu":
        msg = f"has labels of shape {stored.shape} {stored.dtype}, expected ({shape[0]},) of integers"
        raise DataError(msg)
    labels = stored[:]
    classes = _classes(file, int(labels.min()), int(labels.max()))
    if not classes:
        used, labels = np.unique(labels, return_inverse=True)
        classes = [str(number) for number in used.tolist()]
    description = {
        "kind": "the course's layout",
        "recipe": Recipe(shape[1], shape[2], color_mode="rgb" if shape[3] == 3 else "grayscale").to_dict(),
        "standardize": "unit",
        "classes": classes,
        "skipped": [],
    }
    return description, images, labels


def _classes(file: h5py.File, lowest: int, highest: int) -> list[str]:
    """Return the names of the classes; an empty list if the file has none, so that they are numbers."""
    names = _read_class_names(file) if "list_classes" in file else []
    most = len(names) or MAX_UNNAMED_CLASSES
    if lowest < 0 or highest >= most or len(set(map(same_name, names))) < len(names):
        classes = f"the classes {', '.join(names)}" if names else "no names of classes"
        msg = f"has labels from {lowest} to {highest}, which do not fit {classes} in list_classes"
        raise DataError(msg)
    return names


def _read_class_names(file: h5py.File) -> list[str]:
    """Return the names in list_classes. They are read one by one: many of them may be the same long text."""
    stored = dataset_in(file, "list_classes")
    if h5py.check_string_dtype(stored.dtype) is None or stored.ndim != 1:
        msg = f"has list_classes of {stored.dtype} and shape {stored.shape}, expected a list of strings"
        raise DataError(msg)
    names, left = [], MAX_NAMES_BYTES
    for i in range(min(len(stored), MAX_UNNAMED_CLASSES)):
        names.append(bytes(stored[i]).decode())
        left -= len(names[-1])
        if left < 0:
            msg = f"has list_classes of more than {MAX_NAMES_BYTES} characters"
            raise DataError(msg)
    return names
