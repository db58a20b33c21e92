"""Run the arrays' own kernel of that name, else the portable function.

A kernel is a faster text of one portable function for one array library. It has the same name and the same
parameters, and lives in a module of its library below. It may return `NotImplemented` for arguments it is not
meant for; then the next one runs, at last the portable function. Tests hold each kernel to that one.
"""

import functools
import importlib
from collections.abc import Callable
from types import ModuleType
from typing import Any

from xpnet.arrays import Array, Namespace, namespace

MODULES = {
    "numpy": ("xpnet.kernels.on_native", "xpnet.kernels.on_numpy"),
    "cupy": ("xpnet.kernels.on_cupy",),
}
"""The modules that hold the kernels of each array library, the preferred one first."""


def library_name(xp: Namespace) -> str:
    """Return the array library's own name: "numpy", "cupy", "torch", ..."""
    return str(xp.__name__).removeprefix("array_api_compat.").partition(".")[0]


def modules(library: str) -> list[ModuleType]:
    """Return the modules that hold the kernels of an array library, imported; none for one without."""
    return [importlib.import_module(module) for module in MODULES.get(library, ())]


def find(function: Callable[..., Any], library: str) -> Callable[..., Any] | None:
    """Return the kernel xpnet holds for a function of its own, or None. Other packages' are left alone.

    Of several kernels, the first that handles its arguments runs.
    """
    if not str(function.__module__).startswith("xpnet."):
        return None
    found = [getattr(module, function.__name__, None) for module in modules(library)]
    kernels = [kernel for kernel in found if callable(kernel)]
    return _first_of(kernels) if len(kernels) > 1 else (kernels or [None])[0]


def _first_of(kernels: list[Callable[..., Any]]) -> Callable[..., Any]:
    def run(*args: Any, **options: Any) -> Any:
        for kernel in kernels:
            value = kernel(*args, **options)
            if value is not NotImplemented:
                return value
        return NotImplemented

    return run


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


def has_native_loops() -> bool:
    """Return whether the loops in C were compiled for this machine."""
    from xpnet.kernels import on_native

    return on_native.LIBRARY is not None
