"""Predictions for members of archives: the rows of the same files in a folder, also after a kill or a retry."""

import csv
import io
import shutil
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from pictures import draw_many
from processes import xpnet

from xpnet.backend.backend import select
from xpnet.errors import OutputError, UsageError
from xpnet.pipelines.images.inputs import expand_inputs
from xpnet.pipelines.messages import Messages
from xpnet.pipelines.models.model import load
from xpnet.pipelines.predictions.jobs import PredictJob, run_prediction
from xpnet.pipelines.predictions.predict import write_predictions
from xpnet.pipelines.predictions.retry import retry_errors

CPU = select("cpu")


def pack(folder: Path, archive: Path) -> Path:
    """Put a folder into an archive, whose members are relative to it."""
    if archive.suffix == ".zip":
        with zipfile.ZipFile(archive, "w") as file:
            for path in sorted(folder.rglob("*")):
                file.write(path, path.relative_to(folder))
    else:
        with tarfile.open(archive, "w:") as file:
            file.add(folder, ".")
    return archive


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with 150 images, of which one is damaged."""
    folder = draw_many(tmp_path_factory.mktemp("packed") / "images", 150)
    (folder / "000140.jpg").unlink()
    (folder / "000140.jpg").write_bytes(b"no image")
    return folder


def rows_of(model: Path, output: Path, *inputs: Path) -> bytes:
    """Return the rows of a file of predictions for some inputs, without the folder or archive in their paths."""
    write_predictions(load(model), expand_inputs(map(str, inputs)), CPU, str(output))
    written = output.read_bytes()
    for each in inputs:
        written = written.replace(bytes(each) + b"/", b"")
    return written


def test_archives_give_the_rows_of_their_folder(model: Path, folder: Path, tmp_path: Path) -> None:
    archives = [pack(folder, tmp_path / f"x.{kind}") for kind in ("zip", "tar")]
    expected = rows_of(model, tmp_path / "folder.csv", folder)
    assert expected.count(b"not an image") == 1
    for archive in archives:
        assert rows_of(model, tmp_path / "archive.csv", archive) == expected
    done = xpnet("predict", model, *archives, "--workers", 2)
    assert done.returncode == 3
    rows = expected.splitlines(keepends=True)
    assert done.stdout == b"".join([rows[0], *(bytes(a) + b"/" + row for a in archives for row in rows[1:])])


def test_a_killed_run_goes_on_in_an_archive(model: Path, folder: Path, tmp_path: Path) -> None:
    archive, output = pack(folder, tmp_path / "x.tar"), tmp_path / "rows.csv"
    expected = rows_of(model, tmp_path / "whole.csv", archive)

    def some() -> Iterator[str]:
        for i, path in enumerate(expand_inputs([str(archive)])):
            if i == 70:
                raise KeyboardInterrupt
            yield path

    with pytest.raises(KeyboardInterrupt):
        write_predictions(load(model), some(), CPU, str(output), batch_size=10)
    done: list[int] = []
    inputs = expand_inputs([str(archive)])
    write_predictions(load(model), inputs, CPU, str(output), batch_size=10, on_resume=done.append)
    assert done[0] > 0
    assert output.read_bytes().replace(bytes(archive) + b"/", b"") == expected


def test_a_member_that_was_repaired_is_scored_again(model: Path, folder: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(folder, tmp_path / "copy")
    archive, output = pack(copy, tmp_path / "x.zip"), tmp_path / "rows.csv"
    before = rows_of(model, output, archive).splitlines()
    shutil.copy(copy / "000000.jpg", copy / "000140.jpg")
    pack(copy, archive)
    assert retry_errors(load(model), expand_inputs([str(archive)]), CPU, str(output)).error == 0
    after = output.read_bytes().replace(bytes(archive) + b"/", b"").splitlines()
    assert [i for i, (old, new) in enumerate(zip(before, after, strict=True)) if old != new] == [141]
    assert after[141].split(b",")[1:] == after[1].split(b",")[1:]


def test_rows_of_archives_that_are_damaged(
    model: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    content = pack(folder, tmp_path / "a.tar").read_bytes()
    (tmp_path / "b.tar").write_bytes(content[:5000])
    (tmp_path / "c.zip").write_bytes(b"PK, but no archive")
    (tmp_path / "a.tar.gz").write_bytes(b"\x1f\x8b")
    names = ["a.tar/000001.jpg", "b.tar", "c.zip", "a.tar.gz", "gone.zip", "a.tar/gone.jpg"]
    write_predictions(load(model), expand_inputs(names), CPU, "rows.csv")
    with Path("rows.csv").open(newline="") as file:
        rows = [(row["path"], row["error"]) for row in csv.DictReader(file)]
    assert rows[0] == ("a.tar/000001.jpg", "")
    paths = [path for path, error in rows if error]
    assert paths[-5:] == names[1:]
    assert len({path for path, _ in rows}) == len(rows)
    assert {path.partition("/")[0] for path, _ in rows[1:-5]} == {"b.tar"}


def test_an_archive_that_is_an_input_is_no_output(model: Path, folder: Path, tmp_path: Path) -> None:
    archive = pack(folder, tmp_path / "x.zip")
    for output, error in ((archive, UsageError), (archive / "rows.csv", OutputError)):
        with pytest.raises(error):
            run_prediction(
                PredictJob(model=str(model), inputs=(str(archive),), output=str(output)),
                io.BytesIO(),
                Messages(),
            )
