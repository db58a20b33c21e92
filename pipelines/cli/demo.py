"""`xpnet demo`: draw images, and run the commands on them as a user would."""

import os
import shlex
from collections.abc import Callable
from importlib.util import find_spec
from typing import Annotated

import typer

from . import options as o
from .command import SOME_FAILED
from .console import Console

RunCommand = Callable[[list[str]], int]
"""Runs `xpnet` with some arguments, and returns its exit code."""


def demo(
    console: Console,
    context: typer.Context,
    folder: Annotated[
        str, typer.Argument(metavar="[FOLDER]", help="The folder to make and to draw into.")
    ] = "xpnet-demo",
    device: o.Device = None,
) -> int:
    """Draw a small set of images, and run the commands on it.

    Runs preprocess, train, evaluate, predict and report, and explains each step.
    """
    group = context.find_root().command

    def run_command(arguments: list[str]) -> int:
        try:
            group.main(arguments, prog_name="xpnet")
        except SystemExit as ended:
            return int(ended.code or 0)
        return 0

    del console
    return walk(folder, device, run_command, typer.echo)


def walk(folder: str, device: str | None, run_command: RunCommand, say: Callable[[str], object]) -> int:
    """Draw the images, then run the commands; return an exit code.

    Args:
        folder: is made, or was made by an earlier demo.
        device: as for `xpnet.select`, or None.
        run_command: runs one command.
        say: prints a line.

    Raises:
        OutputError: the folder was not made by an earlier demo, or cannot be written.
    """
    from .landscapes import TEST_COUNT, TRAINING_COUNT, draw

    on = ["--device", device] if device else []
    train, test, new, data, model, rows, page = (
        os.path.join(folder, name)
        for name in (
            "train", "test", "new", "train.h5", "skies.safetensors", "predictions.csv", "report.html",
        )
    )  # fmt: skip
    say(
        f"# Draw images into {folder}: three classes, each with {TRAINING_COUNT} images to train and "
        f"{TEST_COUNT} to test."
    )
    say("# Also some new images: one is rotated and says so in its EXIF data, and two are damaged.")
    draw(folder)
    steps = {
        "Decode each image once, into one data file.": [
            "preprocess", train, "-o", data, "--image-size", "32",
        ],
        "Train a network. Hold back a tenth of the data for validation.": [
            "train", data, "-o", model, "--hidden", "32:relu", "--epochs", "30", "--val-split", "0.1", *on,
        ],
        "Evaluate it on images it has not seen. The model knows how to decode them.": [
            "evaluate", model, test, *on,
        ],
        "Classify a folder of new images. Each gets a row; the exit code 3 says that some failed.": [
            "predict", model, new, "-o", rows, "--min-confidence", "0.6", *on,
        ],
    }  # fmt: skip
    for what, arguments in steps.items():
        code = _step(what, arguments, run_command, say)
        if code not in (0, SOME_FAILED):
            return code
    with open(rows, encoding="utf-8") as file:
        say(f"\n$ cat {rows}\n{file.read().rstrip()}")
    say("\n# turned.png and upright.png are the same photo, and have the same score.")
    code = _report(
        ["report", model, "--data", test, "--predictions", rows, "-o", page, *on], run_command, say
    )
    if code not in (0, SOME_FAILED):
        return code
    say(f"# Look into {folder}, and try: xpnet predict {model} YOUR_PHOTO.jpg")
    return 0


def _step(what: str, arguments: list[str], run_command: RunCommand, say: Callable[[str], object]) -> int:
    say(f"\n# {what}\n$ xpnet {shlex.join(arguments)}")
    return run_command(arguments)


def _report(arguments: list[str], run_command: RunCommand, say: Callable[[str], object]) -> int:
    """Make the report, or say how to get what it needs; return an exit code."""
    if find_spec("jinja2") is None:
        say("\n# xpnet report would show all of this on one page: pip install 'xpnet[report]'")
        return 0
    return _step("Show all of it on one page, to open in a browser.", arguments, run_command, say)
