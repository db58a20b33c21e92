"""What estimators are given: rows, labels and weights, checked by scikit-learn's rules, in xpnet's shapes."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.utils import check_array, check_random_state, compute_class_weight
from sklearn.utils.validation import validate_data

from xpnet.backend import backend_of, select
from xpnet.data import ColumnMatrix, fit_standardizer
from xpnet.errors import ConfigurationError, ShapeError

if TYPE_CHECKING:
    from sklearn.base import BaseEstimator

    from xpnet.arrays import Array
    from xpnet.backend import Backend

DTYPES = [np.float64, np.float32, np.uint8]
"""Dtypes of rows that are used as they are. Others are converted to the first one."""

STANDARDIZE = ("auto", "none", "unit", "feature")
"""Values of the parameter `standardize`."""


@dataclass(frozen=True)
class Samples:
    """Samples to fit to, without those of weight 0.

    Attributes:
        X: a row for each sample, (m, n_x), C-contiguous, of one of `DTYPES`; in host memory, or of CuPy.
        y: labels (m,), or targets (m,) or (m, n_out).
        weights: positive weights, (1, m), or None.
    """

    X: Array
    y: np.ndarray
    weights: np.ndarray | None

    @property
    def mean_weight(self) -> float:
        """Mean of the weights."""
        return 1.0 if self.weights is None else float(self.weights.mean())

    @property
    def relative_weights(self) -> np.ndarray | None:
        """The weights with mean 1, (1, m), or None.

        With them, and with penalties divided by `mean_weight`, a sample of weight 2 is the same as two
        samples, to the length of each step.
        """
        return None if self.weights is None else self.weights / self.mean_weight

    @property
    def dtype(self) -> str:
        """Dtype to compute in: float64 for rows of float64, otherwise float32."""
        return "float64" if self.X.dtype == np.float64 else "float32"


def read_samples(
    estimator: BaseEstimator, X: Any, y: Any, sample_weight: Any, *, reset: bool = True, **options: Any
) -> Samples:
    """Check the samples that an estimator is fitted to.

    Args:
        estimator: remembers number and names of the features.
        X: rows.
        y: labels or targets.
        sample_weight: a weight for each sample, one number for all, or None.
        reset: whether to forget the features of former samples; otherwise they have to be the same.
        options: of `sklearn.utils.validation.validate_data`, about y.

    Raises:
        ValueError, TypeError: as scikit-learn's own estimators.
        ShapeError: the weights have another shape, a weight is negative, or all are 0.
    """
    if is_on_device(X):
        X, y = _device_rows(estimator, X, reset=reset), _device_labels(estimator, X, y, **options)
    else:
        X, y = validate_data(estimator, X, y, dtype=DTYPES, order="C", reset=reset, **options)
    if sample_weight is None:
        return Samples(X, y, None)
    w = _read_weights(sample_weight, X.shape[0])
    if w.all():
        return Samples(X, y, w[None])
    counted = np.flatnonzero(w)
    return Samples(ColumnMatrix(X).part(counted).examples, y[counted], w[None, counted])


def is_on_device(X: Any) -> bool:
    """Return whether rows are an array on a GPU. It stays there; it must be of CuPy."""
    return hasattr(X, "__cuda_array_interface__")


def backend_for(X: Array, device: str) -> Backend:
    """Return the backend that computes on rows: where they are, or that of the parameter `device`."""
    return backend_of(X) if is_on_device(X) else select(device)


def _device_rows(estimator: Any, X: Array, *, reset: bool) -> Array:
    """Check rows of CuPy as `validate_data` does those of NumPy, and return them C-contiguous."""
    if X.ndim != 2 or 0 in X.shape:
        msg = f"X has shape {tuple(X.shape)}, expected (m, n_x): at least one row and one feature"
        raise ShapeError(msg)
    if reset:
        estimator.n_features_in_ = X.shape[1]
    elif X.shape[1] != estimator.n_features_in_:
        msg = f"X has {X.shape[1]} features, but this estimator was fitted to {estimator.n_features_in_}"
        raise ShapeError(msg)
    backend = backend_of(X, "X: ")
    rows = backend.send(X, dtype=None if X.dtype in DTYPES else DTYPES[0])
    with backend.activate():
        rows = backend.xp.ascontiguousarray(rows)
    ColumnMatrix(rows).refuse_nonfinite()
    return rows


def _device_labels(estimator: BaseEstimator, X: Array, y: Any, **options: Any) -> np.ndarray:
    """Return the labels or targets of rows on a device, in host memory, checked by `validate_data`."""
    y = backend_of(y).fetch(y) if is_on_device(y) else y
    found: np.ndarray = validate_data(estimator, y=y, reset=False, **options)
    if len(found) != X.shape[0]:
        msg = f"y has {len(found)} labels, expected one for each of {X.shape[0]} rows"
        raise ShapeError(msg)
    return found


def read_rows(estimator: BaseEstimator, X: Any) -> Array:
    """Check rows to predict, (m, n_x). They have to have the features that the estimator was fitted to."""
    if is_on_device(X):
        return _device_rows(estimator, X, reset=False)
    rows: np.ndarray = validate_data(estimator, X, dtype=DTYPES, order="C", reset=False)
    return rows


def _read_weights(sample_weight: Any, m: int) -> np.ndarray:
    """Return the weights of m samples, (m,) float64, at least 0 and not all 0."""
    if is_on_device(sample_weight):
        sample_weight = backend_of(sample_weight).fetch(sample_weight)
    if isinstance(sample_weight, Real):
        sample_weight = np.full(m, sample_weight, np.float64)
    w: np.ndarray = check_array(
        sample_weight, ensure_2d=False, ensure_min_samples=0, dtype=np.float64, input_name="sample_weight"
    )
    if w.shape != (m,):
        msg = f"sample_weight has shape {w.shape}, expected {(m,)}: one weight for each sample"
        raise ShapeError(msg)
    if w.min() < 0:
        msg = f"sample_weight[{w.argmin()}] is {w.min()}, expected no negative weights"
        raise ShapeError(msg)
    if not w.any():
        msg = "all weights in sample_weight are zero: expected at least one above 0"
        raise ShapeError(msg)
    return w


def standardized(X: Array, kind: str) -> ColumnMatrix:
    """Return rows as a column matrix, with the standardization that the parameter `standardize` asks for.

    Args:
        X: rows, (m, n_x).
        kind: one of `STANDARDIZE`.

    Raises:
        ConfigurationError: the kind is unknown.
    """
    if kind not in STANDARDIZE:
        msg = f"standardize is {kind!r}, expected one of {', '.join(STANDARDIZE)}"
        raise ConfigurationError(msg)
    if kind == "auto":
        kind = "unit" if X.dtype == np.uint8 else "none"
    raw = ColumnMatrix(X)
    return raw.standardized_as(fit_standardizer(raw.blocks(), kind))


def weights_of_classes(
    class_weight: Any, classes: np.ndarray, y: np.ndarray
) -> str | tuple[float, ...] | None:
    """Return the parameter `class_weight` as xpnet takes it: None, a string, or a weight for each class.

    Raises:
        ValueError: a dict has a class that is not in y.
    """
    if class_weight is None or isinstance(class_weight, str):
        return class_weight
    return tuple(compute_class_weight(class_weight, classes=classes, y=y).tolist())


def draw_seed(random_state: Any) -> int:
    """Return a seed by scikit-learn's rules: of a number always the same one, of a generator a new one."""
    return int(check_random_state(random_state).randint(np.iinfo(np.int32).max))
