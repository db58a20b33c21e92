"""Training through the graph: the course's costs, scikit-learn's steps, and what a step may not do."""

from dataclasses import replace
from typing import Any

import backends
import numpy as np
import pytest
from locations import CATS

from xpnet.backend.backend import Backend, select
from xpnet.data.column_matrix import ColumnMatrix
from xpnet.errors import ConfigurationError, DeviceError, DivergenceError, DtypeError, ShapeError
from xpnet.nn.history import Epoch, History
from xpnet.nn.network import Layer, LogisticRegression, Network, SoftmaxRegression
from xpnet.nn.optimizers import Adam, GradientDescent, Momentum
from xpnet.nn.parameters import Parameters
from xpnet.nn.schedules import Step
from xpnet.nn.settings import Settings
from xpnet.training.ensemble_trainer import EnsembleTrainer
from xpnet.training.trainer import fit
from xpnet.training.sweeps import sweep
from xpnet.training.trainer import Trainer, clip


def blobs(m: int = 300, n_classes: int = 3, seed: int = 0) -> tuple[ColumnMatrix, np.ndarray]:
    """Return points around as many centres as there are classes, and their classes."""
    generator = np.random.default_rng(seed)
    Y = generator.integers(0, n_classes, (1, m))
    centres = 6.0 * np.eye(n_classes, 4)
    return ColumnMatrix((centres[Y[0]] + generator.standard_normal((m, 4))).astype("float32")), Y


MLP = Network(4, 3, "softmax", (Layer.parse("16:relu"),))


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


