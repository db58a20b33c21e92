"""A file that grows: what a killed run leaves, and what can be made of it."""

import json
import random
import subprocess
import sys
from pathlib import Path

import pytest

from xpnet.errors import OutputError
from xpnet.pipelines.predictions.resumable_file import ResumableFile

ABOUT = {"model": "a", "options": {"topk": 1}}


def grow(path: Path, chunks: list[bytes], resume: bool = False, finish: bool = False) -> None:
    """Write chunks; without `finish` leave what a killed process leaves."""
    with ResumableFile.open(str(path), ABOUT, resume) as file:
        done = file.state.get("done", 0)
        for i, chunk in enumerate(chunks[done:], start=done + 1):
            file.append(chunk, {"done": i})
        if finish:
            file.finish()


def test_the_name_is_given_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    grow(path, [b"one\n"])
    assert not path.exists()
    grow(path, [b"one\n", b"two\n"], resume=True, finish=True)
    assert path.read_bytes() == b"one\ntwo\n"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_of_that_name_stays_until_then(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes(b"before")
    grow(path, [b"one\n"])
    assert path.read_bytes() == b"before"
    grow(path, [b"one\n"], finish=True)
    assert path.read_bytes() == b"one\n"


def test_discarded_nothing_is_left(tmp_path: Path) -> None:
    with ResumableFile.open(str(tmp_path / "rows.csv"), ABOUT, resume=False) as file:
        file.append(b"one\n", {"done": 1})
        file.discard()
    assert not list(tmp_path.iterdir())


CHUNKS = [f"chunk {i}, {'x' * (i % 7)}\n".encode() for i in range(20)]


@pytest.mark.parametrize("seed", range(30))
def test_whatever_was_torn_off_the_rest_is_the_same(tmp_path: Path, seed: int) -> None:
    """A kill may leave half a chunk or half a line; a power cut may keep the journal and lose the rows."""
    generator = random.Random(seed)  # noqa: S311
    path = tmp_path / "rows.csv"
    grow(path, CHUNKS[: generator.randrange(21)])
    part, journal = Path(f"{path}.part"), Path(f"{path}.journal")
    for file in generator.choice(([part], [journal], [part, journal])):
        size = file.stat().st_size
        with file.open("rb+") as torn:
            torn.truncate(generator.randrange(size + 1))
            if generator.random() < 0.5:
                torn.seek(0, 2)
                torn.write(b"torn")
    try:
        grow(path, CHUNKS, resume=True, finish=True)
    except OutputError:  # the journal has lost its first line: these might be anyone's files
        assert b"\n" not in journal.read_bytes()
    else:
        assert path.read_bytes() == b"".join(CHUNKS)


def test_without_resume_it_is_written_from_the_start(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    grow(path, [b"old\n"])
    grow(path, [b"new\n"], finish=True)
    assert path.read_bytes() == b"new\n"


def test_resuming_another_run_is_refused_with_what_differs(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    grow(path, [b"one\n"])
    with pytest.raises(
        OutputError,
        match=r"rows\.csv: .* the earlier run had another model; without --resume the output is written from the start",
    ):
        ResumableFile.open(str(path), {**ABOUT, "model": "b"}, resume=True)
    grow(path, [b"one\n", b"two\n"], resume=True, finish=True)
    assert path.read_bytes() == b"one\ntwo\n"


def test_a_converted_file_takes_the_name(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"

    def convert(written: str, made: str) -> None:
        Path(made).write_bytes(Path(written).read_bytes().upper())

    with ResumableFile.open(str(path), ABOUT, resume=False) as file:
        file.append(b"one\n", {"done": 1})
        file.finish(convert)
    assert path.read_bytes() == b"ONE\n"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(sys.platform == "win32", reason="no locks")
@pytest.mark.parametrize("resume", [False, True])
def test_two_runs_do_not_write_one_file(tmp_path: Path, resume: bool) -> None:
    path = tmp_path / "rows.csv"
    with ResumableFile.open(str(path), ABOUT, resume=False) as file:
        file.append(b"one\n", {"done": 1})
        with pytest.raises(OutputError, match="written by another run"):
            ResumableFile.open(str(path), ABOUT, resume=resume)
        file.append(b"two\n", {"done": 2})
        file.finish()
    assert path.read_bytes() == b"one\ntwo\n"


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="is a folder"):
        ResumableFile.open(str(tmp_path), ABOUT, resume=False)


@pytest.mark.skipif(sys.platform == "win32", reason="no limit of a file's size")
def test_a_full_disk_leaves_what_can_be_resumed(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    code = f"""
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))
from xpnet.errors import OutputError
from xpnet.pipelines.predictions.resumable_file import ResumableFile
try:
    with ResumableFile.open({str(path)!r}, {ABOUT!r}, False) as file:
        for i in range(1, 21):
            file.append(b"x" * 200 + b"\\n", {{"done": i}})
except OutputError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "File too large; what was written so far is kept: continue with --resume" in done.stdout
    assert not path.exists()
    lines = Path(f"{path}.journal").read_bytes().splitlines()
    whole = [line for line in lines[1:] if line.endswith(b"}")]
    assert 0 < json.loads(whole[-1])["state"]["done"] < 20
    grow(path, [b"x" * 200 + b"\n"] * 20, resume=True, finish=True)
    assert path.read_bytes() == (b"x" * 200 + b"\n") * 20
