"""Data, labels and settings that `fit` refuses before any training."""

from typing import Any

import numpy as np
import pytest
from blobs import MLP, blobs

from xpnet.backend import select
from xpnet.data import ColumnMatrix
from xpnet.errors import ConfigurationError, DeviceError, DtypeError, ShapeError
from xpnet.nn import LogisticRegression, Network, Settings, SoftmaxRegression
from xpnet.training import fit, sweep


def test_a_precision_that_the_device_lacks_is_refused_before_training() -> None:
    data, Y = blobs()
    for refused in (fit, lambda *a: sweep(*a, learning_rates=[0.01])):
        with pytest.raises(DeviceError, match="precision tf32 needs a GPU"):
            refused(MLP, data, Y, select("cpu"), Settings(precision="tf32"))
    with pytest.raises(ConfigurationError, match=r"precision is 'bfloat16', expected one of float32, tf32$"):
        Settings(precision="bfloat16")
    with pytest.raises(ConfigurationError, match="which needs float32 arithmetic, but dtype is 'float64'"):
        Settings(precision="tf32", dtype="float64")


def nan_in(data: ColumnMatrix) -> ColumnMatrix:
    examples = data.examples.copy()
    examples[7, 2] = np.nan
    return ColumnMatrix(examples)


@pytest.mark.parametrize(
    ("model", "change", "error", "message"),
    [
        (MLP, lambda data, Y: (nan_in(data), Y), ShapeError, "example 7 holds nan in feature 2"),
        (MLP, lambda data, Y: (data, Y[:, :-1]), ShapeError, r"Y has shape \(1, 299\), expected \(1, 300\)"),
        (MLP, lambda data, Y: (data, Y[0]), ShapeError, r"Y has shape \(300,\), expected \(1, 300\)"),
        (MLP, lambda data, Y: (data, Y + 1), ShapeError, "labels from 1 to 3, expected 0 to 2"),
        (
            MLP,
            lambda data, Y: (data, 0 * Y),
            ShapeError,
            "all 300 examples are of class 0: expected at least two classes",
        ),
        (MLP, lambda data, Y: (data, Y * 1.0), DtypeError, "Y is float64, expected integer class indices"),
        (
            LogisticRegression(4),
            lambda data, Y: (data, Y),
            ShapeError,
            "values from 0 to 2, expected 0 and 1",
        ),
        (LogisticRegression(4), lambda data, Y: (data, (Y > 0) * np.nan), ShapeError, "expected 0 and 1"),
        (
            Network(4, 1, "relu"),
            lambda data, Y: (data, Y / 0),
            ShapeError,
            "a NaN or an infinity, expected finite targets",
        ),
        (Network(4, 1, "relu"), lambda data, Y: (data, Y.astype(str)), DtypeError, "expected numbers"),
        (SoftmaxRegression(5, 3), lambda data, Y: (data, Y), ShapeError, "the model expects 5 features"),
    ],
)
def test_data_that_cannot_be_learned_from_is_refused(
    model: Network, change: Any, error: type, message: str
) -> None:
    with np.errstate(all="ignore"):
        data, Y = change(*blobs())
    with pytest.raises(error, match=message):
        fit(model, data, Y, select("cpu"), Settings())


@pytest.mark.parametrize(
    ("model", "weights", "message"),
    [
        (MLP, "even", "class_weight is 'even', expected 'balanced' or 3 positive numbers"),
        (MLP, (1.0, 2.0), "expected 'balanced' or 3 positive numbers"),
        (MLP, (1.0, 2.0, 0.0), "3 positive numbers"),
        (Network(4, 1, "identity"), "balanced", "class_weight needs a classifier"),
    ],
)
def test_class_weights_that_do_not_fit_are_refused(model: Network, weights: Any, message: str) -> None:
    data, Y = blobs()
    with pytest.raises(ConfigurationError, match=message):
        fit(model, data, Y, select("cpu"), Settings(class_weight=weights))
