"""The model file: everything that predictions for raw examples need, and a summary of the training."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from xpnet.data import STANDARDIZATIONS, Standardizer
from xpnet.errors import ModelFileError, XpnetError
from xpnet.io import tensor_file
from xpnet.nn import Network

if TYPE_CHECKING:
    import os

FORMAT = 1
"""Version of the layout of the file. Other versions are refused."""

MEAN = "standardizer.mean"
"""Name of the array with the means of the standardization."""

FEATURES = "features."
"""Beginning of the names of the arrays that turn an input into features."""

SCALE = "standardizer.scale"
"""Name of the array with the factors of the standardization."""


@dataclass(frozen=True)
class SavedModel:
    """The content of a model file.

    Attributes:
        model: the configuration of the network.
        parameters: W1, b1, W2, ... by name, in host memory, all float32 or all float64.
        standardizer: the standardization of the raw columns.
        classes: names of the classes, by index; empty for regression.
        recipe: how an input becomes a raw column, as plain data. It is only stored here, not used.
        history: summary of the training, as plain data.
        versions: versions of the software that trained the model, by name.
        features: arrays that turn an input into features, by name. They are only stored here, not used.
    """

    model: Network
    parameters: dict[str, np.ndarray]
    standardizer: Standardizer
    classes: tuple[str, ...] = ()
    recipe: dict[str, Any] = field(default_factory=dict)
    history: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    features: dict[str, np.ndarray] = field(default_factory=dict)


def write_model_file(path: str | os.PathLike[str], saved: SavedModel) -> None:
    """Write a model file, completely or not at all. Equal models give equal bytes.

    Raises:
        ModelFileError: the file cannot be written, or its parts do not match.
    """
    features = {f"{FEATURES}{name}": array for name, array in saved.features.items()}
    arrays = {**saved.parameters, MEAN: saved.standardizer.mean, SCALE: saved.standardizer.scale, **features}
    _require_matching(path, saved.model, arrays, saved.classes)
    description = {
        "kind": "model",
        "format": FORMAT,
        "model": saved.model.to_dict(),
        "standardize": saved.standardizer.kind,
        "classes": list(saved.classes),
        "recipe": saved.recipe,
        "history": saved.history,
        "versions": saved.versions,
    }
    tensor_file.write_tensors(path, description, arrays)


def read_model_file(path: str | os.PathLike[str]) -> SavedModel:
    """Read a model file. Nothing in it is executed.

    Raises:
        ModelFileError: the file is missing, damaged, not a model file or of another format, or its parts do
            not match.
    """
    description, arrays = tensor_file.read_tensors(path, "model", stored=FEATURES)
    if description.get("format") != FORMAT:
        msg = (
            f"{path}: has format {description.get('format')!r}, and this version reads {FORMAT}: update xpnet"
        )
        raise ModelFileError(msg)
    try:
        model = Network.from_dict(description["model"])
        classes = tuple(description["classes"])
        kind = str(description["standardize"])
        plain = [dict(description[name]) for name in ("recipe", "history", "versions")]
    except (KeyError, TypeError, ValueError, XpnetError) as error:
        msg = f"{path}: its description is not that of a model: {type(error).__name__}: {error}"
        raise ModelFileError(msg) from error
    if not all(isinstance(text, str) for text in (*classes, *plain[2].values())):
        msg = f"{path}: classes and versions are {classes} and {plain[2]}, expected strings"
        raise ModelFileError(msg)
    _require_matching(path, model, arrays, classes)
    mean, scale = arrays.pop(MEAN), arrays.pop(SCALE)
    if kind not in STANDARDIZATIONS or mean.dtype != np.float64 or scale.dtype != np.float64:
        msg = (
            f"{path}: standardization is {kind!r} of {mean.dtype}, "
            f"expected one of {', '.join(STANDARDIZATIONS)} of float64"
        )
        raise ModelFileError(msg)
    recipe, history, versions = plain
    parameters = {name: arrays[name] for name in model.shapes}
    features = {
        name.removeprefix(FEATURES): array for name, array in arrays.items() if name.startswith(FEATURES)
    }
    return SavedModel(
        model, parameters, Standardizer(kind, mean, scale), classes, recipe, history, versions, features
    )


def _require_matching(
    path: str | os.PathLike[str], model: Network, arrays: dict[str, np.ndarray], classes: tuple[str, ...]
) -> None:
    """Raise `ModelFileError` if the arrays or classes do not match the configuration."""
    expected: dict[str, Any] = dict(model.shapes)
    rows = arrays[MEAN].shape if MEAN in arrays else ()
    expected[MEAN] = expected[SCALE] = (1, 1) if rows == (1, 1) else (model.n_x, 1)
    for name, shape in expected.items():
        if name not in arrays:
            msg = f"{path}: {name} is missing, expected shape {shape}"
            raise ModelFileError(msg)
        if arrays[name].shape != shape:
            msg = f"{path}: {name} has shape {arrays[name].shape}, and the configuration says {shape}"
            raise ModelFileError(msg)
    if unknown := sorted(name for name in set(arrays) - set(expected) if not name.startswith(FEATURES)):
        msg = f"{path}: holds {', '.join(unknown[:5])}, which the configuration does not have"
        raise ModelFileError(msg)
    if len(dtypes := {str(arrays[name].dtype) for name in model.shapes}) > 1:
        msg = f"{path}: parameters are {' and '.join(sorted(dtypes))}, expected one dtype"
        raise ModelFileError(msg)
    n_classes = {"sigmoid": 2, "softmax": model.n_out}.get(model.output, 0)
    if classes and (len(classes) != n_classes or len(set(classes)) != n_classes):
        msg = f"{path}: has {len(classes)} class names, expected {n_classes} different ones"
        raise ModelFileError(msg)
