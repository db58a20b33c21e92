"""L-BFGS in reduced coordinates finds the same weights as on features."""

from typing import Any

import numpy as np
import optional
import pytest

from xpnet.backend import Backend, select
from xpnet.data import ColumnMatrix
from xpnet.errors import DivergenceError
from xpnet.linear import LinearObjective, lbfgs, minimize
from xpnet.linear.reduced import ReducedObjective, is_worthwhile
from xpnet.nn import LogisticRegression, SoftmaxRegression, initialize

sklearn = optional.module("sklearn.linear_model")


def pictures(kind: str, n_classes: int, m: int = 40, n_x: int = 480) -> tuple[ColumnMatrix, np.ndarray]:
    """Return few examples of many features, two of them the same, and one that never changes."""
    rng = np.random.default_rng(3)
    Y = rng.integers(0, n_classes, (1, m))
    X = rng.normal(100.0, 30.0, (n_x, m)) + 30.0 * rng.standard_normal((n_x, n_classes))[:, Y[0]]
    X[:, 1], Y[0, 1], X[7] = X[:, 0], Y[0, 0], 5.0
    X = X.clip(0, 255)
    floats = kind.endswith("floats")
    return ColumnMatrix.of(X if floats else X.astype(np.uint8), kind.removesuffix(" floats"), channels=3), Y


def model_of(n_classes: int, n_x: int = 480) -> Any:
    return LogisticRegression(n_x) if n_classes == 2 else SoftmaxRegression(n_x, n_classes)


@pytest.mark.parametrize("kind", ["unit", "channel", "feature", "channel floats", "none floats"])
@pytest.mark.parametrize("n_classes", [2, 4])  # one row of weights and several
def test_the_minimum_is_the_same(
    n_classes: int, kind: str, backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, Y = pictures(kind, n_classes)
    if kind == "none floats":
        data = ColumnMatrix(data.examples / 255)
    monkeypatch.setattr(lbfgs, "is_worthwhile", lambda objective: True)
    options: dict[str, Any] = {"l2": 3.0, "class_weight": "balanced", "tolerance": 1e-8, "iterations": 5000}
    ours = minimize(model_of(n_classes), data, Y, backend, **options, dtype="float64")
    assert ours.method == "lbfgs-reduced"
    assert ours.history.stopped == "converged, no derivative is larger than 1e-08"
    monkeypatch.setattr(lbfgs, "is_worthwhile", lambda objective: False)
    theirs = minimize(model_of(n_classes), data, Y, select("cpu"), **options, dtype="float64")
    assert theirs.method == "lbfgs"
    np.testing.assert_allclose(ours.costs[-1], theirs.costs[-1], rtol=1e-9)
    for name in ("W1", "b1"):
        here, there = (backend.fetch(ours.parameters.views[name]), theirs.parameters.views[name])
        np.testing.assert_allclose(here, there, atol=2e-4 * np.abs(there).max())


def test_the_coefficients_are_scikit_learns() -> None:
    data, Y = pictures("channel", 3)
    ours = minimize(
        model_of(3), data, Y, select("cpu"), l2=5.0, tolerance=1e-9, iterations=5000, dtype="float64"
    )
    theirs = sklearn.LogisticRegression(C=1 / 5.0, tol=1e-10, max_iter=10000).fit(data.standardized().T, Y[0])
    assert ours.method == "lbfgs-reduced"
    np.testing.assert_allclose(ours.parameters.views["W1"], theirs.coef_, atol=1e-7)


def test_no_derivative_on_features_is_larger_than_the_tolerance() -> None:
    data, Y = pictures("channel", 4)
    cpu = select("cpu")
    found = minimize(model_of(4), data, Y, cpu, l2=1.0, tolerance=1e-3, dtype="float64")
    assert found.history.stopped.startswith("converged")
    objective = LinearObjective.of(model_of(4), data, Y, cpu, dtype="float64")
    done = objective.fused_pass()(found.parameters.views["W1"], found.parameters.views["b1"])
    assert np.abs(done.dW / data.m + found.parameters.views["W1"] / data.m).max() <= 1e-3
    assert np.abs(done.db / data.m).max() <= 1e-3


def test_parameters_have_the_dtype_that_was_asked_for(dtype: str, backend: Backend) -> None:
    data, Y = pictures("unit", 4)
    found = minimize(model_of(4), data, Y, backend, l2=1.0, dtype=dtype)
    assert found.method == "lbfgs-reduced"
    assert found.parameters.buffer.dtype == getattr(backend.xp, dtype)
    assert backend.holds(found.parameters.buffer)


def test_coordinates_have_the_lengths_and_angles_of_the_examples(backend: Backend) -> None:
    data, Y = pictures("channel", 2)
    with backend.activate():
        coordinates = ReducedObjective(LinearObjective.of(model_of(2), data, Y, backend))
        small, X = coordinates.objective.data.host.examples, data.standardized()
        assert small.shape[1] < data.m  # two examples are the same
        np.testing.assert_allclose(small @ small.T, X.T @ X, atol=1e-9 * np.abs(X.T @ X).max())
        V = np.random.default_rng(0).standard_normal((1, small.shape[1]))
        W = backend.fetch(coordinates.weights(backend.send(V), "float64"))
        np.testing.assert_allclose(W @ X, V @ small.T, atol=1e-8)
        np.testing.assert_allclose(np.linalg.norm(W), np.linalg.norm(V))


def test_features_are_used_with_a_start_one_row_or_many_examples() -> None:
    data, Y = pictures("unit", 4)
    cpu = select("cpu")
    assert minimize(model_of(4), data, Y, cpu, l2=1.0).method == "lbfgs-reduced"
    start = initialize(model_of(4), cpu, "zeros")
    assert minimize(model_of(4), data, Y, cpu, l2=1.0, start=start).method == "lbfgs"
    for m, n_x, n_classes in ((40, 480, 2), (121, 480, 4), (1025, 8192, 4)):
        many = ColumnMatrix(np.random.default_rng(0).integers(0, 256, (m, n_x), dtype=np.uint8))
        labels = np.arange(m)[None] % n_classes
        assert not is_worthwhile(LinearObjective.of(model_of(n_classes, n_x), many, labels, cpu))


def test_examples_that_are_all_zeros_have_coordinates() -> None:
    data, Y = ColumnMatrix(np.zeros((6, 200), np.uint8)), np.array([[0, 1, 1, 2, 1, 1]])
    found = minimize(model_of(3, 200), data, Y, select("cpu"), l2=1.0, dtype="float64", tolerance=1e-9)
    assert found.method == "lbfgs-reduced"
    assert not found.parameters.views["W1"].any()
    b = found.parameters.views["b1"]
    np.testing.assert_allclose(b[1] - b[0], np.log(4.0))


def test_products_that_overflow_are_refused() -> None:
    data, Y = ColumnMatrix(np.full((6, 200), 1e200)), np.array([[0, 1, 1, 2, 1, 1]])
    with pytest.raises(DivergenceError, match="products of two examples are not finite: try standardized"):
        minimize(model_of(3, 200), data, Y, select("cpu"), l2=1.0)
