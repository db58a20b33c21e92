"""Labelled images of a folder: list them, and decode them into a data file or into memory."""

from __future__ import annotations

import csv
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from xpnet.data import ColumnMatrix, fit_standardizer
from xpnet.errors import DataError, NoInputError

from ..images import class_folders, decode_all, path_text, walk_images
from .data_file import data_file_writer
from .dataset import Dataset

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ..images import Recipe


@dataclass(frozen=True)
class LabelledImages:
    """The paths and classes of images that are not decoded yet.

    Attributes:
        items: (path, class index) of each image, in order.
        classes: the names of the classes, by class index.
    """

    items: list[tuple[str, int]]
    classes: tuple[str, ...]


def list_labelled_images(folder: str, labels: str | None = None) -> LabelledImages:
    """List the images of a folder with their classes.

    Args:
        folder: without `labels`, the folder has a subfolder for each class.
        labels: a CSV file with lines path,label. The paths are relative to the folder.

    Raises:
        DataError: the folder or the CSV file cannot be read.
        NoInputError: there are no images.
    """
    if labels is None:
        names = class_folders(folder)
        pairs = [(path, name) for name in names for path in walk_images(os.path.join(folder, name))]
    else:
        pairs = list(_from_csv(folder, labels))
        names = tuple(sorted({label for _, label in pairs}))
    index = {name: i for i, name in enumerate(names)}
    if not pairs:
        msg = f"{folder}: contains no images"
        raise NoInputError(msg)
    return LabelledImages([(path, index[name]) for path, name in pairs], tuple(map(path_text, names)))


def _from_csv(folder: str, labels: str) -> Iterator[tuple[str, str]]:
    try:
        with open(labels, encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            reader, is_first = csv.reader(file), True
            for row in reader:
                cells = [cell.strip() for cell in row]
                if not any(cells):
                    continue
                is_header = is_first and [cell.lower() for cell in cells] == ["path", "label"]
                is_first = False
                if is_header:
                    continue
                if len(row) != 2 or not all(cells):
                    msg = f"{labels}: line {reader.line_num} is {','.join(row)}, expected path,label"
                    raise DataError(msg)
                yield os.path.join(folder, row[0]), cells[1]
    except (OSError, csv.Error) as error:
        msg = f"{labels}: cannot be read: {error}"
        raise DataError(msg) from error


class SkippedInputs:
    """Collects the inputs that cannot be used, or raises an error for the first one.

    Args:
        on_error: "skip" collects them, "fail" raises.

    Attributes:
        found: (path, reason) of each input.
    """

    def __init__(self, on_error: str) -> None:
        self.found: list[tuple[str, str]] = []
        self._fails = on_error == "fail"

    def add(self, path: str, reason: str) -> None:
        """Add an input.

        Raises:
            DataError: `on_error` is "fail".
        """
        if self._fails:
            msg = f"{path_text(path)}: {reason} (use --on-error skip to leave out such inputs)"
            raise DataError(msg)
        self.found.append((path_text(path), reason))


def write_images(
    source: LabelledImages,
    output: str,
    recipe: Recipe,
    *,
    standardize: str = "unit",
    workers: int = 1,
    on_error: str = "skip",
    on_progress: Callable[[int, int], object] = lambda done, total: None,  # noqa: ARG005
) -> tuple[int, list[tuple[str, str]]]:
    """Decode labelled images into a data file. The images are never all in memory.

    Args:
        source: the images.
        output: the file to write. It appears when it is complete.
        recipe: how an image becomes a column.
        standardize: the kind of standardization, one of `xpnet.data.STANDARDIZATIONS`.
        workers: the number of processes that decode.
        on_error: what to do with an image that cannot be decoded: "skip" it, or "fail".
        on_progress: called with the number of images done so far, and the number of all images.

    Returns:
        The number of images in the file, and (path, reason) of each image that was skipped.

    Raises:
        DataError: `on_error` is "fail" and an image cannot be decoded.
        NoInputError: no image can be decoded.
        OutputError: the file cannot be written.
        WorkerError: the processes that decode cannot be started.
    """
    with data_file_writer(output, recipe, standardize) as writer:
        count, skipped = _decode(source, recipe, workers, on_error, writer.add, on_progress)
        writer.finish(source.classes, skipped)
    return count, skipped


def load_images(
    source: LabelledImages,
    recipe: Recipe,
    *,
    standardize: str = "unit",
    workers: int = 1,
    on_error: str = "skip",
    on_progress: Callable[[int, int], object] = lambda done, total: None,  # noqa: ARG005
) -> Dataset:
    """Decode labelled images into memory. The arguments and errors are those of `write_images`."""
    examples = np.empty((len(source.items), recipe.n_x), np.uint8)
    labels: list[int] = []
    names: list[str] = []

    def add(columns: np.ndarray, new_labels: list[int], paths: list[str]) -> None:
        examples[len(labels) : len(labels) + len(columns)] = columns
        labels.extend(new_labels)
        names.extend(paths)

    count, skipped = _decode(source, recipe, workers, on_error, add, on_progress)
    raw = ColumnMatrix(examples[:count])
    return Dataset(
        raw.standardized_as(fit_standardizer(raw.blocks(), standardize, recipe.channels)),
        np.asarray([labels], np.int64),
        source.classes,
        recipe,
        names=tuple(names),
        skipped=tuple(skipped),
    )


def _decode(
    source: LabelledImages,
    recipe: Recipe,
    workers: int,
    on_error: str,
    add: Callable[[np.ndarray, list[int], list[str]], object],
    on_progress: Callable[[int, int], object],
) -> tuple[int, list[tuple[str, str]]]:
    """Decode all images, and pass those that succeed to `add` in blocks: columns (k, n_x), labels, paths.

    Returns and raises the same as `write_images`.
    """
    skipped, done, count = SkippedInputs(on_error), 0, 0
    for chunk in decode_all((path for path, _ in source.items), recipe, workers):
        good = [i for i, error in enumerate(chunk.errors) if not error]
        for i, error in enumerate(chunk.errors):
            if error:
                skipped.add(chunk.paths[i], error)
        columns = chunk.columns if len(good) == len(chunk.paths) else chunk.columns[good]
        if good:
            labels = [source.items[done + i][1] for i in good]
            add(columns, labels, [path_text(chunk.paths[i]) for i in good])
        done += len(chunk.paths)
        count += len(good)
        on_progress(done, len(source.items))
    if not count:
        path, reason = skipped.found[0]
        msg = f"none of {done} images can be used; the first is {path}: {reason}"
        raise NoInputError(msg)
    return count, skipped.found
