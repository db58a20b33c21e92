"""A data file is written completely or not at all, also on a full disk."""

import subprocess
import sys
from pathlib import Path

import pytest
from data_files import LABELS, NAMES, PIXELS, RECIPE, table, written
from locations import TESTS

from xpnet.errors import DataError, OutputError
from xpnet.pipelines.datasets import data_file


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, DataError])
def test_the_file_appears_only_when_complete(error: type[BaseException], tmp_path: Path) -> None:
    seen: list[bool] = []

    def interrupted() -> None:
        with data_file.data_file_writer(tmp_path / "d.h5", RECIPE, "unit") as writer:
            writer.add(PIXELS, LABELS, NAMES)
            seen.append((tmp_path / "d.h5").exists())
            raise error

    with pytest.raises(error):
        interrupted()
    assert not list(tmp_path.iterdir())
    assert seen == [False]
    before = written(tmp_path / "d.h5").read_bytes()
    with pytest.raises(error):
        interrupted()
    assert [entry.name for entry in tmp_path.iterdir()] == ["d.h5"]
    assert (tmp_path / "d.h5").read_bytes() == before


def test_what_cannot_be_written_is_an_output_error(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(OutputError, match=r"nowhere/d\.h5: cannot be written: No such file or directory"):
        written(tmp_path / "nowhere" / "d.h5")
    with pytest.raises(OutputError, match="folder: cannot be written"):
        written(tmp_path / "folder")
    with pytest.raises(OutputError, match=r"nowhere/t\.h5: cannot be written: No such file or directory"):
        data_file.write_data_file(tmp_path / "nowhere" / "t.h5", table("none", ()))
    assert [entry.name for entry in tmp_path.iterdir()] == ["folder"]


FULL = """
import resource, sys
from pathlib import Path
import numpy as np
sys.path.insert(0, {tests!r})
import data_files
from xpnet.errors import OutputError

limit = 50_000 if {kind!r} == "table" else 5_000
if {kind!r} == "features":
    dataset = data_files.features(Path({path!r} + ".images"))
    Path({path!r} + ".images").unlink()
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
try:
    if {kind!r} == "images":
        data_files.written(Path({path!r}))
    elif {kind!r} == "features":
        data_files.data_file.write_data_file({path!r}, dataset)
    else:
        data_files.data_file.write_data_file({path!r}, data_files.wide())
except OutputError as error:
    print(error)
"""


@pytest.mark.parametrize("kind", ["images", "features", "table"])
def test_a_full_disk_is_an_output_error(kind: str, tmp_path: Path) -> None:
    pytest.importorskip("resource")
    (tmp_path / "d.h5").write_bytes(b"before")
    program = FULL.format(tests=str(TESTS / "pipelines"), path=str(tmp_path / "d.h5"), kind=kind)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-500:]
    assert "d.h5: cannot be written: " in done.stdout
    assert [entry.name for entry in tmp_path.iterdir()] == ["d.h5"]
    assert (tmp_path / "d.h5").read_bytes() == b"before"
