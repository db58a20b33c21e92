"""How many processors this process may use, and how many of them one matrix product uses."""

import functools
import os
from contextlib import AbstractContextManager
from typing import Any


def cores() -> int:
    """Return the number of processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def one_for_each_product() -> AbstractContextManager[Any]:
    """Return a context in which NumPy computes each matrix product in one thread.

    Small products are slower in several threads. If another process keeps a processor busy, they can be a
    hundred times slower, because each thread waits for the others.
    """
    return _blas().limit(limits=1, user_api="blas")  # type: ignore[no-any-return]


@functools.cache
def _blas() -> Any:
    from threadpoolctl import ThreadpoolController  # imported only when needed, to start quickly

    return ThreadpoolController()  # kept, because it takes milliseconds to make
