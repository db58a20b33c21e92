"""`xpnet train` and `xpnet sweep`: models, curves and metrics."""

import json
from pathlib import Path

import pytest
from locations import DATA
from pictures import draw_classes
from program import xpnet


def test_a_sweep_names_the_best_and_saves_it(tmp_path: Path) -> None:
    data, best = draw_classes(tmp_path / "data", 10), tmp_path / "best"
    done = xpnet(
        "sweep", str(data), "--image-size", "8", "--learning-rates", "0.000001,0.1", "--l2s", "0,1",
        "--iterations", "200", "--val-split", "0.2", "-o", str(best), "--history", str(tmp_path / "costs.csv"),
    )  # fmt: skip
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    assert lines[0].split()[:3] == ["learning", "rate", "l2"]
    assert [line.split()[0] for line in lines if line.endswith("  best")] == ["0.1"]
    assert len((tmp_path / "costs.csv").read_text().splitlines()) == 801
    assert xpnet("evaluate", str(best), str(data)).returncode == 0
    assert lines[0].endswith("validation cost  validation accuracy")
    assert any(line.startswith("Trained together by the method ") for line in lines)
    assert (
        (tmp_path / "costs.csv").read_text().startswith("initial_learning_rate,l2,epoch,cost,learning_rate,")
    )


def test_a_sweep_of_penalties_needs_validation_data(tmp_path: Path) -> None:
    data = draw_classes(tmp_path / "data", 4)
    done = xpnet("sweep", str(data), "--image-size", "8", "--l2s", "0,1")
    assert done.returncode == 2
    assert "comparing penalties needs validation data: give --val or --val-split" in done.stderr


def test_a_model_of_lbfgs_is_described_without_a_learning_rate(tmp_path: Path) -> None:
    data, decoded, model = draw_classes(tmp_path / "data", 4), tmp_path / "d.h5", tmp_path / "m.safetensors"
    done = xpnet("preprocess", str(data), "-o", str(decoded), "--image-size", "8")
    assert done.stdout.splitlines()[-1] == f"Saved: {decoded}"
    assert xpnet("train", str(decoded), "-o", str(model)).returncode == 0
    lines = xpnet("info", str(model)).stdout.splitlines()
    assert lines[lines.index("training:") + 1].startswith("  method: L-BFGS on all examples")
    assert not any("learning_rate" in line or "best_epoch" in line for line in lines)
    model.unlink()
    done = xpnet("train", str(decoded), "-o", str(model), "--hidden", "2:relu", "--iterations", "3")
    assert "all 3 iterations done" in done.stdout
    assert "  best_epoch: 3" in xpnet("info", str(model)).stdout.splitlines()


def test_a_line_is_found_exactly(tmp_path: Path) -> None:
    table = tmp_path / "line.csv"
    table.write_text("x,y\n" + "".join(f"{x},{3 * x + 5}\n" for x in range(60)))
    done = xpnet("train", str(table), "--target", "y", "-o", str(tmp_path / "m"))
    assert done.returncode == 0, done.stderr
    assert "Trained by linear least squares in closed form" in done.stdout
    assert "R²: 1.000000" in done.stdout
    assert "penalty 0 by leave-one-out" in done.stdout
    line = next(line for line in done.stdout.splitlines() if line.startswith("Expected on new data: RMSE "))
    assert line.endswith("R² 1.0000 (by leave-one-out)")
    given = xpnet("train", str(table), "--target", "y", "-o", str(tmp_path / "l2"), "--l2", "5")
    assert "leave-one-out" not in given.stdout


def test_a_penalty_is_chosen_by_cross_validation(tmp_path: Path) -> None:
    table, config, model = tmp_path / "t.csv", tmp_path / "options.toml", tmp_path / "m"
    table.write_text("x,y\n" + "".join(f"{x},{'ab'[(x + x % 3) > 32]}\n" for x in range(60)))
    config.write_text('[train]\nl2 = "auto"\n')
    done = xpnet("train", str(table), "--target", "y", "-o", str(model), "--config", str(config))
    assert done.returncode == 0, done.stderr
    assert "Trained by L-BFGS on all examples, penalty " in done.stdout
    line = next(line for line in done.stdout.splitlines() if line.startswith("Expected on new data: "))
    assert line.endswith("(by 5-fold cross-validation)")
    assert done.stderr.startswith("Penalty: ")
    assert "penalties" not in xpnet("info", str(model)).stdout
    refused = xpnet("train", str(table), "--target", "y", "-o", str(model), "--l2", "auto", "--epochs", "2")
    assert refused.returncode == 2
    assert "--l2 auto chooses the penalty of linear models" in refused.stderr
    table.write_text("x,y\n1,a\n2,b\n")
    few = xpnet("train", str(table), "--target", "y", "-o", str(tmp_path / "few"), "--l2", "auto")
    assert few.returncode == 1
    assert "cross-validation needs a class with two examples or more" in few.stderr


