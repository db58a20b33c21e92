"""Read inputs on servers before they are decoded: many at a time, and not more than memory allows."""

from __future__ import annotations

import functools
import threading
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Self

from xpnet.errors import ImageError

from .contents import read_content
from .remote import is_remote

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

READERS = 64
"""How many inputs a process reads at a time. A server may take 50 ms for each, and decoding takes 1 ms."""

PART = 1024
"""How many inputs `read_all` begins to read at a time."""

AHEAD_BYTES = 64 << 20
"""The most bytes of inputs that were read and are not decoded yet, unless a single one has more."""


class ReadAhead:
    """The contents of some inputs, of which those on servers are read by threads.

    Call it with each name in turn. Use it in a `with` statement, which ends the reading.

    Args:
        names: the inputs.
        most_bytes: a larger one is refused.
    """

    def __init__(self, names: Sequence[str], most_bytes: int) -> None:
        self._changed = threading.Condition()
        self._held = self._next = 0
        self._is_closed = False
        self._sizes = [0] * len(names)
        self._most_bytes = most_bytes
        self._reading: deque[Future[bytes] | None] = deque(
            _readers().submit(self._read, i, name) if is_remote(name) else None
            for i, name in enumerate(names)
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        for future in self._reading:
            if future is not None:
                future.cancel()
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    def __call__(self, name: str, most_bytes: int) -> bytes:
        """Return the content of the next input, as `read_content` does, and with its errors."""
        future = self._reading.popleft()
        try:
            return read_content(name, most_bytes) if future is None else future.result()
        finally:
            with self._changed:
                self._held -= self._sizes[self._next]
                self._next += 1
                self._changed.notify_all()

    def _read(self, i: int, name: str) -> bytes:
        return read_content(name, self._most_bytes, lambda size: self._wait(i, size))

    def _wait(self, i: int, size: int) -> None:
        """Wait until there is memory for an input. For the one that is needed next there always is."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._is_closed or i <= self._next or self._held + size <= AHEAD_BYTES
            )
            self._held += size
            self._sizes[i] += size


def read_all(names: Sequence[str], most_bytes: int) -> Iterator[bytes | ImageError]:
    """Yield the content of each input, or why it cannot be read. Those on servers are read many at a time.

    Args:
        names: the inputs.
        most_bytes: a larger one is refused.
    """
    for first in range(0, len(names), PART):
        part = names[first : first + PART]
        with ReadAhead(part, most_bytes) as reading:
            for name in part:
                try:
                    yield reading(name, most_bytes)
                except ImageError as error:
                    yield error


@functools.cache
def _readers() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(READERS, "xpnet-read")
