"""Linear regression in closed form, compared with scikit-learn."""

import numpy as np
import optional
import pytest

from xpnet.backend import Backend, select
from xpnet.data import ColumnMatrix
from xpnet.errors import ConfigurationError, DivergenceError, ShapeError
from xpnet.linear import least_squares, solve
from xpnet.nn import Layer, LogisticRegression, Method, Network, StopReason

sklearn = optional.module("sklearn.linear_model")


def problem(m: int, n_x: int, n_out: int = 1) -> tuple[Network, ColumnMatrix, np.ndarray]:
    generator = np.random.default_rng(3)
    X = generator.standard_normal((n_x, m)) * 7 + 1e5
    Y = generator.standard_normal((n_out, n_x)) @ (X - 1e5) + generator.standard_normal((n_out, m)) + 40
    return Network(n_x, n_out, "identity"), ColumnMatrix.of(X, "feature"), Y


@pytest.mark.parametrize("l2", [0.0, 3.0])
@pytest.mark.parametrize(("m", "n_x"), [(50, 4), (12, 30), (6, 6)])
@pytest.mark.parametrize("n_out", [1, 2])
def test_the_coefficients_are_scikit_learns(
    m: int, n_x: int, n_out: int, l2: float, backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(least_squares, "BLOCK_BYTES", 8 * 5 * n_x)  # several blocks
    model, data, Y = problem(m, n_x, n_out)
    ours = solve(model, data, Y, backend, l2=l2, dtype="float64")
    peer = sklearn.Ridge(alpha=l2 / 2) if l2 else sklearn.LinearRegression()
    theirs = peer.fit(data.standardized().T, Y.T)
    W, b = (backend.fetch(ours.parameters.views[name]) for name in ("W1", "b1"))
    np.testing.assert_allclose(W, np.reshape(theirs.coef_, W.shape), rtol=1e-7, atol=1e-7)
    np.testing.assert_allclose(b[:, 0], np.reshape(theirs.intercept_, -1), rtol=1e-9)
    assert ours.method is Method.LEAST_SQUARES
    assert ours.history.stop is StopReason.CONVERGED
    error = W @ data.standardized() + b - Y
    expected = (error**2).sum() / m + l2 / (2 * m) * (W**2).sum()
    np.testing.assert_allclose(ours.costs, [expected], rtol=1e-9, atol=1e-12)


def noisy(m: int, n_x: int, n_out: int = 1) -> tuple[ColumnMatrix, np.ndarray]:
    """Return examples of which few features matter, with much noise, so that a penalty helps."""
    generator = np.random.default_rng(5)
    X = generator.standard_normal((n_x, m)) * 3 + 20
    W = generator.standard_normal((n_out, n_x)) * (np.arange(n_x) < 3)
    return ColumnMatrix.of(X, "feature"), W @ X + 6 * generator.standard_normal((n_out, m)) + 40


@pytest.mark.parametrize(("m", "n_x"), [(40, 25), (25, 40), (30, 30)])
@pytest.mark.parametrize("n_out", [1, 2])
def test_the_penalty_is_chosen_by_leaving_each_example_out(
    m: int, n_x: int, n_out: int, backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(least_squares, "BLOCK_BYTES", 8 * 7 * n_x)  # several blocks
    monkeypatch.setattr(least_squares, "ALIKE", 0.0)
    data, Y = noisy(m, n_x, n_out)
    ours = solve(Network(n_x, n_out, "identity"), data, Y, backend, l2=None, dtype="float64")
    X = data.standardized().T
    centered = X - X.mean(axis=0)
    shares = [share for share in least_squares.PENALTIES if share]
    alphas = [share * np.sum(centered**2) / min(m, n_x) for share in shares]
    peer = sklearn.RidgeCV(alphas=alphas).fit(X, Y.T)  # exact leave-one-out as well, by its own formulas
    expected = ours.expected
    assert expected.penalty == pytest.approx(2 * peer.alpha_)
    W = backend.fetch(ours.parameters.views["W1"])
    np.testing.assert_allclose(W, np.reshape(peer.coef_, W.shape), rtol=1e-6, atol=1e-9)
    squares, from_mean = [], []
    for i in range(m):
        others = np.arange(m) != i
        found = sklearn.Ridge(alpha=peer.alpha_).fit(X[others], Y.T[others]).predict(X[i : i + 1])
        squares.append(((found.reshape(-1) - Y[:, i]) ** 2).sum())
        from_mean.append(((Y[:, others].mean(axis=1) - Y[:, i]) ** 2).sum())
    assert expected.rmse == pytest.approx(np.sqrt(np.mean(squares)), rel=1e-6)
    assert expected.r_squared == pytest.approx(1 - np.sum(squares) / np.sum(from_mean), rel=1e-6)
    assert (expected.examples, expected.by) == (m, "leave-one-out")


@pytest.mark.parametrize("l2", [0.0, 3.0, None])
@pytest.mark.parametrize(("m", "n_x"), [(30, 4), (12, 20)])
def test_weighted_examples(
    m: int, n_x: int, l2: float | None, backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Coefficients are scikit-learn's; leaving out is compared with training without each example."""
    monkeypatch.setattr(least_squares, "BLOCK_BYTES", 8 * 7 * n_x)  # several blocks
    data, Y = noisy(m, n_x, 2)
    weights = np.random.default_rng(1).uniform(0.2, 3.0, (1, m))
    ours = solve(Network(n_x, 2, "identity"), data, Y, backend, l2=l2, weights=weights, dtype="float64")
    used = ours.expected.penalty if l2 is None else l2
    X, w = data.standardized().T, weights[0]
    peer = sklearn.Ridge(alpha=used / 2, solver="svd") if used else sklearn.LinearRegression()
    theirs = peer.fit(X, Y.T, w)
    W, b = (backend.fetch(ours.parameters.views[name]) for name in ("W1", "b1"))
    np.testing.assert_allclose(W, theirs.coef_, rtol=1e-7, atol=1e-7)
    np.testing.assert_allclose(b[:, 0], theirs.intercept_, rtol=1e-9)
    errors = (w * (theirs.predict(X).T - Y) ** 2).sum() / m
    np.testing.assert_allclose(ours.costs, [errors + used / (2 * m) * (W**2).sum()], rtol=1e-7, atol=1e-12)
    if l2 is None:
        squares, from_mean = [], []
        for i in range(m):
            others = np.arange(m) != i
            found = peer.fit(X[others], Y.T[others], w[others]).predict(X[i : i + 1])[0]
            squares.append(w[i] * ((found - Y[:, i]) ** 2).sum())
            mean = np.average(Y[:, others], axis=1, weights=w[others])
            from_mean.append(w[i] * ((mean - Y[:, i]) ** 2).sum())
        assert ours.expected.rmse == pytest.approx(np.sqrt(np.sum(squares) / w.sum()), rel=1e-6)
        assert ours.expected.r_squared == pytest.approx(1 - np.sum(squares) / np.sum(from_mean), rel=1e-6)


def test_where_a_penalty_does_not_help_there_is_none(backend: Backend) -> None:
    model, data, Y = problem(50, 4)
    chosen = solve(model, data, Y, backend, l2=None, dtype="float64")
    plain = solve(model, data, Y, backend, dtype="float64")
    assert chosen.expected.penalty == 0
    np.testing.assert_array_equal(
        backend.fetch(chosen.parameters.buffer), backend.fetch(plain.parameters.buffer)
    )
    assert chosen.reason == "m = 50 is not less than n_x = 4, penalty 0 by leave-one-out"
    assert plain.expected is None


@pytest.mark.parametrize("m", [1, 2, 3, 4])
@pytest.mark.parametrize("constant", [False, True])
def test_very_few_examples_are_solved_without_choosing_more_than_they_say(
    m: int, constant: bool, backend: Backend
) -> None:
    data, Y = noisy(m, 3)
    result = solve(Network(3, 1, "identity"), data, Y * 0 + 7 if constant else Y, backend, l2=None)
    assert (result.expected is None) == (m < 3)
    if result.expected is not None:
        assert np.isfinite(result.expected.rmse)
        assert not constant or result.expected.rmse == pytest.approx(0, abs=1e-6)


def test_large_problems_have_no_penalty_unless_it_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(least_squares, "MAX_CHOICE_SIZE", 3)
    model, data, Y = problem(50, 4)
    assert solve(model, data, Y, select("cpu"), l2=None).expected is None


def test_equal_columns_share_their_weight() -> None:
    model, data, Y = problem(40, 3)
    twice = ColumnMatrix.of(np.concatenate([data.X, data.X, np.zeros((1, 40))]), "feature")
    once = solve(model, data, Y, select("cpu"), dtype="float64").parameters.views["W1"]
    found = solve(Network(7, 1, "identity"), twice, Y, select("cpu"), dtype="float64").parameters.views["W1"]
    np.testing.assert_allclose(
        found, np.concatenate([once, once, [[0.0]]], axis=1) * [[0.5] * 6 + [1]], rtol=1e-6
    )


def test_bytes_and_float32(backend: Backend) -> None:
    examples = np.random.default_rng(0).integers(0, 256, (30, 5), dtype=np.uint8)
    Y = examples[:, :1].T * 3.0 + 5.0
    ours = solve(Network(5, 1, "identity"), ColumnMatrix(examples), Y, backend)
    W, b = (backend.fetch(ours.parameters.views[name]) for name in ("W1", "b1"))
    assert W.dtype == np.float32
    np.testing.assert_allclose(W, [[3, 0, 0, 0, 0]], atol=1e-6)
    np.testing.assert_allclose(b, [[5]], rtol=1e-6)


def test_what_it_cannot_solve_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    model, data, Y = problem(20, 3)
    cpu = select("cpu")
    for other in (
        LogisticRegression(3),
        Network(3, 1, "identity", (Layer.parse("2"),)),
        Network(3, 1, "relu"),
    ):
        with pytest.raises(ConfigurationError, match="expected linear regression"):
            solve(other, data, Y, cpu)
    with pytest.raises(ConfigurationError, match="l2 is -1"):
        solve(model, data, Y, cpu, l2=-1)
    with pytest.raises(ShapeError, match="expected finite targets"):
        solve(model, data, Y * np.nan, cpu)
    with pytest.raises(ShapeError, match="holds nan in feature"):
        solve(model, ColumnMatrix(data.examples * np.nan), Y, cpu)
    with pytest.raises(DivergenceError, match="too large for numbers"):
        solve(model, ColumnMatrix(data.examples * 1e160), Y, cpu)
    with pytest.raises(DivergenceError, match="too large for numbers"):
        solve(model, data, Y * 1e40, cpu)  # for float32
    monkeypatch.setattr(least_squares, "MAX_SIZE", 2)
    with pytest.raises(ConfigurationError, match="at most 2 of either"):
        solve(model, data, Y, cpu)
