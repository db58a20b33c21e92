"""Trainings from files to files: what is said while they run."""

import re
from pathlib import Path

import pytest

from xpnet.pipelines.cli import console
from xpnet.pipelines.cli.console import Console
from xpnet.pipelines.datasets.sources import DataOptions
from xpnet.pipelines.images.recipe import Recipe
from xpnet.pipelines.training.plan import Plan
from xpnet.pipelines.training.runs import TrainJob, run_training


@pytest.mark.parametrize(
    ("plan", "val_split", "note"),
    [
        (Plan(epochs=2), None, r"2/2 epochs  cost \d\.\d{4} \(\d\.\d{4}\)  "),
        (Plan(epochs=2), 0.25, r"2/2 epochs  cost \d\.\d{4}  val \d\.\d{4} \(\d\.\d{4}\)  "),
        (Plan(hidden="4", iterations=2), None, r"2/2 iterations  cost \d\.\d{4}  "),
    ],
)
def test_the_line_has_the_metric_that_there_is(
    classes: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    plan: Plan,
    val_split: float | None,
    note: str,
) -> None:
    monkeypatch.setattr(console, "LOG_SECONDS", 0.0)
    job = TrainJob(str(classes), DataOptions(Recipe(4, 4)), plan, "cpu", None, val_split, str(tmp_path / "m"))
    run_training(job, False, Console(2))
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "  2/2 " in line]
    assert re.search(note, line)
