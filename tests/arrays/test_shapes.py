"""Checks of shapes and labels: what passes, and the messages of what does not."""

from collections.abc import Callable

import numpy as np
import pytest

from xpnet import arrays
from xpnet.errors import ArrayTypeError, DtypeError, ShapeError


@pytest.mark.parametrize(
    ("parameter", "fix"),
    [
        ("X", r"make it a column \(3, 1\), as_column\(X\)$"),
        ("Y", r"make it a row \(1, 3\), as_row\(Y\)$"),
        ("z", r"make it a column \(3, 1\), as_column\(z\), or a row \(1, 3\), as_row\(z\)$"),
    ],
)
def test_rank_1_is_refused_with_the_shape_it_should_have(parameter: str, fix: str) -> None:
    with pytest.raises(ShapeError, match=rf"f: {parameter} has shape \(3,\).*: {fix}"):
        arrays.refuse_rank_1("f", parameter, np.ones(3))


def test_floats() -> None:
    number = arrays.require_floats("f", "x", 2)
    assert (number.shape, number.dtype) == ((), np.float64)
    matrix = np.ones((2, 2), "float32")
    assert arrays.require_floats("f", "x", matrix) is matrix
    with pytest.raises(DtypeError, match="f: x is an integer outside the range of float64"):
        arrays.require_floats("f", "x", 10**400)
    with pytest.raises(
        DtypeError, match=r'f: x is uint8, expected floats: cast it first.*astype\("float32"\)'
    ):
        arrays.require_floats("f", "x", np.ones((2, 2), "uint8"))


MATRIX, TALL, WIDE = np.ones((2, 3)), np.ones((3, 1)), np.ones((1, 3))


@pytest.mark.parametrize(
    ("check", "message"),
    [
        (lambda: arrays.require_matrix("f", "x", np.ones((1, 2, 3))), r"f: x has shape \(1, 2, 3\), expected a matrix"),
        (
            lambda: arrays.require_inner("f", "A", MATRIX, "B", MATRIX),
            r"columns of A \(3\) must equal the number of rows of B \(2\): transpose B\?",
        ),
        (
            lambda: arrays.require_affine(MATRIX, TALL, WIDE),
            r"affine: b is \(1, 3\) and W is \(2, 3\), expected b to be the column \(2, 1\)",
        ),
        (lambda: arrays.require_same("f", "A", TALL, "B", WIDE), r"both must have the same shape: transpose B\?"),
        (lambda: arrays.require_broadcastable("f", MATRIX, np.ones((2, 2))), "but here they are 3 and 2"),
        (lambda: arrays.require_axis("f", MATRIX, 2), r"f: axis is 2, and x has shape \(2, 3\): expected None or 0 to 1"),
        (lambda: arrays.require_elements("f", "x", np.ones((0, 3)), 0), "expected at least one element along axis 0"),
        (lambda: arrays.require_elements("f", "x", np.ones((0, 3)), None), "expected at least one element$"),
        (
            lambda: arrays.require_class_labels("f", np.ones((3, 2), int), 3),
            r"expected \(1, m\), one class index for each column: convert one-hot labels with argmax",
        ),
        (
            lambda: arrays.require_class_labels("f", np.array([[0, 3]]), 3),
            "Y holds labels from 0 to 3, expected 0 to 2 for 3 classes",
        ),
        (
            lambda: arrays.require_probabilities("f", np.array([[0, -1]])),
            "f: Y holds values from -1 to 0, expected 0 to 1",
        ),
    ],
)  # fmt: skip
def test_shapes_that_do_not_fit_are_refused(check: Callable[[], None], message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        check()


def test_shapes_that_fit_pass() -> None:
    arrays.require_inner("f", "A", MATRIX, "B", TALL)
    arrays.require_affine(MATRIX, TALL, np.ones((2, 1)))
    arrays.require_broadcastable("f", MATRIX, WIDE)
    arrays.require_broadcastable("f", MATRIX, 2.0)
    arrays.require_axis("f", MATRIX, -2)
    arrays.require_class_labels("f", np.array([[0, 2]]), 3, m=2)
    arrays.require_probabilities("f", np.array([[0.0, 0.5, 1.0]]))


def test_labels_are_integers_and_numbers_are_pythons() -> None:
    with pytest.raises(DtypeError, match="f: Y is float64, expected integer class indices 0 to 2"):
        arrays.require_class_labels("f", np.array([[0.0]]), 3)
    with pytest.raises(ArrayTypeError, match="f: k is a str, expected a Python number"):
        arrays.require_number("f", "k", "2")
