"""What all commands share: the options for messages, groups of options, renamed options, and exit codes."""

from __future__ import annotations

import copy
import functools
import inspect
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any, NamedTuple, get_args, get_origin, get_type_hints

import typer
from typer.models import ParameterInfo

from .bucket_outputs import sent_to_buckets
from .config import read_config
from .console import Console
from .help import PanelCommand
from .options import MESSAGES, Formerly, choice, flag, text

HELP_NAMES = {"help_option_names": ["-h", "--help"]}
"""Context settings of Typer: the flags that ask for help."""

OUTPUTS = ("output", "history", "plot")
"""The parameters of commands that name a file to write."""

# Exit codes; 0 is for a command that did all it was asked to do.
FAILED, USAGE, SOME_FAILED, NO_INPUT, NO_DEVICE, INTERRUPTED = 1, 2, 3, 4, 5, 130

Run = Callable[..., int | None]
"""A command: takes the console and its options, and returns an exit code, or None for 0."""


class MessageOptions(NamedTuple):
    """The options of every command."""

    config: Annotated[
        str | None,
        text(
            "--config", metavar="FILE", panel=MESSAGES, callback=read_config, is_eager=True,
            help="Read options from this TOML file, which has one table for each command, such as [train]. "
            "An option on the command line overrides the file.",
        ),
    ] = None  # fmt: skip
    log_format: Annotated[
        str,
        choice(
            "--log-format", "text", "json", panel=MESSAGES,
            help="How messages on standard error are written: as text, or as one JSON object on each line.",
        ),
    ] = "text"  # fmt: skip
    quiet: Annotated[bool, flag("--quiet", "-q", panel=MESSAGES, help="Only write warnings and errors.")] = (
        False
    )
    verbose: Annotated[bool, flag("--verbose", "-v", panel=MESSAGES, help="Write more messages.")] = False
    no_progress: Annotated[bool, flag("--no-progress", panel=MESSAGES, help="Do not draw progress bars.")] = (
        False
    )

    def console(self) -> Console:
        """Return the console that writes as these options say."""
        level = 0 if self.quiet else 2 if self.verbose else 1
        return Console(level, bars=not self.no_progress, as_json=self.log_format == "json")


def add(app: typer.Typer, run: Run) -> None:
    """Add a command to the application, with the options that every command has.

    Args:
        app: the application.
        run: the command. A parameter whose type is a NamedTuple stands for one option for each field.
    """
    signature = inspect.signature(run, eval_str=True)
    own = list(signature.parameters.values())[1:]  # the first is the console
    groups = {each.name: each.annotation for each in own if _is_group(each.annotation)}
    parameters = [part for each in own for part in _expanded(each)]
    parameters += _fields(MessageOptions)
    renamed = [found for each in parameters for found in _renamed(each)]
    parameters += [each.parameter for each in renamed]

    @functools.wraps(run)
    def wrapped(**options: Any) -> None:
        messages = _built(MessageOptions, options)
        console = messages.console()
        with _reported_errors(console), warnings.catch_warnings():
            warnings.simplefilter("default", UserWarning)  # also with `python -W error`
            warnings.showwarning = lambda message, *_, **__: console.warn(str(message))
            _keep_config(messages.config, options)
            for each in renamed:
                each.take(console, options)
            built = {name: _built(group, options) for name, group in groups.items()}
            with sent_to_buckets(console, options, OUTPUTS):
                code = run(console, **options, **built)
            if code:
                raise typer.Exit(code)

    typed: Any = wrapped
    typed.__signature__ = inspect.Signature(parameters)  # Typer reads from it what to parse
    typed.__annotations__ = {each.name: each.annotation for each in parameters}
    app.command(cls=PanelCommand, context_settings=HELP_NAMES)(wrapped)


def _keep_config(config: str | None, options: dict[str, Any]) -> None:
    """Raise an error if an output of the command would overwrite the file of `--config`."""
    if config is not None:
        from ..outputs import require_writable

        for name in OUTPUTS:
            output = options.get(name)
            if output is not None and output != "-":
                require_writable([output], [config])


def _is_group(annotation: Any) -> bool:
    return hasattr(annotation, "_field_defaults")


