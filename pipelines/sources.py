"""Open what a user calls DATA: a folder, a data file, the course's file, or a table."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from pipelines.errors import DataError, UsageError
from pipelines.recipe import Recipe

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipelines.dataset import Dataset


def open_data(
    path: str,
    *,
    recipe: Recipe | None = None,
    standardize: str | None = None,
    labels: str | None = None,
    target: str | None = None,
    classes: tuple[str, ...] = (),
    workers: int = 1,
    on_error: str = "skip",
    on_progress: Callable[[int], object] = lambda done: None,  # noqa: ARG005
) -> Dataset:
    """Return the examples of DATA, in memory.

    Args:
        path: a folder with a subfolder for each class; any folder, with `labels`; a file of `xpnet
            preprocess`; the course's file; or a CSV table, with `target`.
        recipe: how images of a folder become columns.
        standardize: kind of standardization for a folder or a table; by default "unit" or "feature".
        labels: a CSV file of lines path,label.
        target: the column of a table to predict.
        classes: names and order to map labels to, such as a model's.
        workers: processes that decode.
        on_error: "skip" what cannot be used, or "fail".
        on_progress: is called with the number of inputs done.

    Raises:
        DataError: it cannot be read, or holds a class that is not among `classes`.
        NoInputError: nothing in it can be used.
        UsageError: an option that is for another kind of data.
    """
    if os.path.isdir(path):
        from pipelines.preprocess import labelled, load

        source = labelled(path, labels, classes)
        return load(
            source, recipe or Recipe(), standardize=standardize or "unit", workers=workers,
            on_error=on_error, on_progress=on_progress,
        )  # fmt: skip
    if not os.path.exists(path):
        msg = f"{path}: there is no such file or folder"
        raise DataError(msg)
    if path.lower().endswith((".csv", ".tsv", ".txt")) or target:
        if not target:
            msg = f"{path}: is a table: name the column to predict by --target"
            raise UsageError(msg)
        from pipelines.tables import read_table

        return mapped(read_table(path, target, standardize or "feature", on_error), classes, path)
    from pipelines.store import read

    return mapped(read(path), classes, path)


def mapped(dataset: Dataset, classes: tuple[str, ...], path: str) -> Dataset:
    """Return a dataset whose labels are indices of `classes`, by name.

    Raises:
        DataError: it holds a class that is not among them.
    """
    if not classes or dataset.classes == classes:
        return dataset
    if not dataset.classes:
        msg = f"{path}: holds numbers to predict, expected one of the classes {', '.join(classes)}"
        raise DataError(msg)
    index = {name: i for i, name in enumerate(classes)}
    present = [dataset.classes[i] for i in np.unique(dataset.Y).tolist()]
    if unknown := [name for name in present if name not in index]:
        msg = f"{path}: has the class {unknown[0]!r}, expected only {', '.join(classes)}"
        raise DataError(msg)
    table = np.asarray([index.get(name, -1) for name in dataset.classes])
    return replace(dataset, Y=table[dataset.Y], classes=classes)
