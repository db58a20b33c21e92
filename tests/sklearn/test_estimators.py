"""Estimators by scikit-learn's rules: its own checks, its tools, and its solvers as references."""

import pickle
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn")

from sklearn import linear_model as peers
from sklearn.base import clone
from sklearn.datasets import load_digits, make_classification, make_regression
from sklearn.exceptions import ConvergenceWarning, NotFittedError, SkipTestWarning
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator, parametrize_with_checks

from xpnet.backend import Backend
from xpnet.errors import ConfigurationError, DeviceError, ShapeError
from xpnet.sklearn import (
    LinearRegression,
    LogisticRegression,
    NetworkClassifier,
    NetworkRegressor,
    PatchTransformer,
    RidgeClassifier,
)

CLASSIFIERS: list[Any] = [
    LogisticRegression(),
    RidgeClassifier(),
    NetworkClassifier((16,), epochs=25, learning_rate=0.05),
]
REGRESSORS: list[Any] = [LinearRegression(), NetworkRegressor((16,), epochs=25, learning_rate=0.05)]


def expected_failures(estimator: Any) -> dict[str, str]:
    if isinstance(estimator, RidgeClassifier) or estimator.get_params().get("C", 1.0) is None:
        return {
            "check_sample_weight_equivalence_on_dense_data": "the penalty is chosen on left-out samples: to leave "
            "out one of two equal samples is something else than to leave out one of weight 2"
        }
    return {}


@pytest.mark.any_python
@parametrize_with_checks(
    [
        *CLASSIFIERS,
        *REGRESSORS,
        LogisticRegression(class_weight="balanced"),
        LogisticRegression(C=None, random_state=0),
    ],
    expected_failed_checks=expected_failures,
)
def test_scikit_learns_checks(estimator: Any, check: Any) -> None:
    check(estimator)


def digits(m: int, n_classes: int, dtype: str) -> tuple[np.ndarray, np.ndarray]:
    """Return pictures of digits as bytes, or their 255th parts as floats."""
    X, y = load_digits(n_class=n_classes, return_X_y=True)
    raw = (X[:m] * 15).astype(np.uint8)
    return (raw if dtype == "uint8" else raw.astype(dtype) / np.dtype(dtype).type(255)), y[:m]


@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64"])
@pytest.mark.parametrize("n_classes", [2, 10])
def test_coefficients_are_scikit_learns(n_classes: int, dtype: str) -> None:
    X, y = digits(150, n_classes, dtype)
    weights = np.random.default_rng(0).uniform(0, 3, len(y)).round(1)
    assert (weights == 0).any()
    class_weight = {0: 3.0, 1: 0.5}
    ours = LogisticRegression(C=0.5, tol=1e-7, class_weight=class_weight).fit(X, y, weights)
    exact = digits(150, n_classes, "float64")[0]
    peer = peers.LogisticRegression(C=0.5, tol=1e-9, max_iter=10_000, class_weight=class_weight)
    theirs = peer.fit(exact, y, weights)
    unit = 255 if dtype == "uint8" else 1
    np.testing.assert_allclose(ours.coef_ * unit, theirs.coef_, atol=5e-4)
    np.testing.assert_allclose(ours.intercept_, theirs.intercept_, atol=5e-4)
    np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(exact), atol=5e-4)
    np.testing.assert_allclose(ours.decision_function(X), theirs.decision_function(exact), atol=5e-3)
    np.testing.assert_array_equal(ours.predict(X), theirs.predict(exact))
    np.testing.assert_allclose(np.exp(ours.predict_log_proba(X)), ours.predict_proba(X), rtol=1e-5)


def test_balanced_classes_with_weights_are_scikit_learns() -> None:
    X, y = digits(100, 3, "float64")
    y = np.where(np.arange(100) % 3 == 0, y, np.minimum(y, 1))  # few of class 2
    weights = np.random.default_rng(0).uniform(0.1, 3, 100)
    ours = LogisticRegression(tol=1e-8, class_weight="balanced").fit(X, y, weights)
    theirs = peers.LogisticRegression(tol=1e-9, max_iter=10_000, class_weight="balanced").fit(X, y, weights)
    np.testing.assert_allclose(ours.coef_, theirs.coef_, atol=1e-5)


