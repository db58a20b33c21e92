"""How many processors there are to share work among, and how many of them a matrix product takes."""

import functools
import os
from contextlib import AbstractContextManager
from typing import Any


def cores() -> int:
    """Return how many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def one_for_each_product() -> AbstractContextManager[Any]:
    """Return a context in which products of NumPy's matrices take one thread each.

    Small ones only lose by being split; where another process keeps a processor busy, a hundredfold, because
    each waits for its other half.
    """
    return _blas().limit(limits=1, user_api="blas")  # type: ignore[no-any-return]


@functools.cache
def _blas() -> Any:
    from threadpoolctl import ThreadpoolController  # which is needed for big data only

    return ThreadpoolController()  # finding the loaded libraries takes milliseconds
