"""Open the data that a user names: images in a folder, an archive or a file, a table, or features."""

from __future__ import annotations

import os
import warnings
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from xpnet.errors import DataError, UsageError

from ..images import Recipe, holds_images, is_remote, why_no_image
from .endings import EMBEDDING_SUFFIXES, PARQUET_SUFFIXES, TABLE_SUFFIXES
from .text_file import same_name

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ..images import Decoders
    from .dataset import Dataset
    from .feature_extractor import Extraction

OTHER_FORMATS = (
    ".csv.gz", ".csv.bz2", ".csv.xz", ".csv.zip", ".tsv.gz", ".xlsx", ".xls", ".ods", ".feather",
    ".json", ".jsonl", ".txt",
)  # fmt: skip
"""The endings of tables in formats that are not read."""


@dataclass(frozen=True)
class DataOptions:
    """How data is read.

    Attributes:
        recipe: for folders: how images become columns; None for the default recipe.
        standardize: the kind of standardization, one of `xpnet.data.STANDARDIZATIONS`. None is "feature" for
            a table, "unit" for images, and the file's own standardization for a data file.
        labels: for folders without a subfolder per class: a file with lines path,label; for features without
            labels: a .npy, CSV or Parquet file of them.
        target: for tables, also Parquet, and files of labels: the name of the column to predict.
        columns: for tables: the names of the features; None for all columns but the target.
        ignored_columns: for tables: the names of columns that are no features.
        workers: for folders: the number of processes that decode.
        on_error: for folders, tables and features: "skip" what cannot be used, or "fail".
        extraction: for folders, and for `write_data`: turns images into features while others are decoded or
            read, so that they need not be in memory together. None to keep the images.
        memory: how many bytes of examples may be in memory; more of them are in files. None for half of the
            machine's.
    """

    recipe: Recipe | None = None
    standardize: str | None = None
    labels: str | None = None
    target: str | None = None
    workers: Decoders = 1
    on_error: str = "skip"
    columns: tuple[str, ...] | None = None
    ignored_columns: tuple[str, ...] = ()
    extraction: Extraction | None = None
    memory: int | None = None

    @property
    def for_tables(self) -> dict[str, object]:
        """The options of tables, by their names on the command line. None: not given."""
        return {
            "--target": self.target,
            "--columns": self.columns,
            "--ignore-columns": self.ignored_columns or None,
        }


def open_data(
    path: str,
    options: DataOptions = DataOptions(),
    on_progress: Callable[[int, int], object] = lambda done, total: None,  # noqa: ARG005
    on_warning: Callable[[str], object] = warnings.warn,
) -> Dataset:
    """Read data into memory.

    Args:
        path: a folder with a subfolder for each class; any folder, with `options.labels`; a zip or tar
            archive with what such a folder has; a file of
            `xpnet preprocess`; a file of the course; a CSV table, with `options.target`; or features in a
            .npy, .npz, Parquet or HDF5 file.
        options: how the data is read.
        on_progress: called with the number of images decoded so far, and the number of all images.
        on_warning: called with a sentence about each thing in the data that is doubtful.

    Raises:
        DataError: the data cannot be read.
        NoInputError: none of the examples can be used.
        UsageError: an option is for another kind of data.
        WorkerError: the processes that decode cannot be started.
        OutputError: there is no room for a temporary file.
    """
    dataset = _open(path, options, on_progress, on_warning)
    return replace(dataset, data=dataset.data.limited_to(options.memory))


def _open(
    path: str,
    options: DataOptions,
    on_progress: Callable[[int, int], object],
    on_warning: Callable[[str], object],
) -> Dataset:
    """Read data. Arguments and errors: see `open_data`."""
    if _holds_images(path):
        from .image_folder import list_labelled_images, load_images

        _refuse_options(path, _kind_of_images(path), {**options.for_tables, "--target": None})
        return load_images(
            list_labelled_images(path, options.labels, options.target),
            options.recipe or Recipe(),
            standardize=options.standardize or "unit",
            workers=options.workers,
            on_error=options.on_error,
            extraction=options.extraction,
            on_progress=on_progress,
            on_warning=on_warning,
            memory=options.memory,
        )
    if is_remote(path):
        msg = f"{path}: {why_no_image(path) or 'is no folder or archive of images'}: copy it to this machine"
        raise DataError(msg)
    if not os.path.exists(path):
        msg = f"{path}: there is no such file or folder"
        raise DataError(msg)
    if not os.path.isfile(path):
        msg = f"{path}: is a pipe or a device: save the data to a file, and name that"
        raise DataError(msg)
    _refuse_ending(path)
    if not path.lower().endswith(PARQUET_SUFFIXES) and (flaw := why_no_image(path)):
        msg = f"{path}: {flaw}"
        raise DataError(msg)
    for_images = {"options for images": options.recipe, "--labels": options.labels}
    if path.lower().endswith(TABLE_SUFFIXES):
        _refuse_options(path, "a table", for_images)
        if not options.target:
            msg = f"{path}: is a table: name the column to predict with --target"
            raise UsageError(msg)
        from .table import read_table

        return read_table(
            path,
            options.target,
            options.standardize or "feature",
            options.on_error,
            options.columns,
            options.ignored_columns,
        )
    if path.lower().endswith(EMBEDDING_SUFFIXES):
        return _read_embeddings(path, options)
    from .data_file import read_data_file

    _refuse_options(
        path, "a data file, whose images are decoded already", {**for_images, **options.for_tables}
    )
    dataset = read_data_file(path, options.on_error)
    if options.standardize is None:
        return dataset
    if dataset.extractor is not None:
        msg = f"{path}: holds features, with their standardization: leave out --standardize"
        raise UsageError(msg)
    channels = dataset.recipe.channels if dataset.recipe else 1
    from .file_rows import fit_standardizer_with

    fitted = fit_standardizer_with(dataset.data, options.standardize, channels, options.workers)
    return replace(dataset, data=dataset.data.standardized_as(fitted))


