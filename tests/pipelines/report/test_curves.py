"""Charts of a training, a choice of the penalty and a sweep, from the summary in the model file."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from pages import World

from xpnet.errors import DataError
from xpnet.pipelines.models.model import Model
from xpnet.pipelines.report.training import (
    final_results,
    penalty_section,
    sweep_section,
    training_counts,
    training_section,
)

if TYPE_CHECKING:
    from xpnet.charts.chart import Chart

CURVE: dict[str, Any] = {
    "epoch": [1, 2, 4],
    "cost": [3.0, 2.0, 1.0],
    "learning_rate": [0.1, 0.1, 0.05],
    "val_cost": [3.0, 2.5, 2.0],
    "val_metric": [0.2, 0.5, 0.4],
}
METRICS = {"training": {"cost": 0.9, "metric": 0.8}, "validation": {"cost": 2.0, "metric": 0.4}}


def opened(two: World, **history: Any) -> Model:
    known = two.open()
    return replace(known, saved=replace(known.saved, history=history))


def titles(found: dict[str, Any]) -> dict[str, list[str]]:
    charts: list[Chart] = found["charts"]
    return {chart.title: [series.name for series in chart.series] for chart in charts}


def test_a_training_with_validation_has_three_charts(two: World) -> None:
    found = training_section(opened(two, curve=CURVE, metrics=METRICS, last={"epoch": 4}))
    assert titles(found) == {
        "Cost of each epoch": ["training", "validation"],
        "Accuracy of each epoch": ["validation", "training, at the end"],
        "Learning rate of each epoch": ["learning rate"],
    }
    assert found["head"] == [
        "epoch",
        "training cost",
        "validation cost",
        "validation accuracy",
        "learning rate",
    ]
    assert found["rows"][2] == (4.0, 1.0, 2.0, 0.4, 0.05)
    assert found["epochs"] == 4


@pytest.mark.parametrize(
    ("more", "name"),
    [
        ({"metric_examples": 1000, "m": 20_000}, "training, on 1000 of them"),
        ({"metric_examples": 60, "m": 60}, "training"),
        ({"metric_examples": None}, "training"),
    ],
)
def test_training_and_validation_are_two_curves(two: World, more: dict[str, Any], name: str) -> None:
    curve = {**CURVE, "metric": [0.3, 0.6, 0.8]}
    found = training_section(opened(two, curve=curve, metrics=METRICS, **more))
    assert titles(found)["Accuracy of each epoch"] == [name, "validation"]
    assert found["head"][3:5] == ["training accuracy", "validation accuracy"]
    assert found["rows"][2] == (4.0, 1.0, 2.0, 0.8, 0.4, 0.05)
    alone = {column: curve[column] for column in ("epoch", "cost", "metric")}
    assert titles(training_section(opened(two, curve=alone, metrics=METRICS, **more))) == {
        "Cost of each epoch": ["training"],
        f"Accuracy of each epoch: {name}": [name],
    }


def test_a_file_of_an_older_version_has_other_names(two: World) -> None:
    curve = {**CURVE, "metric": [0.3, 0.6, 0.8]}
    new = opened(two, curve=curve, metrics=METRICS, metric_examples=10, m=20)
    old = opened(two, curve=curve, judged=METRICS, judged_examples=10, m=20)
    assert final_results(old) == final_results(new) == METRICS
    assert training_section(old) == training_section(new)
    assert "training, on 10 of them" in titles(training_section(old))["Accuracy of each epoch"]


def test_what_was_measured_only_at_the_end_is_no_curve(two: World) -> None:
    late = {
        **CURVE,
        "val_cost": [None, None, 2.0],
        "val_metric": [None, None, 0.4],
        "learning_rate": [0.0] * 3,
    }
    assert titles(training_section(opened(two, curve=late))) == {"Cost of each epoch": ["training"]}


@pytest.mark.parametrize("history", [{}, {"curve": {}}, {"costs": []}])
def test_without_a_curve_there_is_no_chart(two: World, history: dict[str, Any]) -> None:
    assert training_section(opened(two, **history)) is None
    assert sweep_section(opened(two, **history)) is None
    assert final_results(opened(two, **history)) == {}
    assert training_counts(opened(two, **history)) == []


def test_one_epoch_is_a_table(two: World) -> None:
    found = training_section(opened(two, curve={"epoch": [1], "cost": [0.5]}))
    assert (found["charts"], found["rows"]) == ([], [(1.0, 0.5)])


@pytest.mark.parametrize(("key", "name"), [("compared", "learning_rate"), ("apart", "rate")])
def test_a_sweep_is_on_one_axis_and_by_rate(two: World, key: str, name: str) -> None:
    runs = [
        {
            key: {name: rate, "seed": 0},
            "best": rate == 0.01,
            "curve": {"epoch": [1, 2], "cost": [2.0, cost]},
        }
        for rate, cost in ((0.1, 1.0), (0.01, 0.5), (0.001, 1.5))
    ]
    found = sweep_section(opened(two, sweep={"count": 3, "runs": runs}))
    assert titles(found) == {
        "Cost of each epoch of each run": [f"learning rate {rate}, seed 0" for rate in (0.1, 0.01, 0.001)],
        "Final cost by learning rate": ["training"],
    }
    assert [series.strong for series in found["charts"][0].series] == [False, True, False]
    assert [text for _, text in found["charts"][1].x_ticks] == ["0.001", "0.01", "0.1"]
    assert found["rows"][1] == [0.01, 0, 0.5, None, None, "best"]


def test_a_run_that_diverged_at_once_has_no_point(two: World) -> None:
    runs = [
        {"compared": {"learning_rate": 0.1}, "best": True, "curve": {"epoch": [1], "cost": [1.0]}},
        {"compared": {"learning_rate": 9.0}, "best": False, "curve": {"epoch": []}},
    ]
    found = sweep_section(opened(two, sweep={"count": 2, "runs": runs}))
    assert found["rows"][1][1:] == [None, None, None, ""]


EXPECTED = {
    "accuracy": 0.75,
    "error": 0.021,
    "log_loss": 0.5,
    "examples": 90,
    "by": "leave-one-out",
    "penalty": 0.1,
}


def test_a_choice_of_the_penalty_is_a_chart_and_what_to_expect(two: World) -> None:
    tried = {"measure": "log loss", "penalties": [0.01, 0.1, 1.0], "errors": [0.7, 0.5, 0.6]}
    found = penalty_section(opened(two, expected=EXPECTED, penalties=tried))
    assert found["facts"] == {"Accuracy": "75.0 % ± 2.1", "Log loss": "0.5"}
    assert found["rows"] == [[0.01, 0.7, ""], [0.1, 0.5, "chosen"], [1.0, 0.6, ""]]
    curve, chosen = found["chart"].series
    assert (curve.path.count("L"), len(chosen.dots)) == (2, 1)
    assert [text for _, text in found["chart"].x_ticks] == ["0.01", "0.1", "1"]


def test_a_penalty_of_0_is_in_the_table_but_not_on_the_logarithmic_axis(two: World) -> None:
    expected = {
        "rmse": 2.0,
        "error": 0.1,
        "r_squared": None,
        "examples": 9,
        "by": "leave-one-out",
        "penalty": 0.0,
    }
    tried = {"measure": "squared error", "penalties": [0.0, 0.1, 1.0], "errors": [4.0, 5.0, None]}
    found = penalty_section(opened(two, expected=expected, penalties=tried))
    assert found["facts"] == {"RMSE": "2 ± 0.1", "R²": "nan"}
    assert [series.name for series in found["chart"].series] == ["penalties that were tried"]
    assert found["rows"][0] == [0.0, 4.0, "chosen"]


def test_older_files_have_no_curve_of_penalties(two: World) -> None:
    assert penalty_section(opened(two)) is None
    found = penalty_section(opened(two, expected=EXPECTED))
    assert (found["chart"], found["rows"]) == (None, [])
    for damaged in (
        {"expected": [1]},
        {"expected": {"penalty": 1}},
        {"expected": EXPECTED, "penalties": {"penalties": [1]}},
    ):
        with pytest.raises(DataError, match="its summary of the training is damaged"):
            penalty_section(opened(two, **damaged))
