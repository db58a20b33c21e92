"""How many processors one matrix product uses."""

import functools
from contextlib import AbstractContextManager
from typing import Any


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