def test_no_penalty_and_no_convergence() -> None:
    X, y = make_classification(100, 5, flip_y=0.3, random_state=0)
    ours = LogisticRegression(C=np.inf, tol=1e-9).fit(X, y)
    theirs = peers.LogisticRegression(C=1e12, tol=1e-9, max_iter=1000).fit(X, y)
    np.testing.assert_allclose(ours.coef_, theirs.coef_, atol=1e-6)
    with pytest.warns(ConvergenceWarning, match="not converged after 2 iterations: increase max_iter"):
        assert LogisticRegression(max_iter=2).fit(X, y).n_iter_ == 2


@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64"])
@pytest.mark.parametrize("n_out", [1, 2])
@pytest.mark.parametrize("alpha", [0.0, 3.0])
def test_least_squares_are_scikit_learns(alpha: float, n_out: int, dtype: str) -> None:
    rng = np.random.default_rng(0)
    raw = rng.integers(0, 256, (60, 5), dtype=np.uint8)
    X = raw if dtype == "uint8" else raw.astype(dtype) / np.dtype(dtype).type(255)
    y = raw[:, :n_out] * 0.1 + rng.standard_normal((60, n_out)) + 7
    y = y[:, 0] if n_out == 1 else y
    weights = rng.uniform(0.1, 3, 60)
    ours = LinearRegression(alpha).fit(X, y, weights)
    theirs = peers.Ridge(alpha, solver="svd").fit(raw / 255.0, y, weights)
    assert ours.coef_.shape == theirs.coef_.shape
    np.testing.assert_allclose(ours.coef_ * (255 if dtype == "uint8" else 1), theirs.coef_, rtol=1e-4)
    np.testing.assert_allclose(ours.intercept_, theirs.intercept_, rtol=1e-4)
    np.testing.assert_allclose(ours.predict(X), theirs.predict(raw / 255.0), rtol=1e-4)
    assert ours.alpha_ == alpha


def test_least_squares_choose_the_penalty() -> None:
    X, y = make_regression(40, 30, n_informative=3, noise=80, random_state=0)
    weights = np.full(40, 5.0)
    ours = LinearRegression(alpha=None).fit(X, y, weights)
    theirs = peers.Ridge(ours.alpha_).fit(X, y, weights)
    np.testing.assert_allclose(ours.coef_, theirs.coef_, rtol=1e-6)
    assert ours.alpha_ > 0
    assert ours.expected_.by == "leave-one-out"
    assert LinearRegression().fit(X, y).expected_ is None


def test_logistic_regression_chooses_the_penalty() -> None:
    X, y = make_classification(80, 20, n_informative=3, flip_y=0.2, random_state=0)
    weights = np.full(80, 5.0)
    ours = LogisticRegression(C=None, random_state=0).fit(X, y, weights)
    assert pytest.approx(1 / ours.expected_.penalty / 5) == ours.C_
    assert ours.expected_.by == "5-fold cross-validation"
    given = LogisticRegression(C=ours.C_).fit(X, y, weights)
    np.testing.assert_allclose(ours.coef_, given.coef_, rtol=1e-6)
    assert given.expected_ is None
    again = clone(ours).fit(X, y, weights)
    np.testing.assert_array_equal(again.coef_, ours.coef_)
    with pytest.raises(ConfigurationError, match="C is 0, expected more than 0, or None"):
        LogisticRegression(C=0).fit(X, y)


def test_ridge_says_what_to_expect() -> None:
    X, y = digits(900, 10, "uint8")
    order = np.random.default_rng(0).permutation(900)
    X, y = X[order], y[order]
    model = RidgeClassifier(random_state=0).fit(X[:600], y[:600])
    assert model.expected_.accuracy == pytest.approx(model.score(X[600:], y[600:]), abs=0.04)
    Z = X[600:] @ model.coef_.T.astype(np.float64) + model.intercept_
    np.testing.assert_allclose(model.decision_function(X[600:]), Z, atol=1e-3)


def fitted(estimator: Any, dtype: str) -> tuple[Any, np.ndarray]:
    X, y = digits(100, 2, dtype)
    return clone(estimator).fit(X, y), X


@pytest.mark.parametrize("estimator", [*CLASSIFIERS, *REGRESSORS], ids=lambda each: type(each).__name__)
@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64"])
def test_results_have_the_dtype_of_the_rows(estimator: Any, dtype: str) -> None:
    model, X = fitted(estimator, dtype)
    wanted = "float64" if dtype == "float64" else "float32"
    for name in ("decision_function", "predict_proba") if estimator in CLASSIFIERS else ("predict",):
        assert getattr(model, name)(X).dtype == wanted
    if hasattr(model, "coef_"):
        assert model.coef_.dtype == model.intercept_.dtype == wanted
    else:
        assert {array.dtype for array in model.parameters_.values()} == {np.dtype(wanted)}


