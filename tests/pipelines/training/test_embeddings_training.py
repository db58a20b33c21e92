"""Training on features in files: validation, splits, sweeps and reports are as for tables."""

from pathlib import Path

import numpy as np
import pytest

import xpnet
from xpnet.errors import UsageError
from xpnet.pipelines.messages import Messages
from xpnet.pipelines.report import ReportJob, write_report
from xpnet.pipelines.training import Plan, TrainJob, sweep_job, train_job

RNG = np.random.default_rng(2)
Y = np.arange(120) % 3
X = (RNG.normal(size=(3, 5))[Y] * 2 + RNG.normal(size=(120, 5))).astype(np.float32)


@pytest.fixture
def data(tmp_path: Path) -> str:
    bad = X.copy()
    bad[4, 1] = np.nan
    names = [f"n{i}" for i in range(120)]
    np.savez(tmp_path / "f.npz", features=bad, labels=Y, classes=["a", "b", "c"], names=names)
    return str(tmp_path / "f.npz")


def test_what_is_skipped_is_reported(data: str, tmp_path: Path) -> None:
    import h5py

    outcome = train_job(TrainJob(data=data, plan=Plan(), device="cpu"), Messages())
    assert outcome.skipped == [(f"{data}: n4", "feature 1 is nan, expected a finite number")]
    with h5py.File(tmp_path / "f.h5", "w") as file, np.load(data) as arrays:
        file["X"], file["y"] = arrays["features"], arrays["labels"]
    outcome = train_job(TrainJob(data=str(tmp_path / "f.h5"), plan=Plan(), device="cpu"), Messages())
    assert [name for name, _ in outcome.skipped] == [f"{tmp_path}/f.h5: 4"]


def test_validation(data: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "val.npz", X=X[:30], y=np.array(["c", "b", "a"])[2 - Y[:30]])
    job = TrainJob(data=data, plan=Plan(), device="cpu", val=str(tmp_path / "val.npz"))
    assert train_job(job, Messages()).metrics["validation"][1] > 0.7
    job = TrainJob(data=data, plan=Plan(), device="cpu", val_split=0.25)
    outcome = train_job(job, Messages())
    assert outcome.validation is not None
    assert (outcome.dataset.data.m, outcome.validation.data.m) == (89, 30)
    assert len(outcome.dataset.names) == 89


def test_a_sweep_and_a_report(data: str, tmp_path: Path) -> None:
    output = str(tmp_path / "m.safetensors")
    job = TrainJob(data=data, plan=Plan(epochs=2), device="cpu", output=output)
    sweep_job(job, {"learning_rates": [0.1, 0.01]}, Messages())
    write_report(ReportJob(output, str(tmp_path / "r.html"), data=data, device="cpu"), Messages())
    assert (tmp_path / "r.html").stat().st_size > 1000


def test_a_network_and_kinds_of_models(data: str) -> None:
    network = xpnet.train(data, hidden="8:relu", epochs=40, learning_rate=0.01, device="cpu")
    assert network.evaluate(data)["accuracy"] > 0.8
    with pytest.raises(UsageError, match="patches"):
        xpnet.train(data, features="patches", device="cpu")


def test_arrays_in_memory_give_the_same_model(data: str) -> None:
    used = np.delete(np.arange(120), 4)
    of_file = xpnet.train(data, device="cpu")
    of_arrays = xpnet.train(X[used].T, Y[used], device="cpu")
    for name, array in of_file.saved.parameters.items():
        np.testing.assert_array_equal(array, of_arrays.saved.parameters[name])
