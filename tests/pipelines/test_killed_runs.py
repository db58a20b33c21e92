"""Predictions that are killed, interrupted, or run out of disk space, and can be resumed."""

import os
import random
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from pictures import draw_many
from processes import AT_ONCE, ENVIRONMENT, begin, run_code, xpnet


def test_killed_at_thirty_random_moments_it_ends_with_the_same_bytes(model: Path, tmp_path: Path) -> None:
    folder = draw_many(tmp_path / "images", 3000)
    (folder / "000100.jpg").unlink()
    (folder / "000100.jpg").write_bytes(b"no image")
    whole, killed = tmp_path / "whole.csv", tmp_path / "killed.csv"
    assert xpnet("predict", model, folder, "-o", whole).returncode == 3
    generator, resumed = random.Random(0), 0  # noqa: S311
    journal = Path(f"{killed}.journal")
    for k in range(30):
        process = begin(
            "predict", model, folder, "-o", killed, "--resume", "--batch-size", 16, "--workers", 2
        )
        while (
            k % 5 and process.poll() is None and not journal.exists()
        ):  # every fifth run is killed while it starts
            time.sleep(0.005)
        time.sleep(generator.random() * 0.2)  # less than a run takes
        process.kill()
        process.wait()
        if killed.exists():  # it was finished before the kill: start again
            assert killed.read_bytes() == whole.read_bytes()
            killed.unlink()
        resumed += journal.exists()
    assert resumed > 10, resumed
    assert xpnet("predict", model, folder, "-o", killed, "--resume").returncode == 3
    assert killed.read_bytes() == whole.read_bytes()
    assert not list(tmp_path.glob("killed.csv.*"))


@pytest.mark.skipif(sys.platform == "win32", reason="no such signals")
def test_an_interrupted_run_says_so_and_can_be_resumed(model: Path, tmp_path: Path) -> None:
    folder, output = draw_many(tmp_path / "images", 3000), tmp_path / "rows.csv"
    process = subprocess.Popen(
        [*AT_ONCE, "predict", str(model), str(folder), "-o", str(output), "--workers", "2"],
        stderr=subprocess.PIPE,
        env=ENVIRONMENT,
        start_new_session=True,
        # Tests that run in the background may ignore this signal, and their processes inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    journal = Path(f"{output}.journal")
    while not (journal.exists() and journal.read_bytes().count(b"\n") > 3):
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does it: the workers get it too
    _, said = process.communicate(timeout=20)
    assert process.returncode == 130
    assert b"Traceback" not in said
    assert b"interrupted" in said
    assert b"the same command continues" in said
    assert xpnet("predict", model, folder, "-o", output, "--resume").returncode == 0
    assert len(output.read_bytes().splitlines()) == 3001


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks for processes in /proc")
def test_workers_end_with_the_process_that_was_killed(model: Path, tmp_path: Path) -> None:
    folder, output = draw_many(tmp_path / "images", 3000), tmp_path / "rows.csv"
    process = begin("predict", model, folder, "-o", output, "--workers", 2)
    journal = Path(f"{output}.journal")
    while not (journal.exists() and journal.read_bytes().count(b"\n") > 3):
        time.sleep(0.01)

    def living() -> list[int]:
        """Return the processes that the command and its workers run in."""
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[3]) == process.pid and fields[0] != "Z":
                found.append(int(folder.name))
        return found

    assert len(living()) >= 3
    process.kill()
    process.wait()
    until = time.monotonic() + 10
    while living() and time.monotonic() < until:
        time.sleep(0.05)
    assert not living()


def test_a_killed_retry_is_not_resumed_as_if_it_were_a_run(model: Path, tmp_path: Path) -> None:
    folder, output = draw_many(tmp_path / "images", 300), tmp_path / "rows.csv"
    broken = sorted(folder.iterdir())[40:]
    contents = {path: path.read_bytes() for path in broken}
    for path in broken:
        path.unlink()
        path.write_bytes(b"broken")
    assert xpnet("predict", model, folder, "-o", output).returncode == 3
    for path, content in contents.items():
        path.write_bytes(content)
    code = """
from xpnet.pipelines.predictions import retry
retry.BATCH_SIZE = 16
from xpnet.pipelines.predictions.resumable_file import ResumableFile
append = ResumableFile.append
def killed(self, chunk, state):
    append(self, chunk, state)
    if state["counts"]["ok"] > 100:
        import os
        os.kill(os.getpid(), 9)
ResumableFile.append = killed
from xpnet.pipelines.cli import main
main()
"""
    arguments = ["predict", str(model), str(folder), "-o", str(output)]
    assert run_code(code, *arguments, "--retry-errors").returncode == -9
    refused = xpnet(*arguments, "--resume")
    assert refused.returncode == 1
    assert (
        b"cannot be resumed: the earlier run had '--retry-errors', which this one has not" in refused.stderr
    )
    assert xpnet(*arguments, "--retry-errors").returncode == 0
    assert xpnet("predict", model, folder, "-o", tmp_path / "whole.csv").returncode == 0
    assert output.read_bytes() == (tmp_path / "whole.csv").read_bytes()


