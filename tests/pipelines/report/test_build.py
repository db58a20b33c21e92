"""From files to a page: its sections, errors before any work, and messages."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pages import World, draw, page, predicted, train

from xpnet.errors import DataError, ModelFileError, OutputError, UsageError
from xpnet.io.model_file import read_model_file, write_model_file
from xpnet.pipelines.cli.console import Console
from xpnet.pipelines.datasets.sources import DataOptions
from xpnet.pipelines.images.recipe import Recipe
from xpnet.pipelines.report import page as rendering
from xpnet.pipelines.report.build import ReportJob, write_report
from xpnet.pipelines.training.plan import Plan
from xpnet.pipelines.training.preparation import TrainJob
from xpnet.pipelines.training.sweeps import sweep_job


def sections(path: Path) -> list[str]:
    """Return the ids of a page's sections."""
    text = path.read_text(encoding="utf-8")
    return [part.partition('"')[0] for part in text.split('<section id="')[1:]]


def test_all_parts(two: World) -> None:
    assert sections(two.report) == [
        "problem", "training", "evaluation", "mistakes", "weights", "predictions", "gallery", "skipped", "graph",
        "recipe",
    ]  # fmt: skip


def test_a_model_alone_has_what_its_file_says(two: World, tmp_path: Path) -> None:
    made = page(tmp_path / "r.html", two.model)
    assert sections(made) == ["problem", "training", "weights", "graph", "recipe"]
    metric = read_model_file(two.model).history["metrics"]["validation"]["metric"]
    assert f"<dt>Validation accuracy</dt><dd>{metric:.4g}</dd>" in made.read_text(encoding="utf-8")


def test_predictions_alone(two: World, tmp_path: Path) -> None:
    made = page(tmp_path / "r.html", two.model, predictions=two.rows, images=two.new)
    assert sections(made)[3:6] == ["predictions", "gallery", "skipped"]
    text = made.read_text(encoding="utf-8")
    assert "The first" not in text
    assert "text.jpg" in text


def test_every_failed_input_has_its_reason(two: World) -> None:
    text = two.report.read_text(encoding="utf-8")
    assert "file is empty" in text
    assert "not an image, or of an unknown format" in text
    assert "broken.jpg" in text
    assert "damaged or truncated image" in text


def test_a_sweep_is_on_the_page_of_its_best(classes: Path, tmp_path: Path) -> None:
    model = tmp_path / "m"
    job = TrainJob(
        data=str(classes),
        options=DataOptions(Recipe(4, 4)),
        plan=Plan(iterations=30),
        device="cpu",
        output=str(model),
    )
    sweep_job(job, {"learning_rates": [0.1, 0.01, 1e300]}, Console(0))
    made = page(tmp_path / "r.html", model)
    text = made.read_text(encoding="utf-8")
    assert "sweep" in sections(made)
    assert "best of 3 that were trained together" in text
    assert "rate 1e+300" in text  # which diverged at once
    assert "Final cost by learning rate" in text


@pytest.mark.parametrize(
    ("plan", "target"),
    [
        (Plan(epochs=2), "y"),
        (Plan(hidden="4:relu+3:tanh,2", epochs=2), "y"),
        (Plan(model="softmax"), "kind"),
        (Plan(), "kind"),
    ],
)
def test_tables(tmp_path: Path, plan: Plan, target: str) -> None:
    generator = np.random.default_rng(0)
    rows = ["size,<b>,y,kind" if target == "kind" else "size,<b>,y"]
    for a, b in generator.normal(size=(60, 2)):
        rows.append(f"{a},{b},{a - b}" + (",yes" if a > b else ",no") * (target == "kind"))
    (tmp_path / "t.csv").write_text("\n".join(rows))
    model = tmp_path / "m"
    train(tmp_path / "t.csv", model, plan, DataOptions(target=target))
    made = page(tmp_path / "r.html", model, data=tmp_path / "t.csv")
    text = made.read_text(encoding="utf-8")
    assert sections(made) == ["problem", "training", "evaluation", "mistakes", "weights", "graph", "recipe"]
    assert "&lt;b&gt;" in text
    assert "<b>" not in text
    assert "no picture" not in text.partition("<script")[0]


def test_grey_pictures(tmp_path: Path) -> None:
    data = draw(tmp_path / "data", ["a", "b", "c"], 10)
    model = tmp_path / "m"
    train(data, model, Plan(), DataOptions(Recipe(6, 4, color_mode="grayscale")))
    rows = predicted(model, data, tmp_path / "rows.jsonl")
    text = page(tmp_path / "r.html", model, data=data, predictions=rows).read_text(encoding="utf-8")
    assert "White is zero. Light at a blue place increases the unit's output" in text
    assert "4 x 6 pixels, 1 channel<" in text


