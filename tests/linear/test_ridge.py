"""Ridge classification: against scikit-learn, leave-one-out against leaving one out, probabilities that hold."""

import numpy as np
import optional
import pytest

from xpnet.backend.backend import Backend, select
from xpnet.data.column_matrix import ColumnMatrix
from xpnet.errors import ConfigurationError, ShapeError
from xpnet.linear import ridge
from xpnet.linear.ridge import PENALTIES, classify
from xpnet.nn import Layer, LogisticRegression, Method, Network, SoftmaxRegression

CPU = select("cpu")
peer = optional.module("sklearn.linear_model")


def problem(m: int, n_x: int, n_classes: int = 3, seed: int = 0) -> tuple[ColumnMatrix, np.ndarray]:
    """Return points around one centre for each class, and their classes. The classes overlap."""
    rng = np.random.default_rng(seed)
    Y = rng.integers(0, n_classes, (1, m))
    Y[0, :n_classes] = range(n_classes)
    X = rng.normal(size=(m, n_x)) + 1.5 * rng.normal(size=(n_classes, n_x))[Y[0]] / np.sqrt(n_x) * 2 + 3.0
    return ColumnMatrix(X), Y


def scores_of(W: np.ndarray, b: np.ndarray, X: np.ndarray) -> np.ndarray:
    return W @ X.T + b


def targets_of(Y: np.ndarray, n_classes: int = 3) -> np.ndarray:
    return np.where(np.arange(n_classes)[:, None] == Y, 1.0, -1.0)


@pytest.fixture(params=["by example", "by feature", "held out"])
def sizes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> tuple[int, int]:
    """m and n_x of a problem for each way to solve it."""
    if request.param == "held out":
        monkeypatch.setattr(ridge, "MAX_LEFT_OUT_WORK", 0)
    return (40, 90) if request.param == "by example" else (300, 20)


