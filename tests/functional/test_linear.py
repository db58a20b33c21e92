"""The affine map and the matrix product."""

import numpy as np
import pytest

from xpnet import functional as F
from xpnet.autodiff import Node, gradients
from xpnet.backend.backend import Backend
from xpnet.errors import ConfigurationError, ShapeError
from xpnet.testing import assert_close


def test_affine_is_the_sum_a_loop_would_make(backend: Backend) -> None:
    generator = np.random.default_rng(0)
    W, X, b = (generator.standard_normal(shape) for shape in [(3, 4), (4, 5), (3, 1)])
    expected = np.zeros((3, 5))
    for i in range(3):
        for j in range(5):
            expected[i, j] = b[i, 0] + sum(W[i, k] * X[k, j] for k in range(4))
    assert_close(F.affine(backend.send(W), backend.send(X), backend.send(b)), expected, backend, rtol=1e-13)


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ([(3, 4), (5, 2), (3, 1)], r"W is \(3, 4\) and X is \(5, 2\).*columns of W \(4\).*rows of X \(5\)$"),
        ([(3, 4), (5, 4), (3, 1)], r"W is \(3, 4\) and X is \(5, 4\).*transpose X\?"),
        ([(3, 4), (4, 2), (1, 3)], r"b is \(1, 3\) and W is \(3, 4\).*column \(3, 1\)"),
        ([(3, 4), (4, 2), (3, 2)], r"b is \(3, 2\) and W is \(3, 4\).*column \(3, 1\)"),
        ([(3, 4, 1), (4, 2), (3, 1)], r"W has shape \(3, 4, 1\), expected a matrix"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(
    shapes: list[tuple[int, ...]], message: str, backend: Backend
) -> None:
    with pytest.raises(ShapeError, match=f"affine: {message}"):
        F.affine(*(backend.send(np.ones(shape)) for shape in shapes))


@pytest.mark.parametrize(("name", "kind"), [("W", "column"), ("X", "column"), ("b", "column")])
def test_a_rank_1_argument_is_told_what_it_should_have_been(name: str, kind: str, backend: Backend) -> None:
    arguments = {"W": np.ones((1, 3)), "X": np.ones((3, 1)), "b": np.ones((1, 1)), name: np.ones(3)}
    with pytest.raises(
        ShapeError, match=rf"affine: {name} has shape \(3,\).*{kind} \(3, 1\), as_column\({name}\)"
    ):
        F.affine(*(backend.send(value) for value in arguments.values()))


def test_a_number_is_no_bias() -> None:
    with pytest.raises(TypeError, match=r"affine: b is the number 0.5, expected an array"):
        F.affine(np.ones((1, 2)), np.ones((2, 1)), 0.5)


def test_gradients_are_computed_only_when_wanted(backend: Backend) -> None:
    """The dX of the first layer, as large as the data, is never computed: see autodiff/test_reverse.py."""
    W, b = Node(backend.send(np.ones((2, 3)))), Node(backend.send(np.ones((2, 1))))
    Z = F.affine(W, backend.send(np.ones((3, 4))), b)
    ones = backend.xp.ones_like(Z.value)
    assert all(callable(entry) for entry in F.affine.pull(ones, Z))
    dW, db = gradients(Z, [W, b], ones)
    assert_close(dW, np.full((2, 3), 4.0), backend)
    assert_close(db, np.full((2, 1), 4.0), backend)


@pytest.mark.parametrize(
    "backend",
    ["numpy", "strict", "fake", "kernels", pytest.param("cupy", marks=pytest.mark.gpu)],
    indirect=True,
)
@pytest.mark.parametrize("name", ["sigmoid", "tanh", "relu", "leaky_relu"])
def test_dense_is_the_activation_of_affine(name: str, backend: Backend, dtype: str) -> None:
    """Same value and same derivatives, also where units are 0, saturated or NaN."""
    rng = np.random.default_rng(0)
    W, b = rng.standard_normal((5, 3)), rng.standard_normal((5, 1))
    X = rng.standard_normal((3, 40)) * np.logspace(-6, 4, 40)
    X[:, :2] = 0.0, np.nan
    b[0] = 0.0  # Z is 0 for the first example
    nodes = [[Node(backend.send(array, dtype=dtype)) for array in (W, X, b)] for _ in range(2)]
    with backend.activate():
        A = F.dense(*nodes[0], activation=name)
        want = getattr(F, name)(F.affine(*nodes[1]))
        np.testing.assert_allclose(backend.fetch(A.value), backend.fetch(want.value), rtol=2e-6)
        grad = backend.send(rng.standard_normal((5, 40)), dtype=dtype)
        for got, expected in zip(gradients(A, nodes[0], grad), gradients(want, nodes[1], grad), strict=True):
            np.testing.assert_allclose(backend.fetch(got), backend.fetch(expected), rtol=1e-4, atol=1e-6)


def test_dense_refuses_what_it_cannot_do(backend: Backend) -> None:
    W, X, b = (backend.send(np.ones(shape)) for shape in [(2, 3), (3, 4), (2, 1)])
    with pytest.raises(
        ConfigurationError, match="activation is 'softplus', expected one of sigmoid, tanh, relu, "
    ):
        F.dense(W, X, b, activation="softplus")
    with pytest.raises(ShapeError, match=r"b is \(3, 4\)"):
        F.dense(W, X, X, activation="relu")


def test_matmul_agrees_with_numpy(backend: Backend, dtype: str) -> None:
    generator = np.random.default_rng(0)
    x, y = generator.standard_normal((3, 4)).astype(dtype), generator.standard_normal((4, 2)).astype(dtype)
    assert_close(F.matmul(backend.send(x), backend.send(y)), x @ y, backend)


def test_matmul_refuses_shapes_that_do_not_fit(backend: Backend) -> None:
    with pytest.raises(ShapeError, match=r"matmul: x is \(2, 3\) and y is \(2, 3\).*transpose y\?"):
        F.matmul(backend.send(np.ones((2, 3))), backend.send(np.ones((2, 3))))
