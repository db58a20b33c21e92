"""Activation functions: known values, large numbers, and derivatives."""

from collections.abc import Callable
from fractions import Fraction

import numpy as np
import optional
import pytest

from xpnet import functional as F
from xpnet.autodiff import Node, gradients
from xpnet.backend.backend import Backend
from xpnet.errors import ArrayTypeError, DtypeError, ShapeError
from xpnet.testing import assert_close

special = optional.module("scipy.special")
TAILS = [-1e4, -100.0, 0.0, 100.0, 1e4]


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (F.sigmoid, special.expit),
        (F.tanh, np.tanh),
        (F.relu, lambda z: np.maximum(z, 0)),
        (F.leaky_relu, lambda z: np.where(z > 0, z, 0.01 * z)),
        (F.softplus, lambda z: np.logaddexp(0, z)),
        (F.identity, lambda z: z),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_tails_are_exact(function: Callable, expected: Callable, backend: Backend, dtype: str) -> None:
    z = np.array([TAILS], dtype=dtype)
    want = expected(z.astype("float64")).astype(dtype)
    tiny = np.finfo(dtype).tiny
    assert_close(function(backend.send(z)), want, backend, rtol=8 * np.finfo(dtype).eps, atol=tiny)


def test_sigmoid_keeps_its_relative_precision_in_the_left_tail(backend: Backend, dtype: str) -> None:
    z = np.array([[-80.0, -50.0, -20.0, -1.0]], dtype=dtype)
    want = special.expit(z.astype("float64")).astype(dtype)
    # The rounding error of z gives e^z a relative error |z| times as large.
    assert_close(F.sigmoid(backend.send(z)), want, backend, rtol=100 * np.finfo(dtype).eps)


def test_exp_and_log_at_the_tails(backend: Backend, dtype: str) -> None:
    with np.errstate(over="ignore"):
        assert_close(
            F.exp(backend.send(np.array([[-1e4, 0.0, 1e4]], dtype))),
            np.array([[0, 1, np.inf]], dtype),
            backend,
        )
    with np.errstate(divide="ignore"):
        assert_close(
            F.log(backend.send(np.array([[0.0, 1.0, 1e4]], dtype))),
            np.log(np.array([[0.0, 1.0, 1e4]], dtype)),
            backend,
        )


def test_softmax_at_the_tails(backend: Backend, dtype: str) -> None:
    z = backend.send(np.array([[1e4, -1e4, 0.0], [0.0, -1e4, 1e4], [-1e4, -1e4, -1e4]], dtype))
    third = np.array(1, dtype) / np.array(3, dtype)
    assert_close(F.softmax(z), np.array([[1, third, 0], [0, third, 1], [0, third, 0]], dtype), backend)
    log_third = -np.log(np.array(3, dtype))
    want = np.array([[0, log_third, -1e4], [-1e4, log_third, 0], [-2e4, log_third, -2e4]], dtype)
    assert_close(F.log_softmax(z), want, backend)


@pytest.mark.parametrize("axis", [0, 1])
def test_softmax_agrees_with_scipy(backend: Backend, axis: int) -> None:
    z = 10 * np.random.default_rng(0).standard_normal((5, 7))
    assert_close(F.softmax(backend.send(z), axis=axis), special.softmax(z, axis=axis), backend, rtol=1e-13)
    assert_close(
        F.log_softmax(backend.send(z), axis=axis),
        special.log_softmax(z, axis=axis),
        backend,
        rtol=1e-13,
    )


def test_a_constant_added_to_the_logits_changes_nothing(backend: Backend) -> None:
    z = backend.send(np.random.default_rng(0).standard_normal((4, 3)))
    assert_close(F.softmax(z + 1000.0), backend.fetch(F.softmax(z)), backend, rtol=1e-12)


def test_derivatives_keep_their_relative_precision_in_the_tails(backend: Backend) -> None:
    z = np.array([[-30.0, -10.0, 10.0, 30.0]])
    assert_close(F.tanh_derivative(backend.send(z)), 1 / np.cosh(z) ** 2, backend, rtol=1e-13)
    want = np.exp(-np.abs(z)) / (1 + np.exp(-np.abs(z))) ** 2
    assert_close(F.sigmoid_derivative(backend.send(z)), want, backend, rtol=1e-13)
    assert_close(F.tanh_derivative(backend.send([[1e308, -1e308]])), [[0.0, 0.0]], backend)


@pytest.mark.parametrize("how", ["alone", "dense"])
@pytest.mark.parametrize("function", [F.sigmoid, F.tanh], ids=lambda f: f.__name__)
def test_derivatives_from_the_value_keep_its_digits(
    function: Callable, how: str, backend: Backend, dtype: str
) -> None:
    """The derivative is that of the rounded value, computed here in exact fractions."""
    z = np.array(
        [[-9.0, -5.0, -3.0, -1.0, -0.55, -1e-3, 0.0, 1e-3, 0.55, 1.0, 3.0, 5.0, 7.0, 9.0, 100.0]], dtype
    )
    node = Node(backend.send(z))
    one, zero = (backend.send(np.full((1, 1), number, dtype)) for number in (1.0, 0.0))
    A = function(node) if how == "alone" else F.dense(one, node, zero, activation=function.__name__)
    (computed,) = gradients(F.sum(A), [node])
    values = [Fraction(float(a)) for a in backend.fetch(A.value)[0]]
    exact = [1 - a * a if function is F.tanh else a * (1 - a) for a in values]
    want = np.array([[float(derivative) for derivative in exact]])
    assert_close(computed, want.astype(dtype), backend, rtol=2 * np.finfo(dtype).eps)
    # Beside the derivative of the exact value: at most the rounding errors of the value.
    wide = z.astype(np.longdouble)
    closed = 1 / np.cosh(wide) ** 2 if function is F.tanh else 0.25 / np.cosh(wide / 2) ** 2
    assert_close(computed, closed.astype(dtype), backend, rtol=0.0, atol=8 * np.finfo(dtype).eps)


