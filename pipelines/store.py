"""The data file: raw examples in HDF5 with their labels, names and recipe; and the course's own layout."""

from __future__ import annotations

import json
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from pipelines.dataset import Dataset, counts
from pipelines.errors import DataError, OutputError
from pipelines.recipe import Recipe
from xpnet.matrix import ColumnMatrix
from xpnet.standardize import KINDS, Moments, Standardizer, finished
from xpnet.tensorfile import replaced

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Sequence

FORMAT = 1
"""Version of the file's layout; a newer one is refused."""

EXAMPLES = {"images": "images", "table": "examples"}
"""Where the examples of each kind of file are."""


class Writer:
    """Writes a data file block by block, and fits the standardization on the way.

    Args:
        file: an open HDF5 file.
        recipe: of the images.
        standardize: kind of standardization, one of `xpnet.standardize.KINDS`.
    """

    def __init__(self, file: h5py.File, recipe: Recipe, standardize: str) -> None:
        self._file, self._recipe, self._kind = file, recipe, standardize
        rows = max(1, (1 << 20) // recipe.n_x)
        self._images = file.create_dataset(
            "images", (0, *recipe.shape), "u1", maxshape=(None, *recipe.shape), chunks=(rows, *recipe.shape)
        )
        self._moments = Moments()
        self._labels: list[int] = []
        self._names: list[str] = []

    def add(self, columns: np.ndarray, labels: Sequence[int], names: Sequence[str]) -> None:
        """Append examples. columns: (k, n_x) uint8; labels: class indices; names: paths."""
        m = len(self._labels)
        self._images.resize(m + len(columns), axis=0)
        self._images[m:] = columns.reshape(-1, *self._recipe.shape)
        if self._kind in ("channel", "feature"):
            self._moments.add(columns)
        self._labels.extend(labels)
        self._names.extend(names)

    def finish(self, classes: Sequence[str], skipped: Sequence[tuple[str, str]]) -> None:
        """Write labels, names, standardization and description."""
        text = h5py.string_dtype()
        standardizer = finished(self._moments, self._kind, self._recipe.channels)
        self._file["labels"] = np.asarray(self._labels, np.int64)
        self._file.create_dataset("names", data=np.asarray(self._names, object), dtype=text)
        self._file["mean"], self._file["scale"] = standardizer.mean, standardizer.scale
        self._file.attrs["xpnet"] = json.dumps(
            {
                "kind": "images",
                "format": FORMAT,
                "recipe": self._recipe.to_dict(),
                "standardize": self._kind,
                "classes": list(classes),
                "skipped": list(skipped),
            }
        )


@contextmanager
def writing(path: str | os.PathLike[str], recipe: Recipe, standardize: str) -> Iterator[Writer]:
    """Give a writer of a new data file, which appears under its name when the block ends well.

    Raises:
        OutputError: it cannot be written.
    """
    try:
        with replaced(Path(path)) as temporary, h5py.File(temporary, "w") as file:
            yield Writer(file, recipe, standardize)
    except OSError as error:
        msg = f"{path}: cannot be written: {error.strerror or error}"
        raise OutputError(msg) from error


def write(path: str | os.PathLike[str], dataset: Dataset) -> None:
    """Write a dataset as a data file, whole or not at all.

    Raises:
        OutputError: it cannot be written.
    """
    if dataset.recipe is None:
        _write_table(path, dataset)
        return
    data, names = dataset.data, dataset.names or [""] * dataset.data.m
    with writing(path, dataset.recipe, data.standardizer.kind) as writer:
        start = 0
        for block in data.blocks():
            part = slice(start, start + len(block))
            writer.add(block, dataset.Y[0, part].tolist(), names[part])
            start = part.stop
        writer.finish(dataset.classes, dataset.skipped)


def _write_table(path: str | os.PathLike[str], dataset: Dataset) -> None:
    standardizer = dataset.data.standardizer
    description = {
        "kind": "table",
        "format": FORMAT,
        "features": list(dataset.features),
        "target": dataset.target,
        "standardize": standardizer.kind,
        "classes": list(dataset.classes),
        "skipped": list(dataset.skipped),
    }
    try:
        with replaced(Path(path)) as temporary, h5py.File(temporary, "w") as file:
            file["examples"], file["labels"] = dataset.data.examples, dataset.Y[0]
            file["mean"], file["scale"] = standardizer.mean, standardizer.scale
            file.attrs["xpnet"] = json.dumps(description)
    except OSError as error:
        msg = f"{path}: cannot be written: {error.strerror or error}"
        raise OutputError(msg) from error


def read(path: str | os.PathLike[str]) -> Dataset:
    """Read a data file, or a file in the course's layout (train_set_x, ..., or test_set_x, ...).

    Raises:
        DataError: it cannot be read, is damaged, or is something else.
    """
    with _reading(path) as file:
        return _read_own(file) if "xpnet" in file.attrs else _read_course(file, _course_part(file))


def describe(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return what a data file says of itself, with its numbers and shapes, without reading the examples.

    Raises:
        DataError: as for `read`.
    """
    with _reading(path) as file:
        if "xpnet" in file.attrs:
            description = _description(file)
            stored, labels = file[EXAMPLES[description["kind"]]], file["labels"][:]
        else:
            part = _course_part(file)
            classes = _course_classes(file, part)
            stored, labels = file[f"{part}_set_x"], file[f"{part}_set_y"][:]
            recipe = _course_recipe(stored.shape).to_dict()
            description = {"kind": "the course's layout", "recipe": recipe, "standardize": "unit"}
            description |= {"classes": list(classes), "skipped": []}
        classes = description["classes"]
        return {
            **description,
            "m": int(stored.shape[0]),
            "n_x": int(np.prod(stored.shape[1:])),
            "shape": list(stored.shape[1:]),
            "dtype": str(stored.dtype),
            "counts": counts(labels, classes),
        }


@contextmanager
def _reading(path: str | os.PathLike[str]) -> Iterator[h5py.File]:
    try:
        with h5py.File(path, "r") as file:
            yield file
    except OSError as error:
        msg = f"{path}: cannot be read as HDF5: {error}"
        raise DataError(msg) from error
    except DataError as error:
        msg = f"{path}: {error}"
        raise DataError(msg) from error
    except (KeyError, TypeError, ValueError, AttributeError, MemoryError, RuntimeError) as error:
        msg = f"{path}: is damaged, or no data file of xpnet: {type(error).__name__}: {error}"
        raise DataError(msg) from error


def _description(file: h5py.File) -> dict[str, Any]:
    description = json.loads(file.attrs["xpnet"])
    if description.get("format") != FORMAT:
        msg = f"format {description.get('format')!r}, and this version reads {FORMAT}: update xpnet"
        raise ValueError(msg)
    return dict(description)


def _read_own(file: h5py.File) -> Dataset:
    description = _description(file)
    stored = file[EXAMPLES[description["kind"]]]
    examples = np.empty((stored.shape[0], int(np.prod(stored.shape[1:]))), stored.dtype)
    if examples.size:
        stored.read_direct(examples.reshape(stored.shape))
    kind, mean, scale = description["standardize"], file["mean"][:], file["scale"][:]
    if kind not in KINDS or not (np.isfinite(mean).all() and np.isfinite(scale).all()):
        msg = f"standardization {kind!r} with finite mean and scale expected"
        raise ValueError(msg)
    labels = file["labels"][:]
    if len(labels) != len(examples):
        msg = f"{len(examples)} examples and {len(labels)} labels"
        raise ValueError(msg)
    classes = tuple(map(str, description["classes"]))
    if classes and not (labels.dtype.kind in "iu" and labels.min() >= 0 and labels.max() < len(classes)):
        msg = f"labels that are no indices of {len(classes)} classes"
        raise ValueError(msg)
    return Dataset(
        ColumnMatrix(examples, Standardizer(kind, mean, scale)),
        labels[None],
        classes,
        Recipe.from_dict(description["recipe"]) if "recipe" in description else None,
        tuple(description.get("features", ())),
        str(description.get("target", "")),
        tuple(file["names"].asstr()[:]) if "names" in file else (),
        tuple((name, reason) for name, reason in description["skipped"]),
    )


def _read_course(file: h5py.File, part: str) -> Dataset:
    images, labels = file[f"{part}_set_x"][:], file[f"{part}_set_y"][:]
    recipe = _course_recipe(images.shape)
    if images.dtype != np.uint8 or labels.shape != (len(images),) or not len(images):
        msg = f"{part}_set_x is {images.shape} {images.dtype}, expected bytes, with as many labels"
        raise ValueError(msg)
    return Dataset(
        ColumnMatrix(images.reshape(len(images), -1), finished(Moments(), "unit", recipe.channels)),
        labels.astype(np.int64)[None],
        _course_classes(file, part),
        recipe,
    )


def _course_part(file: h5py.File) -> str:
    """Return which part of the course's data a file holds, "train" or "test"."""
    for part in ("train", "test"):
        if f"{part}_set_x" in file:
            return part
    found = ", ".join(list(file)[:5]) or "nothing"
    msg = f"holds {found}; expected a file of xpnet preprocess, or train_set_x and train_set_y"
    raise DataError(msg)


def _course_recipe(shape: tuple[int, ...]) -> Recipe:
    if len(shape) != 4 or shape[3] not in (1, 3):
        msg = f"holds images of shape {shape}, expected (m, height, width, 3 or 1)"
        raise DataError(msg)
    return Recipe(shape[1], shape[2], color_mode="rgb" if shape[3] == 3 else "grayscale")


def _course_classes(file: h5py.File, part: str) -> tuple[str, ...]:
    """Return the classes' names; their numbers, where there are no names or too few."""
    found = int(file[f"{part}_set_y"][:].max()) + 1
    names = [name.decode() for name in file["list_classes"][:]] if "list_classes" in file else []
    return tuple(names) if len(names) >= found else tuple(map(str, range(found)))
