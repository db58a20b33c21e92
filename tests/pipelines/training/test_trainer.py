"""Training jobs: from data to a model file."""

import contextlib
import csv
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from locations import CATS

from xpnet.backend import select
from xpnet.data import ColumnMatrix
from xpnet.errors import DataError, UsageError
from xpnet.pipelines.cli import console
from xpnet.pipelines.cli.console import Console
from xpnet.pipelines.datasets import DataOptions, Dataset
from xpnet.pipelines.images import Recipe
from xpnet.pipelines.messages import Messages
from xpnet.pipelines.models import load
from xpnet.pipelines.training import Plan, TrainJob, TrainOutcome, train_job
from xpnet.pipelines.training.preparation import validation_split, with_standardization_of
from xpnet.pipelines.training.trainer import is_still_falling, write_history

CPU = select("cpu")


def pictures(m: int = 60, n_classes: int = 3, seed: int = 0) -> Dataset:
    """Return small pictures whose brightness tells their class."""
    generator = np.random.default_rng(seed)
    Y = np.arange(m)[None] % n_classes
    examples = np.clip(generator.normal(60 + 70 * Y.T, 20, (m, 48)), 0, 255).astype(np.uint8)
    return Dataset(ColumnMatrix.of(examples.T, "channel", 3), Y, tuple("abc"[:n_classes]), Recipe(4, 4))


def trained(plan: Plan, data: Dataset, messages: Messages | None = None, **job: Any) -> TrainOutcome:
    return train_job(TrainJob(data=data, plan=plan, device=CPU, **job), messages or Messages())


class Recorded(Messages):
    """Keeps the numbers of the progress that is reported, and what is said."""

    def __init__(self) -> None:
        self.done: list[int] = []
        self.said: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)

    @contextlib.contextmanager
    def progress(self, what: str, unit: str = "images") -> Iterator[Any]:
        yield lambda done, *_: self.done.append(done)


@pytest.mark.parametrize(
    ("plan", "method"),
    [
        (Plan(), "L-BFGS"),
        (Plan(iterations=300, learning_rate=0.1), "full-batch gradient descent, one pass"),
        (Plan(epochs=40, batch_size=8), "the computation graph, batches of 8"),
        (Plan(hidden="8:relu", iterations=100, learning_rate=0.01), "the computation graph, all examples"),
    ],
)
@pytest.mark.parametrize("n_classes", [2, 3])
def test_each_method_learns_and_is_named(plan: Plan, method: str, n_classes: int, tmp_path: Path) -> None:
    held = pictures(30, n_classes, seed=1)
    outcome = trained(plan, pictures(n_classes=n_classes), val=held, output=str(tmp_path / "model"))
    assert outcome.method.startswith(method)
    last = outcome.result.history[-1]
    assert last.val_metric > 0.9
    assert outcome.metrics["validation"] == pytest.approx((last.val_cost, last.val_metric))
    report = load(str(tmp_path / "model")).evaluate(held, device=CPU)
    assert report["accuracy"] == pytest.approx(last.val_metric)
    assert report["log_loss"] == pytest.approx(last.val_cost, rel=1e-4)


def test_the_same_training_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        trained(Plan(hidden="4", epochs=3), pictures(), output=str(tmp_path / name))
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_progress_is_reported() -> None:
    for plan, last in (
        (Plan(), 1),
        (Plan(epochs=4), 4),
        (Plan(iterations=600, learning_rate=0.01), 600),
        (Plan(l2="auto", iterations=2), 2 * 5 * 2),
    ):
        recorded = Recorded()
        trained(plan, pictures(), recorded)
        assert recorded.done == sorted(recorded.done)
        assert recorded.done[-1] >= last


