"""The application: its commands in the order of `xpnet --help`, and the entry point."""

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
from .streams import flush_output, prepare_streams
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
    prepare_streams()
    code: int | str | None = 0
    try:
        app()
    except SystemExit as ended:
        code = ended.code
    except OSError as error:  # an output could not be written
        if not isinstance(error, BrokenPipeError):
            where = f"{error.filename}: " if error.filename else ""
            typer.echo(f"error: {where}{error.strerror or error}", err=True)
        code = 1
    failure = flush_output()
    if failure is not None and not code:
        code = 1
        if failure:
            typer.echo(f"error: {failure}", err=True)
    sys.exit(code)
