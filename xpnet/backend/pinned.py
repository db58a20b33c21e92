"""Host memory to a GPU beside its computing: pinned buffers, a stream of their own, events between them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from contextlib import AbstractContextManager

    from xpnet.arrays import Array, Namespace

SLOTS = 2
"""Buffers of a ring: from one the device copies while the host fills the other."""

_ALIGNMENT = 256


class PinnedRing:
    """Pinned buffers that are used in turn, each again when the device has copied what it held.

    Args:
        xp: the module `cupy`.
        activate: gives a context in which the device is CUDA's current one.
    """

    def __init__(self, xp: Namespace, activate: Callable[[], AbstractContextManager[Any]]) -> None:
        self._xp, self._cuda, self._activate = xp, xp.cuda, activate
        with activate():
            self._copying = xp.cuda.Stream(non_blocking=True)
        self._memory: list[Any] = [None] * SLOTS
        self._sizes = [0] * SLOTS
        self._copied: list[Any] = [None] * SLOTS
        self._turn = 0

    def empty_like(self, array: np.ndarray) -> Array:
        """Return an array to copy to."""
        with self._activate():
            return self._xp.empty(array.shape, array.dtype)

    def copy(self, host: Sequence[np.ndarray], device: Sequence[Array]) -> Any:
        """Begin to copy arrays; return the event after which they lie on the device.

        Args:
            host: where from; free to change when this returns.
            device: where to: contiguous, of the same shapes and dtypes, made on the current stream. They must
                live until it waits for the event.
        """
        slot, self._turn = self._turn % SLOTS, self._turn + 1
        with self._activate():
            if self._copied[slot] is not None:
                self._copied[slot].synchronize()
            self._reserve(slot, sum(_rounded(array.nbytes) for array in host))
            # What is made now may lie where the current stream still reads what lay there before.
            self._copying.wait_event(self._event(self._cuda.get_current_stream()))
            offset = 0
            for source, target in zip(host, device, strict=True):
                if not source.size:
                    continue
                pinned: np.ndarray = np.ndarray(source.shape, source.dtype, self._memory[slot], offset)
                np.copyto(pinned, source)
                target.data.copy_from_host_async(pinned.ctypes.data, source.nbytes, self._copying)
                offset += _rounded(source.nbytes)
            self._copied[slot] = self._event(self._copying)
        return self._copied[slot]

    def wait(self, event: Any) -> None:
        """Let the current stream wait for what `copy` returned. The host goes on."""
        with self._activate():
            self._cuda.get_current_stream().wait_event(event)

    def close(self) -> None:
        """Wait until the buffers are free: only then may they go."""
        with self._activate():
            for event in self._copied:
                if event is not None:
                    event.synchronize()

    def _event(self, stream: Any) -> Any:
        event = self._cuda.Event(disable_timing=True)
        event.record(stream)
        return event

    def _reserve(self, slot: int, size: int) -> None:
        if size > self._sizes[slot]:
            self._memory[slot] = None  # before its successor: the pool may use it again
            self._memory[slot] = self._cuda.alloc_pinned_memory(size)
            self._sizes[slot] = size


def stream_arrays(
    ring: PinnedRing, items: Iterable[tuple[np.ndarray | None, ...]]
) -> Iterator[tuple[Array | None, ...]]:
    """Yield tuples of arrays as they arrive, in order, the next on its way: `Backend.stream` on a GPU."""
    coming: tuple[tuple[Array | None, ...], Any] | None = None
    try:
        for item in items:
            host = [array for array in item if array is not None]
            device = [ring.empty_like(array) for array in host]
            begun, event = iter(device), ring.copy(host, device)
            arrays = tuple(None if array is None else next(begun) for array in item)
            arrived, coming = coming, (arrays, event)
            if arrived is not None:
                ring.wait(arrived[1])
                yield arrived[0]
        if coming is not None:
            ring.wait(coming[1])
            yield coming[0]
    finally:
        if coming is not None:  # if nobody asked for it, its memory may be used again only after it came
            ring.wait(coming[1])
        ring.close()


def upload_array(ring: PinnedRing, data: np.ndarray, size: int) -> Array:
    """Return a C-contiguous array of host memory on the device, copied in parts of `size` bytes."""
    array = ring.empty_like(data)
    host, device = data.reshape(-1), array.reshape(-1)
    each = max(1, size // data.itemsize)
    for start in range(0, len(host), each):
        part = slice(start, min(start + each, len(host)))
        ring.wait(ring.copy([host[part]], [device[part]]))
    ring.close()
    return array


def _rounded(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT
