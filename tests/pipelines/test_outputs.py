"""Outputs: no input and no file of another program is overwritten, and a full disk is one message."""

import os
import resource
import sys
from pathlib import Path

import pytest
from processes import xpnet


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
    assert xpnet("train", classes, "-o", tmp_path / "model").returncode == 1
    assert {path.read_text() for path in tmp_path.iterdir()} == {"precious"}


@pytest.mark.skipif(sys.platform == "win32", reason="no limit of a file's size")
def test_a_full_disk_ends_preprocessing_with_one_message(classes: Path, tmp_path: Path) -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000))

    done = xpnet("preprocess", classes, "-o", tmp_path / "data.h5", preexec_fn=limit)
    assert done.returncode == 1
    assert done.stderr.decode() == f"error: {tmp_path / 'data.h5'}: cannot be written: File too large\n"
    assert not list(tmp_path.iterdir())
