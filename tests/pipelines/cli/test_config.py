"""`--config`: a file of options."""

import contextlib
import json
from datetime import date
from pathlib import Path

import pytest
import typer
from pictures import draw_classes
from program import xpnet, xpnet_here

from xpnet.pipelines.cli import config
from xpnet.pipelines.cli.app import app


def test_options_come_from_a_file_and_the_command_line_wins(tmp_path: Path) -> None:
    data = draw_classes(tmp_path / "data", 6)
    config = tmp_path / "xpnet.toml"
    config.write_text(
        '[train]\nimage-size = "8"\nhidden = "4:tanh"\nepochs = 2\nval-split = 0.5\n[sweep]\nlearning-rates = [0.1, 0.01]\n'
    )
    model = str(tmp_path / "model")
    done = xpnet("train", str(data), "-o", model, "--config", str(config))
    assert done.returncode == 0
    assert "192 -> 4:tanh -> 3:softmax" in done.stdout
    assert "all 2 epochs done" in done.stdout
    assert "Validation cost" in done.stdout
    done = xpnet("train", str(data), "-o", model, "--config", str(config), "--epochs", "3")
    assert "all 3 epochs done" in done.stdout
    done = xpnet(
        "sweep", str(data), "--image-size", "8", "--config", str(config), "--json", "--iterations", "5"
    )
    assert [run["learning_rate"] for run in json.loads(done.stdout)["runs"]] == [0.1, 0.01]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[train", "cannot be read as TOML"),
        ("[trian]\nepochs = 2", "got 'trian', expected one table for each command"),
        ("[train]\nepoch = 2", "has 'epoch', which is not an option of this command"),
        ("[train]\nepochs = true", "[train] epochs: got True, expected a number or a text in quotes"),
        ("[train]\nepochs = 2.5", "[train] epochs: got '2.5', expected a whole number"),
        ("[train]\nepochs = [1, 2]", "[train] epochs: got '1,2', expected a whole number"),
        ("[train]\nresume = 1", "[train] resume: got 1, expected true or false"),
        ('[train]\nquiet = "yes"', "[train] quiet: got 'yes', expected true or false"),
        ('[train]\noptimizer = "sdg"', "[train] optimizer: got 'sdg', expected one of sgd"),
        ("[train]\noptimizer = {}", "[train] optimizer: got {}, expected a number or a text in quotes"),
        ("[train]\nl1 = 1979-05-27", "[train] l1: got datetime.date(1979, 5, 27), expected a number"),
        ("[train]\noutput = 5", "[train] output: got 5, expected a text in quotes"),
        ("[train]\ntarget = 1.5", "[train] target: got 1.5, expected a text in quotes"),
        ('[train]\nhistory = ["a", "b"]', "[train] history: got ['a', 'b'], expected one text in quotes"),
        ('[train]\noutput = "a\\u0000b"', "expected a text without NUL characters"),
        ("[train]\nx = " + 5000 * "[", "cannot be read as TOML"),
        ("train = 3", "got 'train', expected one table for each command"),
        ("[train]\nlr = 1\nlearning-rate = 2", "has 'learning-rate', which is given twice"),
        ('[train]\nepochs = "many"', "[train] epochs: got 'many', expected a whole number"),
    ],
)
def test_a_file_of_options_that_is_wrong_is_refused(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "xpnet.toml").write_text(text)
    done = xpnet_here("train", str(tmp_path), "-o", "model", "--config", str(tmp_path / "xpnet.toml"))
    assert done.returncode == 2
    assert said in " ".join(done.stderr.split())


def test_a_file_of_options_that_is_missing_is_refused(tmp_path: Path) -> None:
    done = xpnet_here("train", str(tmp_path), "-o", "model", "--config", "missing.toml")
    assert done.returncode == 2
    assert "missing.toml: cannot be read: No such file or directory" in " ".join(done.stderr.split())


HOSTILE = [
    None, True, -1, 0, 2.5, 10**400, int("9" * 4000), float("inf"), float("nan"), "", "x" * 300, "\0", [], {},
    [[]], {"a": 1}, [1, "b"], ["a"], -(10**30), "9" * 5000, 1e300, [float("nan")], "1e999", "²", "٣",
    date(2020, 1, 1),
]  # fmt: skip
"""Values that TOML can hold, and that an option may not expect."""


def test_every_option_takes_or_refuses_every_value() -> None:
    for name, each in app.commands.items():
        context = each.make_context(name, [], resilient_parsing=True)
        for parameter in each.params:
            for value in HOSTILE:
                with contextlib.suppress(typer.BadParameter):
                    config._defaults(context, "file", {parameter.name: value})