def test_weights_are_those_of_scikit_learn_times_one_number(sizes: tuple[int, int], backend: Backend) -> None:
    m, n_x = sizes
    data, Y = problem(m, n_x)
    result = classify(SoftmaxRegression(n_x, 3), data, Y, backend, dtype="float64")
    assert result.method is Method.RIDGE
    assert result.expected is not None
    centered = data.examples - data.examples.mean(axis=0)
    size = min(m, n_x)
    alpha = result.expected.penalty * np.sum(centered**2) / size
    theirs = peer.Ridge(alpha).fit(data.examples, targets_of(Y).T)
    W, b = (backend.fetch(result.parameters.views[name]) for name in ("W1", "b1"))
    T = float(np.vdot(W, theirs.coef_) / np.vdot(theirs.coef_, theirs.coef_))
    np.testing.assert_allclose(W, T * theirs.coef_, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(b[:, 0], T * theirs.intercept_, rtol=1e-6)


@pytest.mark.parametrize("n_x", [60, 8])
@pytest.mark.parametrize("weighted", [False, True])
def test_left_out_scores_are_those_of_leaving_one_out(weighted: bool, n_x: int) -> None:
    data, Y = problem(25, n_x)
    weights = np.array([0.5, 1.0, 3.0])[Y[0]] if weighted else np.ones(25)
    own = ridge._Problem(data, Y[0], 3, weights if weighted else None, CPU, "float64")
    found = ridge._solved(own, seed=0)
    centered = data.examples - np.average(data.examples, axis=0, weights=weights)
    squares = centered**2 if n_x > 25 else weights[:, None] * centered**2
    alpha = found.penalty * np.sum(squares) / min(25, n_x)
    for i in range(25):
        rest = np.arange(25) != i
        one = peer.Ridge(alpha).fit(
            data.examples[rest], targets_of(Y[:, rest]).T, sample_weight=weights[rest]
        )
        np.testing.assert_allclose(found.scores[:, i], one.predict(data.examples[i : i + 1])[0], rtol=1e-6)


@pytest.mark.parametrize("n_x", [200, 20])
def test_the_penalty_is_the_one_that_scikit_learn_chooses(n_x: int) -> None:
    data, Y = problem(60, n_x)
    result = classify(SoftmaxRegression(n_x, 3), data, Y, CPU, dtype="float64")
    centered = data.examples - data.examples.mean(axis=0)
    base = np.sum(centered**2) / min(60, n_x)
    theirs = peer.RidgeCV([p * base for p in PENALTIES], alpha_per_target=False).fit(
        data.examples, targets_of(Y).T
    )
    assert result.expected is not None
    assert theirs.alpha_ == pytest.approx(result.expected.penalty * base)


@pytest.mark.parametrize(("m", "n_x", "work"), [(400, 500, 0), (4000, 30, 1e9), (4000, 30, 0)])
def test_what_is_expected_comes_true(m: int, n_x: int, work: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ridge, "MAX_LEFT_OUT_WORK", work)
    both, Y = problem(m + 4000, n_x)
    data, fresh = ColumnMatrix(both.examples[:m].copy()), both.examples[m:]
    result = classify(SoftmaxRegression(n_x, 3), data, Y[:, :m], CPU)
    W, b = result.parameters.views["W1"], result.parameters.views["b1"]
    Z = scores_of(W, b, fresh)
    expected = result.expected
    assert expected is not None
    accuracy = float(np.mean(Z.argmax(axis=0) == Y[0, m:]))
    assert abs(accuracy - expected.accuracy) < 4 * expected.error
    assert ridge._log_loss(Z, Y[0, m:]) == pytest.approx(expected.log_loss, abs=0.08)
    # Calibration: the mean probability of the predicted class is the share that is right.
    P = np.exp(Z - Z.max(axis=0))
    assert float((P / P.sum(axis=0)).max(axis=0).mean()) == pytest.approx(accuracy, abs=0.05)
    assert expected.by == ("leave-one-out" if m <= n_x or work else "a held-out tenth")


def test_two_classes_are_a_logistic_regression() -> None:
    data, Y = problem(200, 300, 2)
    result = classify(LogisticRegression(300), data, Y, CPU)
    softmax = classify(SoftmaxRegression(300, 2), data, Y, CPU)
    W, b = result.parameters.views["W1"], result.parameters.views["b1"]
    assert W.shape == (1, 300)
    W2, b2 = softmax.parameters.views["W1"], softmax.parameters.views["b1"]
    np.testing.assert_allclose(W, W2[1:] - W2[:1], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(b, b2[1:] - b2[:1], rtol=1e-3)


def test_the_temperature_has_the_least_log_loss() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, 500)
    scores = rng.normal(size=(4, 500)) + 1.2 * (np.arange(4)[:, None] == labels)
    T = ridge._inverse_temperature(scores, labels)
    losses = [ridge._log_loss(t * scores, labels) for t in (0.98 * T, T, 1.02 * T)]
    assert losses[1] == min(losses)
    perfect = 2.0 * (np.arange(4)[:, None] == labels)
    assert np.isfinite(ridge._inverse_temperature(perfect, labels))
    assert np.isfinite(ridge._inverse_temperature(-perfect, labels))
    assert np.isfinite(ridge._inverse_temperature(0 * perfect, labels))


def test_weighted_examples_have_scikit_learns_coefficients(sizes: tuple[int, int], backend: Backend) -> None:
    m, n_x = sizes
    data, Y = problem(m, n_x)
    w = np.random.default_rng(1).uniform(0.3, 3.0, m)
    result = classify(SoftmaxRegression(n_x, 3), data, Y, backend, weights=w[None], dtype="float64")
    assert result.expected is not None
    centered = data.examples - np.average(data.examples, axis=0, weights=w)
    by_feature = 1.0 if m < n_x else w[:, None]  # of what the penalty is a share
    alpha = result.expected.penalty * np.sum(by_feature * centered**2) / min(m, n_x)
    theirs = peer.Ridge(alpha).fit(data.examples, targets_of(Y).T, w)
    W = backend.fetch(result.parameters.views["W1"])
    T = float(np.vdot(W, theirs.coef_) / np.vdot(theirs.coef_, theirs.coef_))
    np.testing.assert_allclose(W, T * theirs.coef_, rtol=1e-6, atol=1e-9)


def test_probabilities_are_chosen_by_the_weights_of_the_examples() -> None:
    """An example of weight 3 counts as three: for the temperature, the log loss and the accuracy."""
    rng = np.random.default_rng(0)
    scores, labels, times = rng.normal(size=(3, 50)), rng.integers(0, 3, 50), rng.integers(1, 4, 50)
    repeated = np.repeat(scores, times, axis=1), np.repeat(labels, times)
    T = ridge._inverse_temperature(scores, labels, times)
    assert pytest.approx(ridge._inverse_temperature(*repeated), rel=1e-5) == T
    assert ridge._log_loss(scores, labels, times) == pytest.approx(ridge._log_loss(*repeated))
    data, Y = problem(300, 10, 2, seed=4)
    weights = np.where(rng.random((1, 300)) < 0.5, 1e-9, 1.0)
    expected = classify(LogisticRegression(10), data, Y, CPU, weights=weights).expected
    kept = weights[0] == 1
    part = classify(LogisticRegression(10), ColumnMatrix(data.examples[kept]), Y[:, kept], CPU).expected
    assert expected is not None
    assert part is not None
    assert expected.accuracy == pytest.approx(part.accuracy, abs=1e-6)
    assert expected.log_loss == pytest.approx(part.log_loss, abs=1e-6)


def test_rare_classes_count_more_with_weights() -> None:
    data, Y = problem(300, 10, 2, seed=4)
    keep = (Y[0] == 0) | (np.arange(300) % 8 == 0)
    data, Y = ColumnMatrix(data.examples[keep].copy()), Y[:, keep]
    called = []
    for class_weight in (None, "balanced"):
        result = classify(LogisticRegression(10), data, Y, CPU, class_weight=class_weight)
        Z = scores_of(result.parameters.views["W1"], result.parameters.views["b1"], data.examples)
        called.append(int((Z > 0).sum()))
    assert called[1] > called[0]


def test_equal_features_and_equal_examples_are_no_problem() -> None:
    data, Y = problem(40, 6)
    doubled = ColumnMatrix(np.concatenate([data.examples, data.examples, 0 * data.examples], axis=1))
    result = classify(SoftmaxRegression(18, 3), doubled, Y, CPU)
    assert result.parameters.is_finite(CPU)
    few = ColumnMatrix(np.repeat(doubled.examples[:4], 2, axis=0))
    labels = np.array([[0, 0, 1, 1, 2, 2, 1, 1]])
    assert classify(SoftmaxRegression(18, 3), few, labels, CPU).parameters.is_finite(CPU)


def test_bytes_are_standardized_as_they_say() -> None:
    rng = np.random.default_rng(2)
    Y = rng.integers(0, 3, (1, 90))
    X = (rng.integers(0, 80, (90, 12)) + 50 * Y.T).astype(np.uint8)
    data = ColumnMatrix.of(X.T, "feature")
    result = classify(SoftmaxRegression(12, 3), data, Y, CPU)
    Z = scores_of(result.parameters.views["W1"], result.parameters.views["b1"], data.standardized().T)
    assert np.mean(Z.argmax(axis=0) == Y[0]) > 0.9


def test_what_cannot_be_solved_is_refused() -> None:
    data, Y = problem(10, 4)
    with pytest.raises(ConfigurationError, match="expected a linear classifier"):
        classify(Network(4, 3, "softmax", (Layer.parse("2:relu"),)), data, Y, CPU)
    with pytest.raises(ConfigurationError, match="expected a linear classifier"):
        classify(Network(4, 1, "identity"), data, Y * 1.0, CPU)
    with pytest.raises(ShapeError):
        classify(SoftmaxRegression(4, 3), data, Y[:, :5], CPU)
    X = data.examples.copy()
    X[3, 1] = np.inf
    with pytest.raises(ShapeError, match="example 3 holds inf"):
        classify(SoftmaxRegression(4, 3), ColumnMatrix(X), Y, CPU)


def test_weighted_weights_are_those_of_scikit_learn(sizes: tuple[int, int]) -> None:
    m, n_x = sizes
    data, Y = problem(m, n_x)
    weights = np.array([0.5, 1.0, 3.0])[Y[0]]
    own = ridge._Problem(data, Y[0], 3, weights, CPU, "float64")
    found = ridge._solved(own, 0)
    mean = np.average(data.examples, axis=0, weights=weights)
    diagonal = weights if n_x < m else np.ones(m)
    alpha = found.penalty * np.sum(diagonal[:, None] * (data.examples - mean) ** 2) / min(m, n_x)
    theirs = peer.Ridge(alpha).fit(data.examples, targets_of(Y).T, sample_weight=weights)
    np.testing.assert_allclose(found.W, theirs.coef_, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(found.b[:, 0], theirs.intercept_, rtol=1e-6)
