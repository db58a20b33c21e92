"""The data file: raw examples in HDF5 with their labels, names and recipe; and the course's own layout."""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

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


@dataclass(frozen=True, eq=False)
class Dataset:
    """Examples in memory, ready to train on or to be judged by.

    Attributes:
        data: the column matrix, with its standardization.
        Y: class indices (1, m) int64, or targets (1, m) float64.
        classes: their names, by index; empty for regression.
        recipe: how an image became a column; None for a table.
        features: names of a table's columns.
        names: of the examples: paths, as far as they are known.
        skipped: inputs that could not be used, each with its reason.
    """

    data: ColumnMatrix
    Y: np.ndarray
    classes: tuple[str, ...]
    recipe: Recipe | None = None
    features: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    skipped: tuple[tuple[str, str], ...] = field(default=())


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


def write_table(path: str | os.PathLike[str], dataset: Dataset) -> None:
    """Write a table as a data file, whole or not at all.

    Raises:
        OutputError: it cannot be written.
    """
    standardizer = dataset.data.standardizer
    description = {
        "kind": "table",
        "format": FORMAT,
        "features": list(dataset.features),
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
    try:
        with h5py.File(path, "r") as file:
            if "xpnet" in file.attrs:
                return _read_own(file)
            for part in ("train", "test"):
                if f"{part}_set_x" in file:
                    return _read_course(file, part)
            found = ", ".join(list(file)[:5]) or "nothing"
    except OSError as error:
        msg = f"{path}: cannot be read as HDF5: {error}"
        raise DataError(msg) from error
    except (KeyError, TypeError, ValueError, MemoryError) as error:
        msg = f"{path}: is damaged, or no data file of xpnet: {type(error).__name__}: {error}"
        raise DataError(msg) from error
    msg = f"{path}: holds {found}; expected a file of xpnet preprocess, or train_set_x and train_set_y"
    raise DataError(msg)


def describe(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return what a data file says of itself, and its shapes, without reading the examples.

    Raises:
        DataError: as for `read`.
    """
    try:
        with h5py.File(path, "r") as file:
            description = _description(file) if "xpnet" in file.attrs else {"kind": "the course's layout"}
            shapes = {name: list(item.shape) for name, item in file.items() if isinstance(item, h5py.Dataset)}
            labels = file.get("labels", file.get("train_set_y", file.get("test_set_y")))
            counts = (
                np.bincount(labels[:]).tolist() if labels is not None and labels.dtype.kind in "iu" else []
            )
            return {**description, "shapes": shapes, "counts": counts}
    except (OSError, KeyError, TypeError, ValueError) as error:
        msg = f"{path}: cannot be read as a data file: {error}"
        raise DataError(msg) from error


def _description(file: h5py.File) -> dict[str, Any]:
    description = json.loads(file.attrs["xpnet"])
    if description.get("format") != FORMAT:
        msg = f"format {description.get('format')!r}, and this version reads {FORMAT}: update xpnet"
        raise ValueError(msg)
    return dict(description)


def _read_own(file: h5py.File) -> Dataset:
    description = _description(file)
    is_table = description["kind"] == "table"
    stored = file["examples" if is_table else "images"]
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
    return Dataset(
        ColumnMatrix(examples, Standardizer(kind, mean, scale)),
        labels[None],
        tuple(description["classes"]),
        None if is_table else Recipe.from_dict(description["recipe"]),
        tuple(description.get("features", ())),
        tuple(file["names"].asstr()[:]) if "names" in file else (),
        tuple((name, reason) for name, reason in description["skipped"]),
    )


def _read_course(file: h5py.File, part: str) -> Dataset:
    images, labels = file[f"{part}_set_x"][:], file[f"{part}_set_y"][:]
    if images.ndim != 4 or images.dtype != np.uint8 or labels.shape != (len(images),):
        msg = f"{part}_set_x is {images.shape} {images.dtype}, expected images of bytes, with as many labels"
        raise ValueError(msg)
    _, height, width, channels = images.shape
    classes = [name.decode() for name in file["list_classes"][:]] if "list_classes" in file else []
    found = int(labels.max()) + 1
    recipe = Recipe(height, width, color_mode="rgb" if channels == 3 else "grayscale")
    return Dataset(
        ColumnMatrix(images.reshape(len(images), -1), finished(Moments(), "unit", channels)),
        labels.astype(np.int64)[None],
        tuple(classes) if len(classes) >= found else tuple(map(str, range(found))),
        recipe,
    )
