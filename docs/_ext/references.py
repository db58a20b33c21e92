"""What the reference pages say, as MyST Markdown: made from the commands and from the packages themselves.

Nothing here needs Sphinx, so the tests can compare the pages with the code.
"""

import ast
import functools
import importlib
import inspect
import itertools
import re
import types
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PACKAGES = (
    "xpnet",
    "xpnet.functional",
    "xpnet.autodiff",
    "xpnet.backend",
    "xpnet.data",
    "xpnet.nn",
    "xpnet.linear",
    "xpnet.features",
    "xpnet.training",
    "xpnet.sklearn",
    "xpnet.io",
    "xpnet.metrics",
    "xpnet.charts",
    "xpnet.course",
    "xpnet.bench",
    "xpnet.testing",
    "xpnet.errors",
)
"""The packages and modules of the API reference, in the order of the pages."""


@dataclass(frozen=True)
class Entry:
    """One public name of a package.

    Attributes:
        name: as it is imported, `xpnet.nn.Settings`.
        home: the name under which it is described in full; another one if several packages export it.
        kind: the autodoc directive for it: class, exception, function, data or module.
        summary: the first sentence of its docstring.
    """

    name: str
    home: str
    kind: str
    summary: str


def public_names(package: str) -> list[str]:
    """Return the public names of a package: its `__all__`, or what a module defines itself."""
    module = importlib.import_module(package)
    names = getattr(module, "__all__", None)
    if names is not None:
        return sorted(names, key=str.lower)
    own = [
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and getattr(value, "__module__", None) == package
    ]
    return sorted(own, key=str.lower)


@functools.cache  # each page refers to the names of others
def entries(package: str) -> tuple[Entry, ...]:
    """Return an entry for each public name of a package."""
    return tuple(_entry(package, name) for name in public_names(package))


def package_page(package: str) -> str:
    """Return the page of a package: what it is, a table of its names, and each name in full."""
    listed = entries(package)
    lines = [_first_paragraph(importlib.import_module(package)), "", "| name | what it is |", "|---|---|"]
    for entry in listed:
        short = entry.name.removeprefix(f"{package}.")
        role = "py:mod" if entry.kind == "module" else "py:obj"
        link = f"{{{role}}}`{short} <{entry.home}>`" if _is_described(entry) else f"`{short}`"
        lines.append(f"| {link} | {entry.summary} |")
    lines += ["", "```{eval-rst}", f".. py:module:: {package}", ""]
    for entry in listed:
        if entry.home != entry.name or entry.kind == "module":
            continue
        if entry.kind == "data":  # autodoc would show the docstring of its type
            lines += [
                f".. py:data:: {entry.name.removeprefix(f'{package}.')}",
                "",
                f"   {escaped(entry.summary)}",
                "",
            ]
        else:
            members = _members(package, entry) if entry.kind in ("class", "exception") else []
            lines += [f".. auto{entry.kind}:: {entry.name}", *members, ""]
    return "\n".join([*lines, "```", ""])


def _members(package: str, entry: Entry) -> list[str]:
    """Return autodoc's options for the members of a class, without the methods that scikit-learn makes."""
    made = [
        name
        for name in vars(getattr(importlib.import_module(package), entry.name.rpartition(".")[2]))
        if re.fullmatch(r"set_\w+_request", name)
    ]
    return ["   :members:", *([f"   :exclude-members: {', '.join(made)}"] if made else [])]


def _is_described(entry: Entry) -> bool:
    return entry.kind != "module" or entry.home in PACKAGES


def _entry(package: str, name: str) -> Entry:
    value = getattr(importlib.import_module(package), name)
    full = f"{package}.{name}"
    if isinstance(value, types.ModuleType):
        return Entry(full, value.__name__, "module", _first_sentence(value))
    kind = "data"
    if inspect.isclass(value):
        kind = "exception" if issubclass(value, BaseException) else "class"
    elif callable(value) and hasattr(value, "__name__"):
        kind = "function"
    if kind == "data":
        return Entry(full, full, kind, _constant_doc(package, name))
    return Entry(full, _home(package, name, value), kind, _first_sentence(value))


def _constant_doc(package: str, name: str) -> str:
    """Return the text below the assignment of a constant, wherever in the package that is."""
    folder = Path(str(importlib.import_module(package).__file__)).parent
    for path in sorted(folder.glob("*.py")):
        body = ast.parse(path.read_text(encoding="utf-8")).body
        for statement, below in itertools.pairwise(body):
            target = getattr(statement, "target", None) or (getattr(statement, "targets", None) or [None])[0]
            if isinstance(target, ast.Name) and target.id == name and isinstance(below, ast.Expr):
                value = getattr(below.value, "value", None)
                if isinstance(value, str):
                    return " ".join(value.split())
    return ""


def _home(package: str, name: str, value: Any) -> str:
    """Return the full name under which a value is described: the package of the reference that defines it."""
    module = str(getattr(value, "__module__", package))
    homes = [each for each in PACKAGES[1:] if module == each or module.startswith(f"{each}.")]
    for each in homes:
        if getattr(importlib.import_module(each), name, None) is value and name in public_names(each):
            return f"{each}.{name}"
    return f"{package}.{name}"


def _first_paragraph(value: Any) -> str:
    return " ".join((inspect.getdoc(value) or "").partition("\n\n")[0].split())


def _first_sentence(value: Any) -> str:
    sentence = re.split(r"(?<=[.])\s+(?=[A-Z`])", _first_paragraph(value), maxsplit=1)[0]
    return sentence.replace("|", r"\|")


def commands_page() -> str:
    """Return the reference of all commands: usage, help, arguments, and options by panel."""
    from xpnet.pipelines.cli.reference import command_reference

    lines: list[str] = []
    for command in command_reference():
        lines += [f"(xpnet-{command.name})=", f"## xpnet {command.name}", "", command.help, ""]
        lines += ["```text", command.usage, "```", ""]
        for argument in command.arguments:
            lines += [f"`{argument.metavar}`", f": {argument.help}{_default(argument.default)}", ""]
        lines += ["```{eval-rst}", f".. program:: xpnet {command.name}", ""]
        for panel, options in command.panels().items():
            lines += [f".. rubric:: {panel}", ""]
            for option in options:
                value = f" {option.metavar}" if option.metavar else ""
                lines.append(".. option:: " + ", ".join(f"{name}{value}" for name in option.names))
                required = " Required." if option.required else ""
                lines += ["", f"   {escaped(option.help + _default(option.default) + required)}", ""]
        lines += ["```", ""]
    return "\n".join(lines)


def _default(text: str) -> str:
    return f" Default: {text}." if text else ""


def escaped(text: str) -> str:
    """Return a text so that reStructuredText shows its characters as they are, and backticks as code."""
    parts = text.split("`")
    parts[::2] = [re.sub(r"([*|\\]|_\b)", r"\\\1", part) for part in parts[::2]]
    return "`".join(parts)
