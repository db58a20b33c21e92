"""Training steps: their precision, what they transfer, gradient clipping, and divergence."""

from typing import Any

import backends
import numpy as np
import pytest
from blobs import MLP, blobs

from xpnet.backend import Backend
from xpnet.errors import DivergenceError
from xpnet.nn import Adam, GradientDescent, Network, Settings
from xpnet.training import Trainer, fit, sweep
from xpnet.training.ensemble_trainer import EnsembleTrainer
from xpnet.training.trainer import clip


@pytest.mark.parametrize("epochs", ["fit", "sweep"])
def test_precision_is_set_during_steps_only(epochs: str, monkeypatch: pytest.MonkeyPatch) -> None:
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
    settings = Settings(epochs=1, batch_size=150, precision="tf32")
    if epochs == "fit":
        fit(MLP, data, Y, backend, settings)
    else:
        sweep(MLP, data, Y, backend, settings, learning_rates=[0.01, 0.001])
    assert seen == [linalg.COMPUTE_TYPE_TF32] * 2
    assert linalg.get_compute_type(np.float32) == before


def test_a_step_transfers_nothing_and_does_not_wait(backend: Backend) -> None:
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


def test_an_epoch_transfers_only_a_few_times(backend: Backend) -> None:
    """The order is sent and the costs are fetched, for any number of steps."""
    data, Y = blobs()
    counts = []
    for batch_size in (300, 30, 3):
        training = Trainer(MLP, data, Y, backend, Settings(batch_size=batch_size))
        training.epoch()  # a GPU records a step in it, and looks once whether that does the same
        before = backend.crossings.total
        training.epoch()
        counts.append(backend.crossings.total - before)
    assert counts == [1, 2, 2]  # a full batch needs no order


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
