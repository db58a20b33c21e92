"""What all commands share: options for messages, a file of options, and the edge where errors end."""

import functools
import inspect
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer

from .console import Console

NAMES = {"help_option_names": ["-h", "--help"]}

FAILED, USAGE, SOME_FAILED, NO_INPUT, NO_DEVICE, INTERRUPTED = 1, 2, 3, 4, 5, 130
"""Exit codes, beside 0."""

Run = Callable[..., int | None]
"""A command: takes the console and its options, returns an exit code, or None for 0."""


def add(app: typer.Typer, run: Run) -> None:
    """Add a command to the application, with the options that all have."""

    @functools.wraps(run)
    def wrapped(log_format: str, quiet: bool, verbose: bool, no_progress: bool, **options: Any) -> None:
        del options["config"]
        console = Console(0 if quiet else 2 if verbose else 1, not no_progress, log_format == "json")
        with edge(console), warnings.catch_warnings():
            warnings.showwarning = lambda message, *_, **__: console.warn(str(message))
            code = run(console, **options)
            if code:
                raise typer.Exit(code)

    own = list(inspect.signature(run).parameters.values())[1:]
    shared = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
        for name, (annotation, default) in SHARED.items()
    ]
    typed: Any = wrapped  # from these Typer reads what to parse
    typed.__signature__ = inspect.Signature(
        [*(p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in own), *shared]
    )
    typed.__annotations__ = {p.name: p.annotation for p in [*own, *shared]}
    app.command(context_settings=NAMES)(wrapped)


@contextmanager
def edge(console: Console) -> Iterator[None]:
    """Turn errors that are meant for users into a line on standard error and an exit code."""
    try:
        yield
    except KeyboardInterrupt:
        console.error("interrupted")
        raise typer.Exit(INTERRUPTED) from None
    except BrokenPipeError:
        raise  # Typer ends without a word, as `head` expects
    except MemoryError:
        console.error("not enough memory")
        raise typer.Exit(FAILED) from None
    except Exception as error:
        code = _code(error)
        if code is None:
            raise
        console.error(_words(error))
        raise typer.Exit(code) from None


def _words(error: Exception) -> str:
    """Return what an error says; for one of the operating system the file and the reason."""
    if type(error).__module__ == "builtins" and isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error)


def _code(error: Exception) -> int | None:
    """Return the exit code of an error that is meant for users."""
    # A module that was never imported has raised nothing.
    ours, own = sys.modules.get("xpnet.errors"), sys.modules.get("xpnet.errors")
    if own and isinstance(error, own.UsageError):
        return USAGE
    if ours and isinstance(error, ours.ConfigurationError):  # an option of a model or of training
        return USAGE
    if own and isinstance(error, own.NoInputError):
        return NO_INPUT
    if ours and isinstance(error, ours.DeviceError):
        return NO_DEVICE
    if isinstance(error, OSError) or (ours and isinstance(error, ours.XpnetError)):
        return FAILED
    return None


def _log_format(value: str) -> str:
    if value not in ("text", "json"):
        msg = f"{value!r} is neither text nor json."
        raise typer.BadParameter(msg)
    return value


def _config(context: typer.Context, path: str | None) -> str | None:
    """Take defaults from the table of the command in a TOML file."""
    if path is None or context.resilient_parsing:
        return path
    import tomllib

    try:
        if os.path.exists(path) and not os.path.isfile(path):
            msg = f"{path}: is no file."
            raise typer.BadParameter(msg)
        with open(path, "rb") as file:
            tables = tomllib.load(file)
    except (OSError, ValueError) as error:
        msg = f"{path}: cannot be read as TOML: {error}"
        raise typer.BadParameter(msg) from error
    commands = set(context.parent.command.commands) if context.parent else set()  # type: ignore[attr-defined]
    if unknown := {name for name in tables if name not in commands or not isinstance(tables[name], dict)}:
        msg = f"{path}: has {min(unknown)!r}, expected a table for each command, as in [{context.info_name}]"
        raise typer.BadParameter(msg)
    known = {
        spelling.lstrip("-").replace("-", "_"): parameter
        for parameter in context.command.params
        for spelling in (str(parameter.name), *parameter.opts)
        if parameter.name not in ("config", "help")
    }
    defaults: dict[str, Any] = {}
    for key, value in tables.get(str(context.info_name), {}).items():
        parameter = known.get(key.replace("-", "_"))
        if parameter is None or str(parameter.name) in defaults:
            what = "is no option of this command" if parameter is None else "is there twice"
            msg = f"{path}: [{context.info_name}] has {key!r}, which {what}"
            raise typer.BadParameter(msg)
        defaults[str(parameter.name)] = value if parameter.nargs == -1 else _as_text(value)
    context.default_map = defaults
    return path


def _as_text(value: Any) -> Any:
    """Return a list as an option takes it: a,b,..."""
    return ",".join(map(str, value)) if isinstance(value, list) else value


SHARED: dict[str, tuple[Any, Any]] = {
    "config": (
        Annotated[
            str | None,
            typer.Option(
                "--config", metavar="FILE", callback=_config, is_eager=True,
                help="TOML file of options, in a table for each command; the command line has priority.",
            ),
        ],
        None,
    ),
    "log_format": (
        Annotated[
            str,
            typer.Option(
                "--log-format", metavar="text|json", callback=_log_format, help="How messages are written."
            ),
        ],
        "text",
    ),
    "quiet": (Annotated[bool, typer.Option("--quiet", "-q", help="Only warnings and errors.")], False),
    "verbose": (Annotated[bool, typer.Option("--verbose", "-v", help="Say more.")], False),
    "no_progress": (Annotated[bool, typer.Option("--no-progress", help="Draw no bars.")], False),
}  # fmt: skip
"""Options of every command, with their defaults."""
