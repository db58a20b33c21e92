"""All commands as plain data: the CLI reference of the docs is made from it."""

from .app import app
from .help import CommandReference, describe


def command_reference() -> list[CommandReference]:
    """Return all commands, in the order of `xpnet --help`."""
    return [describe(command, f"xpnet {name}") for name, command in app.commands.items()]
