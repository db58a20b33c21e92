"""Outputs: no input and no file of another program is overwritten, and a full disk is one message."""

import os
import resource
import sys
from pathlib import Path

import pytest
from processes import xpnet
from program import xpnet_here

from xpnet.pipelines.outputs import locked_outputs


def test_no_input_is_overwritten(model: Path, classes: Path, tmp_path: Path) -> None:
    photo, own = tmp_path / "a.jpg", tmp_path / "model"
    photo.write_bytes((classes / "red" / "0000.jpg").read_bytes())
    own.write_bytes(model.read_bytes())
    (tmp_path / "list").write_text(str(photo))
    for arguments in (
        ["predict", own, photo, "-o", photo],
        ["predict", own, tmp_path, "-o", photo],
        ["predict", own, photo, "-o", own],
        ["predict", own, "--files-from", tmp_path / "list", "-o", tmp_path / "list"],
        ["train", own, "-o", own],
        ["train", classes, "-o", tmp_path / "new", "--history", tmp_path / "new"],
    ):
        before = {
            path: path.read_bytes() for path in tmp_path.iterdir() if path.suffix not in (".part", ".journal")
        }
        done = xpnet(*arguments)
        assert done.returncode == 2, arguments
        assert b"name another file to write" in done.stderr
        assert {path: path.read_bytes() for path in before} == before


def test_no_image_and_no_config_is_overwritten(classes: Path, model: Path, tmp_path: Path) -> None:
    photo, config = classes / "red" / "0000.jpg", tmp_path / "config"
    config.write_text("[train]\n[sweep]\n[preprocess]\n[report]\n[predict]\n")
    before = photo.read_bytes(), config.read_bytes()
    new = tmp_path / "new"
    for command in (
        ["train", classes],
        ["preprocess", classes],
        ["report", model, "--data", classes],
        ["sweep", classes, "--learning-rates", "0.1"],
        ["predict", model, classes],
        ["train", classes, "-o", new, "--epochs", "1", "--history"],
        ["train", classes, "-o", new, "--epochs", "1", "--plot"],
    ):
        output = command if command[-1] in ("--history", "--plot") else [*command, "-o"]
        for arguments in ([*output, photo], [*output, config, "--config", config]):
            done = xpnet_here(*map(str, arguments))
            assert done.returncode == 2, arguments
            assert before == (photo.read_bytes(), config.read_bytes())
    assert not new.exists()


@pytest.mark.skipif(sys.platform == "win32", reason="no locks")
def test_two_runs_do_not_write_one_output(classes: Path, model: Path, tmp_path: Path) -> None:
    for arguments in (
        ["train", classes],
        ["preprocess", classes],
        ["report", model],
        ["sweep", classes, "--learning-rates", "0.1"],
        ["predict", model, classes],
    ):
        output = tmp_path / "output"
        with locked_outputs(str(output)):
            done = xpnet_here(*map(str, arguments), "-o", str(output))
        assert done.returncode == 1
        assert "is being written by another run" in done.stderr
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["rows.json", "rows.tsv", "rows.csv.gz", "rows.xlsx", "rows.safetensors"])
def test_predictions_have_no_name_of_another_format(
    model: Path, classes: Path, tmp_path: Path, name: str
) -> None:
    done = xpnet_here("predict", str(model), str(classes), "-o", str(tmp_path / name))
    assert done.returncode == 2
    assert "is a name for another format than that of predictions as csv" in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="no links, no pipes")
def test_an_output_may_be_a_link_but_no_device(model: Path, classes: Path, tmp_path: Path) -> None:
    (tmp_path / "link.csv").symlink_to(tmp_path / "rows.csv")
    assert xpnet("predict", model, classes / "red", "-o", tmp_path / "link.csv").returncode == 0
    assert (tmp_path / "link.csv").is_symlink()
    assert len((tmp_path / "rows.csv").read_text().splitlines()) == 21
    os.mkfifo(tmp_path / "pipe")
    for arguments in (["predict", model, classes / "red"], ["train", classes]):
        done = xpnet(*arguments, "-o", tmp_path / "pipe")
        assert done.returncode == 1
        assert b"is a device or a pipe" in done.stderr


def test_other_peoples_files_are_not_removed(model: Path, classes: Path, tmp_path: Path) -> None:
    for name in ("rows.csv.part", "rows.csv.journal", "model.checkpoint"):
        (tmp_path / name).write_text("precious")
    assert (
        b"is not the unfinished output of an earlier run"
        in xpnet("predict", model, classes, "-o", tmp_path / "rows.csv").stderr
    )
    assert {path.read_text() for path in tmp_path.iterdir()} == {"precious"}
    assert xpnet("train", classes, "-o", tmp_path / "model", "--epochs", 2, "--image-size", 8).returncode == 0
    assert (tmp_path / "model.checkpoint.unusable").read_text() == "precious"


@pytest.mark.skipif(sys.platform == "win32", reason="no limit of a file's size")
def test_a_full_disk_ends_preprocessing_with_one_message(classes: Path, tmp_path: Path) -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000))

    done = xpnet("preprocess", classes, "-o", tmp_path / "data.h5", preexec_fn=limit)
    assert done.returncode == 1
    assert done.stderr.decode() == f"error: {tmp_path / 'data.h5'}: cannot be written: File too large\n"
    assert not list(tmp_path.iterdir())