@pytest.mark.parametrize("estimator", [*CLASSIFIERS, *REGRESSORS], ids=lambda each: type(each).__name__)
def test_a_pickled_estimator_predicts_the_same(estimator: Any) -> None:
    model, X = fitted(estimator, "uint8")
    again = pickle.loads(pickle.dumps(model))  # noqa: S301
    np.testing.assert_array_equal(again.predict(X), model.predict(X))
    with pytest.raises(NotFittedError):
        clone(model).predict(X)


def test_bytes_are_neither_copied_nor_converted_as_a_whole() -> None:
    import tracemalloc

    rng = np.random.default_rng(0)
    y = np.arange(20_000) % 2
    X = rng.integers(0, 200, (20_000, 300), dtype=np.uint8) + 20 * y[:, None].astype(np.uint8)
    tracemalloc.start()
    try:
        LogisticRegression().fit(X, y).predict(X)
        assert tracemalloc.get_traced_memory()[1] < 4 * X.nbytes  # a copy as float32 has so many bytes
    finally:
        tracemalloc.stop()


def test_features_can_be_standardized_inside() -> None:
    X, y = make_classification(200, 6, random_state=0)
    X = X * [1, 10, 100, 1000, 0.1, 0.01] + 50
    ours = LogisticRegression(standardize="feature", tol=1e-8).fit(X, y)
    theirs = make_pipeline(StandardScaler(), peers.LogisticRegression(tol=1e-9)).fit(X, y)
    np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), atol=1e-6)
    np.testing.assert_allclose(
        ours.predict_proba(X)[:, 1], 1 / (1 + np.exp(-X @ ours.coef_[0] - ours.intercept_))
    )


def test_the_tools_of_scikit_learn() -> None:
    X, y = digits(300, 3, "float64")
    pipeline = make_pipeline(StandardScaler(), LogisticRegression())
    search = GridSearchCV(pipeline, {"logisticregression__C": [1e-6, 0.1]}, cv=3).fit(X, y)
    assert search.best_params_ == {"logisticregression__C": 0.1}
    assert search.score(X, y) > 0.97
    assert cross_val_score(RidgeClassifier(), X, y, cv=3).min() > 0.95
    assert cross_val_score(LinearRegression(alpha=None), X, y, cv=3, scoring="r2").min() > 0.6
    network = NetworkClassifier(hidden=(16,), epochs=20, learning_rate=0.02, random_state=0)
    assert cross_val_score(network, X, y, cv=2, params={"sample_weight": np.ones(300)}).min() > 0.9


def test_warm_start_goes_on() -> None:
    X, y = digits(200, 3, "uint8")
    model = LogisticRegression(warm_start=True, standardize="feature", tol=1e-5).fit(X, y)
    assert model.n_iter_ > 5
    assert model.fit(X, y).n_iter_ <= 1
    with pytest.raises(ConfigurationError, match="warm_start goes on from 64 features and the classes"):
        model.fit(X, np.minimum(y, 1))
    with pytest.raises(ConfigurationError, match="and now there are 3 and"):
        model.fit(X[:, :3], y)


# Networks.

SGD = {"hidden": (5,), "activation": "tanh", "optimizer": "momentum", "learning_rate": 0.1}


def test_networks_learn() -> None:
    X, y = digits(600, 10, "uint8")
    model = NetworkClassifier(epochs=12, learning_rate=0.02, random_state=0).fit(X[:400], y[:400])
    assert model.score(X[400:], y[400:]) > 0.85
    X, y = make_regression(300, 5, noise=1.0, random_state=0)
    regressor = NetworkRegressor((32, 16), epochs=100, learning_rate=0.01, random_state=0)
    assert regressor.fit(X[:200], 1e6 * y[:200] + 3e9).score(X[200:], 1e6 * y[200:] + 3e9) > 0.95
    both = np.stack([y, 0 * y + 4], axis=1)  # a constant has no deviation
    predicted = regressor.fit(X[:200], both[:200]).predict(X)
    assert predicted.shape == (300, 2)
    np.testing.assert_allclose(predicted[:, 1], 4, atol=1)


