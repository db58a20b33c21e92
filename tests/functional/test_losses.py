"""Losses compared with formulas and SciPy, at large logits; labels that are refused."""

import numpy as np
import optional
import pytest

from xpnet import functional as F
from xpnet.autodiff import Node, gradients
from xpnet.backend.backend import Backend
from xpnet.errors import DtypeError, ShapeError
from xpnet.testing import assert_close

special = optional.module("scipy.special")


def test_logistic_loss_is_the_cross_entropy_of_the_sigmoid(backend: Backend) -> None:
    z, y = np.array([[-2.0, -0.5, 0.0, 3.0]]), np.array([[1, 0, 1, 0]])
    a = special.expit(z)
    expected = -(y * np.log(a) + (1 - y) * np.log(1 - a))
    assert_close(F.logistic_loss(backend.send(z), backend.send(y)), expected, backend, rtol=1e-13)


def test_logistic_loss_at_the_tails(backend: Backend, dtype: str) -> None:
    z = np.array([[1e4, 1e4, -1e4, -1e4]], dtype)
    y = np.array([[1, 0, 0, 1]])
    assert_close(
        F.logistic_loss(backend.send(z), backend.send(y)), np.array([[0, 1e4, 0, 1e4]], dtype), backend
    )


@pytest.mark.parametrize("label_dtype", ["bool", "uint8", "int64", "float32", "float64"])
def test_labels_of_any_dtype_leave_that_of_the_loss(label_dtype: str, backend: Backend, dtype: str) -> None:
    Z = Node(backend.send(np.array([[1.0, -1.0]], dtype)))
    loss = F.logistic_loss(Z, backend.send(np.array([[1, 0]], label_dtype)))
    (dZ,) = gradients(F.mean(loss), [Z])
    assert loss.dtype == dZ.dtype == getattr(backend.xp, dtype)


def test_smoothed_labels(backend: Backend) -> None:
    z, y = np.array([[2.0]]), np.array([[0.9]])
    a = special.expit(z)
    expected = -(y * np.log(a) + (1 - y) * np.log(1 - a))
    assert_close(F.logistic_loss(backend.send(z), backend.send(y)), expected, backend, rtol=1e-13)


def test_softmax_cross_entropy_agrees_with_scipy(backend: Backend) -> None:
    Z = 5 * np.random.default_rng(0).standard_normal((4, 6))
    Y = np.array([[0, 3, 1, 2, 3, 0]])
    expected = -special.log_softmax(Z, axis=0)[Y, np.arange(6)]
    assert_close(F.softmax_cross_entropy(backend.send(Z), backend.send(Y)), expected, backend, rtol=1e-13)


def test_softmax_cross_entropy_at_the_tails(backend: Backend, dtype: str) -> None:
    Z = np.array([[1e4, 1e4], [-1e4, -1e4]], dtype)
    got = F.softmax_cross_entropy(backend.send(Z), backend.send(np.array([[0, 1]])))
    assert_close(got, np.array([[0, 2e4]], dtype), backend)


def test_an_infinite_logit_of_another_class_is_no_loss(backend: Backend) -> None:
    Z = np.array([[1.0], [-np.inf]])
    assert_close(F.softmax_cross_entropy(backend.send(Z), backend.send(np.array([[0]]))), [[0.0]], backend)


def test_two_classes_are_logistic_regression(backend: Backend) -> None:
    z, y = np.array([[0.3, -2.0, 5.0]]), np.array([[1, 1, 0]])
    Z = np.concatenate([np.zeros_like(z), z])
    two = F.softmax_cross_entropy(backend.send(Z), backend.send(y))
    assert_close(two, backend.fetch(F.logistic_loss(backend.send(z), backend.send(y))), backend, rtol=1e-13)


def test_a_label_out_of_range_gives_nan_on_a_device(backend: Backend) -> None:
    if backend.name == "cpu":
        pytest.skip("in host memory such a label is refused")
    Z = Node(backend.send(np.zeros((3, 2))))
    for label in (3, -1):
        loss = F.softmax_cross_entropy(Z, backend.send(np.array([[0, label]])))
        assert_close(loss.value, [[np.log(3), np.nan]], backend)
        (dZ,) = gradients(loss, [Z], backend.xp.ones_like(loss.value))
        third = 1 / 3
        assert_close(dZ, [[third - 1, np.nan], [third, np.nan], [third, np.nan]], backend)


