"""Sweeps: runs that are trained together, compared with runs that are trained one by one."""

from dataclasses import replace
from typing import Any

import backends
import numpy as np
import pytest

from xpnet.backend import Backend, select
from xpnet.data import ColumnMatrix
from xpnet.errors import ConfigurationError, DivergenceError
from xpnet.linear import descend
from xpnet.nn import (
    OPTIMIZERS,
    SCHEDULES,
    Layer,
    LogisticRegression,
    Network,
    Settings,
    SoftmaxRegression,
    initialize,
)
from xpnet.training import SweepResult, fit, sweep
from xpnet.training.ensemble_trainer import EnsembleTrainer

DESCENT = Settings(
    epochs=20, batch_size=None, optimizer=OPTIMIZERS["sgd"], initializer="zeros", dtype="float64"
)


def problem(m: int = 40, n_x: int = 12, n_classes: int = 2) -> tuple[ColumnMatrix, np.ndarray]:
    generator = np.random.default_rng(0)
    examples = generator.integers(0, 256, (m, n_x), dtype=np.uint8)
    Y = (np.argsort(np.argsort(examples[:, 0])) * n_classes // m)[None]
    return ColumnMatrix.of(examples.T, "feature"), Y


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("method", ["autodiff", "fused", "gram"])
def test_a_sweep_of_descents_equals_single_descents(n_classes: int, method: str, backend: Backend) -> None:
    data, Y = problem(n_classes=n_classes)
    model = LogisticRegression(12) if n_classes == 2 else SoftmaxRegression(12, 3)
    settings = replace(DESCENT, initializer="xavier", class_weight="balanced")
    swept = sweep(
        model, data, Y, backend, settings,
        learning_rates=[0.1, 0.01], l2s=[0.0, 2.0], seeds=[1, 2], validation=(data, Y), method=method,
    )  # fmt: skip
    assert (swept.method, len(swept.runs)) == (method, 8)
    for run in swept.runs:
        s = run.settings
        start = initialize(model, backend, "xavier", s.seed, "float64")
        alone = descend(
            model, data, Y, backend, iterations=20, learning_rate=s.learning_rate, l2=s.l2,
            class_weight="balanced", start=start, method=method, dtype="float64",
        )  # fmt: skip
        np.testing.assert_allclose(run.history.costs, alone.costs, rtol=1e-9)
        buffers = [backend.fetch(p.buffer) for p in (run.parameters, alone.parameters)]
        np.testing.assert_allclose(*buffers, rtol=1e-7, atol=1e-12)
    costs = [run.final_cost for run in swept.runs]
    assert swept.best is swept.runs[int(np.argmin(costs))]
    assert swept.best.settings.learning_rate == 0.1


NETWORKS = [
    Network(12, 1, "sigmoid", (Layer.parse("5:tanh"),)),
    Network(12, 3, "softmax", (Layer.parse("4:relu+3:tanh"), Layer.parse("5:sigmoid"))),
    Network(12, 2, "identity", (Layer.parse("6:relu"),)),
    Network(12, 1, "relu"),
]


@pytest.mark.parametrize("model", NETWORKS, ids=lambda m: f"{m.output}{len(m.hidden)}")
@pytest.mark.parametrize("optimizer", ["sgd", "nesterov", "adamw"])
def test_a_sweep_of_networks_equals_single_trainings(
    model: Network, optimizer: str, backend: Backend
) -> None:
    data, Y = problem(n_classes=3 if model.output == "softmax" else 2)
    classifies = model.output in ("sigmoid", "softmax")
    if not classifies:
        Y = np.concatenate([Y + 1.0, 0.5 * Y])[: model.n_out]
    settings = Settings(
        epochs=3, batch_size=16, optimizer=OPTIMIZERS[optimizer], schedule=SCHEDULES["cosine"], dtype="float64",
        l1=0.5, clip=0.5, seed=3, class_weight="balanced" if classifies else None,
        label_smoothing=0.1 if classifies else 0.0, dropout=0.25 if model.hidden else 0.0,
    )  # fmt: skip
    swept = sweep(
        model, data, Y, backend, settings,
        learning_rates=[0.05, 0.002], l2s=[0.0, 3.0], validation=(data.part(slice(5, 30)), Y[:, 5:30]),
    )  # fmt: skip
    assert swept.method == "autodiff"
    for run in swept.runs:
        alone = fit(model, data, Y, backend, run.settings, (data.part(slice(5, 30)), Y[:, 5:30]))
        np.testing.assert_allclose(run.history.costs, alone.history.costs, rtol=1e-9)
        np.testing.assert_allclose(run.history.criterion, alone.history.criterion, rtol=1e-9)
        metrics = [[e.val_metric for e in h] for h in (run.history, alone.history)]
        np.testing.assert_allclose(*metrics, rtol=1e-9)
        buffers = [backend.fetch(p.buffer) for p in (run.parameters, alone.parameters)]
        np.testing.assert_allclose(*buffers, rtol=1e-6, atol=1e-10)
        assert (run.history.stopped, run.history.best_epoch) == (
            alone.history.stopped,
            alone.history.best_epoch,
        )


def test_seeds_change_the_start_but_not_the_batches(backend: Backend) -> None:
    data, Y = problem()
    model = NETWORKS[0]
    swept = sweep(model, data, Y, backend, Settings(epochs=1, batch_size=16), seeds=[1, 2])
    costs = [run.history.costs[0] for run in swept.runs]
    assert costs[0] != costs[1]
    alone = fit(
        model,
        data,
        Y,
        backend,
        Settings(epochs=1, batch_size=16, seed=0),
        start=initialize(model, backend, seed=2),
    )
    # The order is that of the first run's seed, so only the start tells them apart.
    assert swept.runs[1].settings.seed == 2
    assert costs[1] == pytest.approx(alone.history.costs[0], rel=0.2)


@pytest.mark.parametrize("model", [LogisticRegression(12), NETWORKS[0]], ids=["descent", "network"])
def test_a_run_that_diverges_leaves_the_others_alone(model: Network, backend: Backend) -> None:
    data, Y = problem()
    settings = replace(
        DESCENT, dtype="float32", batch_size=None if not model.hidden else 16, initializer="he"
    )
    raw = data.standardized_as(type(data)(data.examples).standardizer)
    swept = sweep(model, raw, Y, backend, settings, learning_rates=[1e38, 1e-4], l2s=[1.0])
    bad, good = swept.runs
    assert bad.history.has_diverged
    assert bad.final_cost == float("inf")
    assert len(bad.history) < 20
    assert len(good.history) == 20
    assert swept.best is good
    with pytest.raises(DivergenceError, match=r"the cost became (inf|nan) at step \d+"):
        sweep(model, raw, Y, backend, settings, learning_rates=[1e38, 1e37], l2s=[1.0])


def test_a_step_of_an_ensemble_transfers_nothing(backend: Backend) -> None:
    data, Y = problem(n_classes=3)
    settings = Settings(batch_size=16, clip=1.0, dropout=0.5, l1=0.1, optimizer=OPTIMIZERS["adam"])
    each = [replace(settings, l2=l2) for l2 in (0.0, 1.0)]
    training = EnsembleTrainer(NETWORKS[1], data, Y, backend, each)
    batches = iter(training._batches.epoch(np.arange(40), 16))
    first, second = next(batches), next(batches)
    rates = dict.fromkeys(NETWORKS[1].shapes, 0.1)
    training.step(first, rates, 0)  # kernels compile now, the dropout's places are sent
    before = backend.crossings.total
    with backend.activate(), backends.no_sync(backend):
        training.step(second, rates, 1)
    assert backend.crossings.total == before


def test_model_and_settings_choose_the_method() -> None:
    data, Y = problem()
    cpu = select("cpu")

    def swept(change: dict[str, Any], model: Network | None = None, method: str = "auto") -> SweepResult:
        return sweep(
            model or LogisticRegression(12), data, Y, cpu, replace(DESCENT, **change),
            learning_rates=[0.1, 0.2], method=method,
        )  # fmt: skip

    assert swept({}).method == "fused"
    assert swept({"batch_size": 40}).method == "fused"
    assert swept({"batch_size": 16}).method == "autodiff"
    assert swept({"optimizer": OPTIMIZERS["adam"]}).method == "autodiff"
    assert swept({"l1": 1.0}).method == "autodiff"
    assert swept({}, NETWORKS[0]).reason.startswith("only full-batch sgd of logistic or softmax regression")
    with pytest.raises(ConfigurationError, match="method is 'gram', which is for full-batch"):
        swept({}, NETWORKS[0], "gram")
    with pytest.raises(ConfigurationError, match="patience stops one training"):
        swept({"patience": 2})
    with pytest.raises(ConfigurationError, match="metric_examples is for one training"):
        swept({"metric_examples": 10})
    with pytest.raises(ConfigurationError, match="label_smoothing is for classifiers"):
        swept({"label_smoothing": 0.1}, NETWORKS[3])
