"""Numbers that are not finite: in validation data, in costs, in parameters. None gets into a file."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from blobs import MLP, blobs

from xpnet.backend import select
from xpnet.data import ColumnMatrix
from xpnet.errors import DivergenceError, ShapeError
from xpnet.linear import descend
from xpnet.nn import OPTIMIZERS, Epoch, History, LogisticRegression, Network, Settings
from xpnet.training import fit, sweep, trainer

CPU = select("cpu")
STEEP = Settings(epochs=1, batch_size=None, optimizer=OPTIMIZERS["sgd"], learning_rate=1e300)
"""One step, after which the parameters are infinite. The cost before it is finite."""


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_last_step_that_diverges_is_an_error(tmp_path: Path) -> None:
    data, Y = blobs(60)
    with pytest.raises(DivergenceError, match=r"a parameter became nan at step 1 \(epoch 1\)") as caught:
        fit(MLP, data, Y, CPU, STEEP, checkpoint=tmp_path / "c")
    assert caught.value.step == 1
    assert not list(tmp_path.iterdir())
    with pytest.raises(DivergenceError, match="a parameter is not finite after step 1"):
        descend(LogisticRegression(4), data, np.minimum(Y, 1), CPU, iterations=1, learning_rate=1e300)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_training_that_diverged_leaves_no_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A training that resumed from it would diverge again, and one with another rate would be refused."""
    monkeypatch.setattr(trainer, "CHECKPOINT_SECONDS", 0.0)
    data, Y = blobs(60)
    settings = replace(STEEP, epochs=50, learning_rate=10.0, batch_size=30)
    exists: list[bool] = []
    with pytest.raises(DivergenceError):
        fit(
            Network(4, 1, "identity"), data, Y * 1.0, CPU, settings,
            on_epoch=lambda _: exists.append((tmp_path / "c").exists()), checkpoint=tmp_path / "c",
        )  # fmt: skip
    assert any(exists)
    assert not list(tmp_path.iterdir())


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("model", [LogisticRegression(4), Network(4, 1, "identity")])
def test_a_sweep_without_a_finite_run_says_why(model: Network) -> None:
    data, Y = blobs(60)
    with pytest.raises(DivergenceError, match="became nan at step"):
        sweep(model, data, np.minimum(Y, 1) * 1.0, CPU, STEEP, learning_rates=[1e300, 1e301])


def test_a_sweep_whose_validation_costs_overflow_says_so() -> None:
    data, Y = blobs(60)
    settings = Settings(epochs=2, batch_size=30)
    far = data, np.full((1, 60), 1e25)
    with pytest.raises(DivergenceError, match="the validation cost of every run is too large"):
        sweep(Network(4, 1, "identity"), data, Y * 1.0, CPU, settings, seeds=[0, 1], validation=far)


def test_validation_data_that_is_not_finite_is_refused() -> None:
    data, Y = blobs(60)
    examples = data.examples.copy()
    examples[7, 2] = np.nan
    held, settings = (ColumnMatrix(examples), Y), Settings(epochs=1)
    with pytest.raises(ShapeError, match="example 7 holds nan in feature 2"):
        fit(MLP, data, Y, CPU, settings, held)
    with pytest.raises(ShapeError, match="example 7 holds nan in feature 2"):
        sweep(MLP, data, Y, CPU, settings, seeds=[0, 1], validation=held)


def test_a_cost_that_is_nan_is_never_the_best() -> None:
    history = History()
    assert [history.add(Epoch(i, 1.0, 0.1, 0.0, cost)) for i, cost in ((1, np.nan), (2, 3.0), (3, np.nan))] == [
        True, True, False,
    ]  # fmt: skip
    assert history.best_epoch == 2
