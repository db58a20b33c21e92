"""Work on a GPU as one launch: recorded once as a CUDA graph, and launched again and again."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from xpnet import kernels

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from xpnet.backend import Backend

BEFORE = 2
"""Calls that are not recorded: what is compiled and loaded by the first cannot be while recording."""


def captured(backend: Backend, function: Callable[[], None]) -> Callable[[], None]:
    """Return a function that does what another does; on a GPU all its kernels are launched as one.

    Args:
        backend: where its arrays lie.
        function: works on the same arrays each time, which were made before; reads nothing of the host that
            changes, since it runs no more once it is recorded; and neither crosses nor waits. Its matrix
            products are those of `xpnet.functional.affine`.
    """
    return _Captured(backend, function) if backend.name == "gpu" else function


class _Captured:
    """A function, its graph once it is recorded, and memory of its own, which stays in use."""

    def __init__(self, backend: Backend, function: Callable[[], None]) -> None:
        self._backend, self._function = backend, function
        self._cuda = backend.xp.cuda
        with backend.activate():
            self._stream = self._cuda.Stream(non_blocking=True)
            self._memory = self._cuda.MemoryPool()
            self._products = self._own_products()
        self._calls = 0
        self._graph: Any = None

    def __call__(self) -> None:
        with self._backend.activate():
            if self._graph is None and self._calls == BEFORE:
                with self._working():
                    self._graph = record(self._stream, self._function)
            if self._graph is not None:
                self._graph.launch()
                return
            self._calls += 1
            current = self._cuda.get_current_stream()
            self._stream.wait_event(current.record())
            with self._working():
                self._function()
            current.wait_event(self._stream.record())

    @contextlib.contextmanager
    def _working(self) -> Iterator[None]:
        products = self._products.used() if self._products is not None else contextlib.nullcontext()
        with self._stream, self._cuda.using_allocator(self._memory.malloc), products:
            yield

    def _own_products(self) -> Any:
        for module in kernels.modules(kernels.library_name(self._backend.xp)):
            return module.cuda_products.Products(self._stream)
        return None


def record(stream: Any, function: Callable[[], None]) -> Any:
    """Return the graph of what a function launches on a stream, the current one."""
    stream.begin_capture()
    try:
        function()
    except BaseException:
        with contextlib.suppress(Exception):  # the first error is the one to tell
            stream.end_capture()
        raise
    return stream.end_capture()
