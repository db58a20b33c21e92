"""Features as data: embeddings or other numbers in a file of NumPy, Parquet or HDF5, with labels and names.

The arrays are known by usual names, such as features, labels, names and classes.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from xpnet.data import ColumnMatrix, fit_standardizer
from xpnet.errors import DataError, NoInputError, UsageError

from .dataset import Dataset
from .endings import PARQUET_SUFFIXES, USUAL_LABELS
from .hdf5_input import dataset_in, open_hdf5, rows_of
from .labels_file import LABEL_WORDS, PATH_WORDS
from .numpy_file import StoredArray, open_npz, read_npy
from .parquet_file import read_parquet
from .parquet_lines import read_parquet_lines
from .table import TableRows
from .text_file import quoted, read_cells, same_name

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

FEATURES = ("features", "embeddings", "X", "x")
LABELS = USUAL_LABELS
NAMES = ("names", "paths", "ids")
CLASSES = ("classes", "class_names")
"""Usual names of arrays."""

VARIABLE_TEXT_BYTES = 1 << 30
"""How much memory the strings of variable length that are read at once may take, at most."""

MAX_TEXT_BYTES = 1 << 16
"""How long a name or label may be, at most."""


@dataclass(frozen=True)
class FeatureArrays:
    """The contents of a file of features, before they are checked.

    Attributes:
        X: the features, (m, n_x) uint8, float32 or float64; possibly mapped into memory.
        labels: a label for each example, or None.
        label_name: where the labels come from, for messages.
        classes: the names of the classes, which labels are indices of; empty if there are none.
        names: the names of the examples; empty if there are none.
        columns: the names of the features; empty if there are none.
        flaws: why an example cannot be used, by its index.
    """

    X: np.ndarray
    labels: np.ndarray | Sequence[Any] | None = None
    label_name: str = ""
    classes: tuple[str, ...] = ()
    names: list[str] = field(default_factory=list)
    columns: tuple[str, ...] = ()
    flaws: dict[int, str] = field(default_factory=dict)


def read_embeddings(
    path: str,
    *,
    standardize: str = "feature",
    on_error: str = "skip",
    labels: str | None = None,
    target: str | None = None,
    columns: Sequence[str] | None = None,
    ignored: Sequence[str] = (),
) -> Dataset:
    """Read features with their labels from a .npy, .npz or Parquet file.

    Integers, strings and booleans are classes, floats are numbers to predict. In a Parquet file with a column
    for each feature, all numbers are numbers to predict, as in a table.

    Args:
        path: the file. The labels of a .npy file are in another file: see `labels`.
        standardize: the kind of standardization, one of `xpnet.data.STANDARDIZATIONS`.
        on_error: what to do with an example that cannot be used: "skip" it, or "fail".
        labels: for .npy and .npz: a .npy, CSV or Parquet file with them. None for those in the file itself,
            or, for .npy, in a file beside it.
        target: for Parquet: the name of the column to predict.
        columns: for Parquet: the names of the columns of features; None for all others.
        ignored: for Parquet: names of columns that are no features.

    Raises:
        DataError: the file cannot be read, or does not have what is needed; or `on_error` is "fail" and an
            example cannot be used.
        NoInputError: no example can be used.
        UsageError: it is not known which labels are meant.
    """
    lower = path.lower()
    if lower.endswith(PARQUET_SUFFIXES):
        found = read_parquet(path, target=target, columns=columns, ignored=ignored)
        arrays = FeatureArrays(
            found.X, found.targets, found.target, (), list(map(_as_name, found.names)), found.columns,
            found.flaws,
        )  # fmt: skip
    elif lower.endswith(".npz"):
        with open_npz(path) as stored:
            arrays = arrays_of(stored, path, want_labels=labels is None)
        if labels is not None:
            arrays = _with_labels(arrays, labels)
    else:
        arrays = FeatureArrays(features_of(read_npy(path), path, "its array"))
        arrays = _with_labels(arrays, labels or _labels_beside(path))
    return dataset_of(arrays, path, standardize, on_error)


def arrays_in(file: h5py.File, path: str | os.PathLike[str]) -> FeatureArrays:
    """Return the features and labels of an open HDF5 file that another program wrote.

    Raises:
        DataError: the file has other contents. The message does not name the file.
    """
    return arrays_of(_stored_in(file, path), None)


def has_features(file: h5py.File) -> bool:
    """Return whether an HDF5 file holds features by one of their usual names."""
    return any(name in file for name in FEATURES)


def read_embedding_rows(path: str, features: Sequence[str]) -> TableRows:
    """Read the features in a file, to predict for them. No labels are needed.

    Args:
        path: a .npy, .npz, Parquet or HDF5 file.
        features: the names of the model's features; empty if it knows none. Only Parquet files have names.

    Raises:
        DataError: the file cannot be read, or does not have what is needed.
    """
    lower = path.lower()
    if lower.endswith(PARQUET_SUFFIXES):
        found = read_parquet(path, columns=features or None, labelled=False)
        names = list(map(_as_name, found.names))
        arrays = FeatureArrays(found.X, names=names, columns=found.columns, flaws=found.flaws)
    elif lower.endswith(".npz"):
        with open_npz(path) as stored:
            arrays = arrays_of(stored, path, want_labels=False)
    elif lower.endswith(".npy"):
        arrays = FeatureArrays(features_of(read_npy(path), path, "its array"))
    else:
        with open_hdf5(path) as file:
            arrays = arrays_of(_stored_in(file, path), None, want_labels=False)
    if features and tuple(features) != arrays.columns:
        msg = (
            f"{path}: has no names of features, and the model knows its features by name: {_some(features)}; "
            "expected a table (.csv) or a Parquet file with these columns"
        )
        raise DataError(msg)
    m = len(arrays.X)
    flaws = arrays.flaws | _nonfinite(arrays, skip=arrays.flaws)
    errors = [flaws.get(i, "") for i in range(m)] if flaws else [""] * m
    return TableRows(arrays.names or list(map(str, range(m))), arrays.X, errors, bool(arrays.names))


def dataset_of(
    arrays: FeatureArrays, path: str, standardize: str = "feature", on_error: str = "skip"
) -> Dataset:
    """Return arrays as a dataset, without the examples that cannot be used.

    Args:
        arrays: the arrays, with labels.
        path: the file that they come from.
        standardize: the kind of standardization, one of `xpnet.data.STANDARDIZATIONS`.
        on_error: "skip" or "fail".

    Raises:
        DataError, NoInputError: as for `read_embeddings`.
    """
    values, flaws = _labels(arrays, path)
    flaws |= _nonfinite(arrays, skip=arrays.flaws) | arrays.flaws
    named = [(f"{path}: {arrays.names[i] if arrays.names else i}", flaws[i]) for i in sorted(flaws)]
    if named and on_error == "fail":
        name, reason = named[0]
        msg = f"{name}: {reason}"
        raise DataError(msg)
    X, names = arrays.X, arrays.names
    if flaws:
        used = np.setdiff1d(np.arange(len(X)), np.fromiter(flaws, np.int64))
        if not len(used):
            msg = f"{path}: has no example that can be used: example {min(flaws)}: {flaws[min(flaws)]}"
            raise NoInputError(msg)
        X, values, names = X[used], values[used], [names[i] for i in used] if names else names
    raw = ColumnMatrix(X)
    data = raw.standardized_as(fit_standardizer(raw.blocks(), standardize))
    classes, Y = _targets(values, arrays.classes)
    return Dataset(
        data, Y, classes,
        features=arrays.columns, target=arrays.label_name, names=tuple(names), skipped=tuple(named),
    )  # fmt: skip


def arrays_of(
    stored: Mapping[str, StoredArray], path: str | None, *, want_labels: bool = True
) -> FeatureArrays:
    """Return the arrays that have usual names.

    Args:
        stored: all arrays of a file by name.
        path: the file, or None if its name is put before error messages later.
        want_labels: whether labels are needed, and read.

    Raises:
        DataError: features or labels are not there, or there are several; or an array has another shape.
    """
    where = f"{path}: " if path else ""

    def one(usual: Sequence[str], what: str) -> str:
        fitting = [name for name in usual if name in stored]
        if len(fitting) == 1:
            return fitting[0]
        held = ", ".join(f"{name} {array}" for name, array in list(stored.items())[:20]) or "nothing"
        found = f"several arrays that could be the {what}" if fitting else f"no {what}"
        msg = f"{where}has {found}: expected one array named {', '.join(usual)}; the file holds {held}"
        raise DataError(msg)

    at = one(FEATURES, "features")
    label_at = one(LABELS, "labels") if want_labels else ""
    _require_matrix(stored[at].shape, f"{where}its {at}")
    X = features_of(stored[at].read(), path, f"its {at}")
    name_at = next((name for name in NAMES if name in stored), "")
    class_at = next((name for name in CLASSES if name in stored), "") if want_labels else ""
    names = _texts(stored, name_at, where)
    if name_at and len(names) != len(X):
        msg = f"{where}its {name_at} has {len(names)} names, expected one for each of {len(X)} examples"
        raise DataError(msg)
    classes = tuple(same_name(name.strip()) for name in _texts(stored, class_at, where))
    if len(set(classes)) < len(classes):
        msg = f"{where}its {class_at} names a class twice: expected different names"
        raise DataError(msg)
    labels = None
    if label_at:
        array = stored[label_at]
        labels = np.asarray(_texts(stored, label_at, where)) if array.dtype.kind in "SUO" else array.read()
    return FeatureArrays(X, labels, label_at, classes, list(map(_as_name, names)))


def features_of(X: np.ndarray, path: str | None, what: str) -> np.ndarray:
    """Return features as a `ColumnMatrix` takes them: (m, n_x) in rows, uint8, float32 or float64.

    Nothing is copied if they are so already.

    Raises:
        DataError: the array has another shape, or does not hold real numbers.
    """
    where = f"{path}: " if path else ""
    _require_matrix(X.shape, f"{where}{what}")
    if X.dtype.kind not in "fiu" or X.dtype.itemsize > 8:
        msg = f"{where}{what} holds {X.dtype}, expected float16, float32, float64 or uint8"
        raise DataError(msg)
    if X.dtype == np.uint8:
        return np.ascontiguousarray(X)
    is_small = X.dtype.itemsize <= 2 or X.dtype.newbyteorder("=") == np.float32
    return np.ascontiguousarray(X, np.float32 if is_small else np.float64)


def _require_matrix(shape: tuple[int, ...], what: str) -> None:
    if len(shape) != 2 or 0 in shape:
        expected = "expected (m, n_x): a row for each example, and a column for each feature"
        msg = f"{what} has the shape {shape}, {expected}"
        raise DataError(msg)


def _stored_in(file: h5py.File, path: str | os.PathLike[str]) -> dict[str, StoredArray]:
    """Return the arrays of an open HDF5 file by name. They are checked when they are read."""
    found = {}
    for name in file:
        link = file.get(name, getlink=True)
        each = file[name] if isinstance(link, h5py.HardLink) else None
        if isinstance(each, h5py.Dataset) and each.shape is not None:
            found[name] = StoredArray(each.shape, each.dtype, _hdf5_reader(file, name, path))
        elif name in FEATURES + LABELS + NAMES + CLASSES:
            dataset_in(file, name)  # it is a link or a group: this raises
    return found


def _hdf5_reader(file: h5py.File, name: str, path: str | os.PathLike[str]) -> Any:
    def read() -> np.ndarray:
        stored = dataset_in(file, name)
        text = h5py.check_string_dtype(stored.dtype)
        if text is not None and text.length is None:
            return _variable_texts(stored, name, os.path.getsize(path))
        if stored.dtype.kind == "V" or stored.dtype.hasobject:
            msg = f"its {name} holds {stored.dtype}, expected numbers or strings"
            raise DataError(msg)
        if len(stored.shape) == 2 and 0 not in stored.shape:
            return rows_of(stored, path)
        return np.asarray(stored[()])

    return read


def _variable_texts(stored: h5py.Dataset, name: str, size: int) -> np.ndarray:
    """Return strings of variable length as bytes. Many of them may be the same long text in the file."""
    if stored.ndim != 1 and stored.shape[1:] != (1,):
        msg = f"its {name} has the shape {stored.shape}, expected one string for each example"
        raise DataError(msg)
    step = max(1, min(4096, VARIABLE_TEXT_BYTES // max(1, size)))
    texts: list[bytes] = []
    left = max(1 << 20, size * 50)
    for start in range(0, len(stored), step):
        part = [bytes(each) for each in stored[start : start + step].reshape(-1)]
        left -= sum(map(len, part))
        if left < 0 or max(map(len, part)) > MAX_TEXT_BYTES:
            msg = f"is damaged: its {name} has strings that are too long"
            raise DataError(msg)
        texts += part
    return np.asarray(texts, object)


def _texts(stored: Mapping[str, StoredArray], name: str, where: str) -> list[str]:
    """Return an array of strings, or of integers, as a list of strings. name: "" for none."""
    if not name:
        return []
    array = stored[name].read()
    is_list = array.ndim == 1 or (array.ndim == 2 and 1 in array.shape)
    if not is_list or array.dtype.kind not in "SUOiub":
        found = f"the shape {array.shape} and holds {array.dtype}"
        msg = f"{where}its {name} has {found}, expected a list of strings"
        raise DataError(msg)
    try:
        values = array.reshape(-1).tolist()
        return [each.decode() if isinstance(each, bytes) else str(each) for each in values]
    except (UnicodeDecodeError, ValueError) as error:
        msg = f"{where}its {name} is not Unicode: save the strings in UTF-8"
        raise DataError(msg) from error


def _as_name(text: str) -> str:
    """Return a name of an example in the form of paths, which every locale can write."""
    return os.fsdecode(text.encode("utf-8", "backslashreplace"))


def _nonfinite(arrays: FeatureArrays, skip: Mapping[int, str]) -> dict[int, str]:
    """Return which examples have a NaN or an infinity, and where. skip: examples that are not looked at."""
    X = arrays.X
    if X.dtype == np.uint8:
        return {}
    found: dict[int, str] = {}
    start = 0
    for block in ColumnMatrix(X).blocks():
        with np.errstate(all="ignore"):
            is_finite = math.isfinite(float(np.add.reduce(block, axis=None)))
        if not is_finite:  # or the sum is too large
            finite = np.isfinite(block)
            for i in np.flatnonzero(~finite.all(axis=1)).tolist():
                if start + i not in skip:
                    at = int(np.argmin(finite[i]))
                    name = arrays.columns[at] if arrays.columns else f"feature {at}"
                    found[start + i] = f"{name} is {block[i, at]}, expected a finite number"
        start += len(block)
    return found


def _labels(arrays: FeatureArrays, path: str) -> tuple[np.ndarray, dict[int, str]]:
    """Return the labels (m,) as integers, floats or strings, and which of them cannot be used.

    Raises:
        DataError: they have another shape or dtype, or do not fit the examples or the classes.
    """
    m, name, classes = len(arrays.X), arrays.label_name, arrays.classes
    flaws: dict[int, str] = {}
    labels = arrays.labels
    if not isinstance(labels, np.ndarray):
        texts = ["" if value is None else str(value) for value in labels or ()]
        labels = np.asarray(texts)
    if labels.shape not in ((m,), (m, 1), (1, m)):
        hint = ""
        if labels.ndim == 2 and len(labels) == m:
            hint = ": for one column for each class (one-hot), save labels.argmax(axis=1)"
        elif labels.size == arrays.X.shape[1]:
            hint = ": if each column of the features is an example, save features.T"
        found = f"the shape {labels.shape}"
        msg = f"{path}: its {name} has {found}, expected a label for each of {m} examples{hint}"
        raise DataError(msg)
    labels = labels.reshape(-1)
    if labels.dtype.kind not in "biufSU":
        msg = f"{path}: its {name} holds {labels.dtype}, expected integers, booleans, strings or floats"
        raise DataError(msg)
    if labels.dtype.kind in "SU":
        texts = [same_name(str(each).strip()) for each in labels.tolist()]
        labels = np.asarray(texts)
        flaws = {i: f"{name} is empty" for i, text in enumerate(texts) if not text}
        unknown = next((text for text in texts if text and classes and text not in classes), None)
        if unknown is not None:
            msg = f"{path}: its {name} has {quoted(unknown)}, expected one of the classes {_some(classes)}"
            raise DataError(msg)
        return labels, flaws
    if labels.dtype.kind == "f":
        values = labels.astype(np.float64)
        bad = np.flatnonzero(~np.isfinite(values)).tolist()
        flaws = {i: f"{name} is {values[i]}, expected a finite number" for i in bad}
        if not classes:
            return values, flaws
        kept = values[np.isfinite(values)]
        if np.any(kept != np.round(kept)) or (len(kept) and np.abs(kept).max() >= 2**53):
            msg = f"{path}: its {name} has fractions, and there are names of classes: expected integers"
            raise DataError(msg)
        labels = np.where(np.isfinite(values), values, 0).astype(np.int64)
    if classes and (int(labels.min()) < 0 or int(labels.max()) >= len(classes)):
        found = f"{labels.min()} to {labels.max()}"
        msg = f"{path}: its {name} is from {found}, expected indices of {len(classes)} classes"
        raise DataError(msg)
    return labels, flaws


def _targets(values: np.ndarray, classes: tuple[str, ...]) -> tuple[tuple[str, ...], np.ndarray]:
    """Return (class names, class indices (1, m) int64), or for floats ((), targets (1, m) float64)."""
    if values.dtype.kind == "f":
        return (), values.reshape(1, -1)
    if classes:
        if values.dtype.kind == "U":
            index = {name: i for i, name in enumerate(classes)}
            values = np.asarray([index[each] for each in values.tolist()])
        return classes, values.reshape(1, -1).astype(np.int64)
    used, indices = np.unique(values, return_inverse=True)
    return tuple(map(str, used.tolist())), indices.reshape(1, -1).astype(np.int64)


def _labels_beside(path: str) -> str:
    """Return the path of the labels of a .npy file of features.

    Raises:
        UsageError: there are none.
    """
    folder, name = os.path.split(path)
    stem = name[: -len(".npy")]
    words = [word for word in ("features", "embeddings") if word in stem]
    replaced = [f"{stem.replace(word, 'labels')}.npy" for word in words]
    tried = [f"{stem}_labels.npy", *replaced, "labels.npy"]
    for each in dict.fromkeys(tried):
        if each != name and os.path.isfile(os.path.join(folder, each)):
            return os.path.join(folder, each)
    msg = (
        f"{path}: holds features, and there are no labels: name a .npy, CSV or Parquet file of labels with "
        f"--labels, or save them as {' or '.join(dict.fromkeys(tried))} beside it"
    )
    raise UsageError(msg)


def _with_labels(arrays: FeatureArrays, path: str) -> FeatureArrays:
    """Return arrays with the labels in a .npy, Parquet or CSV file.

    Raises:
        DataError: the file cannot be read, or does not have one label for each example.
    """
    m = len(arrays.X)
    if path.lower().endswith(".npy"):
        labels = read_npy(path)
    elif path.lower().endswith(PARQUET_SUFFIXES):
        labels = _labels_in_parquet(path)
    else:
        labels = np.asarray(_column_of_labels(path, m))
    if labels.shape not in ((m,), (m, 1), (1, m)):
        msg = f"{path}: has labels of the shape {labels.shape}, expected one for each of {m} examples"
        raise DataError(msg)
    return FeatureArrays(arrays.X, labels, "labels", (), arrays.names, arrays.columns, arrays.flaws)


def _labels_in_parquet(path: str) -> np.ndarray:
    """Return the labels in a Parquet file: its only column, or the one with a usual name.

    They keep their type: words and integers are classes, floats are numbers to predict.
    """
    lines = read_parquet_lines(path)
    columns = list(lines[0][1]) if lines else []
    named = [name for word in LABEL_WORDS for name in columns if name.casefold() == word]
    if not named and len(columns) != 1:
        listed = ", ".join(columns) or "none"
        msg = f"{path}: has the columns {listed}, expected one of labels, or one with the name label"
        raise DataError(msg)
    values = [line[(named or columns)[0]] for _, line in lines]
    if None in values and any(isinstance(value, float) for value in values):
        return np.asarray([np.nan if value is None else value for value in values])
    return np.asarray(["" if value is None else str(value) for value in values] if None in values else values)


def _column_of_labels(path: str, m: int) -> list[str]:
    """Return the labels in a CSV file, in the order of its lines. They are names of classes.

    The file has only this column; or a header that names it; or lines path,label.
    """
    lines = read_cells(path)
    first = [cell.strip().casefold() for cell in lines[0][1]] if lines else []
    place = len(first) - 1
    named = [i for i, cell in enumerate(first) if cell in LABEL_WORDS]
    if len(lines) == m + 1 or (named and len(first) > 1) or any(cell in PATH_WORDS for cell in first):
        place = named[0] if named else place
        lines = lines[1:]
    if len(lines) != m:
        msg = f"{path}: has {len(lines)} labels, expected one line for each of {m} examples"
        raise DataError(msg)
    if place > 1 and not named:
        msg = f"{path}: has {place + 1} columns, expected one of labels, or a header with the column label"
        raise DataError(msg)
    for line, cells in lines:
        if len(cells) != len(first):
            msg = f"{path}: line {line} has {len(cells)} cells, expected {len(first)}"
            raise DataError(msg)
    return [cells[place] for _, cells in lines]


def _some(names: Sequence[str]) -> str:
    """Return the first names, for a message."""
    return ", ".join(names[:10]) + (", ..." if len(names) > 10 else "")
