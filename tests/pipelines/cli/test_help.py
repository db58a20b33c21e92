"""Help texts, and the reference made from the same data."""

import re
from importlib.metadata import version

import pytest
from program import xpnet, xpnet_here

from xpnet.pipelines.cli.help import CommandReference
from xpnet.pipelines.cli.options import PANELS
from xpnet.pipelines.cli.reference import command_reference

COMMANDS = [
    "preprocess",
    "train",
    "evaluate",
    "predict",
    "sweep",
    "report",
    "export",
    "info",
    "doctor",
    "demo",
    "bench",
]


def test_help_names_every_command() -> None:
    done = xpnet("--help")
    assert done.returncode == 0
    assert [line.split()[0] for line in done.stdout.partition("Commands:")[2].splitlines()[1:12]] == COMMANDS
    assert done.stderr == ""


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_explains_itself(command: str) -> None:
    done = xpnet_here(command, "--help")
    assert done.returncode == 0
    for option in ("--config", "--log-format", "--quiet", "--verbose", "--no-progress"):
        assert option in done.stdout


def test_no_command_is_a_usage_error() -> None:
    assert xpnet_here().returncode == 2
    assert xpnet_here("train-all").returncode == 2
    assert xpnet_here("bench", "--repeat", "0").returncode == 2


def test_version() -> None:
    done = xpnet("--version")
    assert (done.returncode, done.stdout) == (0, f"xpnet {version('xpnet')}\n")


def test_options_are_under_headings() -> None:
    lines = xpnet_here("train", "--help").stdout.splitlines()
    headings = [line.rstrip(":") for line in lines if line.endswith(":") and not line.startswith(" ")]
    assert headings == ["Arguments", *PANELS]
    assert lines.index("Optimization:") < next(i for i, line in enumerate(lines) if "--epochs N" in line)


@pytest.mark.parametrize(
    ("command", "usage"),
    [
        ("train", "[OPTIONS] DATA --output FILE"),
        ("predict", "[OPTIONS] MODEL INPUTS..."),
        ("demo", "[OPTIONS] [FOLDER]"),
        ("info", "[OPTIONS] FILE"),
    ],
)
def test_the_usage_line_reads_well(command: str, usage: str) -> None:
    assert xpnet_here(command, "--help").stdout.splitlines()[0] == f"Usage: xpnet {command} {usage}"


def test_no_type_of_python_is_shown() -> None:
    for command in COMMANDS:
        text = xpnet_here(command, "--help").stdout
        assert not re.search(r"<\w+|\{|int range|list\[", text)


REFERENCE = command_reference()


def test_the_reference_has_all_commands_in_order() -> None:
    assert [command.name for command in REFERENCE] == COMMANDS
    (train,) = (command for command in REFERENCE if command.name == "train")
    assert train.usage == "xpnet train [OPTIONS] DATA --output FILE"
    assert train.summary == "Train a model and save it as one file."
    assert list(train.panels()) == list(PANELS)
    (output,) = (option for option in train.options if "--output" in option.names)
    assert (output.names, output.metavar, output.required) == (("-o", "--output"), "FILE", True)
    (size,) = (option for option in train.options if "--image-size" in option.names)
    assert (size.default, size.required) == ("64, or 32", False)


@pytest.mark.parametrize("command", REFERENCE, ids=lambda command: command.name)
def test_everything_has_a_help_text(command: CommandReference) -> None:
    for part in (*command.arguments, *command.options):
        assert part.help.endswith("."), part
    assert command.summary.endswith(".")
