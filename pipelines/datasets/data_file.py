"""The data file: examples in HDF5 with their labels, names, recipe and standardization."""

from __future__ import annotations

import json
import math
import os
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from xpnet.data import STANDARDIZATIONS, ColumnMatrix, Moments, Standardizer, standardizer_from_moments
from xpnet.errors import ConfigurationError, DataError, DtypeError, ShapeError

from ..images import Recipe
from . import course_file, embeddings
from .atomic_hdf5 import GrowingDataset, atomic_hdf5
from .dataset import Dataset, class_counts, without_unused_classes
from .endings import HDF5_SUFFIXES
from .feature_extractor import FeatureExtractor, features_standardizer
from .hdf5_input import dataset_in, open_hdf5, rows_of
from .table import TableRows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from .atomic_hdf5 import DeferredErrorFile
    from .feature_extractor import Extraction

FORMAT = 1
"""The version of the file's layout. A file with another version is refused."""

EXAMPLES_NAME = {"images": "images", "features": "features", "table": "examples"}
"""For each kind of data file, the name of the HDF5 dataset with the examples."""

EXTRACTOR = "features."
"""Beginning of the names of the arrays of what made the features, as in a model file."""

DESCRIPTION_NAME = "xpnet"
"""The name of the HDF5 dataset with the description of the file, which is JSON stored as bytes. HDF5's own
strings of variable length are not used: libhdf5 crashes when they are damaged."""

FREE_DESCRIPTION_BYTES = 1 << 20
"""A compressed description has at most so many bytes. xpnet does not compress it."""

MAX_NAME_BYTES = 1 << 16
"""Limit of the length of the name of an example."""

NAMES_BLOCK_BYTES = 16 << 20
"""How many bytes of names, padded to equal length, are read at once."""


class DataFileWriter:
    """Writes a data file of images block by block, and fits the standardization.

    Args:
        file: a new HDF5 file.
        raw: the file object that HDF5 writes to, which remembers write errors.
        recipe: how the images became columns.
        standardize: the kind of standardization, one of `xpnet.data.STANDARDIZATIONS`.
        extractor: what turned the images into the features that are written in their place; None for pixels.
    """

    def __init__(
        self,
        file: h5py.File,
        raw: DeferredErrorFile,
        recipe: Recipe,
        standardize: str,
        extractor: FeatureExtractor | None = None,
    ) -> None:
        self._file, self._raw, self._recipe, self._extractor = file, raw, recipe, extractor
        self._kind, self._standardize = "images" if extractor is None else "features", standardize
        shape = recipe.shape if extractor is None else (extractor.count,)
        dtype = "uint8" if extractor is None else "float32"
        self._examples = GrowingDataset(file, raw, EXAMPLES_NAME[self._kind], shape, dtype)
        self._moments = Moments()
        self._labels: list[float] = []
        self._names: list[str] = []

    def add(self, columns: np.ndarray, labels: Sequence[float], names: Sequence[str]) -> None:
        """Append k examples.

        Args:
            columns: (k, n_x) uint8, one row for each image; or (k, n) float32, its features.
            labels: k class indices or, for regression, k targets.
            names: the paths of the k images.

        Raises:
            OSError: the file cannot be written.
        """
        self._examples.append(columns)
        if self._extractor is None and self._standardize in ("channel", "feature"):
            self._moments.add(columns)
        self._labels.extend(labels)
        self._names.extend(names)

    def finish(
        self,
        classes: Sequence[str],
        skipped: Sequence[tuple[str, str]],
        standardizer: Standardizer | None = None,
        on_warning: Callable[[str], object] | None = None,
        libraries: dict[str, str] | None = None,
        compared: Sequence[dict[str, Any]] = (),
    ) -> None:
        """Write all that follows the examples: labels, names, standardization and description.

        Args:
            classes: the names of the classes; empty for regression.
            skipped: (path, reason) of each image that was skipped.
            standardizer: the standardization; None fits it to all examples.
            on_warning: called with a warning if classes without examples are left out. None keeps them.
            libraries: what decoded the images; None for what the recipe says.
            compared: how well features suit the data; see `Dataset`.
        """
        stored = self._examples.finish()
        recipe = self._recipe if libraries is None else replace(self._recipe, libraries=libraries)
        labels = np.asarray(self._labels, np.int64 if classes else np.float64)
        if on_warning is not None:
            labels, classes = without_unused_classes(labels, tuple(classes), on_warning)
        if standardizer is None and self._extractor is not None:
            # Read again, in the blocks of a training: in others, sums of floats have other digits.
            standardizer = features_standardizer(ColumnMatrix(rows_of(stored, self._raw.name)))
        elif standardizer is None:
            standardizer = standardizer_from_moments(self._moments, self._standardize, self._recipe.channels)
        more: dict[str, Any] = {"recipe": recipe.to_dict()}
        if self._extractor is not None:
            more |= self._extractor.to_dict()
            for name, array in self._extractor.arrays.items():
                self._file[f"{EXTRACTOR}{name}"] = array
        if compared:
            more["compared"] = list(compared)
        _write_description(self._file, self._kind, standardizer, classes, skipped, more, labels)
        _write_names(self._file, self._names)


