"""Datasets from arrays in memory: images or columns, with their labels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from xpnet.arrays import namespace
from xpnet.data import ColumnMatrix, fit_standardizer
from xpnet.errors import DtypeError, ShapeError

from ..images import Recipe
from .dataset import Dataset
from .text_file import same_name

if TYPE_CHECKING:
    from collections.abc import Sequence


def dataset_from_arrays(
    X: np.ndarray | ColumnMatrix, Y: Sequence[Any] | np.ndarray, standardize: str | None = None
) -> Dataset:
    """Return a dataset of examples and labels from arrays.

    Args:
        X: images (m, height, width, channels) uint8 with 1 or 3 channels; or raw columns (n_x, m) uint8 or
            floats; or a `ColumnMatrix`, which keeps its standardization.
        Y: m labels, or a row or column of them. Strings and integers are classes, floats are numbers to
            predict.
        standardize: one of `xpnet.data.STANDARDIZATIONS`; by default "unit" for uint8, else "feature".

    Raises:
        ShapeError: X has another shape, or there is not one label for each example.
        DtypeError: X or Y has another dtype.
    """
    recipe, channels = None, 1
    if isinstance(X, ColumnMatrix):
        matrix = X
    else:
        namespace(X, "train: X: ")
        if X.ndim == 4 and X.shape[3] in (1, 3) and X.dtype == np.uint8:
            channels = X.shape[3]
            recipe = Recipe(X.shape[1], X.shape[2], color_mode="rgb" if channels == 3 else "grayscale")
            matrix = ColumnMatrix(X.reshape(len(X), -1))
        elif X.ndim == 2:
            matrix = ColumnMatrix.of(X)
        else:
            msg = (
                f"train: X has shape {X.shape} {X.dtype}, expected images (m, height, width, 1 or 3) uint8, "
                "or columns (n_x, m)"
            )
            raise ShapeError(msg)
    if standardize is not None or not isinstance(X, ColumnMatrix):
        kind = standardize or ("unit" if matrix.examples.dtype == np.uint8 else "feature")
        matrix = matrix.standardized_as(fit_standardizer(matrix.blocks(), kind, channels))
    labels = np.asarray(Y)
    if labels.size != matrix.m or labels.ndim not in (1, 2) or (labels.ndim == 2 and 1 not in labels.shape):
        msg = f"train: Y has shape {labels.shape}, expected a label for each of {matrix.m} examples"
        raise ShapeError(msg)
    labels = labels.reshape(1, -1)
    if labels.dtype.kind == "f":
        return Dataset(matrix, labels.astype(np.float64), (), recipe)
    if labels.dtype.kind not in "biuU":
        msg = f"train: Y has dtype {labels.dtype}, expected strings or integers for classes, or floats"
        raise DtypeError(msg)
    values, indices = np.unique(labels, return_inverse=True)
    # Names that look alike are one class.
    classes, merged = np.unique([same_name(str(value)) for value in values.tolist()], return_inverse=True)
    if len(classes) < len(values):
        values, indices = classes, merged[indices.reshape(-1)]
    names = tuple(same_name(str(value)) for value in values.tolist())
    return Dataset(matrix, indices.reshape(1, -1).astype(np.int64), names, recipe)
