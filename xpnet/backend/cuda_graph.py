"""Work on a GPU as one launch: recorded once as a CUDA graph, and launched again and again."""

from __future__ import annotations

import contextlib
import functools
import gc
from typing import TYPE_CHECKING, Any

from xpnet import kernels
from xpnet.errors import DeviceError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from xpnet.arrays import Array
    from xpnet.backend.backend import Backend

WARM_UP_CALLS = 2
"""Calls that are not recorded: what is compiled and loaded by the first cannot be while recording."""


def as_cuda_graph(
    backend: Backend, function: Callable[[], None], changed: Sequence[Array] = (), *, required: bool = False
) -> Callable[[], None]:
    """Return a function that does what another does; on a GPU all its kernels are launched as one.

    Before it is trusted, what was recorded has to leave the same bits as the function itself. If it cannot be
    recorded, or leaves others, the function goes on being called; `problem` of the result says why.

    Args:
        backend: where its arrays lie.
        function: works on the same arrays each time, which were made before; reads nothing of the host that
            changes, since it runs no more once it is recorded; and neither crosses nor waits. Its matrix
            products are those of `xpnet.functional.affine`.
        changed: the arrays that it changes.
        required: raise what keeps it from being recorded.

    Raises, when called:
        DeviceError: it is required, and what was recorded leaves other bits.
    """
    return _RecordedFunction(backend, function, changed, required) if backend.name == "gpu" else function


class _RecordedFunction:
    """A function, its graph once it is recorded, and memory of its own, which stays in use."""

    def __init__(
        self, backend: Backend, function: Callable[[], None], changed: Sequence[Array], required: bool
    ) -> None:
        self._backend, self._function = backend, function
        self._changed, self._required = changed, required
        self._cuda = backend.xp.cuda
        self._products: Any = None
        self.problem = ""
        with backend.activate():
            self._stream = self._cuda.Stream(non_blocking=True)
            self._memory = self._cuda.MemoryPool()
            try:
                self._products = self._own_products()
            except Exception as error:
                self._give_up(error)
        self._calls = 0
        self._graph: Any = None

    def __call__(self) -> None:
        with self._backend.activate():
            if self._graph is not None:
                self._graph.launch()
                return
            if self._calls == WARM_UP_CALLS and not self.problem:
                self._record()
            else:
                self._run()
            self._calls += 1

    def _run(self) -> None:
        current = self._cuda.get_current_stream()
        self._stream.wait_event(current.record())
        with self._working():
            self._function()
        current.wait_event(self._stream.record())

    def _record(self) -> None:
        """Call the function, and record it if that does the same."""
        empty_like = self._backend.xp.empty_like
        try:
            before, wanted = ([empty_like(array) for array in self._changed] for _ in range(2))
        except Exception as error:  # there may be no memory left for them
            self._give_up(error)
            self._run()
            return
        _copy(self._changed, before)
        self._run()
        _copy(self._changed, wanted)
        try:
            _copy(before, self._changed)
            with self._working():
                graph = record_cuda_graph(self._stream, self._function)
            graph.launch()
            if not self._holds(wanted):
                msg = "what was recorded as a CUDA graph leaves other numbers than the same work itself"
                raise DeviceError(msg, problem="unusable")  # noqa: TRY301
        except Exception as error:
            _copy(wanted, self._changed)
            self._give_up(error)
        else:
            self._graph = graph

    def _give_up(self, error: Exception) -> None:
        """Keep the reason why nothing is recorded, or raise it."""
        if self._required:
            raise error
        self.problem = f"{type(error).__name__}: {error}"

    def _holds(self, copies: list[Array]) -> bool:
        """Whether the changed arrays are the same as copies, numbers or not numbers. Waits for the device."""
        xp = self._backend.xp
        pairs = zip(self._changed, copies, strict=True)
        same = [xp.all((array == copy) | ((array != array) & (copy != copy))) for array, copy in pairs]
        return not same or bool(self._backend.fetch(functools.reduce(xp.logical_and, same)))

    @contextlib.contextmanager
    def _working(self) -> Iterator[None]:
        products = self._products.used() if self._products is not None else contextlib.nullcontext()
        with self._stream, self._cuda.using_allocator(self._memory.malloc), products:
            yield

    def _own_products(self) -> Any:
        for module in kernels.modules(kernels.library_name(self._backend.xp)):
            return module.cuda_products.Products(self._stream)
        return None


def _copy(sources: Sequence[Array], targets: Sequence[Array]) -> None:
    for source, target in zip(sources, targets, strict=True):
        target[...] = source


def record_cuda_graph(stream: Any, function: Callable[[], None]) -> Any:
    """Return the graph of what a function launches on a stream, the current one."""
    with _no_garbage_collected():
        stream.begin_capture()
        try:
            function()
        except BaseException:
            with contextlib.suppress(Exception):  # the first error is the one to tell
                stream.end_capture()
            raise
        return stream.end_capture()


@contextlib.contextmanager
def _no_garbage_collected() -> Iterator[None]:
    """Free nothing in here: the handle of a training before waits for the device, which ends a recording."""
    before = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if before:
            gc.enable()