@pytest.mark.parametrize("precision", ["tf32", "bfloat16"])
@pytest.mark.parametrize("epochs", ["fit", "sweep"])
def test_precision_is_of_the_steps_alone(
    epochs: str, precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend, seen = backends.make("fake"), []
    linalg = backend.xp._core._routines_linalg
    before = linalg.get_compute_type(np.float32)
    kind = Trainer if epochs == "fit" else EnsembleTrainer
    name = "_change" if epochs == "fit" else "step"
    step = getattr(kind, name)

    def watched(training: Any, *args: Any) -> Any:
        seen.append(linalg.get_compute_type(np.float32))
        return step(training, *args)

    monkeypatch.setattr(kind, name, watched)
    data, Y = blobs()
    settings = Settings(epochs=1, batch_size=150, precision=precision)
    if epochs == "fit":
        fit(MLP, data, Y, backend, settings)
    else:
        sweep(MLP, data, Y, backend, settings, learning_rates=[0.01, 0.001])
    asked = {"tf32": linalg.COMPUTE_TYPE_TF32, "bfloat16": linalg.COMPUTE_TYPE_BF16}
    assert seen == [asked[precision]] * 2
    assert linalg.get_compute_type(np.float32) == before


def test_a_precision_that_the_device_lacks_is_refused_before_training() -> None:
    data, Y = blobs()
    for refused in (fit, lambda *a: sweep(*a, learning_rates=[0.01])):
        with pytest.raises(DeviceError, match="precision tf32 needs a GPU"):
            refused(MLP, data, Y, select("cpu"), Settings(precision="tf32"))
    with pytest.raises(ConfigurationError, match="precision is 'float16', expected one of float32, tf32, b"):
        Settings(precision="float16")
    with pytest.raises(ConfigurationError, match="which needs float32 arithmetic, but dtype is 'float64'"):
        Settings(precision="tf32", dtype="float64")


def test_nothing_in_a_step_crosses_or_waits(backend: Backend) -> None:
    data, Y = blobs()
    settings = Settings(clip=1.0, l1=0.1, l2=0.1, class_weight="balanced", optimizer=Adam(decay=0.01),
        dropout=0.5, label_smoothing=0.1,
    )  # fmt: skip
    training = Trainer(MLP, data, Y, backend, settings)
    indices = backend.send(np.arange(32))
    training.step(training.batches.take(indices), 0.001, 0)  # kernels compile now
    before = backend.crossings.total
    with backends.no_sync(backend):
        training.step(training.batches.take(indices), 0.001, 1)
    assert backend.crossings.total == before


def test_an_epoch_crosses_a_few_times_only(backend: Backend) -> None:
    """The order goes, the costs of the window come; the number of steps does not matter."""
    data, Y = blobs()
    counts = []
    for batch_size in (300, 30, 3):
        training = Trainer(MLP, data, Y, backend, Settings(batch_size=batch_size))
        training.epoch()  # a GPU records a step in it, and looks once whether that does the same
        before = backend.crossings.total
        training.epoch()
        counts.append(backend.crossings.total - before)
    assert counts == [1, 2, 2]  # a full batch needs no order


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


@pytest.mark.skipif(not CATS.is_dir(), reason="the course's cat pictures are not here")
def test_the_course_job() -> None:
    h5py = pytest.importorskip("h5py")
    with h5py.File(CATS / "train_catvnoncat.h5") as file:
        images, Y = file["train_set_x"][:], file["train_set_y"][:][None]
    data = ColumnMatrix(images.reshape(len(images), -1))
    from xpnet.data.standardize import fit_standardizer as fit_standardizer

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


def test_early_stopping_restores_the_best(backend: Backend) -> None:
    data, Y = blobs(m=40)
    generator = np.random.default_rng(5)
    noise = (blobs(m=40, seed=2)[0], generator.integers(0, 3, (1, 40)))
    seen: list[np.ndarray] = []
    training = Trainer(MLP, data, Y, backend, Settings(epochs=50, learning_rate=0.05, patience=3), noise)
    while not training.history or len(seen) - training.history.best_epoch < 3:
        training.epoch()
        seen.append(backend.fetch(training.parameters.buffer).copy())
    training.restore_best()
    best = training.history.best_epoch
    assert best < len(seen)
    np.testing.assert_array_equal(backend.fetch(training.parameters.buffer), seen[best - 1])
    fitted = fit(MLP, data, Y, backend, Settings(epochs=50, learning_rate=0.05, patience=3), noise)
    assert fitted.history.stopped == "no lower cost for 3 epochs"
    assert len(fitted.history) == len(seen)
    np.testing.assert_array_equal(backend.fetch(fitted.parameters.buffer), seen[best - 1])


def test_divergence_names_the_step(backend: Backend) -> None:
    data, Y = blobs(n_classes=2)
    model = Network(4, 1, "identity")
    settings = Settings(batch_size=10, learning_rate=1e18, optimizer=GradientDescent())
    with (
        pytest.raises(
            DivergenceError, match=r"at step \d+ \(epoch 1\): try a smaller learning rate"
        ) as caught,
        np.errstate(all="ignore"),
    ):
        fit(model, data, Y.astype("float32"), backend, settings)
    assert 1 < caught.value.step <= 10


def test_schedules_and_callbacks() -> None:
    data, Y = blobs()
    rates = []
    settings = Settings(
        epochs=4, learning_rate=0.1, schedule=Step(every=2, gamma=0.1), optimizer=GradientDescent()
    )
    fit(MLP, data, Y, select("cpu"), settings, on_epoch=lambda epoch: rates.append(epoch.learning_rate))
    assert rates == pytest.approx([0.1, 0.1, 0.01, 0.01])


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


def test_a_batch_larger_than_the_data_is_clipped_and_said() -> None:
    data, Y = blobs(m=30)
    fitted = fit(MLP, data, Y, select("cpu"), Settings(epochs=1, batch_size=256))
    assert fitted.history.notes == ["batch_size is 256, but there are 30 examples: a batch has them all"]
    assert not fit(MLP, data, Y, select("cpu"), Settings(epochs=1, batch_size=30)).history.notes


def test_streamed_data_trains_the_same(backend: Backend) -> None:
    data, Y = blobs()
    buffers = []
    for resident_bytes in (None, 0):
        settings = Settings(epochs=2, batch_size=64, dtype="float64", resident_bytes=resident_bytes)
        fitted = fit(MLP, data, Y, backend, settings, blobs(seed=1))
        buffers.append(backend.fetch(fitted.parameters.buffer))
    np.testing.assert_array_equal(*buffers)


@pytest.mark.parametrize("limit", [0.5, 100.0])
def test_clipping(limit: float, backend: Backend) -> None:
    host = np.random.default_rng(0).standard_normal((10, 1))
    gradient = backend.send(host.copy())
    with backends.no_sync(backend):
        clip(gradient, limit)
    expected = host * min(1.0, limit / np.linalg.norm(host))
    np.testing.assert_allclose(backend.fetch(gradient), expected, rtol=1e-12)
    zeros = backend.send(np.zeros((4, 1)))
    clip(zeros, limit)
    assert not backend.fetch(zeros).any()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"learning_rate": 0}, "learning_rate is 0, expected more than 0"),
        ({"learning_rate": -1.0}, "learning_rate is -1.0"),
        ({"learning_rate": float("nan")}, "learning_rate is nan"),
        ({"epochs": 0}, "epochs is 0, expected a whole number of at least 1"),
        ({"batch_size": 1.5}, "batch_size is 1.5"),
        ({"patience": -1}, "patience is -1"),
        ({"metric_examples": -1}, "metric_examples is -1, expected a whole number of at least 0"),
        ({"metric_examples": 1e3}, "metric_examples is 1000.0"),
        ({"l2": -0.1}, "l2 is -0.1, expected at least 0"),
        ({"clip": 0}, "clip is 0"),
        ({"dropout": 1.0}, "dropout is 1.0, expected at least 0 and below 1"),
        ({"label_smoothing": -0.1}, "label_smoothing is -0.1"),
        ({"dtype": "float16"}, "dtype is 'float16', expected 'float32' or 'float64'"),
    ],
)
def test_settings_that_are_not_possible_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        Settings(**values)


def nan_in(data: ColumnMatrix) -> ColumnMatrix:
    examples = data.examples.copy()
    examples[7, 2] = np.nan
    return ColumnMatrix(examples)


