"""`--config`: a TOML file of options, with one table for each command."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import typer

from .options import TEXT_FLAGS

if TYPE_CHECKING:
    from collections.abc import Mapping

TEXTS_OF_PARTS = ("hidden", "columns", "ignore_columns")
"""Parameters whose text has parts with commas between them. A file may give them as a list."""

TEXTS_OF_NUMBERS = ("hidden", "image_size")
"""Parameters whose text may be a number. All others are texts such as names, for which a number is a slip."""


def read_config(context: typer.Context, path: str | None) -> str | None:
    """Take the defaults of the options from the command's table in a file. A callback of Typer's.

    Raises:
        typer.BadParameter: the file cannot be read, or has a table, an option or a value that is not allowed.
    """
    if path is None or context.resilient_parsing:
        return path
    tables = _tables(path)
    parent = context.parent
    commands = set(parent.command.commands) if parent else set()  # type: ignore[attr-defined]
    table_name = str(context.info_name)
    for name, table in tables.items():
        if name not in commands or not isinstance(table, dict):
            msg = f"{path}: got {name!r}, expected one table for each command, as in [{table_name}]"
            raise typer.BadParameter(msg)
    context.default_map = _defaults(context, f"{path}: [{table_name}]", tables.get(table_name, {}))
    return path


def _tables(path: str) -> dict[str, Any]:
    import tomllib

    if os.path.exists(path) and not os.path.isfile(path):
        msg = f"{path}: is not a file"
        raise typer.BadParameter(msg)
    try:
        with open(path, "rb") as file:
            return tomllib.loads(file.read().decode("utf-8-sig"))
    except OSError as error:
        msg = f"{path}: cannot be read: {error.strerror or error}"
        raise typer.BadParameter(msg) from error
    except (ValueError, RecursionError) as error:  # brackets in thousands of brackets
        msg = f"{path}: cannot be read as TOML: {error}"
        raise typer.BadParameter(msg) from error


def _defaults(context: typer.Context, where: str, table: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of a table, by the names of the parameters.

    where: the file and the table, for messages.
    """
    parameters = {
        spelling.lstrip("-").replace("-", "_"): parameter
        for parameter in context.command.params
        for spelling in (str(parameter.name), *parameter.opts)
        if parameter.name not in ("config", "help")
    }
    defaults: dict[str, Any] = {}
    for key, value in table.items():
        parameter: Any = parameters.get(key.replace("-", "_"))
        if parameter is None or parameter.name in defaults:
            reason = "which is not an option of this command" if parameter is None else "which is given twice"
            msg = f"{where} has {key!r}, {reason}"
            raise typer.BadParameter(msg)
        defaults[parameter.name] = _checked(context, f"{where} {key}", parameter, value)
    return defaults


def _checked(context: typer.Context, where: str, parameter: Any, value: Any) -> Any:
    """Return a value of the file as the command line would give it."""
    if getattr(parameter, "is_flag", False):
        _require(isinstance(value, bool), where, value, "true or false")
        return value
    if parameter.nargs == -1:
        is_texts = isinstance(value, list) and all(isinstance(part, str) for part in value)
        _require(is_texts, where, value, 'a list of texts, as in ["a.jpg", "b.jpg"]')
        return value
    parts = value if isinstance(value, list) else [value]
    is_argument = not any(spelling.startswith("-") for spelling in parameter.opts)
    is_text = is_argument or not TEXT_FLAGS.isdisjoint(parameter.opts)
    if is_text and parameter.name not in TEXTS_OF_NUMBERS:
        _require(all(isinstance(part, str) for part in parts), where, value, "a text in quotes")
    if is_text and parameter.name not in TEXTS_OF_PARTS:
        _require(not isinstance(value, list), where, value, "one text in quotes")
    is_plain = all(isinstance(part, str | int | float) and not isinstance(part, bool) for part in parts)
    _require(is_plain, where, value, "a number or a text in quotes")
    has_nul = any(isinstance(part, str) and "\0" in part for part in parts)
    _require(not has_nul, where, value, "a text without NUL characters")
    as_text = ",".join(map(str, parts))
    try:
        parameter.process_value(context, as_text)  # which refuses a value that the option does not take
    except typer.BadParameter as error:
        msg = f"{where}: {error.message}"
        raise typer.BadParameter(msg) from error
    return as_text


def _require(is_right: bool, where: str, value: Any, expected: str) -> None:
    if not is_right:
        msg = f"{where}: got {value!r}, expected {expected}"
        raise typer.BadParameter(msg)
