"""Open what a user calls DATA: a folder, a data file, the course's file, or a table."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from xpnet.data import fit_standardizer
from xpnet.errors import DataError, UsageError

from ..images import Recipe

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .dataset import Dataset


TABLE_SUFFIXES = (".csv",)
"""Endings of files that are taken for tables."""


@dataclass(frozen=True)
class DataOptions:
    """How DATA is read.

    Attributes:
        recipe: how images of a folder become columns; None for the usual one. For folders only.
        standardize: kind of standardization, one of `xpnet.data.standardize.STANDARDIZATIONS`; by default "feature" for a
            table, "unit" for images, and what the file says for a data file.
        labels: a CSV file of lines path,label, for a folder without a subfolder for each class.
        target: the column to predict, of a table.
        workers: processes that decode.
        on_error: "skip" what cannot be used, or "fail".
    """

    recipe: Recipe | None = None
    standardize: str | None = None
    labels: str | None = None
    target: str | None = None
    workers: int = 1
    on_error: str = "skip"


def open_data(
    path: str,
    reading: DataOptions = DataOptions(),
    on_progress: Callable[[int, int], object] = lambda done, total: None,  # noqa: ARG005
) -> Dataset:
    """Return the examples of DATA, in memory.

    Args:
        path: a folder with a subfolder for each class; any folder, with `labels`; a file of `xpnet
            preprocess`; the course's file; or a CSV table, with `target`.
        reading: how.
        on_progress: is called with the number of images done, and of all.

    Raises:
        DataError: it cannot be read.
        NoInputError: nothing in it can be used.
        UsageError: an option that is for another kind of data.
    """
    if os.path.isdir(path):
        from .image_folder import list_labelled_images, load_images

        _refuse(path, "a folder", {"--target": reading.target})
        return load_images(
            list_labelled_images(path, reading.labels),
            reading.recipe or Recipe(),
            standardize=reading.standardize or "unit",
            workers=reading.workers,
            on_error=reading.on_error,
            on_progress=on_progress,
        )
    if not os.path.exists(path):
        msg = f"{path}: there is no such file or folder"
        raise DataError(msg)
    for_images = {"options for images": reading.recipe, "--labels": reading.labels}
    if path.lower().endswith(TABLE_SUFFIXES):
        _refuse(path, "a table", for_images)
        if not reading.target:
            msg = f"{path}: is a table: name the column to predict by --target"
            raise UsageError(msg)
        from .table import read_table

        return read_table(path, reading.target, reading.standardize or "feature", reading.on_error)
    from .data_file import read_data_file

    _refuse(path, "a data file, whose images are what they are", {**for_images, "--target": reading.target})
    dataset = read_data_file(path)
    if reading.standardize is None:
        return dataset
    channels = dataset.recipe.channels if dataset.recipe else 1
    fitted = fit_standardizer(dataset.data.blocks(), reading.standardize, channels)
    return replace(dataset, data=dataset.data.standardized_as(fitted))


def write_data(
    path: str,
    output: str,
    reading: DataOptions,
    on_progress: Callable[[int, int], object] = lambda done, total: None,  # noqa: ARG005
) -> list[tuple[str, str]]:
    """Write DATA as a data file; return what was skipped.

    Args and errors as for `open_data`, and:
        output: the file to write.

    Raises:
        OutputError: the file cannot be written.
    """
    if os.path.isdir(path):
        from .image_folder import list_labelled_images, write_images

        _refuse(path, "a folder", {"--target": reading.target})
        _, skipped = write_images(
            list_labelled_images(path, reading.labels),
            output,
            reading.recipe or Recipe(),
            standardize=reading.standardize or "unit",
            workers=reading.workers,
            on_error=reading.on_error,
            on_progress=on_progress,
        )
        return skipped
    from .data_file import write_data_file

    dataset = open_data(path, reading, on_progress=on_progress)
    write_data_file(output, dataset)
    return list(dataset.skipped)


def _refuse(path: str, what: str, given: Mapping[str, object]) -> None:
    if names := [name for name, value in given.items() if value is not None]:
        msg = f"{path}: is {what}: leave out {', '.join(names)}"
        raise UsageError(msg)


def with_classes(dataset: Dataset, classes: tuple[str, ...], path: str) -> Dataset:
    """Return a dataset whose labels are indices of `classes`, by name.

    Raises:
        DataError: it holds a class that is not among them.
    """
    if dataset.classes == classes:
        return dataset
    if not dataset.classes or not classes:
        ours, other = (", ".join(names) or "numbers to predict" for names in (classes, dataset.classes))
        msg = f"{path}: has {other}, expected {ours}"
        raise DataError(msg)
    index = {name: i for i, name in enumerate(classes)}
    present = [dataset.classes[i] for i in np.unique(dataset.Y).tolist()]
    if unknown := [name for name in present if name not in index]:
        msg = f"{path}: has the class {unknown[0]!r}, expected only {', '.join(classes)}"
        raise DataError(msg)
    table = np.asarray([index.get(name, -1) for name in dataset.classes])
    return replace(dataset, Y=table[dataset.Y], classes=classes)
