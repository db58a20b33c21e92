"""Doors that open late: a package names what it gives, and loads a module when something of it is first used."""

import importlib
import sys
from collections.abc import Callable, Mapping
from typing import Any


def lazy_door(
    package: str, homes: Mapping[str, str]
) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """Return `__getattr__`, `__dir__` and `__all__` of a package (PEP 562).

    Args:
        package: its name, `__name__`.
        homes: the names that each of its modules gives, separated by spaces. A module without names is given itself.
    """
    home_of = {name: f"{package}.{module}" for module, names in homes.items() for name in names.split()}
    itself = {module for module, names in homes.items() if not names}
    public = sorted([*home_of, *itself])

    def load(name: str) -> Any:
        if name in itself:
            return importlib.import_module(f"{package}.{name}")
        if name not in home_of:
            msg = f"module {package!r} has no attribute {name!r}"
            raise AttributeError(msg)
        value = getattr(importlib.import_module(home_of[name]), name)
        setattr(sys.modules[package], name, value)  # the next time Python finds it without asking here
        return value

    return load, lambda: public, public
