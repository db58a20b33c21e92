"""Kernels: faster implementations of portable functions for one array library, found by their name.

The portable function is the specification. Tests compare each kernel with it.
"""

from xpnet.kernels.dispatch import MODULES, dispatched, find, has_native_loops, library_name, modules
from xpnet.kernels.threads import one_for_each_product

__all__ = [
    "MODULES",
    "dispatched",
    "find",
    "has_native_loops",
    "library_name",
    "modules",
    "one_for_each_product",
]
