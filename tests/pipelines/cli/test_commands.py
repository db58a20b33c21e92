"""The command line, in processes of its own."""

import json
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
import typer
from locations import DATA
from pictures import draw_classes

from xpnet import errors
from xpnet.errors import DeviceError, ShapeError
from xpnet.pipelines.cli import command
from xpnet.pipelines.cli.console import Console


def xpnet(*args: str, **env: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "xpnet", *args],
        capture_output=True,
        text=True,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": "", **env},
        check=False,
    )


COMMANDS = [
    "preprocess",
    "train",
    "evaluate",
    "predict",
    "sweep",
    "report",
    "info",
    "doctor",
    "demo",
    "bench",
]


def test_help_names_every_command() -> None:
    done = xpnet("--help")
    assert done.returncode == 0
    assert [line.split()[0] for line in done.stdout.partition("Commands:")[2].splitlines()[1:11]] == COMMANDS
    assert done.stderr == ""


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_explains_itself(command: str) -> None:
    done = xpnet(command, "--help")
    assert done.returncode == 0
    for option in ("--config", "--log-format", "--quiet", "--verbose", "--no-progress"):
        assert option in done.stdout


def test_no_command_is_a_usage_error() -> None:
    assert xpnet().returncode == 2
    assert xpnet("train-all").returncode == 2
    assert xpnet("bench", "--repeat", "0").returncode == 2


def test_version() -> None:
    done = xpnet("--version")
    assert (done.returncode, done.stdout) == (0, f"xpnet {version('xpnet')}\n")


def test_bench_writes_json_to_stdout_and_nothing_else() -> None:
    done = xpnet("bench", "--json", "--repeat", "1", "--device", "cpu")
    assert done.returncode == 0
    assert done.stderr == ""
    assert len(json.loads(done.stdout)["rows"]) == 6


@pytest.mark.parametrize(("args", "env"), [(["--device", "tpu"], {}), ([], {"XPNET_DEVICE": "tpu"})])
def test_a_device_that_cannot_be_had_is_one_line_and_exit_code_5(
    args: list[str], env: dict[str, str]
) -> None:
    done = xpnet("bench", *args, **env)
    assert done.returncode == 5
    assert done.stdout == ""
    assert done.stderr.startswith("error: device 'tpu'")
    assert done.stderr.count("\n") == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
def test_a_full_output_is_one_line_and_exit_code_1() -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "xpnet", "bench", "--repeat", "1", "--device", "cpu"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr == "error: No space left on device\n"


def raising(error: BaseException) -> int:
    """Return the exit code of a command that raises."""
    app = typer.Typer()

    def broken(console: Console) -> None:
        raise error

    command.add(app, broken)
    with pytest.raises(SystemExit) as ended:
        app([])
    return int(ended.value.code)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ShapeError("wrong"), 1),
        (errors.DataError("wrong"), 1),
        (errors.UsageError("wrong"), 2),
        (errors.NoInputError("wrong"), 4),
        (DeviceError("wrong", problem="no-driver"), 5),
        (OSError("wrong"), 1),
    ],
)
def test_errors_for_users_are_a_line_and_a_code(
    capsys: pytest.CaptureFixture[str], error: Exception, code: int
) -> None:
    assert raising(error) == code
    assert capsys.readouterr() == ("", "error: wrong\n")


def test_interrupted_and_out_of_memory_have_words(capsys: pytest.CaptureFixture[str]) -> None:
    assert raising(KeyboardInterrupt()) == 130
    assert raising(MemoryError()) == 1
    assert capsys.readouterr().err == "error: interrupted\nerror: not enough memory\n"


def test_other_errors_are_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError):
        raising(ZeroDivisionError())


def test_gpu_never_falls_back() -> None:
    done = xpnet("bench", "--device", "gpu")
    assert done.returncode == 5
    assert done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr


@pytest.fixture
def scored(model: Path, classes: Path) -> list[str]:
    return [str(model), str(classes / "red")]


def test_rows_go_to_standard_output_and_nothing_else_does(scored: list[str], tmp_path: Path) -> None:
    done = xpnet("predict", *scored)
    assert done.returncode == 0
    assert done.stdout.startswith("path,status,label,score,error\n")
    assert len(done.stdout.splitlines()) == 21
    assert done.stderr == ""
    named = xpnet("predict", *scored, "-o", str(tmp_path / "rows.csv"))
    assert (named.returncode, named.stdout) == (0, "")
    assert (tmp_path / "rows.csv").read_text() == done.stdout


