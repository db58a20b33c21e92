"""Run the arrays' own kernel of that name, else the portable function.

A kernel is a faster text of one portable function for one array library. It has the same name and the same
parameters, and lives in the module of its library below. It may return `NotImplemented` for arguments it is
not meant for; then the portable function runs. Tests hold each kernel to the portable function.
"""

import importlib
from collections.abc import Callable

from xpnet.arrays import Array, Namespace

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
