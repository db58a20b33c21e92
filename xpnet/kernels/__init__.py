"""Run the arrays' own kernel of that name, else the portable function.

A kernel is a faster text of one portable function for one array library. It has the same name and the same
parameters, and lives in the module of its library below. It may return `NotImplemented` for arguments it is
not meant for; then the portable function runs. Tests hold each kernel to the portable function.
"""

import functools
import importlib
from collections.abc import Callable
from typing import Any

from xpnet.arrays import Array, Namespace, namespace

MODULES = {"numpy": "xpnet.kernels.on_numpy", "cupy": "xpnet.kernels.on_cupy"}
"""The module that holds the kernels of each array library."""


def library_name(xp: Namespace) -> str:
    """Return the array library's own name: "numpy", "cupy", "torch", ..."""
    return str(xp.__name__).removeprefix("array_api_compat.").partition(".")[0]


def find(function: Callable[..., Array], library: str) -> Callable[..., Array] | None:
    """Return the kernel xpnet holds for a function of its own, or None. Other packages' are left alone."""
    if library not in MODULES or not str(function.__module__).startswith("xpnet."):
        return None
    kernel = getattr(importlib.import_module(MODULES[library]), function.__name__, None)
    return kernel if callable(kernel) else None


def dispatched(function: Callable[..., Any]) -> Callable[..., Any]:
    """Make a function run the kernel of its name for its first argument's library, where there is one.

    For functions without a derivative; a primitive does the same by itself.
    """
    chosen: dict[Namespace, Callable[..., Any] | None] = {}

    @functools.wraps(function)
    def run(array: Array, *args: Any, **options: Any) -> Any:
        xp = namespace(array)
        if xp not in chosen:
            chosen[xp] = find(function, library_name(xp))
        kernel = chosen[xp]
        if kernel is not None:
            value = kernel(array, *args, **options)
            if value is not NotImplemented:
                return value
        return function(array, *args, **options)

    return run