def test_softplus_gradient_in_the_left_tail(backend: Backend) -> None:
    z = Node(backend.send([[-50.0]]))
    assert_close(gradients(F.softplus(z), [z])[0], [[np.exp(-50.0)]], backend, rtol=1e-14)


def test_float16_uses_its_whole_range() -> None:
    z = np.array([[-11.2, -15.0, 11.2]], dtype="float16")
    got = F.sigmoid(z)
    assert got.dtype == np.float16
    np.testing.assert_allclose(got, special.expit(z.astype("float64")), rtol=1e-2, atol=1e-7)


@pytest.mark.parametrize("slope", [Node(0.1), np.asarray(0.1), "0.1", None])
def test_a_slope_is_a_number(slope: object) -> None:
    with pytest.raises(ArrayTypeError, match=r"leaky_relu: slope is a .*, expected a Python number"):
        F.leaky_relu(np.ones((1, 1)), slope=slope)


@pytest.mark.parametrize("function", [F.softmax, F.log_softmax, F.mean], ids=lambda f: f.__name__)
def test_nothing_to_reduce_is_refused(function: Callable, backend: Backend) -> None:
    with pytest.raises(ShapeError, match=r"has shape \(0, 3\), expected at least one element along axis 0"):
        function(backend.send(np.ones((0, 3))), axis=0)
    with pytest.raises(ShapeError, match="expected at least one element"):
        F.mean(backend.send(np.ones((3, 0))))


def test_nan_stays_nan(backend: Backend) -> None:
    z = backend.send([[np.nan]])
    for function in (F.sigmoid, F.tanh, F.relu, F.leaky_relu, F.softplus, F.softmax, F.log_softmax):
        assert_close(function(z), [[np.nan]], backend)


DERIVATIVES = [
    (F.sigmoid, F.sigmoid_derivative),
    (F.tanh, F.tanh_derivative),
    (F.relu, F.relu_derivative),
    (F.leaky_relu, F.leaky_relu_derivative),
    (F.softplus, F.softplus_derivative),
    (F.identity, F.identity_derivative),
    (F.exp, F.exp_derivative),
]


@pytest.mark.parametrize(("function", "derivative"), DERIVATIVES, ids=lambda f: f.__name__)
def test_derivatives_are_what_the_graph_computes(
    function: Callable, derivative: Callable, backend: Backend, dtype: str
) -> None:
    z = backend.send(np.array([[-3.0, -0.5, 0.0, 0.5, 3.0]], dtype=dtype))
    node = Node(z)
    (computed,) = gradients(F.sum(function(node)), [node])
    want = backend.fetch(computed)
    assert_close(derivative(z), want, backend, rtol=64 * np.finfo(dtype).eps)


def test_log_derivative(backend: Backend) -> None:
    assert_close(F.log_derivative(backend.send([[0.5, 4.0]])), [[2.0, 0.25]], backend)


@pytest.mark.parametrize(
    ("derivative", "left", "right"),
    [
        (F.sigmoid_derivative, 0, 0),
        (F.tanh_derivative, 0, 0),
        (F.relu_derivative, 0, 1),
        (F.leaky_relu_derivative, 0.01, 1),
        (F.softplus_derivative, 0, 1),
        (F.identity_derivative, 1, 1),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_derivatives_at_the_tails(
    derivative: Callable, left: float, right: float, backend: Backend, dtype: str
) -> None:
    assert_close(
        derivative(backend.send(np.array([[-1e4, 1e4]], dtype))), np.array([[left, right]], dtype), backend
    )


@pytest.mark.parametrize(
    "derivative", [d for _, d in DERIVATIVES] + [F.log_derivative], ids=lambda f: f.__name__
)
def test_derivatives_refuse_what_primitives_refuse(derivative: Callable, backend: Backend) -> None:
    with pytest.raises(ShapeError, match=r"\(3,\)"):
        derivative(backend.send(np.ones(3)))
    with pytest.raises(DtypeError, match="int64"):
        derivative(backend.send(np.ones((3, 1), dtype="int64")))


def test_a_python_number_is_a_float64_of_rank_0() -> None:
    assert F.sigmoid(0).dtype == np.float64
    assert F.sigmoid(0).shape == ()
    assert float(F.sigmoid(3)) == pytest.approx(0.9525741268224334)
    assert F.sigmoid_derivative(0) == 0.25


def test_a_numpy_scalar_keeps_its_dtype() -> None:
    assert F.sigmoid(np.float32(1)).dtype == np.float32


@pytest.mark.parametrize("function", [F.softmax, F.log_softmax], ids=lambda f: f.__name__)
def test_softmax_needs_a_matrix(function: Callable, backend: Backend) -> None:
    with pytest.raises(ShapeError, match=r"z has shape \(2, 2, 2\), expected a matrix"):
        function(backend.send(np.ones((2, 2, 2))))