@pytest.mark.parametrize(
    ("model", "change", "error", "message"),
    [
        (MLP, lambda data, Y: (nan_in(data), Y), ShapeError, "example 7 holds nan in feature 2"),
        (MLP, lambda data, Y: (data, Y[:, :-1]), ShapeError, r"Y has shape \(1, 299\), expected \(1, 300\)"),
        (MLP, lambda data, Y: (data, Y[0]), ShapeError, r"Y has shape \(300,\), expected \(1, 300\)"),
        (MLP, lambda data, Y: (data, Y + 1), ShapeError, "labels from 1 to 3, expected 0 to 2"),
        (
            MLP,
            lambda data, Y: (data, 0 * Y),
            ShapeError,
            "all 300 examples are of class 0: expected at least two classes",
        ),
        (MLP, lambda data, Y: (data, Y * 1.0), DtypeError, "Y is float64, expected integer class indices"),
        (
            LogisticRegression(4),
            lambda data, Y: (data, Y),
            ShapeError,
            "values from 0 to 2, expected 0 and 1",
        ),
        (LogisticRegression(4), lambda data, Y: (data, (Y > 0) * np.nan), ShapeError, "expected 0 and 1"),
        (
            Network(4, 1, "relu"),
            lambda data, Y: (data, Y / 0),
            ShapeError,
            "a NaN or an infinity, expected finite targets",
        ),
        (Network(4, 1, "relu"), lambda data, Y: (data, Y.astype(str)), DtypeError, "expected numbers"),
        (SoftmaxRegression(5, 3), lambda data, Y: (data, Y), ShapeError, "the model expects 5 features"),
    ],
)
def test_data_that_cannot_be_learned_from_is_refused(
    model: Network, change: Any, error: type, message: str
) -> None:
    with np.errstate(all="ignore"):
        data, Y = change(*blobs())
    with pytest.raises(error, match=message):
        fit(model, data, Y, select("cpu"), Settings())


@pytest.mark.parametrize(
    ("model", "weights", "message"),
    [
        (MLP, "even", "class_weight is 'even', expected 'balanced' or 3 positive numbers"),
        (MLP, (1.0, 2.0), "expected 'balanced' or 3 positive numbers"),
        (MLP, (1.0, 2.0, 0.0), "3 positive numbers"),
        (Network(4, 1, "identity"), "balanced", "class_weight needs a classifier"),
    ],
)
def test_class_weights_that_do_not_fit_are_refused(model: Network, weights: Any, message: str) -> None:
    data, Y = blobs()
    with pytest.raises(ConfigurationError, match=message):
        fit(model, data, Y, select("cpu"), Settings(class_weight=weights))


def test_a_history_survives_a_file() -> None:
    data, Y = blobs()
    settings = Settings(epochs=2, metric_examples=100)
    history = fit(MLP, data, Y, select("cpu"), settings, validation=blobs(seed=1)).history
    assert History.from_dict(history.to_dict()) == history


def test_validation_data_may_be_of_one_class() -> None:
    data, Y = blobs()
    held = np.flatnonzero(Y[0] == 1)[:20]
    history = fit(
        MLP, data, Y, select("cpu"), Settings(epochs=3), validation=(data.part(held), Y[:, held])
    ).history
    assert history[-1].val_metric is not None


@pytest.mark.parametrize("resident_bytes", [None, 0])
def test_the_metric_of_an_epoch_is_that_of_its_examples(backend: Backend, resident_bytes: int | None) -> None:
    data, Y = blobs()
    settings = Settings(
        epochs=3, batch_size=64, learning_rate=0.01, resident_bytes=resident_bytes, metric_examples=300
    )
    epochs = fit(MLP, data, Y, backend, settings, validation=(data, Y)).history
    assert [epoch.metric for epoch in epochs] == [epoch.val_metric for epoch in epochs]
    assert len({epoch.metric for epoch in epochs}) > 1


@pytest.mark.parametrize("metric_examples", [100, 300, 10**9])
def test_judging_changes_no_bit_of_the_training(backend: Backend, metric_examples: int) -> None:
    data, Y = blobs()
    settings = Settings(epochs=3, batch_size=64, dropout=0.2, optimizer=Adam())
    plain, measured = (
        fit(MLP, data, Y, backend, replace(settings, metric_examples=count)) for count in (0, metric_examples)
    )
    buffers = [backend.fetch(fitted.parameters.buffer) for fitted in (plain, measured)]
    assert buffers[0].tobytes() == buffers[1].tobytes()
    assert plain.history.costs == measured.history.costs
    assert [epoch.metric for epoch in plain.history] == [None] * 3
    assert all(0 <= epoch.metric <= 1 for epoch in measured.history)


def test_a_metric_that_is_no_number_is_nothing_in_a_file() -> None:
    for value in (float("nan"), float("-inf")):  # R² of equal targets, and of weights that ran away
        history = History([Epoch(1, 0.5, 0.1, 0.1, metric=value)])
        assert history.to_dict()["epochs"][0]["metric"] is None