def open_some_images(path: str, options: DataOptions, count: int, seed: int) -> Dataset:
    """Read at most `count` labelled images of a folder into memory, chosen by chance.

    Images that cannot be decoded are left out, and nothing is said about them: `open_data` does that.

    Args:
        path: the folder.
        options: as for `open_data`.
        count: the most images.
        seed: seed of the choice.

    Raises:
        DataError, NoInputError, WorkerError: as for `open_data`.
    """
    from .image_folder import list_labelled_images, load_images

    source = list_labelled_images(path, options.labels)
    order = np.random.default_rng([seed, 0, 3]).permutation(len(source.items))
    items = [source.items[i] for i in np.sort(order[:count])]
    return load_images(
        replace(source, items=items, warnings=()),
        options.recipe or Recipe(),
        workers=options.workers,
        on_warning=lambda text: None,  # noqa: ARG005
    )


def write_data(
    path: str,
    output: str,
    options: DataOptions,
    on_progress: Callable[[int, int], object] = lambda done, total: None,  # noqa: ARG005
    on_warning: Callable[[str], object] = warnings.warn,
) -> list[tuple[str, str]]:
    """Convert data to a data file; return (input, reason) of each input that was skipped.

    Args:
        path: the data, as for `open_data`.
        output: the file to write. It appears when it is complete.
        options: how the data is read.
        on_progress: called with the number of images decoded so far, and the number of all images.
        on_warning: called with a sentence about each thing in the data that is doubtful.

    Raises:
        OutputError: the file cannot be written.
        DataError, NoInputError, UsageError, WorkerError: as for `open_data`.
    """
    if _holds_images(path):
        from .image_folder import list_labelled_images, write_images

        _refuse_options(path, _kind_of_images(path), {**options.for_tables, "--target": None})
        _, skipped = write_images(
            list_labelled_images(path, options.labels, options.target),
            output,
            options.recipe or Recipe(),
            standardize=options.standardize or "unit",
            workers=options.workers,
            on_error=options.on_error,
            extraction=options.extraction,
            on_progress=on_progress,
            on_warning=on_warning,
        )
        return skipped
    from .data_file import write_data_file
    from .dataset import require_images

    dataset = open_data(path, options, on_progress, on_warning)
    if options.extraction is not None:
        require_images(dataset, options.extraction, f"{path}:")
    write_data_file(output, dataset, options.extraction, on_progress)
    return list(dataset.skipped)


def _holds_images(path: str) -> bool:
    """Return whether a path is a folder, or names archives of images."""
    return os.path.isdir(path) or (not path.lower().endswith(OTHER_FORMATS) and holds_images(path))


def _kind_of_images(path: str) -> str:
    return "a folder" if os.path.isdir(path) else "an archive of images"


def _read_embeddings(path: str, options: DataOptions) -> Dataset:
    """Read a .npy, .npz or Parquet file. Arguments and errors: see `open_data`."""
    from .embeddings import read_embeddings

    is_parquet = path.lower().endswith(PARQUET_SUFFIXES)
    of_images = {"options for images": options.recipe}
    if is_parquet:
        _refuse_options(path, "a table", {**of_images, "--labels": options.labels})
    else:
        _refuse_options(path, "a file of features", {**of_images, **options.for_tables})
    return read_embeddings(
        path,
        standardize=options.standardize or "feature",
        on_error=options.on_error,
        labels=options.labels,
        target=options.target,
        columns=options.columns,
        ignored=options.ignored_columns,
    )


def _refuse_ending(path: str) -> None:
    """Raise `DataError` for a file whose ending promises a format that is not read."""
    for ending in OTHER_FORMATS:
        if path.lower().endswith(ending):
            msg = (
                f"{path}: {ending} is not a format that is read: save the table as .csv, without compression"
            )
            raise DataError(msg)


def _refuse_options(path: str, kind: str, options: Mapping[str, object]) -> None:
    """Raise `UsageError` if an option is given that this kind of data does not have."""
    if names := [name for name, value in options.items() if value is not None]:
        msg = f"{path}: is {kind}: leave out {', '.join(names)}"
        raise UsageError(msg)


def with_classes(dataset: Dataset, classes: tuple[str, ...], path: str) -> Dataset:
    """Return the dataset with its labels as indices of `classes`. Classes are matched by their names.

    Args:
        dataset: the examples.
        classes: the class names of a model; empty for regression.
        path: the data, for error messages.

    Raises:
        DataError: an example has a class that is not in `classes`, or only one of both is for regression.
    """
    if dataset.classes == classes:
        return dataset
    if not dataset.classes or not classes:
        expected, found = (", ".join(names) or "numbers to predict" for names in (classes, dataset.classes))
        msg = f"{path}: has {found}, expected {expected}"
        raise DataError(msg)
    index = {same_name(name): i for i, name in enumerate(classes)}
    index |= {name: i for i, name in enumerate(classes)}
    present = [dataset.classes[i] for i in np.unique(dataset.Y).tolist()]
    places = {name: index.get(name, index.get(same_name(name), -1)) for name in dataset.classes}
    if unknown := [name for name in present if places[name] < 0]:
        msg = f"{path}: has the class {unknown[0]!r}, expected only {', '.join(classes)}"
        raise DataError(msg)
    table = np.asarray([places[name] for name in dataset.classes])
    return replace(dataset, Y=table[dataset.Y], classes=classes)
