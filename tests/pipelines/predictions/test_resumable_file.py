"""A file that grows: what a killed run leaves, and what can be made of it."""

import io
import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from xpnet.errors import OutputError
from xpnet.pipelines import outputs
from xpnet.pipelines.predictions.resumable_file import ResumableFile, StreamSink

ABOUT = {"model": "a", "options": {"topk": 1}}


def grow(path: Path, chunks: list[bytes], overwrite: bool = False, finish: bool = False) -> None:
    """Write chunks; without `finish` leave what a killed process leaves."""
    with ResumableFile.open(str(path), ABOUT, overwrite) as file:
        done = file.state.get("done", 0)
        for i, chunk in enumerate(chunks[done:], start=done + 1):
            file.append(chunk, {"done": i})
        if finish:
            file.finish()


def test_the_name_is_given_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    grow(path, [b"one\n"])
    assert not path.exists()
    grow(path, [b"one\n", b"two\n"], finish=True)
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
    with ResumableFile.open(str(tmp_path / "rows.csv"), ABOUT) as file:
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
        grow(path, CHUNKS, finish=True)
    except OutputError:  # the journal has lost its first line: these might be anyone's files
        assert b"\n" not in journal.read_bytes()
    else:
        assert path.read_bytes() == b"".join(CHUNKS)


def test_it_is_written_from_the_start_if_that_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    grow(path, [b"old\n"])
    grow(path, [b"new\n"], overwrite=True, finish=True)
    assert path.read_bytes() == b"new\n"