def _write_names(file: h5py.File, names: Sequence[str]) -> None:
    """Write the names of the examples, padded to equal length and compressed."""
    encoded = [name.encode() for name in names]
    dtype = h5py.string_dtype("utf-8", max(1, *map(len, encoded)))
    file.create_dataset("names", data=np.asarray(encoded, dtype), compression="gzip")


def _write_description(
    file: h5py.File,
    kind: str,
    standardizer: Standardizer,
    classes: Sequence[str],
    skipped: Sequence[tuple[str, str]],
    more: dict[str, Any],
    labels: np.ndarray,
) -> None:
    """Write everything except the examples and their names. `more` has the entries for this kind of file."""
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
    file[DESCRIPTION_NAME] = np.frombuffer(json.dumps(description).encode(), np.uint8)


@contextmanager
def data_file_writer(
    path: str | os.PathLike[str], recipe: Recipe, standardize: str, extractor: FeatureExtractor | None = None
) -> Iterator[DataFileWriter]:
    """Return a context with the writer of a new data file. The arguments are those of `DataFileWriter`.

    The file appears at `path` when the block ends without an error. Otherwise nothing is left of it.

    Raises:
        OutputError: the file cannot be written.
    """
    with atomic_hdf5(path) as (file, raw):
        yield DataFileWriter(file, raw, recipe, standardize, extractor)


def write_data_file(
    path: str | os.PathLike[str],
    dataset: Dataset,
    extraction: Extraction | None = None,
    on_progress: Callable[[int, int], object] | None = None,
) -> None:
    """Write a dataset as a data file, completely or not at all.

    Args:
        path: the file.
        dataset: what is written.
        extraction: turns the images of the dataset into features, which are written in their place, and are
            never all in memory. None writes what the dataset holds.
        on_progress: called with the number of images that became features, and of all.

    Raises:
        OutputError: the file cannot be written.
        DataError: a feature is a NaN or an infinity.
    """
    data, recipe = dataset.data, dataset.recipe
    if recipe is None:
        more = {"features": list(dataset.features), "target": dataset.target}
        with atomic_hdf5(path) as (file, _):
            file["examples"] = data.examples
            _write_description(
                file, "table", data.standardizer, dataset.classes, dataset.skipped, more, dataset.Y[0]
            )
            if dataset.names:
                _write_names(file, dataset.names)
        return
    names = dataset.names or [""] * data.m
    if extraction is None:
        blocks, extractor, standardizer = data.blocks(), dataset.extractor, data.standardizer
    else:
        blocks = extraction.blocks(data.examples, on_progress)
        extractor, standardizer = extraction.extractor, None
    with data_file_writer(path, recipe, data.standardizer.kind, extractor) as writer:
        start = 0
        for block in blocks:
            part = slice(start, start + len(block))
            writer.add(block, dataset.Y[0, part].tolist(), names[part])
            start = part.stop
        writer.finish(dataset.classes, dataset.skipped, standardizer, compared=dataset.compared)


