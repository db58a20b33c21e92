"""Copy arrays to a GPU while it computes, through pinned host memory and a CUDA stream for copies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from contextlib import AbstractContextManager

    from xpnet.arrays import Array, Namespace

SLOTS = 2
"""Number of buffers: the device copies from one, while the host fills the other."""

_ALIGNMENT = 256
"""Arrays in a buffer begin at multiples of this number of bytes."""


class PinnedRing:
    """Pinned buffers that are used in turn. One is used again when the device has copied its arrays.

    Args:
        xp: the module `cupy`.
        activate: returns a context in which the device is CUDA's current device.
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
        """Return a new array on the device with the shape and dtype of an array."""
        with self._activate():
            return self._xp.empty(array.shape, array.dtype)

    def copy(self, host: Sequence[np.ndarray], device: Sequence[Array]) -> Any:
        """Begin to copy arrays to the device; return the CUDA event at which the copies are done.

        Args:
            host: arrays to copy. They may be changed when this function has returned.
            device: arrays to copy to: contiguous, with the same shapes and dtypes, made on the current
                stream. They must not be freed before the current stream waits for the event.
        """
        slot, self._turn = self._turn % SLOTS, self._turn + 1
        with self._activate():
            if self._copied[slot] is not None:
                self._copied[slot].synchronize()
            self._reserve(slot, sum(_rounded(array.nbytes) for array in host))
            # The memory of the new arrays may have been freed just now, while the current stream still uses
            # it.
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
        """Make the current stream wait for an event that `copy` returned. The host does not wait."""
        with self._activate():
            self._cuda.get_current_stream().wait_event(event)

    def close(self) -> None:
        """Wait until the device has copied everything. The buffers must not be freed before."""
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
            self._memory[slot] = None  # free it first, so that its memory can be used again
            self._memory[slot] = self._cuda.alloc_pinned_memory(size)
            self._sizes[slot] = size


def stream_arrays(
    ring: PinnedRing, items: Iterable[tuple[np.ndarray | None, ...]]
) -> Iterator[tuple[Array | None, ...]]:
    """Yield tuples of arrays on the device, in order, while the next is copied: see `Backend.stream`."""
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
        if coming is not None:  # its memory must not be used again before the copy is done
            ring.wait(coming[1])
        ring.close()


def upload_array(ring: PinnedRing, data: np.ndarray, size: int) -> Array:
    """Return a copy of a C-contiguous array on the device, copied in parts of `size` bytes."""
    array = ring.empty_like(data)
    host, device = data.reshape(-1), array.reshape(-1)
    each = max(1, size // data.itemsize)
    for start in range(0, len(host), each):
        part = slice(start, min(start + each, len(host)))
        ring.wait(ring.copy([host[part]], [device[part]]))
    ring.close()
    return array


def _rounded(size: int) -> int:
    """Return a number of bytes rounded up to the alignment."""
    return -(-size // _ALIGNMENT) * _ALIGNMENT
