"""Plots of a training and a sweep: SVG files of their own."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from xpnet.charts.chart import LEGEND_RUNS, Series, lines, svg_document
from xpnet.errors import OutputError, UsageError
from xpnet.nn.history import Epoch, History
from xpnet.pipelines.report.plots import (
    plot_sweep,
    plot_training,
    require_plot,
)

SVG = "{http://www.w3.org/2000/svg}"


def history(*costs: float, rate: float = 0.1, **more: float) -> History:
    return History([Epoch(i, cost, rate, 0.1, **more) for i, cost in enumerate(costs, start=1)])


def texts(element: ET.Element) -> list[str]:
    return [str(each.text) for each in element.iter(f"{SVG}text")]


class Plot:
    """A plot that was read back.

    Attributes:
        root: the root element.
        charts: the elements of the charts, from left to right.
        titles: titles of the charts.
        y_labels: names of their vertical axes.
    """

    def __init__(self, path: Path) -> None:
        self.root = ET.parse(path).getroot()
        self.charts = self.root.findall(f"{SVG}g")
        all_texts = [texts(chart) for chart in self.charts]
        self.titles = [each[0] for each in all_texts]
        self.y_labels = [texts(chart.findall(f"{SVG}g[@class='muted']")[-1])[0] for chart in self.charts]

    def legend(self, chart: int) -> list[str]:
        return texts(self.charts[chart].findall(f"{SVG}g")[-1])

    def lines(self, chart: int) -> list[list[tuple[float, float]]]:
        """Return the points of each line of a chart, without the legend."""
        groups = self.charts[chart].findall(f"{SVG}g[@fill]/{SVG}path[@class='line']")
        return [
            [(float(x), float(y)) for x, y in re.findall(r"([\d.]+),([\d.]+)", path.get("d", ""))]
            for path in groups
        ]


def training(folder: Path, *arguments: Any) -> Plot:
    plot_training(str(folder / "plot.svg"), *arguments)
    return Plot(folder / "plot.svg")


def sweep(folder: Path, *arguments: Any) -> Plot:
    plot_sweep(str(folder / "plot.svg"), *arguments)
    return Plot(folder / "plot.svg")


def test_there_is_a_chart_for_what_was_measured(tmp_path: Path) -> None:
    validated = history(3.0, 2.0, 1.0, val_cost=2.0, val_metric=0.5)
    plot = training(tmp_path, validated, "accuracy")
    assert plot.y_labels == ["cost", "accuracy", "learning rate"]
    assert plot.titles == [
        "Cost of each epoch",
        "Accuracy of each epoch: validation",
        "Learning rate of each epoch",
    ]
    assert [plot.legend(i) for i in range(3)] == [["training", "validation"], [], []]
    costs, val_costs = plot.lines(0)
    assert len({x for x, _ in costs}) == len({y for _, y in costs}) == 3
    assert len({y for _, y in val_costs}) == 1
    both = history(3.0, 2.0, val_cost=2.0, val_metric=0.5, metric=0.75)
    plot = training(tmp_path, both, "accuracy", "training, on 1000 of them")
    assert plot.titles[1] == "Accuracy of each epoch"
    assert plot.legend(1) == ["training, on 1000 of them", "validation"]
    (higher, _), (lower, _) = plot.lines(1)
    assert higher[1] < lower[1]  # y points down: 0.75 is above 0.5
    plot = training(tmp_path, history(3.0, 2.0, metric=0.75), "accuracy")
    assert plot.titles[1] == "Accuracy of each epoch: training"
    plot = training(tmp_path, history(3.0, rate=0.0), "accuracy")  # one epoch, without a learning rate
    assert plot.y_labels == ["cost"]
    assert len(list(plot.charts[0].iter(f"{SVG}circle"))) == 1


@pytest.mark.parametrize(
    ("costs", "is_log"), [((10.0, 1.0), False), ((100.0, 1.0), True), ((100.0, 0.0), False)]
)
def test_costs_far_apart_are_on_a_logarithmic_axis(
    tmp_path: Path, costs: tuple[float, ...], is_log: bool
) -> None:
    plot = training(tmp_path, history(*costs), "accuracy")
    assert ({"1", "10", "100"} <= set(texts(plot.charts[0]))) is is_log


def test_runs_are_in_one_chart_and_their_final_costs_by_rate_in_another(tmp_path: Path) -> None:
    runs = [({"learning_rate": rate}, history(3.0, 2.0 + rate)) for rate in (0.1, 0.01, 0.001)]
    runs.append(({"learning_rate": 10.0}, History()))  # diverged in the first step
    plot = sweep(tmp_path, runs, 2)
    assert len(plot.lines(0)) == 3
    assert plot.legend(0) == [f"learning rate {rate}" for rate in ("0.1", "0.01", "0.001 (best)", "10")]
    assert plot.titles[1] == "Final cost by learning rate"
    assert {"0.001", "0.01", "0.1"} <= set(texts(plot.charts[1]))  # a logarithmic axis
    assert len(list(plot.charts[1].iter(f"{SVG}circle"))) == 3
    plot = sweep(tmp_path, [({"l2": 1.0}, history(1.0)), ({"l2": 2.0}, history(1.0))], 0)
    assert len(plot.charts) == 1


def test_of_many_runs_the_legend_names_the_best(tmp_path: Path) -> None:
    runs = [({"seed": seed}, history(2.0, 1.0)) for seed in range(LEGEND_RUNS + 1)]
    assert sweep(tmp_path, runs, 4).legend(0) == ["seed 4 (best)"]
    assert len(sweep(tmp_path, runs[1:], 3).legend(0)) == LEGEND_RUNS


def test_the_legend_stays_inside_the_document(tmp_path: Path) -> None:
    runs = [
        ({"learning_rate": 1 / seed, "l2": 0.001, "seed": seed}, history(2.0, 1.0)) for seed in range(1, 13)
    ]
    plot = sweep(tmp_path, runs, 4)
    legend = plot.charts[0].findall(f"{SVG}g")[-1]
    places = [re.findall(r"[\d.]+", str(entry.get("transform"))) for entry in legend]
    assert len({tuple(place) for place in places}) == 12
    bottom = 30 + 240 + max(float(y) for _, y in places)
    assert bottom < float(plot.root.get("height", 0))


def test_the_document_is_xml_whatever_its_texts_say() -> None:
    name = "<script>&\"'</style>]]>"
    chart = lines(name, name, name, [Series(name, [1, 2], [1.0, 2.0], note=name), Series("b", [1], [2.0])])
    root = ET.fromstring(svg_document(name, [chart, chart]))
    assert root.findtext(f"{SVG}title") == name
    assert name in str(root.findtext(f"{SVG}desc"))
    assert texts(root).count(name) == 6
    assert name + name in texts(root)
    assert root.find(f".//{SVG}script") is None


def test_a_drawing_has_colors_without_style_sheets_and_dark_ones_with_them(tmp_path: Path) -> None:
    training(tmp_path, history(3.0, 2.0, val_cost=1.0), "accuracy")
    text = (tmp_path / "plot.svg").read_text(encoding="utf-8")
    assert text.startswith('<?xml version="1.0" encoding="UTF-8"?>\n<svg ')
    assert 'stroke="#0072b2"' in text
    assert "@media (prefers-color-scheme: dark)" in text
    assert "var(" not in text  # which office programs do not know
    assert not re.findall(r"(?:href|src|url\()", text)


@pytest.mark.parametrize(
    ("name", "suggested"),
    [
        ("costs.png", "costs.svg"),
        ("a/costs.pdf", "a/costs.svg"),
        ("costs.PNG", "costs.svg"),
        ("costs", "costs.svg"),
        ("svg", "svg.svg"),
        ("", "FILE.svg"),
    ],
)
def test_another_format_is_refused(name: str, suggested: str) -> None:
    with pytest.raises(UsageError, match="plots are SVG files, which browsers and office programs open") as e:
        require_plot(name)
    assert f"name it {suggested!r}" in str(e.value)


def test_the_commands_refuse_a_plot_before_they_train(classes: Path, tmp_path: Path) -> None:
    for command, plot, code, expected in (
        ("train", "costs.png", 2, "name it 'costs.svg'"),
        ("sweep", "costs.png", 2, "name it 'costs.svg'"),
        ("train", "no/costs.svg", 1, "there is no folder"),
        ("train", "m.svg", 2, "is also another output"),
    ):
        done = subprocess.run(
            [sys.executable, "-m", "xpnet", command, str(classes), "-o", "m.svg", "--plot", plot]
            + ["--learning-rates", "0.1"] * (command == "sweep"),
            capture_output=True,
            text=True,
            check=False,
            cwd=tmp_path,
        )
        assert (done.returncode, done.stdout) == (code, "")
        assert expected in " ".join(done.stderr.split())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", [None, "a.svg", "a/b.SVG"])
def test_svg_and_no_plot_are_accepted(name: str | None) -> None:
    require_plot(name)


def test_a_file_that_cannot_be_written_is_one_error(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot be written"):
        plot_training(str(tmp_path / "no" / "a.svg"), history(1.0), "accuracy")
