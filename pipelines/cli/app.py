"""The application: its commands in the order of `xpnet --help`, and the entry point."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import typer
import typer.main
from typer.core import TyperGroup

from .bench import bench
from .command import HELP_NAMES, add
from .demo import demo
from .doctor import doctor
from .evaluate import evaluate
from .export import export
from .info import info
from .predict import predict
from .preprocess import preprocess
from .report import report
from .streams import flush_output, prepare_streams
from .sweep import sweep
from .train import train

RUNS = {
    run.__name__: run
    for run in (preprocess, train, evaluate, predict, sweep, report, export, info, doctor, demo, bench)
}
"""The functions of the commands, by name, in the order of `xpnet --help`."""


class Commands(Mapping[str, Any]):
    """The commands as objects of Typer. Each is built when it is first used: that takes milliseconds."""

    def __init__(self) -> None:
        self._built: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._built:
            single = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
            add(single, RUNS[name])
            self._built[name] = typer.main.get_command(single)
        return self._built[name]

    def __iter__(self) -> Iterator[str]:
        return iter(RUNS)

    def __len__(self) -> int:
        return len(RUNS)


class Group(TyperGroup):
    """The application, whose help text needs no command to be built."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands: Any = Commands()

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names of the commands, in the order of the help text."""
        del ctx
        return list(RUNS)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write each command with the first sentence of its help text."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, (run.__doc__ or "").partition("\n")[0]) for name, run in RUNS.items()])


_typer = typer.Typer(
    cls=Group,
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


@_typer.callback()
def _xpnet(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit."),
    ] = False,
) -> None:
    pass


app: Any = typer.main.get_command(_typer)
"""The application. It is built once, however often a process calls it."""


def main() -> None:
    """Run the command line.

    Raises:
        SystemExit: always, with the exit code.
    """
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