def test_random_states_are_scikit_learns() -> None:
    X, y = digits(60, 3, "float64")

    def weights(model: Any) -> np.ndarray:
        found: np.ndarray = model.fit(X, y).parameters_["W1"]
        return found

    def network(random_state: Any) -> NetworkClassifier:
        return NetworkClassifier(epochs=2, random_state=random_state)

    state = np.random.get_state()[1].copy()  # type: ignore[index]  # noqa: NPY002
    same = network(3)
    np.testing.assert_array_equal(weights(same), weights(same))
    assert (np.random.get_state()[1] == state).all()  # type: ignore[index]  # noqa: NPY002
    generator = network(np.random.RandomState(3))
    assert not np.array_equal(weights(generator), weights(generator))
    np.testing.assert_array_equal(weights(same), weights(network(np.random.RandomState(3))))


@pytest.mark.parametrize("batch_size", [None, 16])
@pytest.mark.parametrize("dropout", [0.0, 0.2])
def test_parts_of_equal_samples_train_as_the_whole_does(batch_size: int | None, dropout: float) -> None:
    X, y = digits(60, 3, "uint8")
    given = {"hidden": (8,), "batch_size": batch_size, "dropout": dropout, "random_state": 0, "l2": 0.1}
    whole = NetworkClassifier(**given, epochs=4, patience=None).fit(X, y)
    parts = NetworkClassifier(**given)
    for _ in range(4):
        parts.partial_fit(X, y, classes=[0, 1, 2])
    np.testing.assert_array_equal(parts.predict_proba(X), whole.predict_proba(X))
    assert parts.n_iter_ == whole.n_iter_ == 4
    assert parts.history_.costs == whole.history_.costs
    longer = whole.partial_fit(X, y)
    assert longer.n_iter_ == 5
    np.testing.assert_array_equal(longer.predict_proba(X), parts.partial_fit(X, y).predict_proba(X))


def test_parts_may_have_one_sample_or_one_class() -> None:
    X, y = digits(200, 3, "float32")
    model = NetworkClassifier((16,), learning_rate=0.01, random_state=0)
    for _ in range(6):
        for start in range(0, 200, 20):
            part = slice(start, start + 20)
            model.partial_fit(X[part], y[part], [2, 1, 0], sample_weight=np.ones(20))
    assert model.score(X, y) > 0.9
    model.partial_fit(X[:1], y[:1]).partial_fit(X[y == 1], y[y == 1])
    regressor = NetworkRegressor((8,), random_state=0)
    for start in range(0, 200, 50):
        regressor.partial_fit(X[start : start + 50], y[start : start + 50])
    assert regressor.n_iter_ == 4
    assert regressor.predict(X).shape == (200,)


def test_networks_start_from_the_last_fit() -> None:
    X, y = digits(100, 3, "uint8")
    model = NetworkClassifier((8,), epochs=5, patience=None, warm_start=True, random_state=0).fit(X, y)
    first = model.history_.costs
    again = model.fit(X, y).history_.costs
    assert again[0] < first[-1]
    assert len(again) == model.n_iter_ == 5
    with pytest.raises(ConfigurationError, match=r"same classes: it is \[0, 1, 2\], and now \[0, 1\]"):
        model.fit(X, np.minimum(y, 1))
    with pytest.raises(ConfigurationError, match="same network"):
        model.set_params(hidden=(9,)).fit(X, y)
    regressor = NetworkRegressor((8,), epochs=5, patience=None, warm_start=True).fit(X, y)
    assert regressor.history_.costs[0] > regressor.fit(X, y).history_.costs[0]


@pytest.mark.parametrize(
    ("estimator", "message"),
    [
        (LogisticRegression(C=0), "C is 0, expected more than 0"),
        (LogisticRegression(tol=-1), "tolerance is -1, expected more than 0"),
        (LogisticRegression(max_iter=0), "iterations is 0"),
        (LogisticRegression(standardize="channel"), "standardize is 'channel', expected one of auto, none"),
        (LogisticRegression(class_weight="even"), "class_weight is 'even', expected 'balanced'"),
        (LogisticRegression(class_weight={5: 1.0}), "not in class_weight"),
        (LinearRegression(alpha=-1.0), "l2 is -2"),
        (NetworkClassifier(hidden=(0,)), "a group of 0 units"),
        (NetworkClassifier(hidden=("wide",)), "layer 'wide:relu'"),
        (NetworkClassifier(activation="step"), "activation is 'step'"),
        (NetworkClassifier(optimizer="magic"), "optimizer is 'magic', expected one of sgd"),
        (NetworkRegressor(epochs=0), "epochs is 0"),
        (NetworkRegressor(batch_size=0), "batch_size is 0"),
    ],
)
def test_parameters_out_of_range_are_refused(estimator: Any, message: str) -> None:
    X, y = digits(30, 3, "float64")
    with pytest.raises(ValueError, match=message):
        estimator.fit(X, y)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (np.ones(29), r"sample_weight has shape \(29,\), expected \(30,\)"),
        (-np.arange(30), r"sample_weight\[29\] is -29.0, expected no negative weights"),
        (np.zeros(30), "all weights in sample_weight are zero"),
        (np.full(30, np.nan), "NaN"),
    ],
)
def test_weights_that_cannot_be_used_are_refused(weights: np.ndarray, message: str) -> None:
    X, y = digits(30, 3, "float64")
    with pytest.raises(ValueError, match=message):
        LogisticRegression().fit(X, y, weights)


