"""The summary of a training in a model file: its size is limited, and no peak of a curve is lost."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from xpnet.io import read_model_file
from xpnet.nn import Epoch, History
from xpnet.pipelines.cli.console import Console
from xpnet.pipelines.datasets import DataOptions
from xpnet.pipelines.images import Recipe
from xpnet.pipelines.training import Plan, TrainJob, summary, sweep_job, train_job


def history(costs: list[float], **more: float) -> History:
    epochs = [Epoch(i, cost, 0.1, 0.5, **more) for i, cost in enumerate(costs, start=1)]
    made = History(epochs)
    made.best_epoch = 1 + costs.index(min(costs))
    return made


def test_a_short_curve_is_whole() -> None:
    curve = summary.curve(history([3.0, 2.0, 1.0], val_cost=2.5, val_metric=0.5, metric=0.7), 200)
    assert curve == {
        "epoch": [1, 2, 3],
        "cost": [3.0, 2.0, 1.0],
        "learning_rate": [0.1] * 3,
        "val_cost": [2.5] * 3,
        "val_metric": [0.5] * 3,
        "metric": [0.7] * 3,
    }


def test_the_name_of_the_training_curve() -> None:
    assert summary.training_name(1000, 20_000) == "training, on 1000 of them"
    assert summary.training_name(45, 45) == summary.training_name(0, 45) == "training"


def test_values_that_are_missing_have_no_column() -> None:
    assert list(summary.curve(history([1.0]), 200)) == ["epoch", "cost", "learning_rate"]


@pytest.mark.parametrize("count", [201, 2000, 54_321])
def test_a_long_curve_keeps_ends_best_and_spikes(count: int) -> None:
    costs = (1 + np.exp(-np.arange(count) / count)).tolist()
    costs[count // 3], costs[count // 2] = 99.0, 0.5
    curve = summary.curve(history(costs), 200)
    kept = curve["epoch"]
    assert len(kept) <= 203
    assert {1, count, count // 2 + 1, count // 3 + 1} <= set(kept)
    assert kept == sorted(kept)
    assert curve["cost"] == [costs[epoch - 1] for epoch in kept]


def test_a_cost_that_jumps_is_not_taken_for_a_smooth_one() -> None:
    costs = [1.0 + (i % 2) for i in range(2000)]  # every other one is kept by even steps
    assert set(summary.curve(history(costs), 200)["cost"]) == {1.0, 2.0}


def test_some_runs_of_many_are_kept_with_the_best() -> None:
    runs = [({"learning_rate": 0.1 * i}, history([2.0, 1.0])) for i in range(100)]
    swept = summary.sweep_summary(runs, 37)
    assert swept["count"] == 100
    assert len(swept["runs"]) <= 25
    assert [run["compared"]["learning_rate"] for run in swept["runs"] if run["best"]] == [pytest.approx(3.7)]
    assert swept["runs"][0]["compared"] == {"learning_rate": 0.0}
    assert swept["runs"][-1]["compared"]["learning_rate"] == pytest.approx(9.9)


def test_a_file_has_its_curve_device_and_counts(classes: Path, tmp_path: Path) -> None:
    output = str(tmp_path / "m")
    job = TrainJob(
        data=str(classes), options=DataOptions(Recipe(4, 4)), plan=Plan(epochs=3), device="cpu",
        val_split=0.25, output=output,
    )  # fmt: skip
    outcome = train_job(job, Console(0))
    found = read_model_file(output).history
    assert found["device"] == "cpu"
    assert found["counts"] == [15, 15, 15]
    assert found["curve"]["epoch"] == [1, 2, 3]
    assert found["curve"]["val_metric"][-1] == found["metrics"]["validation"]["metric"]
    assert found["metrics"]["training"]["cost"] == outcome.metrics["training"][0]
    assert found["metric_examples"] == found["m"] == 45
    assert found["curve"]["metric"][-1] == found["metrics"]["training"]["metric"]


def test_the_best_model_of_a_sweep_has_a_summary_of_the_sweep(classes: Path, tmp_path: Path) -> None:
    output = str(tmp_path / "m")
    job = TrainJob(
        data=str(classes), options=DataOptions(Recipe(4, 4)), plan=Plan(iterations=30), device="cpu",
        output=output,
    )  # fmt: skip
    outcome = sweep_job(job, {"learning_rates": [0.1, 0.1, 0.01]}, Console(0))
    found = read_model_file(output).history["sweep"]
    assert [run["compared"]["learning_rate"] for run in found["runs"]] == [0.1, 0.1, 0.01]
    assert sum(run["best"] for run in found["runs"]) == 1
    assert found["runs"][2]["curve"]["cost"][0] == outcome.sweep.runs[2].history.costs[0]


@pytest.mark.parametrize("val_split", [None, 0.4])
def test_equal_targets_have_no_r_squared_and_a_file(tmp_path: Path, val_split: float | None) -> None:
    (tmp_path / "t.csv").write_text("a,b,y\n1,2,5\n2,3,5\n3,1,5\n")
    output = str(tmp_path / "m")
    job = TrainJob(
        data=str(tmp_path / "t.csv"), options=DataOptions(target="y"), plan=Plan(epochs=2), device="cpu",
        val_split=val_split, output=output,
    )  # fmt: skip
    outcome = train_job(job, Console(0))
    assert math.isnan(outcome.metrics["training"][1])
    assert read_model_file(output).history["metrics"]["training"]["metric"] is None
    json.dumps(read_model_file(output).history, allow_nan=False)
