"""The help text of a command: its options under headings, such as Data, Model and Output.

Typer's own panels need the whole of rich, which takes longer to load than all the rest of `--help`.
"""

from __future__ import annotations

from typing import Any

from typer.core import TyperCommand

from .reference import describe, usage_pieces


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