def test_labels_that_cannot_be_used_are_refused() -> None:
    X, y = digits(30, 3, "float64")
    with pytest.raises(ShapeError, match="y holds one class"):
        LogisticRegression().fit(X, y, y == 1)  # the only ones with a weight
    model = NetworkClassifier()
    with pytest.raises(ConfigurationError, match="partial_fit needs all classes in its first call"):
        model.partial_fit(X, y)
    model.partial_fit(X, y, [0, 1, 2])
    for labels in (y + 1, -y, np.where(y == 1, 7, y)):
        with pytest.raises(ShapeError, match=r"which is none of the classes \[0, 1, 2\]"):
            model.partial_fit(X, labels)
    with pytest.raises(ConfigurationError, match="same classes"):
        model.partial_fit(X, y, [0, 1])
    regressor = NetworkRegressor().partial_fit(X, y)
    with pytest.raises(ConfigurationError, match="same number of targets"):
        regressor.partial_fit(X, np.stack([y, y], axis=1))
    with pytest.raises(ShapeError, match="scale the targets"), np.errstate(over="ignore"):
        NetworkRegressor().fit(X, y * 1e200)


# Devices.


@pytest.mark.parametrize("estimator", [*CLASSIFIERS, *REGRESSORS], ids=lambda each: type(each).__name__)
def test_another_device_computes_the_same(estimator: Any, monkeypatch: pytest.MonkeyPatch) -> None:

    import backends

    from xpnet.sklearn import inputs

    fake, asked = backends.make("fake"), []

    def select(device: str) -> Any:
        asked.append(device)
        return fake

    given = {"random_state": 0} if "random_state" in estimator.get_params() else {}
    X, y = digits(60, 3, "uint8")
    here = clone(estimator).set_params(**given).fit(X, y).predict(X)
    monkeypatch.setattr(inputs, "select", select)
    there = clone(estimator).set_params(device="gpu:1", **given).fit(X, y)
    np.testing.assert_allclose(there.predict(X), here, rtol=1e-2)
    assert asked == ["gpu:1", "gpu:1"]
    assert fake.crossings.sent > 0
    pickle.dumps(there)


@pytest.mark.parametrize("backend", ["fake", pytest.param("cupy", marks=pytest.mark.gpu)], indirect=True)
@pytest.mark.parametrize("estimator", [*CLASSIFIERS, LinearRegression(), NetworkRegressor((4,), epochs=3)])
def test_rows_on_a_gpu_are_used_there(estimator: Any, backend: Backend) -> None:
    there = backend
    if "random_state" in estimator.get_params():
        estimator = clone(estimator).set_params(random_state=0)
    for dtype in ("uint8", "float32", "int64"):
        X, y = digits(150, 3, "uint8")
        X = X.astype(dtype)
        w = np.linspace(0, 2, len(y))
        host = clone(estimator).fit(X, y, w)
        device = clone(estimator).fit(there.send(X), there.send(y), there.send(w))
        assert device.n_features_in_ == X.shape[1]
        assert np.allclose(device.predict(there.send(X)), host.predict(X), rtol=1e-3, atol=1e-3)
        if hasattr(host, "predict_proba"):
            assert np.allclose(device.predict_proba(there.send(X)), host.predict_proba(X), atol=2e-3)
        assert np.allclose(device.predict(X), device.predict(there.send(X)), rtol=1e-4, atol=1e-4)
    for rows, message in {
        (5, 63): "X has 63 features, but this estimator was fitted to 64", (64,): "expected .m, n_x.", (0, 64): "at least",
    }.items():  # fmt: skip
        with pytest.raises(ValueError, match=message):
            device.predict(there.send(np.zeros(rows)))
    with pytest.raises(ValueError, match="y has 149 labels, expected one for each of 150 rows"):
        clone(estimator).fit(there.send(X), y[1:])
    with pytest.raises(ValueError, match="example 3 holds nan in feature 2"):
        clone(estimator).fit(
            there.send(np.where(np.arange(150 * 64).reshape(150, 64) == 3 * 64 + 2, np.nan, X)), y
        )


