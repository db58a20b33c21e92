"""Weights of examples: of classes, of single examples, and both together."""

from typing import Any

import numpy as np
import optional
import pytest

from xpnet.errors import ArrayTypeError, DtypeError, ShapeError, XpnetError
from xpnet.nn import LogisticRegression, Network, SoftmaxRegression, example_weights

class_weights = optional.module("sklearn.utils.class_weight")

Y = np.array([[0, 1, 1, 2, 2, 2]])
OWN = np.array([[4.0, 1.0, 3.0, 0.5, 0.5, 1.0]])


def test_both_kinds_of_weights_are_multiplied() -> None:
    model = SoftmaxRegression(3, 3)
    assert example_weights(model, Y, None) is None
    np.testing.assert_array_equal(example_weights(model, Y, None, OWN), OWN)
    np.testing.assert_array_equal(example_weights(model, Y, (2.0, 1.0, 3.0), OWN), OWN * [[2, 1, 1, 3, 3, 3]])


@pytest.mark.parametrize("own", [None, OWN])
def test_balanced_is_what_scikit_learn_calls_balanced(own: Any) -> None:
    counted = None if own is None else own[0]
    try:
        theirs = class_weights.compute_class_weight(
            "balanced", classes=np.arange(3), y=Y[0], sample_weight=counted
        )
    except TypeError:
        pytest.skip("this scikit-learn counts each example once")
    expected = theirs[Y] * (1.0 if own is None else own)
    np.testing.assert_allclose(example_weights(SoftmaxRegression(3, 3), Y, "balanced", own), expected)


def test_a_class_without_examples_is_no_problem() -> None:
    found = example_weights(SoftmaxRegression(3, 4), Y, "balanced", OWN)
    assert found is not None
    assert found.sum() == pytest.approx(OWN.sum() * 3 / 4)


def test_regression_has_weights_of_examples() -> None:
    np.testing.assert_array_equal(
        example_weights(Network(3, 2, "identity"), np.zeros((2, 6)), None, OWN), OWN
    )


@pytest.mark.parametrize(
    ("weights", "error", "message"),
    [
        (OWN[0], ShapeError, r"shape \(6,\), expected \(1, 6\)"),
        (OWN.T, ShapeError, r"shape \(6, 1\), expected \(1, 6\)"),
        (
            OWN - 0.5,
            ShapeError,
            "from 0.0 to 3.5, expected positive, finite numbers: remove examples of weight 0",
        ),
        (-OWN, ShapeError, "expected positive"),
        (OWN * np.nan, ShapeError, "expected positive, finite"),
        (OWN * np.inf, ShapeError, "expected positive, finite"),
        (np.full((1, 6), 1e308), ShapeError, "expected positive, finite"),
        (OWN.astype(str), DtypeError, "expected numbers"),
        (OWN.tolist(), ArrayTypeError, "weights: "),
    ],
)
def test_weights_that_cannot_be_used_are_refused(weights: Any, error: type[XpnetError], message: str) -> None:
    with pytest.raises(error, match=message):
        example_weights(LogisticRegression(3), np.minimum(Y, 1), None, weights)