def test_a_reader_that_stops_reading_is_no_error(scored: list[str]) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "xpnet", "predict", *scored, "--batch-size", "1"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    process.stdout.readline()
    process.stdout.close()
    said = process.stderr.read()
    process.stderr.close()
    assert process.wait() == 1
    assert said == b""


@pytest.mark.parametrize(("ending", "option"), [("jsonl", []), ("txt", ["--format", "jsonl"])])
def test_the_format_is_what_the_name_ends_in(
    scored: list[str], tmp_path: Path, ending: str, option: list[str]
) -> None:
    output = tmp_path / f"rows.{ending}"
    assert xpnet("predict", *scored, "-o", str(output), *option).returncode == 0
    assert json.loads(output.read_text().splitlines()[0])["status"] == "ok"


def test_exit_codes_tell_some_failed_from_all(model: Path, classes: Path, tmp_path: Path) -> None:
    good, bad = str(classes / "red" / "0000.jpg"), str(tmp_path / "missing.jpg")
    assert [xpnet("predict", str(model), *paths).returncode for paths in ([good], [good, bad], [bad])] == [
        0, 3, 4,
    ]  # fmt: skip
    assert xpnet("predict", str(model)).returncode == 2
    empty = tmp_path / "empty"
    empty.mkdir()
    assert xpnet("predict", str(model), str(empty)).returncode == 4
    assert xpnet("train", str(empty), "-o", str(tmp_path / "model")).returncode == 4


def test_paths_come_from_a_list(model: Path, classes: Path, tmp_path: Path) -> None:
    paths = [str(path) for path in sorted((classes / "blue").iterdir())]
    (tmp_path / "list").write_text("\r\n".join(paths))
    listed = xpnet("predict", str(model), "--files-from", str(tmp_path / "list"))
    assert listed.stdout == xpnet("predict", str(model), str(classes / "blue")).stdout
    piped = subprocess.run(
        [sys.executable, "-m", "xpnet", "predict", str(model), "--files-from", "-"],
        input="\n".join(paths), capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert piped.stdout == listed.stdout


def test_options_come_from_a_file_and_the_command_line_wins(tmp_path: Path) -> None:
    data = draw_classes(tmp_path / "data", 6)
    config = tmp_path / "xpnet.toml"
    config.write_text(
        '[train]\nimage-size = "8"\nhidden = "4:tanh"\nepochs = 2\nval-split = 0.5\n[sweep]\nlearning-rates = [0.1, 0.01]\n'
    )
    model = str(tmp_path / "model")
    done = xpnet("train", str(data), "-o", model, "--config", str(config))
    assert done.returncode == 0
    assert "192 -> 4:tanh -> 3:softmax" in done.stdout
    assert "all 2 epochs done" in done.stdout
    assert "Validation cost" in done.stdout
    done = xpnet("train", str(data), "-o", model, "--config", str(config), "--epochs", "3")
    assert "all 3 epochs done" in done.stdout
    done = xpnet(
        "sweep", str(data), "--image-size", "8", "--config", str(config), "--json", "--iterations", "5"
    )
    assert [run["learning_rate"] for run in json.loads(done.stdout)["runs"]] == [0.1, 0.01]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[train", "cannot be read as TOML"),
        ("[trian]\nepochs = 2", "has 'trian', expected a table for each command"),
        ("[train]\nepoch = 2", "has 'epoch', which is no option of this command"),
        ('[train]\nepochs = "many"', "should be a valid integer"),
    ],
)
def test_a_file_of_options_that_is_wrong_is_refused(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "xpnet.toml").write_text(text)
    done = xpnet("train", str(tmp_path), "-o", "model", "--config", str(tmp_path / "xpnet.toml"))
    assert done.returncode == 2
    assert said in " ".join(done.stderr.split())


def test_messages_can_be_json(model: Path, tmp_path: Path) -> None:
    done = xpnet(
        "predict", str(model), str(tmp_path / "a.jpg"), "-o", str(tmp_path / "r.csv"), "--log-format", "json"
    )
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert [line["level"] for line in lines] == ["info"]
    done = xpnet("evaluate", str(model), str(tmp_path / "none"), "--log-format", "json")
    assert json.loads(done.stderr)["level"] == "error"


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