def test_training_and_sweep_draw_their_curves(tmp_path: Path) -> None:
    data, plot = draw_classes(tmp_path / "data", 4), tmp_path / "curves.svg"
    done = xpnet("train", str(data), "-o", str(tmp_path / "m"), "--epochs", "2", "--plot", str(plot))
    assert done.returncode == 0, done.stderr
    assert plot.read_bytes().startswith(b"<?xml")
    plot.unlink()
    shared = ["--iterations", "5", "--learning-rates", "0.1,0.01", "--plot"]
    assert xpnet("sweep", str(data), *shared, str(plot)).returncode == 0
    assert plot.exists()
    assert xpnet("sweep", str(data), *shared, "curves.gif").returncode == 2


def test_numbers_are_predicted_from_tables_and_from_pictures(tmp_path: Path) -> None:
    table = tmp_path / "houses.csv"
    table.write_text(
        "size,rooms,price\n" + "".join(f"{s},{s // 20},{3 * s + 10}\n" for s in range(40, 200, 5))
    )
    model = str(tmp_path / "model")
    options = ["--learning-rate", "0.1", "--epochs", "300"]
    assert xpnet("train", str(table), "-o", model).returncode == 2  # which column?
    done = xpnet("train", str(table), "-o", model, "--target", "price", *options)
    assert done.returncode == 0, done.stderr
    report = json.loads(xpnet("evaluate", model, str(table), "--json").stdout)
    assert report["r_squared"] > 0.99
    done = xpnet(
        "sweep", str(table), "--target", "price", "--learning-rates", "0.1,0.0001", "--epochs", "200",
        "-o", model, "--json",
    )  # fmt: skip
    runs = json.loads(done.stdout)["runs"]
    assert [run["best"] for run in runs] == [True, False]
    better = json.loads(xpnet("evaluate", model, str(table), "--json").stdout)
    assert better["rmse"] ** 2 == pytest.approx(runs[0]["cost"], rel=0.1)
    data = draw_classes(tmp_path / "data", 4)
    rows = [
        f"{path.relative_to(data)},{ {'blue': 1, 'green': 2, 'red': 3}[path.parent.name] }"
        for path in data.glob("*/*.jpg")
    ]
    (tmp_path / "labels.csv").write_text("path,label\n" + "\n".join(rows))
    labels = ["--labels", str(tmp_path / "labels.csv")]
    done = xpnet(
        "train", str(data), "-o", model, "--model", "regression", *labels, *options, "--image-size", "8"
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(xpnet("evaluate", model, str(data), *labels, "--json").stdout)
    assert report["m"] == 12
    assert report["r_squared"] > 0.9
    assert xpnet("predict", model, str(data)).stdout.splitlines()[1].split(",")[1:3] == ["ok", ""]


@pytest.mark.skipif(not (DATA / "cats").is_dir(), reason="the course's pictures are not here")
def test_the_courses_job_from_the_command_line(tmp_path: Path) -> None:
    model = str(tmp_path / "cats.safetensors")
    how = ["--optimizer", "sgd", "--iterations", "2000", "--learning-rate", "0.005"]
    done = xpnet("train", str(DATA / "cats" / "train_catvnoncat.h5"), "-o", model, *how)
    assert "accuracy: 99.04 %" in done.stdout
    done = xpnet("evaluate", model, str(DATA / "cats" / "test_catvnoncat.h5"))
    assert "Accuracy: 70.00 %" in done.stdout


@pytest.mark.skipif(not (DATA / "clothing").is_dir(), reason="the photos of clothes are not here")
def test_photos_of_clothes_as_a_new_user_would_try_them(tmp_path: Path) -> None:
    model, rows = str(tmp_path / "clothes.safetensors"), tmp_path / "rows.csv"
    validation, test = str(DATA / "clothing" / "validation"), str(DATA / "clothing" / "test")
    assert xpnet("train", validation, "-o", model, "--l2", "300").returncode == 0
    assert xpnet("predict", model, test, "-o", str(rows)).returncode == 0
    assert len(rows.read_text().splitlines()) == 373
    report = json.loads(xpnet("evaluate", model, test, "--json").stdout)
    assert report["m"] == 372
    assert report["accuracy"] > 0.25  # of ten classes
