"""L-BFGS: the minimum, compared with scikit-learn and with gradient descent."""

from typing import Any

import numpy as np
import optional
import pytest

from xpnet.backend import Backend, select
from xpnet.data import ColumnMatrix
from xpnet.errors import ConfigurationError, DivergenceError, ShapeError
from xpnet.linear import descend, lbfgs, minimize
from xpnet.nn import Layer, LogisticRegression, Network, SoftmaxRegression, initialize

sklearn = optional.module("sklearn.linear_model")


def problem(m: int = 300, n_x: int = 6, n_classes: int = 2) -> tuple[ColumnMatrix, np.ndarray]:
    """Overlapping clouds, so that there is a minimum even without a penalty."""
    generator = np.random.default_rng(5)
    Y = generator.integers(0, n_classes, (1, m))
    X = generator.standard_normal((n_x, m)) + generator.standard_normal((n_x, n_classes))[:, Y[0]]
    return ColumnMatrix.of(X, "feature"), Y


@pytest.mark.parametrize("l2", [1.0, 20.0])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_the_coefficients_are_scikit_learns(n_classes: int, l2: float, backend: Backend) -> None:
    data, Y = problem(n_classes=n_classes)
    model = LogisticRegression(6) if n_classes == 2 else SoftmaxRegression(6, n_classes)
    ours = minimize(model, data, Y, backend, l2=l2, tolerance=1e-9, dtype="float64")
    theirs = sklearn.LogisticRegression(C=1 / l2, tol=1e-10, max_iter=10000).fit(data.standardized().T, Y[0])
    W, b = (backend.fetch(ours.parameters.views[name]) for name in ("W1", "b1"))
    np.testing.assert_allclose(W, theirs.coef_, atol=1e-6)
    np.testing.assert_allclose(b[:, 0] - b.mean() * (n_classes > 2), theirs.intercept_, atol=1e-6)
    assert ours.method == "lbfgs"
    assert ours.history.stopped == "converged, no derivative is larger than 1e-09"
    assert len(ours.costs) < 60
    assert (np.diff(ours.costs) <= 0).all()


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("reduced", [False, True])
def test_weighted_examples_have_scikit_learns_coefficients(
    n_classes: int, reduced: bool, backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lbfgs, "is_worthwhile", lambda objective: reduced)
    data, Y = problem(m=60, n_classes=n_classes)
    model = LogisticRegression(6) if n_classes == 2 else SoftmaxRegression(6, n_classes)
    weights = np.random.default_rng(6).uniform(0.1, 3.0, (1, 60))
    ours = minimize(model, data, Y, backend, l2=2.0, weights=weights, tolerance=1e-9, dtype="float64")
    peer = sklearn.LogisticRegression(C=1 / 2.0, tol=1e-10, max_iter=10000)
    theirs = peer.fit(data.standardized().T, Y[0], weights[0])
    np.testing.assert_allclose(backend.fetch(ours.parameters.views["W1"]), theirs.coef_, atol=1e-6)


