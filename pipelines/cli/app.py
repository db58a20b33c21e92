"""The application: its commands in the order of `xpnet --help`, and the entry point."""

import os
import signal
import sys
from typing import Annotated

import typer

from ..images import isolate_decoding
from .bench import bench
from .command import HELP_NAMES, add
from .demo import demo
from .doctor import doctor
from .evaluate import evaluate
from .info import info
from .predict import predict
from .preprocess import preprocess
from .report import report
from .sweep import sweep
from .train import train

app = typer.Typer(
    help="Train image classifiers on folders of images, and classify images with them, on NumPy or CuPy.",
    epilog="`xpnet demo` shows each step on images that it draws. `xpnet COMMAND --help` explains a command.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # see help.py
    context_settings={**HELP_NAMES, "max_content_width": 100},
)


def _print_version(is_asked: bool) -> None:
    if is_asked:
        from importlib.metadata import version

        typer.echo(f"xpnet {version('xpnet')}")
        raise typer.Exit


@app.callback()
def _xpnet(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit."),
    ] = False,
) -> None:
    pass


for _command in (preprocess, train, evaluate, predict, sweep, report, info, doctor, demo, bench):
    add(app, _command)


def main() -> None:
    """Run the command line."""
    isolate_decoding()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # like Ctrl-C, so that a run can be resumed
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        stream = getattr(sys, name)
        if stream is None:  # it was closed by the program that started this one
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115
        elif name != "stdin" and hasattr(stream, "reconfigure"):
            stream.reconfigure(
                errors="backslashreplace"
            )  # a file name may have characters that cannot be shown
    try:
        app()
    except OSError as error:  # an output could not be written
        if not isinstance(error, BrokenPipeError):
            typer.echo(f"error: {error.strerror or error}", err=True)
        sys.exit(1)
