"""Results of `fit`: against scikit-learn, the course, the other backends, and known problems."""

import numpy as np
import pytest
from blobs import MLP, blobs
from locations import CATS

from xpnet.backend import Backend, select
from xpnet.data import ColumnMatrix, fit_standardizer
from xpnet.nn import Adam, GradientDescent, Layer, LogisticRegression, Momentum, Network, Parameters, Settings
from xpnet.training import Trainer, fit


def test_a_network_learns(backend: Backend) -> None:
    data, Y = blobs()
    fitted = fit(
        MLP,
        data,
        Y,
        backend,
        Settings(epochs=20, batch_size=32, learning_rate=0.03),
        validation=blobs(seed=1),
    )
    last = fitted.history[-1]
    assert last.cost < 0.1 < fitted.history[0].cost
    assert last.val_metric > 0.97
    assert fitted.history.stopped == "all 20 epochs done"
    assert backend.holds(fitted.parameters.buffer)


def test_the_same_training_on_every_backend(backend: Backend) -> None:
    data, Y = blobs()
    settings = Settings(
        epochs=2, batch_size=64, learning_rate=0.01, dtype="float64", l2=0.1, l1=0.1, clip=1.0
    )
    here = fit(MLP, data, Y, backend, settings, validation=blobs(seed=1))
    there = fit(MLP, data, Y, select("cpu"), settings, validation=blobs(seed=1))
    np.testing.assert_allclose(here.history.costs, there.history.costs, rtol=1e-9)
    np.testing.assert_allclose(here.history.criterion, there.history.criterion, rtol=1e-9)
    np.testing.assert_allclose(
        backend.fetch(here.parameters.buffer), there.parameters.buffer, rtol=1e-6, atol=1e-9
    )


def test_adam_takes_the_steps_of_scikit_learn() -> None:
    neural = pytest.importorskip("sklearn.neural_network")
    generator = np.random.default_rng(0)
    X, y = generator.standard_normal((200, 5)), generator.integers(0, 3, 200)
    theirs = neural.MLPClassifier(
        (7,),
        solver="adam",
        alpha=0.0,
        batch_size=40,
        learning_rate_init=0.01,
        shuffle=False,
        max_iter=1,
        random_state=0,
    )
    theirs.partial_fit(X, y, classes=[0, 1, 2])
    start = [array.copy() for array in (*theirs.coefs_, *theirs.intercepts_)]
    model = Network(5, 3, "softmax", (Layer.parse("7:relu"),))
    settings = Settings(batch_size=40, learning_rate=0.01, dtype="float64", optimizer=Adam())
    # Both begin anew from the same weights, with fresh moments.
    theirs._optimizer = type(theirs._optimizer)(theirs.coefs_ + theirs.intercepts_, 0.01)
    buffer = np.concatenate(
        [
            start[0].T.reshape(-1, 1),
            start[2].reshape(-1, 1),
            start[1].T.reshape(-1, 1),
            start[3].reshape(-1, 1),
        ]
    )
    training = Trainer(
        model, ColumnMatrix(X), y[None], select("cpu"), settings, start=Parameters(model, buffer)
    )
    for i in range(20):
        rows = np.arange(40) + 40 * (i % 5)
        training.step(training.batches.take(rows), 0.01, i)
        theirs.partial_fit(X[rows], y[rows])
    ours = training.parameters.views
    for name, expected in [("W1", theirs.coefs_[0].T), ("W2", theirs.coefs_[1].T)]:
        np.testing.assert_allclose(ours[name], expected, atol=1e-4)
    for name, expected in [("b1", theirs.intercepts_[0]), ("b2", theirs.intercepts_[1])]:
        np.testing.assert_allclose(ours[name][:, 0], expected, atol=1e-4)


def test_full_batch_logistic_regression_converges_to_scikit_learns() -> None:
    linear = pytest.importorskip("sklearn.linear_model")
    data, Y = blobs(n_classes=2)
    data = ColumnMatrix.of(data.X.astype("float64"), "feature")
    X = data.standardized().T
    theirs = linear.LogisticRegression(C=0.5, tol=1e-10, max_iter=5000).fit(X, Y[0])
    settings = Settings(
        epochs=4000,
        batch_size=None,
        learning_rate=0.1,
        optimizer=Momentum(),
        l2=2.0,
        initializer="zeros",
        dtype="float64",
    )
    fitted = fit(LogisticRegression(4), data, Y, select("cpu"), settings)
    np.testing.assert_allclose(fitted.parameters.views["W1"], theirs.coef_, atol=1e-3)
    np.testing.assert_allclose(fitted.parameters.views["b1"][0], theirs.intercept_, atol=1e-3)


