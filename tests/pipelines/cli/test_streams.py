"""Standard output: where it cannot be written to, no command ends as if nothing were lost."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

COMMANDS = {
    "predict": ["predict", "{model}", "{classes}"],
    "evaluate": ["evaluate", "{model}", "{classes}"],
    "version": ["--version"],
}

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs a shell and /dev/full")


def run(script: str, model: Path, classes: Path, *arguments: str) -> subprocess.CompletedProcess:
    """Run a shell script. "$@" is the command."""
    given = [each.format(model=model, classes=classes) for each in arguments]
    return subprocess.run(
        ["/bin/sh", "-c", script, "sh", sys.executable, "-m", "xpnet", *given],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "XPNET_DEVICE": "cpu", "CUDA_VISIBLE_DEVICES": ""},
    )


@pytest.mark.parametrize("name", COMMANDS)
def test_a_closed_output_is_one_line_and_exit_code_1(name: str, model: Path, classes: Path) -> None:
    done = run('"$@" >&-', model, classes, *COMMANDS[name])
    assert done.returncode == 1
    assert done.stderr == "error: standard output: is closed, so the result cannot be written\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_full_output_is_one_line_and_exit_code_1(unbuffered: str, model: Path, classes: Path) -> None:
    script = f'PYTHONUNBUFFERED={unbuffered} "$@" >/dev/full'
    for name in ("predict", "version"):
        done = run(script, model, classes, *COMMANDS[name])
        assert (done.returncode, done.stderr) == (1, "error: No space left on device\n")


def test_a_file_does_not_get_the_descriptor_of_a_closed_stream(
    model: Path, classes: Path, tmp_path: Path
) -> None:
    output = tmp_path / "rows.csv"
    arguments = [*COMMANDS["predict"], "-o", str(output)]
    assert run('"$@" <&- >&- 2>&-', model, classes, *arguments).returncode == 0
    assert len(output.read_bytes().splitlines()) == 61


def test_a_dash_is_standard_output(model: Path, classes: Path, tmp_path: Path) -> None:
    whole = run('"$@"', model, classes, *COMMANDS["predict"])
    dash = run(f'cd "{tmp_path}" && "$@"', model, classes, *COMMANDS["predict"], "-o", "-")
    assert whole.returncode == dash.returncode == 0
    assert whole.stdout == dash.stdout
    assert list(tmp_path.iterdir()) == []


END = """
import atexit, sys, threading, time
from xpnet.pipelines.cli.streams import end_process
class Unfreed:
    def __del__(self):
        print("freed")
kept = Unfreed()
atexit.register(print, "registered")
"""
"""A program that is about to end."""


@pytest.mark.parametrize(
    ("code", "returned", "printed"),
    [
        ("end_process(0)", 0, "registered\n"),
        ("end_process(None)", 0, "registered\n"),
        ("end_process(3)", 3, "registered\n"),
        ("end_process('why')", 1, "registered\nfreed\n"),
        (
            "threading.Thread(target=lambda: (time.sleep(0.1), print('done'))).start(); end_process(4)",
            4,
            "done\nregistered\nfreed\n",
        ),
        (
            "threading.Thread(target=time.sleep, args=(60,), daemon=True).start(); end_process(0)",
            0,
            "registered\n",
        ),
    ],
    ids=["0", "None", "3", "text", "thread", "daemon"],
)
def test_a_process_ends_at_once_but_not_before_what_is_registered(
    code: str, returned: int, printed: str
) -> None:
    done = subprocess.run([sys.executable, "-c", END + code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (returned, printed)
