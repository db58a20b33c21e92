"""Help texts, and the reference made from the same data."""

from importlib.metadata import version

import pytest
from program import xpnet

COMMANDS = [
    "preprocess",
    "train",
    "evaluate",
    "predict",
    "sweep",
    "report",
    "info",
    "doctor",
    "demo",
    "bench",
]


def test_help_names_every_command() -> None:
    done = xpnet("--help")
    assert done.returncode == 0
    assert [line.split()[0] for line in done.stdout.partition("Commands:")[2].splitlines()[1:11]] == COMMANDS
    assert done.stderr == ""


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_explains_itself(command: str) -> None:
    done = xpnet(command, "--help")
    assert done.returncode == 0
    for option in ("--config", "--log-format", "--quiet", "--verbose", "--no-progress"):
        assert option in done.stdout


def test_no_command_is_a_usage_error() -> None:
    assert xpnet().returncode == 2
    assert xpnet("train-all").returncode == 2
    assert xpnet("bench", "--repeat", "0").returncode == 2


def test_version() -> None:
    done = xpnet("--version")
    assert (done.returncode, done.stdout) == (0, f"xpnet {version('xpnet')}\n")