@pytest.mark.parametrize(
    ("Y", "message"),
    [
        ([[0, 3]], r"Y holds labels from 0 to 3, expected 0 to 2 for 3 classes"),
        ([[-1, 0]], r"Y holds labels from -1 to 0, expected 0 to 2 for 3 classes"),
        ([[0, 1, 2]], r"Y has shape \(1, 3\), expected \(1, 2\)"),
        ([[0], [1]], r"Y has shape \(2, 1\), expected \(1, 2\)"),
        ([[0, 1], [1, 0], [0, 0]], r"Y has shape \(3, 2\), .*: convert one-hot labels with argmax"),
    ],
)
def test_class_labels_that_do_not_fit_are_refused(Y: list[list[int]], message: str) -> None:
    with pytest.raises(ShapeError, match=f"softmax_cross_entropy: {message}"):
        F.softmax_cross_entropy(np.zeros((3, 2)), np.array(Y))


def test_class_labels_are_integers(backend: Backend) -> None:
    with pytest.raises(DtypeError, match=r"Y is .*float64, expected integer class indices 0 to 2"):
        F.softmax_cross_entropy(backend.send(np.zeros((3, 2))), backend.send(np.zeros((1, 2))))


@pytest.mark.parametrize("Y", [[[0, 2]], [[-1, 1]], [[0.5, 1.1]], [[np.nan, 0]]])
def test_yes_or_no_labels_out_of_range_are_refused(Y: list[list[float]]) -> None:
    with pytest.raises(ShapeError, match=r"logistic_loss: Y holds values from .*softmax_cross_entropy"):
        F.logistic_loss(np.zeros((1, 2)), np.array(Y))


@pytest.mark.parametrize("loss", [F.logistic_loss, F.squared_error, F.L1, F.L2], ids=lambda f: f.__name__)
def test_labels_of_another_shape_are_refused(loss: F.L1, backend: Backend) -> None:
    with pytest.raises(ShapeError, match=r"is \(1, 3\) and .* is \(3, 1\).*same shape: transpose"):
        loss(backend.send(np.zeros((1, 3))), backend.send(np.zeros((3, 1))))
    with pytest.raises(
        ShapeError, match=r"is \(1, 3\) and .* is \(1, 4\), but both must have the same shape$"
    ):
        loss(backend.send(np.zeros((1, 3))), backend.send(np.zeros((1, 4))))


@pytest.mark.parametrize("dtype_of_labels", [">i4", "<i8", "int8", "uint64", ">u2"])
def test_labels_of_any_integer_dtype(dtype_of_labels: str) -> None:
    Y = np.array([[1, 0, 1]], dtype=dtype_of_labels)
    Z = np.array([[0.5, -1.0, 2.0]])
    np.testing.assert_allclose(F.logistic_loss(Z, Y), F.logistic_loss(Z, Y.astype("float64")))
    Z3 = np.concatenate([Z, -Z, Z * Z])
    expected = F.softmax_cross_entropy(Z3, Y.astype("int64"))
    np.testing.assert_allclose(F.softmax_cross_entropy(Z3, Y), expected)


def test_uint64_labels(backend: Backend) -> None:
    Z = backend.send(np.zeros((3, 2)))
    assert_close(
        F.softmax_cross_entropy(Z, backend.send(np.array([[0, 2]], "uint64"))), [[np.log(3)] * 2], backend
    )


def test_negative_labels_are_refused_in_any_byte_order() -> None:
    for dtype in ("int8", ">i4", "<i8"):
        with pytest.raises(ShapeError, match="values from -1 to 1"):
            F.logistic_loss(np.zeros((1, 2)), np.array([[-1, 1]], dtype))


@pytest.mark.parametrize("loss", [F.logistic_loss, F.squared_error, F.L1, F.L2], ids=lambda f: f.__name__)
@pytest.mark.parametrize(
    "wrong", [np.array([["1", "0"]]), np.array([[1j, 0]]), np.array([[1, None]]), np.array([[b"1", b"0"]])]
)
def test_labels_that_are_no_numbers_are_refused(loss: F.L1, wrong: np.ndarray) -> None:
    with pytest.raises(DtypeError, match="expected integers, booleans or floats"):
        loss(np.zeros((1, 2)), wrong)


def test_squared_error_needs_a_matrix(backend: Backend) -> None:
    A = backend.send(np.ones((1, 2, 3)))
    with pytest.raises(ShapeError, match="expected a matrix"):
        F.squared_error(A, A)


def test_squared_error_sums_over_outputs(backend: Backend) -> None:
    A, Y = backend.send([[1.0, 2.0], [3.0, 4.0]]), backend.send([[1.0, 0.0], [0.0, 0.0]])
    assert_close(F.squared_error(A, Y), [[9.0, 20.0]], backend)


def test_squared_error_at_the_tails(backend: Backend, dtype: str) -> None:
    A, Y = backend.send(np.array([[1e4, -1e4]], dtype)), backend.send(np.array([[0, 0]]))
    assert_close(F.squared_error(A, Y), np.array([[1e8, 1e8]], dtype), backend)
    assert_close(F.L1(A, Y), np.array(2e4, dtype), backend)
    assert_close(F.L2(A, Y), np.array(2e8, dtype), backend)
