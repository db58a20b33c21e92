"""The command line, in processes of its own."""

import json
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest


def xpnet(*args: str, **env: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "pipelines.cli", *args],
        capture_output=True,
        text=True,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": "", **env},
        check=False,
    )


def test_help_names_every_command() -> None:
    done = xpnet("--help")
    assert done.returncode == 0
    assert "bench" in done.stdout
    assert done.stderr == ""


def test_no_command_is_a_usage_error() -> None:
    assert xpnet().returncode == 2
    assert xpnet("train-all").returncode == 2
    assert xpnet("bench", "--repeat", "0").returncode == 2


def test_version() -> None:
    done = xpnet("--version")
    assert (done.returncode, done.stdout) == (0, f"xpnet {version('xpnet')}\n")


def test_bench_writes_json_to_stdout_and_nothing_else() -> None:
    done = xpnet("bench", "--json", "--repeat", "1", "--device", "cpu")
    assert done.returncode == 0
    assert done.stderr == ""
    assert len(json.loads(done.stdout)["rows"]) == 6


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
            [sys.executable, "-m", "pipelines.cli", "bench", "--repeat", "1", "--device", "cpu"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr == "error: [Errno 28] No space left on device\n"


def test_other_errors_are_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    from pipelines import cli

    def broken() -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(cli, "app", broken)
    with pytest.raises(ZeroDivisionError):
        cli.main()


def test_errors_of_xpnet_are_exit_code_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from pipelines import cli
    from xpnet.errors import ShapeError

    def broken() -> None:
        raise ShapeError("no columns")

    monkeypatch.setattr(cli, "app", broken)
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert caught.value.code == 1
    assert capsys.readouterr().err == "error: no columns\n"


def test_gpu_never_falls_back() -> None:
    done = xpnet("bench", "--device", "gpu")
    assert done.returncode == 5
    assert done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr
