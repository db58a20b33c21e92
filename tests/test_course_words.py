"""The five functions of the course return its results."""

import numpy as np
import pytest
from locations import CATS

from xpnet.backend.backend import Backend
from xpnet.course import initialize_with_zeros, model, optimize, predict, propagate
from xpnet.errors import ConfigurationError, ShapeError

w, b = np.array([[1.0], [2.0]]), 1.5
X, Y = np.array([[1.0, -2.0, -1.0], [3.0, 0.5, -3.2]]), np.array([[1, 1, 0]])


def test_initialize_with_zeros() -> None:
    zeros, zero = initialize_with_zeros(2)
    np.testing.assert_array_equal(zeros, [[0.0], [0.0]])
    assert zero == 0.0
    assert isinstance(zero, float)
    with pytest.raises(ConfigurationError, match="dim is 0"):
        initialize_with_zeros(0)


def test_propagate() -> None:
    grads, cost = propagate(w, b, X, Y)
    np.testing.assert_allclose(grads["dw"], [[0.25071532], [-0.06604096]], rtol=1e-7)
    assert grads["db"] == pytest.approx(-0.12500404500439652, rel=1e-14)
    assert cost == pytest.approx(0.15900537707692405, rel=1e-14)
    assert cost.shape == ()


def test_optimize(backend: Backend) -> None:
    params, grads, costs = optimize(w, b, X, Y, num_iterations=100, learning_rate=0.009, backend=backend)
    np.testing.assert_allclose(params["w"], [[0.80956046], [2.0508202]], rtol=1e-7)
    assert params["b"] == pytest.approx(1.5948713189708588, rel=1e-12)
    np.testing.assert_allclose(grads["dw"], [[0.17860505], [-0.04840656]], rtol=1e-6)
    assert grads["db"] == pytest.approx(-0.08888460336847771, rel=1e-12)
    assert costs == [pytest.approx(0.15900537707692405)]


def test_one_iteration() -> None:
    params, grads, costs = optimize(w, b, X, Y, num_iterations=1, learning_rate=0.009)
    np.testing.assert_allclose(params["w"], w - 0.009 * grads["dw"])
    assert len(costs) == 1


def test_the_arguments_are_left_alone() -> None:
    before = w.copy(), X.copy(), Y.copy()
    optimize(w, b, X, Y, num_iterations=5)
    for array, copy in zip((w, X, Y), before, strict=True):
        np.testing.assert_array_equal(array, copy)


def test_predict() -> None:
    got = predict(np.array([[0.1124579], [0.23106775]]), -0.3, np.array([[1.0, -1.1, -3.2], [1.2, 2.0, 0.1]]))
    np.testing.assert_array_equal(got, [[1.0, 1.0, 0.0]])


def test_model_returns_what_the_course_returns(capsys: pytest.CaptureFixture[str]) -> None:
    d = model(X, Y, X, Y, num_iterations=201, learning_rate=0.1, print_cost=True)
    assert set(d) == {
        "costs", "Y_prediction_test", "Y_prediction_train", "w", "b", "learning_rate", "num_iterations"
    }  # fmt: skip
    assert len(d["costs"]) == 3
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == "Cost after iteration 0: 0.693147"
    assert printed[-1] == "test accuracy: 100.0 %"


def test_rank_1_labels_are_refused() -> None:
    with pytest.raises(ShapeError):
        propagate(w, b, X, Y[0])
    with pytest.raises(ShapeError):
        optimize(w, b, X, Y[0])


@pytest.mark.skipif(not CATS.is_dir(), reason="the course's cat pictures are not here")
def test_cat_or_not() -> None:
    h5py = pytest.importorskip("h5py")
    with h5py.File(CATS / "train_catvnoncat.h5") as train, h5py.File(CATS / "test_catvnoncat.h5") as test:
        X_train, Y_train = train["train_set_x"][:].reshape(209, -1).T / 255, train["train_set_y"][:][None]
        X_test, Y_test = test["test_set_x"][:].reshape(50, -1).T / 255, test["test_set_y"][:][None]
    d = model(X_train, Y_train, X_test, Y_test, num_iterations=2000, learning_rate=0.005)
    expected = [
        0.693147, 0.584508, 0.466949, 0.376007, 0.331463, 0.303273, 0.279880, 0.260042, 0.242941, 0.228004,
        0.214820, 0.203078, 0.192544, 0.183033, 0.174399, 0.166521, 0.159305, 0.152667, 0.146542, 0.140872,
    ]  # fmt: skip
    np.testing.assert_allclose(d["costs"], expected, atol=5e-7)
    assert 100 - np.mean(np.abs(d["Y_prediction_train"] - Y_train)) * 100 == pytest.approx(
        99.04306220095694, abs=1e-12
    )
    assert 100 - np.mean(np.abs(d["Y_prediction_test"] - Y_test)) * 100 == pytest.approx(70.0, abs=1e-12)


def test_no_steps_change_nothing() -> None:
    params, grads, costs = optimize(w, b, X, Y, num_iterations=0)
    np.testing.assert_array_equal(params["w"], w)
    assert params["b"] == b
    assert costs == []
    np.testing.assert_array_equal(grads["dw"], propagate(w, b, X, Y)[0]["dw"])
    with pytest.raises(ConfigurationError, match="num_iterations is -1, expected 0 or more"):
        optimize(w, b, X, Y, num_iterations=-1)
