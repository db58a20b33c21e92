"""Curves as pictures."""

import sys
from pathlib import Path

import pytest
from PIL import Image

from xpnet.errors import OutputError, UsageError
from xpnet.nn.history import Epoch, History
from xpnet.pipelines.cli.console import Console
from xpnet.pipelines.datasets.sources import DataOptions
from xpnet.pipelines.images.recipe import Recipe
from xpnet.pipelines.report import plots
from xpnet.pipelines.training.plan import Plan
from xpnet.pipelines.training.runs import TrainJob, run_sweep, run_training


def job(classes: Path, folder: Path, plot: str, plan: Plan, **more: object) -> TrainJob:
    named = {"output": str(folder / "m"), "plot": plot} | more
    return TrainJob(str(classes), DataOptions(Recipe(4, 4)), plan, "cpu", **named)


def history(*costs: float, rate: float = 0.1, **more: float) -> History:
    return History([Epoch(i, cost, rate, 0.1, **more) for i, cost in enumerate(costs, start=1)])


def axes_of(monkeypatch: pytest.MonkeyPatch) -> list:
    """Return where the axes of the next picture will be."""
    made = []
    monkeypatch.setattr(plots, "_save", lambda figure, path: made.extend(figure.axes))
    return made


@pytest.mark.parametrize(
    ("ending", "start"), [("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF"), ("PNG", b"\x89PNG")]
)
def test_a_training_draws_its_curves(classes: Path, tmp_path: Path, ending: str, start: bytes) -> None:
    plot = tmp_path / f"costs.{ending}"
    run_training(job(classes, tmp_path, str(plot), Plan(epochs=3), val_split=0.25), False, Console(0))
    assert plot.read_bytes().startswith(start)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["m", plot.name])


def test_a_sweep_draws_its_curves(classes: Path, tmp_path: Path) -> None:
    plot = tmp_path / "rates.png"
    compared = {"learning_rates": [0.1, 0.01, 1e6]}
    run_sweep(job(classes, tmp_path, str(plot), Plan(iterations=20), output=None), compared, Console(0))
    with Image.open(plot) as image:
        assert image.width > 1000


def test_there_is_an_axis_for_what_was_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    made = axes_of(monkeypatch)
    plots.plot_training("x.png", history(3.0, 2.0, 1.0, val_cost=2.0, val_metric=0.5), "accuracy")
    assert [axis.get_ylabel() for axis in made] == ["cost", "accuracy (validation)", "learning rate"]
    assert [line.get_label() for line in made[0].get_lines()] == ["training", "validation"]
    assert made[0].get_lines()[0].get_ydata().tolist() == [3.0, 2.0, 1.0]
    made.clear()
    both = history(3.0, 2.0, val_cost=2.0, val_metric=0.5, metric=0.75)
    plots.plot_training("x.png", both, "accuracy", "training, on 1000 of them")
    assert [axis.get_ylabel() for axis in made] == ["cost", "accuracy", "learning rate"]
    lines = {line.get_label(): line.get_ydata().tolist() for line in made[1].get_lines()}
    assert lines == {"training, on 1000 of them": [0.75] * 2, "validation": [0.5] * 2}
    made.clear()
    plots.plot_training("x.png", history(3.0, 2.0, metric=0.75), "accuracy")
    assert [axis.get_ylabel() for axis in made] == ["cost", "accuracy (training)", "learning rate"]
    made.clear()
    plots.plot_training("x.png", history(3.0, rate=0.0), "accuracy")  # L-BFGS, one step
    assert [axis.get_ylabel() for axis in made] == ["cost"]


@pytest.mark.parametrize(
    ("costs", "scale"), [((10.0, 1.0), "linear"), ((100.0, 1.0), "log"), ((100.0, 0.0), "linear")]
)
def test_costs_far_apart_are_on_a_logarithmic_axis(
    monkeypatch: pytest.MonkeyPatch, costs: tuple[float, ...], scale: str
) -> None:
    made = axes_of(monkeypatch)
    plots.plot_training("x.png", history(*costs), "accuracy")
    assert made[0].get_yscale() == scale


def test_rates_are_on_one_axis_and_a_logarithmic_one(monkeypatch: pytest.MonkeyPatch) -> None:
    made = axes_of(monkeypatch)
    runs = [({"rate": rate}, history(3.0, 2.0 + rate)) for rate in (0.1, 0.01, 0.001)]
    runs.append(({"rate": 10.0}, History(stopped="the cost became nan at step 1")))
    plots.plot_sweep("x.png", runs, 2)
    assert len(made[0].get_lines()) == 4
    assert made[0].get_legend().get_texts()[2].get_text() == "rate 0.001 (best)"
    assert made[1].get_xscale() == "log"
    assert len(made[1].collections[0].get_offsets()) == 3
    made.clear()
    plots.plot_sweep("x.png", [({"l2": 1.0}, history(1.0)), ({"l2": 2.0}, history(1.0))], 0)
    assert len(made) == 1


@pytest.mark.parametrize("name", ["costs.gif", "costs", "png", ""])
def test_another_ending_is_refused_early(
    classes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="expected a name that ends in"):
        run_training(job(classes, tmp_path, name, Plan()), False, Console(0))
    assert list(tmp_path.iterdir()) == []


def test_a_missing_matplotlib_is_said_early(
    classes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plots, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"pip install 'xpnet\[report\]'"):
        run_training(job(classes, tmp_path, "costs.png", Plan()), False, Console(0))


def test_what_cannot_be_written_is_said_early(classes: Path, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="there is no folder"):
        run_training(job(classes, tmp_path, str(tmp_path / "no" / "a.png"), Plan()), False, Console(0))
    plot = str(tmp_path / "same.png")
    with pytest.raises(UsageError, match="is written as well"):
        run_training(job(classes, tmp_path, plot, Plan(), output=plot), False, Console(0))


def test_no_plot_needs_no_matplotlib(classes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    run_training(job(classes, tmp_path, None, Plan(epochs=1)), False, Console(0))  # type: ignore[arg-type]
