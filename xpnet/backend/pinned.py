"""Copy arrays to a GPU while it computes: threads fill pinned host memory, and a CUDA stream copies it."""

from __future__ import annotations

import threading
from collections import deque
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np

from xpnet.processors import cores

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from concurrent.futures import Future
    from contextlib import AbstractContextManager

    from xpnet.arrays import Array, Namespace

SLOTS = 24
"""The most buffers: together they hold three chunks of data, so that one can be filled while the copy
of the other still waits for the device. Without such a wait, a few more than there are threads are enough."""

SLOT_BYTES = 8 << 20
"""The most bytes in a buffer. Larger arrays are split."""

THREADS = 8
"""The most threads that fill buffers. Eight fill them about four times as fast as one (41 and 11 GB/s on 16
cores): nearly as fast as a device reads."""

THREAD_BYTES = 1 << 20
"""A thread has at least so many bytes to copy: waking one takes as long as copying some 100 KB."""

_ALIGNMENT = 256
"""Arrays in a buffer begin at multiples of this number of bytes."""

Piece = list[tuple[np.ndarray, "Array"]]
"""Arrays that are copied through one buffer, each with the array on the device that it is copied to."""


class PinnedRing:
    """Pinned buffers that are used in turn. One is used again when the device has copied its arrays.

    Only one thread may use a ring at a time. The ring has threads of its own, which fill buffers.

    Args:
        xp: the module `cupy`.
        activate: returns a context in which the device is CUDA's current device.
    """

    def __init__(self, xp: Namespace, activate: Callable[[], AbstractContextManager[Any]]) -> None:
        self._xp, self._cuda, self._activate = xp, xp.cuda, activate
        with activate():
            self._copying = xp.cuda.Stream(non_blocking=True)
        self._slots: deque[_Slot] = deque()  # those that no thread uses, the oldest first
        self._made, self._lock = 0, threading.Lock()
        self._threads = max(1, min(THREADS, cores(), SLOTS - 1))
        self._pool: ThreadPoolExecutor | None = None

    def __del__(self) -> None:
        # CuPy would give the memory of the buffers to others, while the device still copies from it. No
        # device is made current: Python may call this in the middle of such a change.
        with suppress(Exception):  # the interpreter is ending, or the device is lost
            for slot in self._slots:
                slot.wait()

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
        threads = min(self._threads, max(1, sum(array.nbytes for array in host) // THREAD_BYTES))
        with self._activate():
            # The memory of the new arrays may have been freed just now, while the current stream still uses
            # it.
            self._copying.wait_event(self._event(self._cuda.get_current_stream()))
            try:
                self._copy_all(deque(_pieces(host, device, threads)), threads)
            except BaseException:
                self.close()  # nothing may be copied to the new arrays after they are freed
                raise
            return self._event(self._copying)

    def wait(self, event: Any) -> None:
        """Make the current stream wait for an event that `copy` returned. The host does not wait."""
        with self._activate():
            self._cuda.get_current_stream().wait_event(event)

    def close(self) -> None:
        """Wait until the device has copied everything. The buffers must not be freed before."""
        with self._activate():
            for slot in self._slots:
                slot.wait()

    def _copy_all(self, pieces: deque[Piece], threads: int) -> None:
        """Copy pieces by some threads, of which one is the calling one.

        A thread takes a piece and a buffer, fills the buffer, and has it copied. No thread waits for another
        one. NumPy and CUDA let go of the interpreter for most of that time.
        """
        others: list[Future[None]] = []
        threads = min(threads, len(pieces))
        if threads > 1:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(self._threads - 1, "xpnet-upload")
            try:
                for _ in range(threads - 1):
                    others.append(self._pool.submit(self._copy_activated, pieces))  # noqa: PERF401
            except RuntimeError:  # the system starts no more threads: those that run are enough
                pass
        try:
            self._copy_pieces(pieces)
        finally:
            wait(others)  # the arrays in host memory may be changed afterwards
        for other in others:
            other.result()

    def _copy_activated(self, pieces: deque[Piece]) -> None:
        with self._activate():  # each thread has a current device of its own
            self._copy_pieces(pieces)

    def _copy_pieces(self, pieces: deque[Piece]) -> None:
        """Copy pieces until none is left. Several threads do so at the same time."""
        while True:
            try:
                piece = pieces.popleft()
            except IndexError:
                return
            slot = self._free_slot()
            try:
                slot.copy(piece, self._copying)
            except BaseException:
                pieces.clear()  # the other threads end soon
                raise
            finally:
                self._slots.append(slot)

    def _free_slot(self) -> _Slot:
        """Return the oldest buffer if it is free, else a new one; if there are enough, one to wait for."""
        with self._lock:
            if self._slots and (self._made >= SLOTS or self._slots[0].is_free):
                return self._slots.popleft()
            self._made += 1
        return _Slot(self._cuda)

    def _event(self, stream: Any) -> Any:
        event = self._cuda.Event(disable_timing=True)
        event.record(stream)
        return event


class _Slot:
    """A pinned buffer, and the event at which the device has copied from it.

    Args:
        cuda: the module `cupy.cuda`.
    """

    def __init__(self, cuda: Any) -> None:
        self._cuda, self._memory, self._size = cuda, None, 0
        self._copied: Any = None

    @property
    def is_free(self) -> bool:
        """Whether the device has copied from the buffer."""
        return self._copied is None or bool(self._copied.done)

    def wait(self) -> None:
        """Wait until the device has copied from the buffer."""
        if self._copied is not None:
            self._copied.synchronize()

    def copy(self, piece: Piece, stream: Any) -> None:
        """Fill the buffer, when it is free, and begin to copy it to the device."""
        self.wait()
        self._reserve(sum(_rounded(source.nbytes) for source, _ in piece))
        filled, offset = [], 0
        for source, target in piece:
            pinned: np.ndarray = np.ndarray(source.shape, source.dtype, self._memory, offset)
            np.copyto(pinned, source)
            filled.append((pinned, target))
            offset += _rounded(source.nbytes)
        if self._copied is None:
            self._copied = self._cuda.Event(disable_timing=True)
        try:
            for pinned, target in filled:
                target.data.copy_from_host_async(pinned.ctypes.data, pinned.nbytes, stream)
        finally:
            self._copied.record(stream)

    def _reserve(self, size: int) -> None:
        if size > self._size:
            self._memory, self._size = None, 0  # free it first, so that its memory can be used again
            size = 1 << (size - 1).bit_length()  # so that it seldom grows: pinned memory is slow to allocate
            self._memory = self._cuda.alloc_pinned_memory(size)
            self._size = size


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


def upload_array(ring: PinnedRing, data: np.ndarray) -> Array:
    """Return a copy of an array on the device. The current stream waits for it, the host does not."""
    array = ring.empty_like(data)
    ring.wait(ring.copy([data], [array]))
    return array


def _pieces(host: Sequence[np.ndarray], device: Sequence[Array], threads: int) -> Iterator[Piece]:
    """Yield arrays in pieces, each for one buffer: large arrays are split, small ones share a buffer."""
    size = min(SLOT_BYTES, -(-sum(array.nbytes for array in host) // threads))
    piece: Piece = []
    filled = 0
    for source, target in zip(host, device, strict=True):
        if source.nbytes > size:
            values, copies = np.ascontiguousarray(source).reshape(-1), target.reshape(-1)
            each = max(1, size // source.itemsize)
            for start in range(0, source.size, each):
                part = slice(start, start + each)
                yield [(values[part], copies[part])]
        elif source.size:
            if filled + source.nbytes > size:
                yield piece
                piece, filled = [], 0
            piece.append((source, target))
            filled += source.nbytes
    if piece:
        yield piece


def _rounded(size: int) -> int:
    """Return a number of bytes rounded up to the alignment."""
    return -(-size // _ALIGNMENT) * _ALIGNMENT
