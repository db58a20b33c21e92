"""`xpnet predict`: where the rows go, and where the inputs come from."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from program import xpnet


@pytest.fixture
def scored(model: Path, classes: Path) -> list[str]:
    return [str(model), str(classes / "red")]


def test_rows_go_to_standard_output_and_nothing_else_does(scored: list[str], tmp_path: Path) -> None:
    done = xpnet("predict", *scored)
    assert done.returncode == 0
    assert done.stdout.startswith("path,status,label,score,frames,error\n")
    assert len(done.stdout.splitlines()) == 21
    assert done.stderr == ""
    named = xpnet("predict", *scored, "-o", str(tmp_path / "rows.csv"))
    assert (named.returncode, named.stdout) == (0, "")
    assert (tmp_path / "rows.csv").read_text() == done.stdout


def test_a_reader_that_stops_reading_is_no_error(scored: list[str]) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "xpnet", "predict", *scored, *scored[1:] * 9, "--batch-size", "1"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    fcntl = pytest.importorskip("fcntl")
    fcntl.fcntl(
        process.stdout, fcntl.F_SETPIPE_SZ, 4096
    )  # less than all rows: it cannot be done before the end
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


def test_messages_can_be_json(model: Path, tmp_path: Path) -> None:
    done = xpnet(
        "predict", str(model), str(tmp_path / "a.jpg"), "-o", str(tmp_path / "r.csv"), "--log-format", "json"
    )
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert [line["level"] for line in lines] == ["info"]
    done = xpnet("evaluate", str(model), str(tmp_path / "none"), "--log-format", "json")
    assert json.loads(done.stderr)["level"] == "error"


def test_a_limit_of_pixels(scored: list[str]) -> None:
    done = xpnet("predict", *scored, "--max-pixels", "1")
    assert done.returncode == 4
    assert all("expected at most 1: --max-pixels allows more" in row for row in done.stdout.splitlines()[1:])
    assert xpnet("predict", *scored, "--max-pixels", "1000000").returncode == 0


def test_a_frame_is_picked_and_the_row_says_how_many_there_are(model: Path, tmp_path: Path) -> None:
    red, blue = Image.new("RGB", (4, 4), "red"), Image.new("RGB", (4, 4), "blue")
    red.save(tmp_path / "two.tif", save_all=True, append_images=[blue])
    red.copy().save(tmp_path / "red.png")
    blue.copy().save(tmp_path / "blue.png")

    def rows_of(*arguments: str) -> tuple[int, list[tuple[str, str, str]]]:
        inputs = [str(tmp_path / name) for name in ("red.png", "blue.png", "two.tif")]
        done = xpnet("predict", str(model), *inputs, *arguments)
        rows = csv.DictReader(done.stdout.splitlines())
        return done.returncode, [(row["score"], row["frames"], row["error"]) for row in rows]

    code, rows = rows_of()
    of_red, of_blue = rows[0][0], rows[1][0]
    assert of_red != of_blue
    assert (code, rows) == (0, [(of_red, "1", ""), (of_blue, "1", ""), (of_red, "2", "")])
    code, rows = rows_of("--frame", "2")
    assert (code, rows[2]) == (3, (of_blue, "2", ""))
    assert rows[:2] == [("", "", "has 1 frame, and --frame 2 was asked for")] * 2


def test_evaluate_reads_as_predict_does(model: Path, classes: Path) -> None:
    refused = xpnet("evaluate", str(model), str(classes), "--max-pixels", "1")
    assert refused.returncode == 4
    assert "expected at most 1: --max-pixels allows more" in refused.stderr
    assert xpnet("evaluate", str(model), str(classes), "--max-pixels", "1000000").returncode == 0
    assert "--frame 2 was asked for" in xpnet("evaluate", str(model), str(classes), "--frame", "2").stderr


@pytest.mark.skipif(sys.platform != "linux", reason="there is no such locale")
def test_a_locale_without_utf8_changes_no_row(tmp_path: Path) -> None:
    """Names of classes, columns and files are text: the locale of the shell does not matter."""
    environment = os.environ | {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    for name, color in {"é": "red", "ü": "blue"}.items():
        (tmp_path / "data" / name).mkdir(parents=True)
        for i in range(3):
            Image.new("RGB", (2, 2), color).save(tmp_path / "data" / name / f"{i}.png")
    (tmp_path / "list").write_bytes("\n".join(map(str, sorted(tmp_path.glob("data/*/*")))).encode("utf-16"))
    (tmp_path / "t.csv").write_text("größe,y\n" + "".join(f"{i},{'é' if i > 3 else 'ü'}\n" for i in range(8)))
    (tmp_path / "c.toml").write_text('[predict]\noutput = "é.csv"\n')
    written = []
    for shell in (None, environment):
        model, table = str(tmp_path / "m"), str(tmp_path / "t")
        commands = (
            ("train", str(tmp_path / "data"), "-o", model, "--image-size", "2", "--overwrite"),
            ("predict", model, "--files-from", str(tmp_path / "list"), "-o", str(tmp_path / "r"), "--proba"),
            ("train", str(tmp_path / "t.csv"), "--target", "y", "--columns", "größe", "-o", table),
            ("predict", table, str(tmp_path / "t.csv"), "-o", str(tmp_path / "s"), "--proba"),
        )
        for command in commands:
            done = subprocess.run(
                [sys.executable, "-m", "xpnet", *map(os.fsencode, command)],
                capture_output=True, check=False, env=shell,
            )  # fmt: skip
            assert done.returncode == 0, done.stderr
        written.append([(tmp_path / name).read_bytes() for name in ("m", "r", "t", "s")])
    assert written[0] == written[1]
    refused = subprocess.run(
        [sys.executable, "-m", "xpnet", "predict", model, table, "--config", str(tmp_path / "c.toml")],
        capture_output=True, text=True, check=False, env=environment,
    )  # fmt: skip
    assert refused.returncode == 1
    assert "this name cannot be written in the locale of this shell" in refused.stderr