@pytest.mark.parametrize("seed", range(8))
def test_rounding_of_the_cost_does_not_keep_it_from_the_minimum(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A device sums in another order: the last bits of the cost differ, and with them what a step seems to gain."""
    exact, generator = lbfgs.PenalizedCost.__call__, np.random.default_rng(seed)

    def rounded(self: Any, P: Any) -> Any:
        J, g = exact(self, P)
        return J * (1.0 + int(generator.integers(-2, 3)) * np.finfo(np.float64).eps), g

    monkeypatch.setattr(lbfgs.PenalizedCost, "__call__", rounded)
    data, Y = problem()
    found = minimize(LogisticRegression(6), data, Y, select("cpu"), l2=20.0, tolerance=1e-9, dtype="float64")
    assert found.history.stopped == "converged, no derivative is larger than 1e-09"
    assert (np.diff(found.costs) <= 0).all()


@pytest.mark.parametrize("n_classes", [2, 3])
def test_gradient_descent_converges_to_the_same_minimum(n_classes: int) -> None:
    data, Y = problem(n_classes=n_classes)
    model = LogisticRegression(6) if n_classes == 2 else SoftmaxRegression(6, n_classes)
    options: dict[str, Any] = {"l2": 3.0, "class_weight": "balanced", "dtype": "float64"}
    options["weights"] = np.random.default_rng(6).uniform(0.5, 1.5, Y.shape)
    end = minimize(model, data, Y, select("cpu"), tolerance=1e-8, **options)
    for way in ("autodiff", "fused", "gram"):
        steps = 800 if way != "autodiff" else 200
        went = descend(
            model, data, Y, select("cpu"), iterations=steps, learning_rate=1.0, method=way, **options
        )
        atol = 1e-3 if way != "autodiff" else 2e-2
        np.testing.assert_allclose(went.parameters.buffer, end.parameters.buffer, atol=atol)
        assert end.costs[-1] <= went.costs[-1] + 1e-12


def test_a_distant_start_has_the_same_minimum(backend: Backend) -> None:
    data, Y = problem()
    model = LogisticRegression(6)
    far = initialize(model, backend, "he", seed=1, dtype="float64")
    far.buffer[...] *= 30.0
    ends = [
        minimize(model, data, Y, backend, l2=1.0, tolerance=1e-8, start=start, dtype="float64")
        for start in (None, far)
    ]
    np.testing.assert_allclose(*(backend.fetch(end.parameters.buffer) for end in ends), atol=1e-6)


def test_it_ends_when_float32_is_not_precise_enough(backend: Backend) -> None:
    data, Y = problem()
    result = minimize(LogisticRegression(6), data, Y, backend, l2=1.0, tolerance=1e-30, iterations=500)
    assert result.history.stopped == "no step lowers the cost any more, in this dtype"
    exact = minimize(LogisticRegression(6), data, Y, backend, l2=1.0, tolerance=1e-9, dtype="float64")
    np.testing.assert_allclose(*(backend.fetch(r.parameters.buffer) for r in (result, exact)), atol=1e-3)


def test_separable_classes_stop_at_the_iterations() -> None:
    data = ColumnMatrix.of(np.array([[-2.0, -1.0, 1.0, 2.0]]))
    result = minimize(
        LogisticRegression(1), data, np.array([[0, 0, 1, 1]]), select("cpu"), iterations=5, tolerance=1e-12
    )
    assert result.history.stopped == "not converged after 5 iterations"
    assert len(result.costs) == 6


def test_invalid_arguments_are_refused() -> None:
    data, Y = problem()
    cpu = select("cpu")
    with pytest.raises(ConfigurationError, match="for logistic and softmax regression"):
        minimize(Network(6, 1, "sigmoid", (Layer.parse("3"),)), data, Y, cpu)
    for change in ({"iterations": 0}, {"tolerance": 0.0}, {"l2": -1.0}):
        with pytest.raises(ConfigurationError, match=", expected"):
            minimize(LogisticRegression(6), data, Y, cpu, **change)  # type: ignore[arg-type]
    with pytest.raises(ShapeError, match="are of class 0"):
        minimize(LogisticRegression(6), data, 0 * Y, cpu)
    start = initialize(LogisticRegression(6), cpu)
    start.buffer[...] = np.inf
    with pytest.raises(DivergenceError, match="at the start"):
        minimize(LogisticRegression(6), data, Y, cpu, start=start)


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("kind", ["none", "unit"])
def test_features_far_from_0_take_few_iterations_to_the_same_minimum(
    n_classes: int, kind: str, backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = np.random.default_rng(8)
    Y = generator.integers(0, n_classes, (1, 400))
    centers = generator.integers(90, 160, (12, n_classes))
    X = generator.normal(centers[:, Y[0]], 25.0).clip(0, 255)
    data = ColumnMatrix.of(X.astype(np.uint8) if kind == "unit" else X / 255.0, kind)
    model = LogisticRegression(12) if n_classes == 2 else SoftmaxRegression(12, n_classes)
    start = initialize(model, backend, "xavier", seed=1, dtype="float64")
    found = {}
    for name in ("centered", "as it is"):
        if name == "as it is":
            monkeypatch.setattr(lbfgs, "typical_features", lambda objective: None)
        found[name] = minimize(model, data, Y, backend, l2=1.0, tolerance=1e-8, dtype="float64", start=start)
    one, other = (found[name].parameters.views for name in found)
    np.testing.assert_allclose(backend.fetch(one["W1"]), backend.fetch(other["W1"]), atol=1e-4)
    np.testing.assert_allclose(found["centered"].costs[0], found["as it is"].costs[0], rtol=1e-12)
    assert len(found["centered"].costs) < 0.7 * len(found["as it is"].costs)
