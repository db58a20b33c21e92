"""The history of `fit`: the best epoch, schedules, metrics, notes, and how it is stored."""

from dataclasses import replace

import numpy as np
import pytest
from blobs import MLP, blobs

from xpnet.backend import Backend, select
from xpnet.nn import Adam, GradientDescent, History, Settings, Step
from xpnet.training import Trainer, fit


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


def test_schedules_and_callbacks() -> None:
    data, Y = blobs()
    rates = []
    settings = Settings(
        epochs=4, learning_rate=0.1, schedule=Step(every=2, gamma=0.1), optimizer=GradientDescent()
    )
    fit(MLP, data, Y, select("cpu"), settings, on_epoch=lambda epoch: rates.append(epoch.learning_rate))
    assert rates == pytest.approx([0.1, 0.1, 0.01, 0.01])


def test_a_batch_larger_than_the_data_is_noted() -> None:
    data, Y = blobs(m=30)
    fitted = fit(MLP, data, Y, select("cpu"), Settings(epochs=1, batch_size=256))
    assert fitted.history.notes == ["batch_size is 256, but there are 30 examples: a batch has them all"]
    assert not fit(MLP, data, Y, select("cpu"), Settings(epochs=1, batch_size=30)).history.notes


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
def test_the_training_metric_changes_no_bit_of_the_training(backend: Backend, metric_examples: int) -> None:
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
