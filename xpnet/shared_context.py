"""A context that several threads share: it changes something of the whole process."""

import contextlib
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager


class SharedContext(AbstractContextManager[None]):
    """A context that lasts from the first entry to the last exit, in whatever threads these are.

    Args:
        make: makes the context. It is called at each first entry.
    """

    def __init__(self, make: Callable[[], AbstractContextManager[object]]) -> None:
        self._make, self._lock, self._entered, self._last = make, threading.Lock(), 0, contextlib.ExitStack()

    def __enter__(self) -> None:
        with self._lock:
            if not self._entered:
                self._last.enter_context(self._make())
            self._entered += 1

    def __exit__(self, *raised: object) -> None:
        with self._lock:
            self._entered -= 1
            if not self._entered:
                self._last.close()