def test_a_file_of_an_older_version_still_has_its_curve(two: World, tmp_path: Path) -> None:
    saved = read_model_file(two.model)
    old = {name: saved.history[name] for name in ("method", "stopped", "best_epoch", "m", "last")}
    costs = [1.0 / i for i in range(1, 101)]
    write_model_file(tmp_path / "m", replace(saved, history={**old, "last": {"epoch": 200}, "costs": costs}))
    made = page(tmp_path / "r.html", tmp_path / "m")
    assert "training" in sections(made)
    assert "<td>199</td><td>0.01</td>" in made.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "history",
    [
        {"curve": {"epoch": [1, 2], "cost": ["<b>", 2]}},
        {"curve": {"epoch": [1, 2], "cost": [1]}},
        {"curve": {"epoch": [1, 2]}},
        {"sweep": {"count": 1, "runs": [{}]}},
        {"sweep": {"count": "many", "runs": []}},
        {"metrics": [1]},
        {"metrics": {"training": 3}},
        {"judged": [1]},
        {"judged": {"training": 3}},
        {"counts": "abc"},
        {"last": 3},
    ],
)
def test_a_damaged_summary_is_one_error(two: World, tmp_path: Path, history: dict) -> None:
    write_model_file(
        tmp_path / "m",
        replace(read_model_file(two.model), history={"curve": {"epoch": [1], "cost": [1]}, **history}),
    )
    with pytest.raises(DataError, match="its summary of the training is damaged"):
        page(tmp_path / "r.html", tmp_path / "m")


@pytest.mark.parametrize(
    "history", [{}, {"curve": {}}, {"curve": [1]}, {"curve": {"epoch": [1, 2], "cost": [1e308, -1e308]}}]
)
def test_little_or_odd_history_is_no_error(two: World, tmp_path: Path, history: dict) -> None:
    write_model_file(tmp_path / "m", replace(read_model_file(two.model), history=history))
    page(tmp_path / "r.html", tmp_path / "m")


@pytest.mark.parametrize(
    ("job", "match"),
    [
        ({"images": "somewhere"}, "--images says where"),
        ({"labels": "l.csv"}, "--labels and --target say how to read --data"),
        ({"target": "y"}, "--labels and --target say how to read --data"),
        ({"predictions": "rows.csv", "images": "no such folder"}, "there is no such folder"),
    ],
)
def test_options_that_need_others_are_refused(two: World, tmp_path: Path, job: dict, match: str) -> None:
    with pytest.raises(UsageError, match=match):
        page(tmp_path / "r.html", two.model, **job)
    assert list(tmp_path.iterdir()) == []


def test_no_input_is_overwritten(two: World) -> None:
    for name, job in {two.rows: {"predictions": two.rows}, two.model: {}}.items():
        with pytest.raises(UsageError, match="is also an input"):
            page(name, two.model, **job)


def test_what_cannot_be_written_is_said_early(two: World, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="there is no folder"):
        page(tmp_path / "no" / "r.html", two.model)
    with pytest.raises(ModelFileError):
        page(tmp_path / "r.html", tmp_path / "no model")


def test_a_missing_jinja_is_said_early(two: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rendering, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"pip install 'xpnet\[report\]'"):
        page(tmp_path / "r.html", two.model)


def test_what_is_left_out_is_said(
    two: World, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from xpnet.pipelines.report import predictions

    monkeypatch.setattr(predictions, "GALLERY_ROWS", 50)
    job = ReportJob(
        str(two.model),
        str(tmp_path / "r.html"),
        predictions=str(two.rows),
        images=str(tmp_path),
        device="cpu",
    )
    assert write_report(job, Console()) == 0
    said = capsys.readouterr().err
    assert "the gallery shows a sample: 50 of 161 rows" in said
    assert "images cannot be shown" in said
    assert "r.html: 0." in said
    assert "50 rows, a random sample" in (tmp_path / "r.html").read_text(encoding="utf-8")


def test_the_command(two: World, tmp_path: Path) -> None:
    def command(*arguments: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            [sys.executable, "-m", "xpnet", "report", str(two.model), "-o", "r.html", *arguments],
            capture_output=True,
            text=True,
            check=False,
            cwd=tmp_path,
        )

    done = command("--predictions", str(two.rows))
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.splitlines()[-1].startswith("r.html: ")
    assert command("--data", str(two.data)).returncode == 3  # one of its files is broken
    assert command("--images", ".").returncode == 2
    assert command("--data", str(tmp_path / "nothing")).returncode == 1