def test_a_device_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cupy", None)
    X, y = digits(30, 3, "uint8")
    with pytest.raises(DeviceError):
        LogisticRegression(device="gpu").fit(X, y)
    with pytest.raises(DeviceError, match="device 'tpu': expected"):
        LogisticRegression(device="tpu").fit(X, y)


# Patch features.

FEW = {"count": 8, "size": 3, "grid": 2, "samples": 300, "random_state": 0}


def test_patch_features_of_images_and_of_rows_are_the_same() -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (12, 8, 7, 3), dtype=np.uint8)
    of_images = PatchTransformer(**FEW).fit(images)
    found = of_images.transform(images)
    assert found.shape == (12, of_images.features_.count)
    assert found.dtype == np.float32
    of_rows = PatchTransformer((8, 7, 3), **FEW)
    rows = images.reshape(12, -1)
    np.testing.assert_array_equal(of_rows.fit_transform(rows), found)
    assert of_rows.n_features_in_ == 168
    assert list(of_rows.get_feature_names_out())[:2] == ["patchtransformer0", "patchtransformer1"]
    again = pickle.loads(pickle.dumps(of_images))  # noqa: S301
    np.testing.assert_array_equal(again.transform(images[:5]), found[:5])
    gray = PatchTransformer(**FEW).fit(images[..., 0])
    assert gray.features_.shape == (8, 7, 1)


def test_patch_features_in_a_pipeline() -> None:
    X, y = digits(200, 2, "uint8")
    pipeline = make_pipeline(PatchTransformer((8, 8), **FEW), RidgeClassifier())
    assert cross_val_score(pipeline, X, y, cv=2).min() > 0.9
    search = GridSearchCV(pipeline, {"patchtransformer__size": [2, 3]}, cv=2).fit(X, y)
    assert search.best_score_ > 0.9


def test_images_that_cannot_be_used_are_refused() -> None:
    images = np.zeros((5, 8, 8, 3), np.uint8)
    with pytest.raises(TypeError, match="images are float64, expected uint8"):
        PatchTransformer(**FEW).fit(images / 255)
    with pytest.raises(ShapeError, match=r"expected images .* for rows, give the shape"):
        PatchTransformer(**FEW).fit(images.reshape(5, -1))
    with pytest.raises(ShapeError, match=r"images of shape \(5, 192\), expected \(m, 64\)"):
        PatchTransformer((8, 8), **FEW).fit(images.reshape(5, -1))
    with pytest.raises(NotFittedError):
        PatchTransformer().transform(images)
    model = PatchTransformer(**FEW).fit(images)
    with pytest.raises(ShapeError, match=r"images are \(7, 8, 3\), expected \(8, 8, 3\)"):
        model.transform(images[:, :7])
    with pytest.raises(ConfigurationError, match="patches: count is 7"):
        PatchTransformer(**(FEW | {"count": 7})).fit(images)


def test_scikit_learn_knows_that_patch_features_take_images() -> None:
    """Nearly all of its checks give tables of floats. By the tags it leaves these out."""
    with pytest.warns(SkipTestWarning, match="two_d_array=False, three_d_array=True"):
        done = check_estimator(PatchTransformer(**FEW))
    assert {each["status"] for each in done} == {"passed"}


# The package.


def test_names_of_features_are_kept() -> None:
    X, y = digits(50, 2, "float64")
    pd = pytest.importorskip("pandas")
    table = pd.DataFrame(X, columns=[f"pixel {i}" for i in range(64)])
    model = LogisticRegression().fit(table, y)
    assert list(model.feature_names_in_) == list(table.columns)
    with pytest.raises(ValueError, match="feature names"):
        model.predict(table.rename(columns={"pixel 0": "other"}))


def test_without_scikit_learn_the_error_says_what_to_install() -> None:
    code = "import sys; sys.modules['sklearn'] = None; import xpnet.sklearn"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert (
        "xpnet.sklearn needs scikit-learn, which is not installed: pip install 'xpnet[sklearn]'"
        in done.stderr
    )
