"""The help text of a command: its options under headings, such as Data, Model and Output.

Typer's own panels need rich, and loading it takes longer than all the rest of `--help`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from typer.core import TyperCommand

from .options import MESSAGES, PANELS

if TYPE_CHECKING:
    from collections.abc import Sequence


class ArgumentReference(NamedTuple):
    """One argument of a command.

    Attributes:
        metavar: how it is written in the usage line.
        help: what it is.
        default: its default as text, or "".
        required: whether it must be given.
    """

    metavar: str
    help: str
    default: str
    required: bool


class OptionReference(NamedTuple):
    """One option of a command.

    Attributes:
        panel: the heading it is listed under.
        names: its flags, a short one first.
        metavar: how its value is written; "" for an option without a value.
        help: what it does.
        default: its default as text, or "".
        required: whether it must be given.
    """

    panel: str
    names: tuple[str, ...]
    metavar: str
    help: str
    default: str
    required: bool


class CommandReference(NamedTuple):
    """One command.

    Attributes:
        name: as it is typed after `xpnet`.
        usage: the usage line.
        summary: the first sentence of the help text.
        help: the whole help text, paragraphs separated by empty lines.
        arguments: in the order of the usage line.
        options: in the order of their panels. Hidden ones are left out.
    """

    name: str
    usage: str
    summary: str
    help: str
    arguments: tuple[ArgumentReference, ...]
    options: tuple[OptionReference, ...]

    def panels(self) -> dict[str, list[OptionReference]]:
        """Return the options by panel, in order."""
        found: dict[str, list[OptionReference]] = {}
        for option in self.options:
            found.setdefault(option.panel, []).append(option)
        return found


def describe(command: Any, path: str, extra: Sequence[Any] = ()) -> CommandReference:
    """Return one command as plain data.

    Args:
        command: the command object that Typer made.
        path: how it is called, such as "xpnet train".
        extra: parameters that are not listed in `command.params`, such as the one of `--help`.
    """
    parameters = [*command.params, *extra]
    arguments = tuple(_argument(each) for each in parameters if each.param_type_name == "argument")
    options = [_option(each) for each in parameters if each.param_type_name == "option" and not each.hidden]
    help_text = "\n\n".join(" ".join(part.split()) for part in (command.help or "").split("\n\n"))
    return CommandReference(
        name=path.rpartition(" ")[2],
        usage=" ".join([path, *usage_pieces(command)]),
        summary=help_text.partition("\n")[0],
        help=help_text,
        arguments=arguments,
        options=tuple(sorted(options, key=lambda option: PANELS.index(option.panel))),
    )


def usage_pieces(command: Any) -> list[str]:
    """Return what follows the name of a command in its usage line: arguments, and required options."""
    pieces = ["[OPTIONS]"]
    for each in command.params:
        if each.param_type_name == "argument":
            pieces.append(_metavar(each))
        elif each.required:
            pieces.append(f"{each.opts[0]} {_metavar(each)}")
    return pieces


def _argument(parameter: Any) -> ArgumentReference:
    return ArgumentReference(
        metavar=_metavar(parameter),
        help=parameter.help or "",
        default=_default(parameter),
        required=parameter.required,
    )


def _option(parameter: Any) -> OptionReference:
    panel = getattr(parameter, "rich_help_panel", None) or MESSAGES
    return OptionReference(
        panel=panel if panel in PANELS else MESSAGES,
        names=tuple(sorted(parameter.opts, key=lambda name: name.startswith("--"))),
        metavar="" if parameter.is_flag else _metavar(parameter),
        help=parameter.help or "",
        default=_default(parameter),
        required=parameter.required,
    )


def _metavar(parameter: Any) -> str:
    return parameter.metavar or str(parameter.name).upper()


def _default(parameter: Any) -> str:
    """Return a default as text. One that follows from other things is written by hand as `show_default`."""
    shown = getattr(parameter, "show_default", None)
    if isinstance(shown, str):
        return shown
    value = parameter.default
    return "" if value is None or value is False or callable(value) else str(value)


class PanelCommand(TyperCommand):
    """A command whose help text lists the options of each panel under a heading."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Return what follows the name of the command in the usage line."""
        del ctx
        return usage_pieces(self)

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write arguments and options: each with its help, its default, and whether it is required."""
        help_option = self.get_help_option(ctx)
        about = describe(self, ctx.command_path, [] if help_option is None else [help_option])
        if about.arguments:
            with formatter.section("Arguments"):
                formatter.write_dl([(each.metavar, _help(each)) for each in about.arguments])
        for panel, options in about.panels().items():
            rows = [(f"{', '.join(each.names)} {each.metavar}".rstrip(), _help(each)) for each in options]
            with formatter.section(panel):
                formatter.write_dl(rows)


def _help(part: Any) -> str:
    note = "required" if part.required else f"default: {part.default}" if part.default else ""
    return f"{part.help} [{note}]" if note else str(part.help)
