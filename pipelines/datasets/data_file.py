"""The data file: raw examples in HDF5 with their labels, names and recipe."""

from __future__ import annotations

import json
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from xpnet.data import STANDARDIZATIONS, ColumnMatrix, Moments, Standardizer, standardizer_from_moments
from xpnet.errors import DataError

from ..images import Recipe
from . import course_file
from .atomic_hdf5 import atomic_hdf5
from .dataset import Dataset, class_counts

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Sequence

    from .atomic_hdf5 import Sink

FORMAT = 1
"""Version of the file's layout; a newer one is refused."""

EXAMPLES = {"images": "images", "table": "examples"}
"""Where the examples of each kind of file are."""

DESCRIPTION = "xpnet"
"""The dataset of bytes that describes the rest, as JSON. No strings of HDF5's own, of variable length: a few
flipped bytes in those end the process that reads them."""


class DataFileWriter:
    """Writes a data file of images block by block, and fits the standardization on the way.

    Args:
        file: an open HDF5 file.
        sink: what it is written to.
        recipe: of the images.
        standardize: kind of standardization, one of `xpnet.data.standardize.STANDARDIZATIONS`.
    """

    def __init__(self, file: h5py.File, sink: Sink, recipe: Recipe, standardize: str) -> None:
        self._file, self._sink, self._recipe, self._kind = file, sink, recipe, standardize
        rows = max(1, (1 << 20) // recipe.n_x)
        self._images = file.create_dataset(
            "images", (0, *recipe.shape), "u1", maxshape=(None, *recipe.shape), chunks=(rows, *recipe.shape)
        )
        self._moments = Moments()
        self._labels: list[float] = []
        self._names: list[str] = []

    def add(self, columns: np.ndarray, labels: Sequence[float], names: Sequence[str]) -> None:
        """Append examples.

        Args:
            columns: (k, n_x) uint8.
            labels: class indices, or numbers to predict.
            names: paths.

        Raises:
            OSError: the file cannot be written.
        """
        m = len(self._labels)
        self._images.resize(m + len(columns), axis=0)
        self._images[m:] = columns.reshape(-1, *self._recipe.shape)
        if self._kind in ("channel", "feature"):
            self._moments.add(columns)
        self._labels.extend(labels)
        self._names.extend(names)
        self._sink.check()

    def finish(
        self,
        classes: Sequence[str],
        skipped: Sequence[tuple[str, str]],
        standardizer: Standardizer | None = None,
    ) -> None:
        """Write labels, names, description, and the standardization: the one given, or fitted to all."""
        if standardizer is None:
            standardizer = standardizer_from_moments(self._moments, self._kind, self._recipe.channels)
        _describe(
            self._file, "images", standardizer, classes, skipped, {"recipe": self._recipe.to_dict()},
            np.asarray(self._labels, np.int64 if classes else np.float64),
        )  # fmt: skip
        names = [name.encode() for name in self._names]
        width = max(1, *map(len, names))
        dtype = h5py.string_dtype("utf-8", width)
        self._file.create_dataset("names", data=np.asarray(names, dtype), compression="gzip")


def _describe(
    file: h5py.File,
    kind: str,
    standardizer: Standardizer,
    classes: Sequence[str],
    skipped: Sequence[tuple[str, str]],
    more: dict[str, Any],
    labels: np.ndarray,
) -> None:
    description = {
        "kind": kind,
        "format": FORMAT,
        "standardize": standardizer.kind,
        "classes": list(classes),
        "skipped": list(skipped),
        **more,
    }
    file["labels"] = labels
    file["mean"], file["scale"] = standardizer.mean, standardizer.scale
    file[DESCRIPTION] = np.frombuffer(json.dumps(description).encode(), np.uint8)


@contextmanager
def data_file_writer(
    path: str | os.PathLike[str], recipe: Recipe, standardize: str
) -> Iterator[DataFileWriter]:
    """Give a writer of a new data file, which appears under its name when the block ends well.

    Raises:
        OutputError: it cannot be written.
    """
    with atomic_hdf5(path) as (file, sink):
        yield DataFileWriter(file, sink, recipe, standardize)


def write_data_file(path: str | os.PathLike[str], dataset: Dataset) -> None:
    """Write a dataset as a data file, whole or not at all.

    Raises:
        OutputError: it cannot be written.
    """
    data, recipe = dataset.data, dataset.recipe
    if recipe is None:
        more = {"features": list(dataset.features), "target": dataset.target}
        with atomic_hdf5(path) as (file, _):
            file["examples"] = data.examples
            _describe(file, "table", data.standardizer, dataset.classes, dataset.skipped, more, dataset.Y[0])
        return
    names = dataset.names or [""] * data.m
    with data_file_writer(path, recipe, data.standardizer.kind) as writer:
        start = 0
        for block in data.blocks():
            part = slice(start, start + len(block))
            writer.add(block, dataset.Y[0, part].tolist(), names[part])
            start = part.stop
        writer.finish(dataset.classes, dataset.skipped, data.standardizer)


def read_data_file(path: str | os.PathLike[str]) -> Dataset:
    """Read a data file, or a file in the course's layout (train_set_x, ..., or test_set_x, ...).

    Raises:
        DataError: it cannot be read, is damaged, or is something else.
    """
    with _reading(path) as file:
        if DESCRIPTION not in file:
            return course_file.read_course_file(file)
        known, stored, labels = _checked(file)
        examples = np.empty((stored.shape[0], int(np.prod(stored.shape[1:]))), stored.dtype)
        stored.read_direct(examples.reshape(stored.shape))
        standardizer = Standardizer(known["standardize"], file["mean"][:], file["scale"][:])
        names = tuple(name.decode() for name in file["names"][:]) if "names" in file else ()
        return Dataset(
            ColumnMatrix(examples, standardizer),
            labels[None],
            tuple(known["classes"]),
            Recipe.from_dict(known["recipe"]) if "recipe" in known else None,
            tuple(known.get("features", ())),
            known.get("target", ""),
            names,
            tuple((name, reason) for name, reason in known["skipped"]),
        )


def describe_data_file(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return what a data file says of itself, with its numbers and shapes, without reading the examples.

    Raises:
        DataError: as for `read`.
    """
    with _reading(path) as file:
        known, stored, labels = (
            _checked(file) if DESCRIPTION in file else course_file.describe_course_file(file)
        )
        return {
            **known,
            "m": int(stored.shape[0]),
            "n_x": int(np.prod(stored.shape[1:])),
            "shape": list(stored.shape[1:]),
            "dtype": str(stored.dtype),
            "counts": class_counts(labels, known["classes"]),
        }


@contextmanager
def _reading(path: str | os.PathLike[str]) -> Iterator[h5py.File]:
    if Path(path).exists() and not Path(path).is_file():  # a pipe would be waited for
        msg = f"{path}: cannot be read: it is no file"
        raise DataError(msg)
    if Path(path).exists() and not h5py.is_hdf5(path):
        msg = f"{path}: cannot be read as HDF5: expected a folder, a data file in HDF5, or a table named .csv"
        raise DataError(msg)
    try:
        with h5py.File(path, "r") as file:
            yield file
    except DataError as error:
        msg = f"{path}: {error}"
        raise DataError(msg) from error
    except OSError as error:
        msg = f"{path}: cannot be read as HDF5: {' '.join(str(error).split())}"
        raise DataError(msg) from error
    except MemoryError as error:
        msg = f"{path}: does not fit into memory"
        raise DataError(msg) from error
    except Exception as error:  # h5py raises nearly anything on damaged files
        msg = f"{path}: is damaged: {type(error).__name__}: {' '.join(str(error).split())}"
        raise DataError(msg) from error


def _checked(file: h5py.File) -> tuple[dict[str, Any], h5py.Dataset, np.ndarray]:
    """Return the description, the examples and the labels of a file whose parts fit together.

    Raises:
        DataError: they do not.
    """
    known = _description(file)
    stored, labels, mean, scale = (file[n] for n in (EXAMPLES[known["kind"]], "labels", "mean", "scale"))
    shape = stored.shape
    n_x = int(np.prod(shape[1:]))
    if "recipe" in known:
        fits = shape[1:] == Recipe.from_dict(known["recipe"]).shape and stored.dtype == np.uint8
    else:
        fits = len(shape) == 2 and n_x == len(known["features"]) and stored.dtype in (np.float32, np.float64)
    _require(
        fits and shape[0] > 0, f"examples of shape {shape} {stored.dtype} that do not fit the description"
    )
    _require(stored.id.get_storage_size() >= stored.nbytes, f"{shape[0]} examples, of which some are missing")
    right = labels.shape == shape[:1] and labels.dtype == (np.int64 if known["classes"] else np.float64)
    _require(right, f"labels of shape {labels.shape} {labels.dtype} for {shape[0]} examples")
    values = labels[:]
    within = values.min() >= 0 and values.max() < len(known["classes"]) if known["classes"] else True
    _require(bool(within) and bool(np.isfinite(values).all()), "labels that are no indices of its classes")
    for part in (mean, scale):
        _require(
            part.shape in ((1, 1), (n_x, 1)) and part.dtype == np.float64, f"no standardization of {n_x}"
        )
        _require(bool(np.isfinite(part[:]).all()), "a standardization that is not finite")
    _require(bool((scale[:] > 0).all()) and mean.shape == scale.shape, "a scale that is not positive")
    if "names" in file:
        names = file["names"]
        _require(names.shape == shape[:1] and names.dtype.kind == "S", f"no name for each of {shape[0]}")
    return known, stored, values


def _description(file: h5py.File) -> dict[str, Any]:
    stored = file[DESCRIPTION]
    _require(stored.ndim == 1 and stored.dtype == np.uint8, "no description")
    known: Any = None
    with suppress(ValueError, RecursionError):
        known = json.loads(stored[:].tobytes())
    _require(isinstance(known, dict), "a description that is no JSON object")
    found = known.get("format")
    if found != FORMAT:
        msg = f"is of format {found!r}, and this version reads {FORMAT}: update xpnet"
        raise DataError(msg)
    classes, skipped = known.get("classes"), known.get("skipped")
    _require(
        known.get("kind") in EXAMPLES and known.get("standardize") in STANDARDIZATIONS, "an unknown kind"
    )
    _require(_are_texts(classes) and len(set(classes)) == len(classes), "no names of classes")
    pairs = isinstance(skipped, list) and all(_are_texts(pair) and len(pair) == 2 for pair in skipped)
    _require(pairs, "no list of what was skipped")
    if known["kind"] == "images":
        _require(isinstance(known.get("recipe"), dict), "no recipe")
    else:
        _require(_are_texts(known.get("features")) and isinstance(known.get("target"), str), "no features")
    return dict(known)


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(text, str) for text in value)


def _require(right: bool, what: str) -> None:
    if not right:
        msg = f"is damaged: it has {what}"
        raise DataError(msg)