@pytest.mark.skipif(not CATS.is_dir(), reason="the cat images of the course are missing")
def test_the_course_job() -> None:
    h5py = pytest.importorskip("h5py")
    with h5py.File(CATS / "train_catvnoncat.h5") as file:
        images, Y = file["train_set_x"][:], file["train_set_y"][:][None]
    data = ColumnMatrix(images.reshape(len(images), -1))
    data = data.standardized_as(fit_standardizer([], "unit"))
    settings = Settings(
        epochs=301,
        batch_size=None,
        learning_rate=0.005,
        optimizer=GradientDescent(),
        initializer="zeros",
        dtype="float64",
    )
    fitted = fit(LogisticRegression(12288), data, Y, select("cpu"), settings)
    np.testing.assert_allclose(
        fitted.history.costs[::100], [0.693147, 0.584508, 0.466949, 0.376007], atol=5e-7
    )


def test_house_prices_by_one_relu_neuron(backend: Backend) -> None:
    """Six houses: size in thousands of square feet, price in hundreds of thousands."""
    size = np.array([[0.5], [0.8], [1.2], [1.5], [2.0], [2.6]])
    price = (1.7 * size.T + 0.3) + np.array([[0.02, -0.03, 0.01, 0.02, -0.01, 0.0]])
    model = Network(1, 1, "relu")
    settings = Settings(
        epochs=300, batch_size=None, learning_rate=0.05, optimizer=Momentum(), seed=3, dtype="float64"
    )
    fitted = fit(model, ColumnMatrix(size), price, backend, settings, validation=(ColumnMatrix(size), price))
    assert fitted.history[-1].val_metric > 0.99


def test_a_mixed_network_learns_several_inputs() -> None:
    generator = np.random.default_rng(0)
    X = generator.uniform(-1, 1, (400, 3))
    price = (np.maximum(X[:, :1], 0) + np.tanh(2 * X[:, 1:2]) + 0.5 * X[:, 2:]).T
    model = Network(3, 1, "identity", (Layer.parse("32:relu+16:tanh"),))
    settings = Settings(epochs=60, batch_size=32, learning_rate=0.01)
    held_back = slice(300, None)
    fitted = fit(
        model,
        ColumnMatrix(X[:300]),
        price[:, :300],
        select("cpu"),
        settings,
        validation=(ColumnMatrix(X[held_back]), price[:, held_back]),
    )
    assert fitted.history[-1].val_metric > 0.98


def test_balanced_weights_make_classes_count_alike() -> None:
    data, Y = blobs(n_classes=2)
    few = np.flatnonzero((Y[0] == 0) | (np.arange(300) % 10 == 0))
    data, Y = ColumnMatrix(data.examples[few]), Y[:, few]
    counts = np.bincount(Y[0])
    twice = fit(
        LogisticRegression(4),
        data,
        Y,
        select("cpu"),
        Settings(batch_size=None, class_weight=tuple(len(Y[0]) / (2 * counts)), epochs=5, dtype="float64"),
    )
    balanced = fit(
        LogisticRegression(4),
        data,
        Y,
        select("cpu"),
        Settings(batch_size=None, class_weight="balanced", epochs=5, dtype="float64"),
    )
    np.testing.assert_allclose(twice.parameters.buffer, balanced.parameters.buffer)


@pytest.mark.parametrize("n_out", [1, 2])
@pytest.mark.parametrize("resident_bytes", [None, 0])
def test_an_example_of_weight_two_is_two_examples(
    n_out: int, resident_bytes: int | None, backend: Backend
) -> None:
    data, _ = blobs(m=40)
    generator = np.random.default_rng(2)
    targets = generator.standard_normal((n_out, 40))
    times = generator.integers(1, 4, 40)
    model = Network(4, n_out, "identity", (Layer.parse("5:tanh"),))
    settings = Settings(batch_size=None, epochs=5, dtype="float64", resident_bytes=resident_bytes)
    weights = times[None] * (40 / times.sum())
    weighted = fit(model, data, targets, backend, settings, weights=weights)
    repeated = ColumnMatrix(np.repeat(data.examples, times, axis=0)), np.repeat(targets, times, axis=1)
    expected = fit(model, *repeated, select("cpu"), settings)
    np.testing.assert_allclose(weighted.history.costs, expected.history.costs, rtol=1e-9)
    np.testing.assert_allclose(
        backend.fetch(weighted.parameters.buffer), expected.parameters.buffer, rtol=1e-7, atol=1e-9
    )


def test_streamed_data_trains_the_same(backend: Backend) -> None:
    """On a CPU to the bit. On a GPU to rounding: see `Settings.resident_bytes`."""
    data, Y = blobs()
    buffers = []
    for resident_bytes in (None, 0):
        settings = Settings(epochs=2, batch_size=64, dtype="float64", resident_bytes=resident_bytes)
        fitted = fit(MLP, data, Y, backend, settings, blobs(seed=1))
        buffers.append(backend.fetch(fitted.parameters.buffer))
    tolerance = 1e-12 if backend.xp.__name__ == "cupy" else 0.0
    np.testing.assert_allclose(*buffers, rtol=tolerance, atol=tolerance)
