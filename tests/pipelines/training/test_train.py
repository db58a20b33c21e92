"""Training from a dataset to a model file."""

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from locations import CATS

from xpnet.backend.backend import select
from xpnet.data.column_matrix import ColumnMatrix
from xpnet.errors import DataError, UsageError
from xpnet.io.model_file import write_model_file
from xpnet.pipelines.datasets.dataset import Dataset
from xpnet.pipelines.datasets.sources import open_data
from xpnet.pipelines.images.recipe import Recipe
from xpnet.pipelines.models.evaluation import evaluate
from xpnet.pipelines.models.model import load
from xpnet.pipelines.training.plan import Plan
from xpnet.pipelines.training.train import held_back, judged_by, saved, train, write_history

CPU = select("cpu")


def pictures(m: int = 60, n_classes: int = 3, seed: int = 0) -> Dataset:
    """Return small pictures whose brightness tells their class."""
    generator = np.random.default_rng(seed)
    Y = np.arange(m)[None] % n_classes
    examples = np.clip(generator.normal(60 + 70 * Y.T, 20, (m, 48)), 0, 255).astype(np.uint8)
    return Dataset(ColumnMatrix.of(examples.T, "channel", 3), Y, tuple("abc"[:n_classes]), Recipe(4, 4))


@pytest.mark.parametrize(
    ("plan", "method"),
    [
        (Plan(), "L-BFGS"),
        (Plan(iterations=300, learning_rate=0.1), "gradient descent, one pass"),
        (Plan(epochs=40, batch_size=8), "the computation graph, batches of 8"),
        (Plan(hidden="8:relu", iterations=100, learning_rate=0.01), "the computation graph, all examples"),
    ],
)
@pytest.mark.parametrize("n_classes", [2, 3])
def test_each_way_learns_and_says_which_it_was(
    plan: Plan, method: str, n_classes: int, tmp_path: Path
) -> None:
    data = pictures(n_classes=n_classes)
    trained = train(plan, data, CPU, judged_by(pictures(30, n_classes, seed=1), data))
    assert trained.method.startswith(method)
    assert trained.history.epochs[-1].val_metric > 0.9
    write_model_file(tmp_path / "model", saved(trained, data, CPU))
    report = evaluate(load(str(tmp_path / "model")), pictures(30, n_classes, seed=1), CPU)
    assert report["accuracy"] == pytest.approx(trained.history.epochs[-1].val_metric)
    assert report["log_loss"] == pytest.approx(trained.history.epochs[-1].val_cost, rel=1e-4)


def test_the_same_training_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        data = pictures()
        write_model_file(tmp_path / name, saved(train(Plan(hidden="4", epochs=3), data, CPU), data, CPU))
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_progress_comes_with_its_number() -> None:
    for plan, last in ((Plan(), 1), (Plan(epochs=4), 4), (Plan(iterations=600, learning_rate=0.01), 600)):
        seen: list = []
        train(plan, pictures(), CPU, on_epoch=seen.append)
        numbers = [epoch.epoch for epoch in seen]
        assert numbers == sorted(numbers)
        assert numbers[-1] >= last


def test_what_is_held_back_is_not_seen_by_the_standardization() -> None:
    data = pictures(90)
    kept, held = held_back(data, 0.2, seed=1)
    assert (kept.data.m, held.data.m) == (72, 18)
    assert np.bincount(held.Y[0]).tolist() == [6, 6, 6]
    assert held.data.standardizer == kept.data.standardizer
    pixels = kept.data.examples.reshape(-1, 3).astype(np.float64)
    np.testing.assert_allclose(kept.data.standardizer.mean[:3, 0], pixels.mean(axis=0))
    together = np.concatenate([kept.data.examples, held.data.examples])
    assert sorted(map(bytes, together)) == sorted(map(bytes, data.data.examples))


def test_numbers_to_predict_are_held_back_too() -> None:
    data = Dataset(ColumnMatrix(np.arange(20.0)[:, None]), np.arange(20.0)[None], ())
    kept, held = held_back(data, 0.25, seed=1)
    assert sorted([*kept.Y[0], *held.Y[0]]) == list(range(20))
    np.testing.assert_array_equal(held.data.examples[:, 0], held.Y[0])
    with pytest.raises(UsageError, match="is 0"):
        held_back(data, 0.01, seed=1)


def test_validation_data_must_be_made_alike() -> None:
    data = pictures()
    other = Dataset(data.data, data.Y, data.classes, Recipe(4, 4, "crop"))
    with pytest.raises(DataError, match="48 features made by Recipe"):
        judged_by(other, data)


def test_cost_curves_are_a_line_for_each_epoch(tmp_path: Path) -> None:
    trained = train(Plan(epochs=3), pictures(), CPU, pictures(seed=1))
    write_history(str(tmp_path / "costs.csv"), [({"rate": 0.1}, trained.history)])
    with (tmp_path / "costs.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    assert [float(row["cost"]) for row in rows] == trained.history.costs
    assert all(row["rate"] == "0.1" and row["val_cost"] for row in rows)
    assert [float(row["metric"]) for row in rows] == [epoch.metric for epoch in trained.history.epochs]


@pytest.mark.parametrize(
    ("plan", "judged"),
    [
        (Plan(epochs=3), 60),
        (Plan(hidden="8:relu", epochs=3), 60),
        (Plan(model="regression", epochs=3), 60),
        (Plan(), 0),  # L-BFGS, and what else takes all examples at once
        (Plan(iterations=3), 0),
        (Plan(hidden="8:relu", iterations=3), 0),
    ],
)
def test_epochs_of_batches_have_the_metric_of_the_training_data(plan: Plan, judged: int) -> None:
    data = pictures()
    if plan.model == "regression":
        data = replace(data, Y=10.0 + data.Y, classes=())
    trained = train(plan, data, CPU)
    assert trained.judged_examples == judged
    assert [epoch.metric is not None for epoch in trained.history.epochs] == (
        [judged > 0] * len(trained.history.epochs)
    )


def test_of_many_examples_a_sample_is_judged() -> None:
    data = pictures(1500)
    trained = train(Plan(epochs=2), data, CPU)
    assert trained.judged_examples == 1000
    # Of a thousand examples it is in thousandths, and of all 1500 most often not.
    assert all(epoch.metric == round(1000 * epoch.metric) / 1000 for epoch in trained.history.epochs)


@pytest.mark.skipif(not CATS.is_dir(), reason="the course's pictures are not here")
def test_the_courses_accuracies(tmp_path: Path) -> None:
    data = open_data(str(CATS / "train_catvnoncat.h5"))
    plan = Plan(optimizer="sgd", iterations=2000, learning_rate=0.005)
    write_model_file(tmp_path / "model", saved(train(plan, data, CPU), data, CPU))
    opened = load(str(tmp_path / "model"))
    assert 100 * evaluate(opened, data, CPU)["accuracy"] == 99.04306220095694
    assert 100 * evaluate(opened, open_data(str(CATS / "test_catvnoncat.h5")), CPU)["accuracy"] == 70.0
