"""The command with its subcommands."""

import os
import signal
import sys
from typing import Annotated

import typer

from . import predict, report, tools, train
from .command import NAMES, add

app = typer.Typer(
    help="Turn folders of images into classifiers, and classifiers into predictions, on NumPy or CuPy.",
    epilog="`xpnet demo` shows all of it on a small folder that it draws. `xpnet COMMAND --help` says more.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={**NAMES, "max_content_width": 100},
)


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(f"xpnet {version('xpnet')}")
        raise typer.Exit


@app.callback()
def _xpnet(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    pass


add(app, train.preprocess)
add(app, train.train)
add(app, predict.evaluate)
add(app, predict.predict)
add(app, train.sweep)
add(app, report.report)
add(app, tools.info)
add(app, tools.doctor)
add(app, tools.demo)
add(app, tools.bench)


def main() -> None:
    """Run the command."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: what is open can be resumed
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        stream = getattr(sys, name)
        if stream is None:  # closed by who started this
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115
        elif name != "stdin" and hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # a name may hold what a terminal cannot show
    try:
        app()
    except OSError as error:  # outside of a command: no room for the version
        if not isinstance(error, BrokenPipeError):
            typer.echo(f"error: {error.strerror or error}", err=True)
        sys.exit(1)