def test_a_penalty_that_is_chosen_is_kept_and_said(tmp_path: Path) -> None:
    data, paths, recorded = pictures(), [str(tmp_path / name) for name in ("one", "two", "given")], Recorded()
    data = replace(data, Y=np.where(np.random.default_rng(0).random(data.Y.shape) < 0.3, 0, data.Y))
    outcome = trained(Plan(l2="auto"), data, recorded, output=paths[0])
    history, penalty = load(paths[0]).history, outcome.result.expected.penalty
    tried = history["penalties"]
    assert (history["expected"]["penalty"], history["expected"]["seed"]) == (penalty, 0)
    assert tried["errors"][tried["penalties"].index(penalty)] == min(tried["errors"])
    assert outcome.method == f"L-BFGS on all examples, penalty {penalty:g} by 5-fold cross-validation"
    (said,) = (text for text in recorded.said if text.startswith("Penalty"))
    assert said.startswith(f"Penalty: {penalty:g} (the log loss of left-out examples for each: ")
    assert f", {penalty:g}: {min(tried['errors']):.4g}" in said
    trained(Plan(l2="auto"), data, output=paths[1])
    assert Path(paths[0]).read_bytes() == Path(paths[1]).read_bytes()
    given = trained(Plan(l2=penalty), data, output=paths[2])
    assert given.result.expected is None
    np.testing.assert_array_equal(*(load(path).saved.parameters["W1"] for path in (paths[0], paths[2])))


def test_a_penalty_at_the_end_of_those_tried_is_said() -> None:
    recorded = Recorded()
    nothing = Dataset(ColumnMatrix(np.zeros((20, 2))), np.arange(20)[None] % 2, ("a", "b"))
    trained(Plan(l2="auto"), nothing, recorded)  # all penalties are equal
    assert recorded.said[-1] == "No larger penalty was tried, and one may be better"


def test_a_regression_says_its_penalty_if_asked() -> None:
    generator = np.random.default_rng(0)
    X = generator.standard_normal((30, 20))
    data = Dataset(ColumnMatrix(X), X[:, :1].T + generator.standard_normal((1, 30)), ())
    recorded = Recorded()
    chosen = trained(Plan(l2="auto"), data, recorded).result.expected
    assert recorded.said[0].startswith(f"Penalty: {chosen.penalty:g} (the squared error of left-out examples")
    silent = Recorded()
    assert trained(Plan(), data, silent).result.expected == chosen
    assert not silent.said


def test_examples_held_back_are_not_part_of_the_standardization() -> None:
    data = pictures(90)
    kept, held = validation_split(data, 0.2, seed=1)
    assert (kept.data.m, held.data.m) == (72, 18)
    assert np.bincount(held.Y[0]).tolist() == [6, 6, 6]
    assert held.data.standardizer == kept.data.standardizer
    pixels = kept.data.examples.reshape(-1, 3).astype(np.float64)
    np.testing.assert_allclose(kept.data.standardizer.mean[:3, 0], pixels.mean(axis=0))
    together = np.concatenate([kept.data.examples, held.data.examples])
    assert sorted(map(bytes, together)) == sorted(map(bytes, data.data.examples))


def test_numbers_to_predict_are_held_back_too() -> None:
    data = Dataset(ColumnMatrix(np.arange(20.0)[:, None]), np.arange(20.0)[None], ())
    kept, held = validation_split(data, 0.25, seed=1)
    assert sorted([*kept.Y[0], *held.Y[0]]) == list(range(20))
    np.testing.assert_array_equal(held.data.examples[:, 0], held.Y[0])
    with pytest.raises(UsageError, match="is 0"):
        validation_split(data, 0.01, seed=1)


def test_validation_data_must_be_made_alike() -> None:
    data = pictures()
    other = Dataset(data.data, data.Y, data.classes, Recipe(4, 4, "crop"))
    with pytest.raises(DataError, match="48 features made by Recipe"):
        with_standardization_of(other, data)