@pytest.mark.skipif(sys.platform == "win32", reason="no limit of a file's size")
def test_a_full_disk_is_one_message_and_can_be_resumed(model: Path, tmp_path: Path) -> None:
    folder, output = draw_many(tmp_path / "images", 1000), tmp_path / "rows.csv"

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000))

    done = xpnet("predict", model, folder, "-o", output, "--workers", 1, preexec_fn=limit)
    assert done.returncode == 1
    assert done.stderr.count(b"\n") == 1
    assert b"File too large; what was written so far is kept: the same command continues" in done.stderr
    assert not output.exists()
    assert xpnet("predict", model, folder, "-o", output, "--resume").returncode == 0
    assert xpnet("predict", model, folder, "-o", tmp_path / "whole.csv").returncode == 0
    assert output.read_bytes() == (tmp_path / "whole.csv").read_bytes()


GAP = """
import os, sys
replace, gap = os.replace, sys.argv.pop(1)
def in_the_gap(*names):
    if names[1].endswith("rows.csv"):
        os.write(1, b"gap\\n")
        sys.stdin.readline()
        if gap == "kill":
            os.kill(os.getpid(), 9)
    replace(*names)
os.replace = in_the_gap
from xpnet.pipelines.cli import main
main()
"""
"""The command, but before it gives an output its name it says so, and waits for a line."""


@pytest.mark.skipif(sys.platform == "win32", reason="no locks")
@pytest.mark.parametrize("gap", ["wait", "kill"])
def test_a_second_run_between_the_last_row_and_the_name(
    model: Path, classes: Path, tmp_path: Path, gap: str
) -> None:
    output = tmp_path / "rows.csv"
    arguments = ["predict", str(model), str(classes), "-o", str(output)]
    first = subprocess.Popen(
        [sys.executable, "-c", GAP, gap, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=ENVIRONMENT,
    )
    assert first.stdout.readline() == b"gap\n"
    part = Path(f"{output}.part").read_bytes()
    second = xpnet(*arguments)
    assert second.returncode == 1
    assert b"is being written by another run" in second.stderr
    assert Path(f"{output}.part").read_bytes() == part
    first.communicate(b"\n", timeout=20)
    if gap == "kill":
        assert first.returncode == -9
        third = xpnet(*arguments)
        assert third.returncode == 0
        assert f"continuing the unfinished file of an earlier run after {part.count(10) - 1} rows" in str(
            third
        )
    else:
        assert first.returncode == 0
    assert output.read_bytes() == part
    assert list(tmp_path.iterdir()) == [output]


def test_a_killed_run_is_continued_by_the_same_command_and_by_no_other(
    model: Path, classes: Path, tmp_path: Path
) -> None:
    output = tmp_path / "rows.csv"
    arguments = ["predict", str(model), str(classes), "-o", str(output), "--batch-size", "10"]
    code = """
import os
from xpnet.pipelines.predictions.resumable_file import ResumableFile
append = ResumableFile.append
def killed(self, chunk, state):
    append(self, chunk, state)
    if state["counts"]["ok"] == 30:
        os.kill(os.getpid(), 9)
ResumableFile.append = killed
from xpnet.pipelines.cli import main
main()
"""
    assert run_code(code, *arguments).returncode == -9
    kept = Path(f"{output}.part").read_bytes()
    refused = xpnet(*arguments, "--topk", "1")
    assert refused.returncode == 1
    assert b"--overwrite; to keep both, name another output" in refused.stderr
    assert Path(f"{output}.part").read_bytes() == kept
    done = xpnet(*arguments)
    assert done.returncode == 0
    assert b"after 30 rows" in done.stderr
    assert output.read_bytes().startswith(kept)
