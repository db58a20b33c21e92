"""Lazy packages: a module is imported when one of its public names is first used.

This keeps the start-up of the command fast. The `__init__` of a package lists the names.
"""

import importlib
import sys
from collections.abc import Callable, Mapping
from typing import Any


def lazy_door(
    package: str, homes: Mapping[str, str]
) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """Return `__getattr__`, `__dir__` and `__all__` of a package (PEP 562).

    Args:
        package: the name of the package, `__name__`.
        homes: by the name of a module of the package, the public names in it, separated by spaces. If there
            are none, the module itself is public.
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
        setattr(sys.modules[package], name, value)  # from now on, Python does not call this function for it
        return value

    return load, lambda: public, public