def test_resuming_another_run_is_refused_with_what_differs(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    grow(path, [b"one\n"])
    with pytest.raises(
        OutputError,
        match=r"rows\.csv: .* the earlier run had another model; to write it from the start, give --overwrite; to keep both, name another output",
    ):
        ResumableFile.open(str(path), {**ABOUT, "model": "b"})
    grow(path, [b"one\n", b"two\n"], finish=True)
    assert path.read_bytes() == b"one\ntwo\n"


def test_a_converted_file_takes_the_name(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"

    def convert(written: str, made: str) -> None:
        Path(made).write_bytes(Path(written).read_bytes().upper())

    with ResumableFile.open(str(path), ABOUT) as file:
        file.append(b"one\n", {"done": 1})
        file.finish(convert)
    assert path.read_bytes() == b"ONE\n"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(sys.platform == "win32", reason="no locks")
@pytest.mark.parametrize("overwrite", [False, True])
def test_two_runs_do_not_write_one_file(tmp_path: Path, overwrite: bool) -> None:
    path = tmp_path / "rows.csv"
    with ResumableFile.open(str(path), ABOUT) as file:
        file.append(b"one\n", {"done": 1})
        with pytest.raises(OutputError, match="written by another run"):
            ResumableFile.open(str(path), ABOUT, overwrite)
        file.append(b"two\n", {"done": 2})
        file.finish()
    assert path.read_bytes() == b"one\ntwo\n"


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="is a folder"):
        ResumableFile.open(str(tmp_path), ABOUT)


@pytest.mark.skipif(sys.platform == "win32", reason="no limit of a file's size")
def test_a_full_disk_leaves_what_can_be_resumed(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    code = f"""
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))
from xpnet.errors import OutputError
from xpnet.pipelines import outputs
from xpnet.pipelines.predictions.resumable_file import ResumableFile
try:
    with ResumableFile.open({str(path)!r}, {ABOUT!r}) as file:
        for i in range(1, 21):
            file.append(b"x" * 200 + b"\\n", {{"done": i}})
except OutputError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "File too large; what was written so far is kept: the same command continues" in done.stdout
    assert not path.exists()
    lines = Path(f"{path}.journal").read_bytes().splitlines()
    whole = [line for line in lines[1:] if line.endswith(b"}")]
    assert 0 < json.loads(whole[-1])["state"]["done"] < 20
    grow(path, [b"x" * 200 + b"\n"] * 20, finish=True)
    assert path.read_bytes() == (b"x" * 200 + b"\n") * 20


@pytest.mark.skipif(sys.platform == "win32", reason="no locks")
def test_a_run_that_begins_while_another_one_gives_the_name_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, replace = tmp_path / "rows.csv", os.replace

    def in_the_gap(*names: str) -> None:
        for overwrite in (False, True):
            with pytest.raises(OutputError, match="written by another run"):
                ResumableFile.open(str(path), ABOUT, overwrite)
        replace(*names)

    monkeypatch.setattr(os, "replace", in_the_gap)
    grow(path, [b"one\n", b"two\n"], finish=True)
    assert path.read_bytes() == b"one\ntwo\n"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(sys.platform == "win32", reason="no locks")
def test_a_lock_on_a_file_that_was_removed_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second run opens the lock before the first run removes it, and locks it after that."""
    path, open_own_file = tmp_path / "rows.csv", outputs.open_own_file
    first = ResumableFile.open(str(path), ABOUT)
    first.append(b"one\n", {"done": 1})

    def late(name: str) -> int:
        monkeypatch.undo()
        descriptor = open_own_file(name)
        first.finish()
        return descriptor

    monkeypatch.setattr(outputs, "open_own_file", late)
    with ResumableFile.open(str(path), ABOUT) as second:
        assert path.read_bytes() == b"one\n"
        with pytest.raises(OutputError, match="written by another run"):
            ResumableFile.open(str(path), ABOUT)
        second.append(b"two\n", {"done": 1})
        second.finish()
    assert path.read_bytes() == b"two\n"


@pytest.mark.parametrize("name", ["rows.csv.part", "rows.csv.journal", ".rows.csv.lock"])
@pytest.mark.parametrize("link", ["symlink_to", "hardlink_to"])
def test_a_link_of_somebody_else_is_not_followed(tmp_path: Path, name: str, link: str) -> None:
    precious = tmp_path / "precious"
    precious.write_bytes(b"")
    getattr(tmp_path / name, link)(precious)
    for overwrite in (False, True):
        with pytest.raises(OutputError, match=f"{name}: is a link or no regular file"):
            ResumableFile.open(str(tmp_path / "rows.csv"), ABOUT, overwrite)
    assert precious.read_bytes() == b""


@pytest.mark.parametrize("gone", ["rows.csv.part", None])
def test_a_message_promises_only_what_is_there(tmp_path: Path, gone: str | None) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    with ResumableFile.open(str(folder / "rows.csv"), ABOUT) as file:
        file.append(b"one\n", {"done": 1})
        for path in list(folder.iterdir()) if gone is None else [folder / gone]:
            path.unlink()
        if gone is None:
            folder.rmdir()
        for write in (lambda: file.append(b"two\n", {"done": 2}), file.finish):
            with pytest.raises(OutputError, match=r"part was removed or replaced during the run$"):
                write()


@pytest.mark.parametrize("entry", [{"length": -1}, {"length": 1 << 62}, {"length": 3}, {"crc": 7}])
def test_a_damaged_journal_is_continued_before_the_damage(tmp_path: Path, entry: dict[str, int]) -> None:
    path = tmp_path / "rows.csv"
    grow(path, CHUNKS[:4])
    journal = Path(f"{path}.journal")
    lines = [json.loads(line) for line in journal.read_bytes().splitlines()]
    lines[3] |= entry
    journal.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    with ResumableFile.open(str(path), ABOUT) as file:
        assert file.state == {"done": 2}
    grow(path, CHUNKS, finish=True)
    assert path.read_bytes() == b"".join(CHUNKS)


def test_a_file_system_without_locks_can_be_written_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fcntl = pytest.importorskip("fcntl")

    def flock(*arguments: object) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr(fcntl, "flock", flock)
    path = tmp_path / "rows.csv"
    with pytest.warns(UserWarning, match="has no locks, so two runs that write this file are not told apart"):
        grow(path, CHUNKS, finish=True)
    assert path.read_bytes() == b"".join(CHUNKS)
    assert list(tmp_path.iterdir()) == [path]


class Slow(io.RawIOBase):
    """A stream that takes three bytes at a time, as one without a buffer may."""

    def __init__(self) -> None:
        self.taken = b""

    def writable(self) -> bool:
        return True

    def write(self, data: memoryview) -> int | None:
        if len(self.taken) >= 30:
            return None
        self.taken += bytes(data[:3])
        return min(3, len(data))


def test_a_stream_that_takes_a_part_gets_the_rest_too() -> None:
    stream = Slow()
    StreamSink(stream).append(b"0123456789\n", {})
    assert stream.taken == b"0123456789\n"
    with pytest.raises(OutputError, match="standard output: is busy"):
        StreamSink(stream).append(b"0123456789" * 4, {})


def test_files_of_a_run_that_failed_before_its_first_row_block_nothing(tmp_path: Path) -> None:
    path = tmp_path / "f"
    grow(path, [])
    assert (tmp_path / "f.journal").exists()
    with ResumableFile.open(str(path), {"model": "b"}) as file:
        file.append(b"x", {})
        file.finish()
    assert path.read_bytes() == b"x"


def test_a_journal_of_a_run_that_has_ended_blocks_nothing(tmp_path: Path) -> None:
    """The run was killed between giving the file its name and removing the journal."""
    path = tmp_path / "f"
    grow(path, [b"a", b"b"])
    (tmp_path / "f.part").rename(path)
    with ResumableFile.open(str(path), {"model": "b"}) as file:
        assert file.state == {}
        file.append(b"x", {})
        file.finish()
    assert path.read_bytes() == b"x"
    assert sorted(each.name for each in tmp_path.iterdir()) == ["f"]