def test_cost_curves_are_a_line_for_each_epoch(tmp_path: Path) -> None:
    history = trained(Plan(epochs=3), pictures(), val=pictures(seed=1)).result.history
    write_history(str(tmp_path / "costs.csv"), [({"rate": 0.1}, history)])
    with (tmp_path / "costs.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    assert [float(row["cost"]) for row in rows] == history.costs
    assert all(row["rate"] == "0.1" and row["val_cost"] for row in rows)
    assert [float(row["metric"]) for row in rows] == [epoch.metric for epoch in history]


@pytest.mark.parametrize(
    ("plan", "examples"),
    [
        (Plan(epochs=3), 60),
        (Plan(hidden="8:relu", epochs=3), 60),
        (Plan(model="regression", epochs=3), 60),
        (Plan(), 0),  # L-BFGS, and what else takes all examples at once
        (Plan(iterations=3), 0),
        (Plan(hidden="8:relu", iterations=3), 0),
    ],
)
def test_epochs_of_batches_have_the_metric_of_the_training_data(plan: Plan, examples: int) -> None:
    data = pictures()
    if plan.model == "regression":
        data = replace(data, Y=10.0 + data.Y, classes=())
    outcome = trained(plan, data)
    assert outcome.metric_examples == examples
    history = outcome.result.history
    assert [epoch.metric is not None for epoch in history] == [examples > 0] * len(history)


def test_the_metric_of_many_examples_is_of_a_sample() -> None:
    outcome = trained(Plan(epochs=2), pictures(1500))
    assert outcome.metric_examples == 1000
    # Of a thousand examples it is in thousandths, and of all 1500 most often not.
    assert all(epoch.metric == round(1000 * epoch.metric) / 1000 for epoch in outcome.result.history)


@pytest.mark.parametrize(
    ("plan", "val_split", "note"),
    [
        (Plan(epochs=2), None, r"2/2 epochs  cost \d\.\d{4} \(\d\.\d{4}\)  "),
        (Plan(epochs=2), 0.25, r"2/2 epochs  cost \d\.\d{4}  val \d\.\d{4} \(\d\.\d{4}\)  "),
        (Plan(hidden="4", iterations=2), None, r"2/2 iterations  cost \d\.\d{4}  "),
    ],
)
def test_the_line_of_progress_has_the_metric(
    classes: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    plan: Plan,
    val_split: float | None,
    note: str,
) -> None:
    monkeypatch.setattr(console, "LOG_SECONDS", 0.0)
    job = TrainJob(
        data=str(classes), options=DataOptions(Recipe(4, 4)), plan=plan, device="cpu", val_split=val_split,
        output=str(tmp_path / "m"),
    )  # fmt: skip
    train_job(job, Console(2))
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "  2/2 " in line]
    assert re.search(note, line)


def test_after_l_bfgs_the_history_has_its_seconds_its_steps_and_its_last_cost() -> None:
    """The last cost is the one that the evaluation finds, without the penalty."""
    outcome = trained(Plan(l2=0.0, iterations=5), pictures())
    history = outcome.result.history
    assert history[0].learning_rate == 0.0
    assert all(rate > 0 for rate in history.column("learning_rate")[1:])
    assert len(set(history.column("seconds"))) > 1
    assert history.costs[-1] == pytest.approx(outcome.metrics["training"][0], rel=1e-4)


def test_a_model_is_saved_before_it_is_evaluated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_memory(*_: Any) -> Any:
        raise MemoryError

    monkeypatch.setattr("xpnet.pipelines.training.trainer.Evaluator.of", no_memory)
    with pytest.raises(MemoryError):
        trained(Plan(), pictures(), output=str(tmp_path / "model"))
    assert load(str(tmp_path / "model")).predict_proba(pictures().data.X).shape == (3, 60)


@pytest.mark.skipif(not CATS.is_dir(), reason="the images of the course are missing")
def test_the_courses_accuracies(tmp_path: Path) -> None:
    plan = Plan(optimizer="sgd", iterations=2000, learning_rate=0.005)
    train, test = (str(CATS / f"{name}_catvnoncat.h5") for name in ("train", "test"))
    train_job(TrainJob(data=train, plan=plan, output=str(tmp_path / "model"), device=CPU), Messages())
    model = load(str(tmp_path / "model"))
    assert 100 * model.evaluate(train)["accuracy"] == 99.04306220095694
    assert 100 * model.evaluate(test)["accuracy"] == 70.0


@pytest.mark.parametrize(
    ("costs", "falling"),
    [
        ([1.0] * 20, False),
        ([20.0 - i for i in range(20)], True),
        ([1.0 + 0.5**i for i in range(20)], False),
        ([3.0, 2.0], False),
        ([1.0], False),
    ],
)
def test_a_cost_that_is_still_falling(costs: list[float], falling: bool) -> None:
    assert is_still_falling(costs) is falling


def test_a_training_that_ends_too_early_says_so(tmp_path: Path) -> None:
    said: list[str] = []
    messages = Messages()
    messages.say = said.append  # type: ignore[method-assign]
    trained(Plan(hidden="8:relu", epochs=12, batch_size=8, learning_rate=0.005), pictures(), messages)
    assert "The cost is still falling: more epochs may give a better model" in said