def read_data_file(path: str | os.PathLike[str], on_error: str = "skip") -> Dataset:
    """Read a data file, a file of the course (with train_set_x and train_set_y, or test_...), or features.

    The examples of a large file stay in the file, from which the system reads what is used: see `rows_of`.

    Args:
        path: the file.
        on_error: for features that another program wrote: "skip" what cannot be used, or "fail".

    Raises:
        DataError: the file cannot be read, is damaged, or has other contents.
        NoInputError: none of the features can be used.
    """
    with open_hdf5(path) as file:
        if DESCRIPTION_NAME in file:
            return _read_own(file, path)
        if not _holds_features(file):
            return course_file.read_course_file(file, path)
        arrays = embeddings.arrays_in(file, path)
    return embeddings.dataset_of(arrays, os.fspath(path), on_error=on_error)


def is_data_file(path: str) -> bool:
    """Return whether xpnet wrote a file. What it left out was reported then.

    Raises:
        DataError: the file cannot be read.
    """
    with open_hdf5(path) as file:
        return DESCRIPTION_NAME in file


def read_example_rows(path: str, features: Sequence[str]) -> TableRows:
    """Read the examples in a data file or another file of features, to predict for them.

    Args:
        path: a data file, or a file as for `read_embedding_rows`.
        features: the names of the model's features; empty if it knows none.

    Raises:
        DataError: the file cannot be read, or does not have what is needed.
    """
    if not path.lower().endswith(HDF5_SUFFIXES) or not is_data_file(path):
        return embeddings.read_embedding_rows(path, features)
    dataset = read_data_file(path)
    if dataset.recipe is not None:
        held = "images" if dataset.extractor is None else f"features of images by {dataset.extractor.name}"
        msg = f"{path}: holds {held}, and the model expects features that are not made of images"
        raise DataError(msg)
    if features and tuple(features) != dataset.features:
        found, expected = ", ".join(dataset.features) or "without names", ", ".join(features)
        msg = f"{path}: has the columns {found}; the model expects {expected}"
        raise DataError(msg)
    m, names = dataset.data.m, list(dataset.names)
    return TableRows(names or list(map(str, range(m))), dataset.data.examples, [""] * m, bool(names))


def _read_own(file: h5py.File, path: str | os.PathLike[str]) -> Dataset:
    """Read an open file that xpnet wrote. Errors: see `read_data_file`, but without the path."""
    description, stored, labels, extractor = _checked(file)
    examples = rows_of(stored, path)
    standardizer = Standardizer(description["standardize"], file["mean"][:], file["scale"][:])
    return Dataset(
        ColumnMatrix(examples, standardizer),
        labels[None],
        tuple(description["classes"]),
        Recipe.from_dict(description["recipe"]) if "recipe" in description else None,
        tuple(description.get("features", ())),
        description.get("target", ""),
        _read_names(file, stored.nbytes),
        tuple((name, reason) for name, reason in description["skipped"]),
        extractor,
        tuple(description.get("compared", ())),
    )


def _holds_features(file: h5py.File) -> bool:
    """Return whether another program wrote features into a file, and it is none of the course."""
    return embeddings.has_features(file) and not course_file.is_course_file(file)


