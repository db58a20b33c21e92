"""Find the kernel of a function for an array library, and run it in place of the function.

A kernel is a faster implementation of one portable function for one array library. It has the same name and
the same parameters as the function, and is in one of the modules listed below. It may return `NotImplemented`
for arguments that it does not handle. Then the next kernel of that name runs, and after the last one the
portable function.
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
"""The modules with the kernels for each array library. They are tried in this order."""


def library_name(xp: Namespace) -> str:
    """Return the name of an array library: "numpy", "cupy", "torch", ..."""
    return str(xp.__name__).removeprefix("array_api_compat.").partition(".")[0]


def modules(library: str) -> list[ModuleType]:
    """Import and return the modules with the kernels for an array library; an empty list if it has none."""
    return [importlib.import_module(module) for module in MODULES.get(library, ())]


def find(function: Callable[..., Any], library: str) -> Callable[..., Any] | None:
    """Return the kernel for a function of xpnet, or None if there is none.

    If there are several, the function returned runs the first one that handles its arguments. A function of
    another package never gets one of these kernels, even if it has the same name.

    Args:
        function: the portable function.
        library: name of the array library.
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
    """Decorate a function to run its kernel for the array library of its first argument, if there is one.

    For functions that are not differentiated: a `Primitive` finds its kernels itself.
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
    """Return whether the kernels in C (native.c) were compiled, and can be used on this machine."""
    from xpnet.kernels import on_native

    return on_native.LIBRARY is not None