def _expanded(parameter: inspect.Parameter) -> list[inspect.Parameter]:
    """Return a parameter of a command as Typer takes it: of a group of options, one for each of them."""
    if _is_group(parameter.annotation):
        return _fields(parameter.annotation)
    return [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)]


@functools.cache
def _fields(group: Any) -> list[inspect.Parameter]:
    """Return one parameter for each field of a group of options."""
    hints = get_type_hints(group, include_extras=True)
    kind = inspect.Parameter.KEYWORD_ONLY
    defaults = group._field_defaults
    return [
        inspect.Parameter(name, kind, default=defaults[name], annotation=hints[name])
        for name in group._fields
    ]


def _built(group: Any, options: dict[str, Any]) -> Any:
    """Return a group of options, whose values are taken out of all options."""
    return group(**{name: options.pop(name) for name in group._fields})


class _Renamed(NamedTuple):
    """An option that was renamed.

    Attributes:
        parameter: the hidden option with the old name.
        old, new: the two flags.
        name: the parameter of the option with the new name.
        default: its default.
    """

    parameter: inspect.Parameter
    old: str
    new: str
    name: str
    default: Any

    def take(self, console: Console, options: dict[str, Any]) -> None:
        """Move a value that was given by the old name to the new name, with a warning.

        Raises:
            UsageError: both names were given.
        """
        value = options.pop(self.parameter.name)
        if value is not None:
            if options[self.name] != self.default:
                from xpnet.errors import UsageError

                msg = f"{self.old} is the old name of {self.new}: give only {self.new}"
                raise UsageError(msg)
            console.warn(f"{self.old} is now called {self.new}; the old name still works")
            options[self.name] = value


def _renamed(parameter: inspect.Parameter) -> list[_Renamed]:
    """Return what is needed to accept an option by its old name as well; nothing if it was not renamed."""
    if get_origin(parameter.annotation) is not Annotated:
        return []
    kind, *metadata = get_args(parameter.annotation)
    old = [each.flag for each in metadata if isinstance(each, Formerly)]
    if not old:
        return []
    option = copy.copy(next(each for each in metadata if isinstance(each, ParameterInfo)))
    new = str(option.default)  # in an `Annotated` type, Typer keeps the first flag here
    option.default, option.hidden = old[0], True
    name = old[0].lstrip("-").replace("-", "_")
    hidden = parameter.replace(name=name, default=None, annotation=Annotated[kind | None, option])
    return [_Renamed(hidden, old[0], new, parameter.name, parameter.default)]


@contextmanager
def _reported_errors(console: Console) -> Iterator[None]:
    """Turn an error that is meant for users into one line on standard error and an exit code."""
    try:
        yield
    except KeyboardInterrupt:
        console.error("interrupted")
        raise typer.Exit(INTERRUPTED) from None
    except BrokenPipeError:
        raise  # Typer ends silently, as `xpnet predict ... | head` expects
    except UnicodeEncodeError as error:
        console.error(
            f"{error.object!r}: this name cannot be written in the locale of this shell: set LC_ALL=C.UTF-8"
        )
        raise typer.Exit(FAILED) from None
    except MemoryError:
        console.error("not enough memory")
        raise typer.Exit(FAILED) from None
    except Exception as error:
        code = _exit_code(error)
        if code is None:
            raise
        console.error(_message(error))
        raise typer.Exit(code) from None


def _message(error: Exception) -> str:
    """Return the message of an error; for an error of the operating system, the file and the reason."""
    if type(error).__module__ == "builtins" and isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error)


def _exit_code(error: Exception) -> int | None:
    """Return the exit code of an error that is meant for users; None for all others."""
    errors = sys.modules.get("xpnet.errors")  # a module that was never imported has raised nothing
    if errors is not None:
        if isinstance(error, errors.UsageError | errors.ConfigurationError):
            return USAGE
        if isinstance(error, errors.NoInputError):
            return NO_INPUT
        if isinstance(error, errors.DeviceError):
            return NO_DEVICE
        if isinstance(error, errors.XpnetError):
            return FAILED
    return FAILED if isinstance(error, OSError) else None
