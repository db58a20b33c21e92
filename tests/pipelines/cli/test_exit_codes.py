"""Exit codes, and errors as one line on standard error."""

import subprocess
import sys
from pathlib import Path

import pytest
import typer
from program import xpnet

from xpnet import errors
from xpnet.errors import DeviceError, ShapeError
from xpnet.pipelines.cli import command
from xpnet.pipelines.cli.console import Console


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


def test_an_interrupt_before_a_command_runs_is_no_traceback() -> None:
    code = """
import sys
from xpnet.pipelines.cli import run
class Interrupted:
    def find_spec(self, name, *_):
        if name == "typer":
            raise KeyboardInterrupt
sys.meta_path.insert(0, Interrupted())
run()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (130, "")
