"""CUDA graphs: record the kernels that a function launches once, and launch them all at once afterwards."""

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
"""The number of calls before the recording: kernels cannot be compiled or loaded while recording."""


def as_cuda_graph(
    backend: Backend, function: Callable[[], None], changed: Sequence[Array] = (), *, required: bool = False
) -> Callable[[], None]:
    """Return a function that does the same as another one; on a GPU it launches all its kernels at once.

    The recording is used only if it leaves the same bits in the arrays as the function itself. If it does
    not, or if the function cannot be recorded, the function is called as before, and the attribute `problem`
    of the result says why.

    Args:
        backend: where its arrays are.
        function: uses the same arrays in each call, made before the first call. It must not read values of
            the host that change, because it is not called any more after the recording. It must not move data
            between host and device, and must not wait for the device. Its matrix products have to be those of
            `xpnet.functional.affine`.
        changed: the arrays that it changes.
        required: whether to raise an error if it cannot be recorded.

    Raises, when the result is called:
        DeviceError: the recording is required, and leaves other bits than the function.
    """
    return _RecordedFunction(backend, function, changed, required) if backend.name == "gpu" else function


class _RecordedFunction:
    """A function, its CUDA graph once it is recorded, and the memory pool of its temporary arrays."""

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
        """Call the function on the stream of the recording."""
        current = self._cuda.get_current_stream()
        self._stream.wait_event(current.record())
        with self._working():
            self._function()
        current.wait_event(self._stream.record())

    def _record(self) -> None:
        """Call the function, then record it, and keep the graph if it leaves the same bits."""
        empty_like = self._backend.xp.empty_like
        try:
            before, wanted = ([empty_like(array) for array in self._changed] for _ in range(2))
        except Exception as error:  # there may not be enough memory
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
                msg = "the recorded CUDA graph gives other numbers than the steps themselves"
                raise DeviceError(msg, problem="unusable")  # noqa: TRY301
        except Exception as error:
            _copy(wanted, self._changed)
            self._give_up(error)
        else:
            self._graph = graph

    def _give_up(self, error: Exception) -> None:
        """Keep the reason why there is no recording, or raise the error if the recording is required."""
        if self._required:
            raise error
        self.problem = f"{type(error).__name__}: {error}"

    def _holds(self, copies: list[Array]) -> bool:
        """Return whether the changed arrays are equal to copies. NaN equals NaN. Waits for the device."""
        xp = self._backend.xp
        pairs = zip(self._changed, copies, strict=True)
        same = [xp.all((array == copy) | ((array != array) & (copy != copy))) for array, copy in pairs]
        return not same or bool(self._backend.fetch(functools.reduce(xp.logical_and, same)))

    @contextlib.contextmanager
    def _working(self) -> Iterator[None]:
        """Compute on the stream of the recording, with its memory pool and its cuBLAS handle."""
        products = self._products.used() if self._products is not None else contextlib.nullcontext()
        with self._stream, self._cuda.using_allocator(self._memory.malloc), products:
            yield

    def _own_products(self) -> Any:
        """Return matrix products that can be recorded; None if the library has no kernels for them."""
        for module in kernels.modules(kernels.library_name(self._backend.xp)):
            return module.cuda_products.Products(self._stream)
        return None


def _copy(sources: Sequence[Array], targets: Sequence[Array]) -> None:
    for source, target in zip(sources, targets, strict=True):
        target[...] = source


def record_cuda_graph(stream: Any, function: Callable[[], None]) -> Any:
    """Return the CUDA graph of what a function launches on the current stream, which is `stream`."""
    with _no_garbage_collected():
        stream.begin_capture()
        try:
            function()
        except BaseException:
            with contextlib.suppress(Exception):  # the first error is the one to raise
                stream.end_capture()
            raise
        return stream.end_capture()


@contextlib.contextmanager
def _no_garbage_collected() -> Iterator[None]:
    """Turn off the garbage collector.

    It might free the cuBLAS handle of an earlier training. That waits for the device, and so ends a
    recording.
    """
    before = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if before:
            gc.enable()