def _read_names(file: h5py.File, size: int) -> tuple[str, ...]:
    """Return the names of the examples, or () if the file has none.

    They are padded to equal length and compressed, so they are read in parts.

    Args:
        file: an open file that was checked.
        size: number of bytes of all examples.
    """
    if "names" not in file:
        return ()
    stored, total = file["names"], 0
    names: list[str] = []
    step = max(1, NAMES_BLOCK_BYTES // stored.dtype.itemsize)
    for start in range(0, len(stored), step):
        part = stored[start : start + step].tolist()
        total += sum(map(len, part))
        _require(total <= NAMES_BLOCK_BYTES + size, "names that are too long")
        names.extend(name.decode() for name in part)
    return tuple(names)


def describe_data_file(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return the description of a data file without reading its examples.

    Returns:
        The entries of the file's description (kind, classes, recipe, ...); "m", "n_x", "shape" and "dtype" of
        the examples; and "counts", the number of examples of each class.

    Raises:
        DataError: as for `read_data_file`.
    """
    with open_hdf5(path) as file:
        if DESCRIPTION_NAME not in file and _holds_features(file):
            arrays = embeddings.arrays_in(file, path)
            return embeddings.dataset_of(arrays, os.fspath(path)).describe()
        if DESCRIPTION_NAME in file:
            description, stored, labels, _ = _checked(file)
        else:
            description, stored, labels = course_file.describe_course_file(file)
        return {
            **description,
            "m": int(stored.shape[0]),
            "n_x": int(np.prod(stored.shape[1:])),
            "shape": list(_image_shape(description) or stored.shape[1:]),
            "dtype": str(stored.dtype),
            "counts": class_counts(labels, description["classes"]),
        }


def _checked(
    file: h5py.File,
) -> tuple[dict[str, Any], h5py.Dataset, np.ndarray, FeatureExtractor | None]:
    """Check that all parts of a file fit together.

    Returns:
        Its description; its examples, (m, ...), which are not read; its labels (m,); and what made the
        features in it, or None.

    Raises:
        DataError: some parts do not fit.
    """
    description = _read_description(file)
    stored, labels, mean, scale = (
        dataset_in(file, n) for n in (EXAMPLES_NAME[description["kind"]], "labels", "mean", "scale")
    )
    shape = stored.shape
    n_x = int(np.prod(shape[1:]))
    extractor = _extractor_in(file, description)
    if extractor is not None:
        fits = shape[1:] == (extractor.count,) and stored.dtype == np.float32
    elif "recipe" in description:
        fits = shape[1:] == _image_shape(description) and stored.dtype == np.uint8
    else:
        fits = (
            len(shape) == 2
            and len(description["features"]) in (0, n_x)
            and stored.dtype in (np.uint8, np.float32, np.float64)
        )
    _require(
        fits and shape[0] > 0, f"examples of shape {shape} {stored.dtype} that do not fit the description"
    )
    fits = labels.shape == shape[:1] and labels.dtype == (np.int64 if description["classes"] else np.float64)
    _require(fits, f"labels of shape {labels.shape} {labels.dtype} for {shape[0]} examples")
    values = labels[:]
    if description["classes"]:
        in_range = bool(values.min() >= 0 and values.max() < len(description["classes"]))
        _require(
            in_range,
            f"labels from {values.min()} to {values.max()} for {len(description['classes'])} classes",
        )
    else:
        _require(bool(np.isfinite(values).all()), "targets that are not finite")
    for part in (mean, scale):
        _require(
            part.shape in ((1, 1), (n_x, 1)) and part.dtype == np.float64,
            f"no mean or scale of {n_x} features",
        )
        _require(bool(np.isfinite(part[:]).all()), "a mean or scale that is not finite")
    _require(bool((scale[:] > 0).all()), "a scale that is not positive")
    _require(mean.shape == scale.shape, f"a mean of shape {mean.shape} and a scale of shape {scale.shape}")
    if "names" in file:
        names = dataset_in(file, "names", compression=math.inf)
        fits = names.shape == shape[:1] and names.dtype.kind == "S" and names.dtype.itemsize <= MAX_NAME_BYTES
        _require(fits, f"names that are not {shape[0]} strings")
    return description, stored, values, extractor


def _image_shape(description: dict[str, Any]) -> tuple[int, int, int] | None:
    """Return the shape of the images that a file describes, or None for a table."""
    return Recipe.from_dict(description["recipe"]).shape if "recipe" in description else None


def _extractor_in(file: h5py.File, description: dict[str, Any]) -> FeatureExtractor | None:
    """Return what made the features in a file; None if it holds images or a table.

    Raises:
        DataError: it is damaged.
    """
    shape = _image_shape(description)
    if description["kind"] != "features" or shape is None:
        return None
    names = [name for name in file if name.startswith(EXTRACTOR)]
    arrays = {name.removeprefix(EXTRACTOR): dataset_in(file, name)[()] for name in names}
    try:
        found = FeatureExtractor.of(description, arrays, shape)
    except (ConfigurationError, ShapeError, DtypeError, DataError) as error:
        msg = f"is damaged: {error}"
        raise DataError(msg) from error
    if found is None:
        msg = "is damaged: it has features, and no description of what made them"
        raise DataError(msg)
    return found


def _read_description(file: h5py.File) -> dict[str, Any]:
    """Return the description, after checking the types of its entries.

    Raises:
        DataError: it is not a description that this version knows.
    """
    stored = dataset_in(file, DESCRIPTION_NAME, FREE_DESCRIPTION_BYTES, 1)
    _require(stored.ndim == 1 and stored.dtype == np.uint8, "no description")
    description: Any = None
    with suppress(ValueError, RecursionError):
        description = json.loads(stored[:].tobytes())
    _require(isinstance(description, dict), "a description that is not a JSON object")
    found = description.get("format")
    if found != FORMAT:
        msg = f"has format {found!r}, but this version of xpnet reads format {FORMAT}: update xpnet"
        raise DataError(msg)
    classes, skipped = description.get("classes"), description.get("skipped")
    _require(description.get("kind") in tuple(EXAMPLES_NAME), "an unknown kind of examples")
    _require(description.get("standardize") in STANDARDIZATIONS, "an unknown kind of standardization")
    _require(_are_strings(classes) and len(set(classes)) == len(classes), "no list of different class names")
    pairs = isinstance(skipped, list) and all(_are_strings(pair) and len(pair) == 2 for pair in skipped)
    _require(pairs, "no list of the skipped inputs")
    known = {name: description[name] for name in ("kind", "format", "standardize", "classes", "skipped")}
    if description["kind"] in ("images", "features"):
        _require(isinstance(description.get("recipe"), dict), "no recipe")
        known["recipe"] = Recipe.from_dict(description["recipe"]).to_dict()
        _require(_are_comparisons(description.get("compared", [])), "a comparison of features")
        known |= {
            name: description[name] for name in ("patches", "backbone", "compared") if name in description
        }
    else:
        _require(
            _are_strings(description.get("features")) and _are_strings([description.get("target")]),
            "no names of features and target",
        )
        known |= {name: description[name] for name in ("features", "target")}
    return known


def _are_strings(value: Any) -> bool:
    """Return whether a value is a list of strings that can be printed: JSON can hold halves of characters."""
    try:
        return isinstance(value, list) and all(
            isinstance(item, str) and item.encode() for item in value if item != ""
        )
    except UnicodeEncodeError:
        return False


def _are_comparisons(value: Any) -> bool:
    """Return whether a value is a list of comparisons of features; see `Dataset`."""
    kinds = {"features": str, "log_loss": float, "accuracy": float, "examples": int, "is_used": bool}
    return isinstance(value, list) and all(
        isinstance(each, dict)
        and set(each) == set(kinds)
        and all(type(each[name]) is kind for name, kind in kinds.items())
        and math.isfinite(each["log_loss"] + each["accuracy"])
        and _are_strings([each["features"]])
        for each in value
    )


def _require(condition: bool, found: str) -> None:
    """Raise `DataError`, which says what the damaged file has, unless the condition holds."""
    if not condition:
        msg = f"is damaged: it has {found}"
        raise DataError(msg)
