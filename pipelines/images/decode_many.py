"""Decode many images, by several processes, in order: each gives a column or a reason.

A worker process imports this file: what it does not need, NumPy first of all, is imported where it is used.
"""

from __future__ import annotations

import itertools
import multiprocessing
import os
import signal
import threading
import time
from collections import deque
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import TYPE_CHECKING

from xpnet.errors import ImageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from concurrent.futures import Executor

    import numpy as np

    from .recipe import Recipe

CHUNK = 64
"""Images of one task: enough that handing it over costs nothing beside decoding."""

AHEAD = 2
"""Tasks in flight for each worker: memory is bounded, and none waits for the next."""

ALONE_SECONDS = 0.1
"""How long this process decodes alone, before it starts others, and"""

MEANWHILE = 32
"""how many tasks it does itself while they start, at most."""

Pixels = tuple[bytes, list[str]]
"""What `decode_pixels` returns."""


@dataclass(frozen=True)
class DecodedImages:
    """Some inputs, decoded.

    Attributes:
        paths: as given.
        columns: (k, n_x) uint8, a row for each path; zeros where it failed.
        errors: why each failed; empty where it did not.
    """

    paths: list[str]
    columns: np.ndarray
    errors: list[str]

    @classmethod
    def of(cls, paths: list[str], pixels: bytes, errors: list[str]) -> DecodedImages:
        """Take what `decode_pixels` returns; nothing is copied."""
        import numpy as np

        return cls(paths, np.frombuffer(pixels, np.uint8).reshape(len(paths), -1), errors)


def workers_for(asked: int | None) -> int:
    """Return how many processes to decode by: as asked, or one for each core."""
    from xpnet.kernels import cores

    return asked or cores()


def decode_chunk(paths: list[str], recipe: Recipe) -> DecodedImages:
    """Decode some images, in this process."""
    return DecodedImages.of(paths, *decode_pixels(paths, recipe))


def decode_all(
    paths: Iterable[str], recipe: Recipe, workers: int, size: int = CHUNK
) -> Iterator[DecodedImages]:
    """Yield the inputs decoded, `size` at a time (the last fewer), in order.

    Args:
        paths: read as they are needed, not far ahead.
        recipe: how.
        workers: processes; with 1, or few inputs, this one does it all.
        size: inputs of each part.

    Raises:
        UsageError: the recipe's decoder is not installed.
    """
    recipe.require_decoder()
    chunks, began = _chunks(paths, size), time.monotonic()
    for chunk in chunks:
        if workers > 1 and time.monotonic() - began > ALONE_SECONDS:
            yield from _in_order(itertools.chain([chunk], chunks), recipe, workers)
            return
        yield decode_chunk(chunk, recipe)


def _chunks(paths: Iterable[str], size: int) -> Iterator[list[str]]:
    iterator = iter(paths)
    while chunk := list(itertools.islice(iterator, size)):
        yield chunk


def _pool(workers: int) -> Executor:
    # A fork of a process with threads may hang: a new one starts in a fifth of a second.
    return ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), initializer=exit_with_parent)


def _submit(pool: Executor, paths: list[str], recipe: Recipe) -> Future[Pixels]:
    """Hand a task over. It may start a process, which inherits that Ctrl-C is left to this one."""
    blocked = hasattr(signal, "pthread_sigmask")
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT}) if blocked else set()
    try:
        return pool.submit(decode_pixels, paths, recipe)
    except BrokenProcessPool as error:  # a process died since; that is found where the result is asked for
        future: Future[Pixels] = Future()
        future.set_exception(error)
        return future
    finally:
        if blocked:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _in_order(chunks: Iterator[list[str]], recipe: Recipe, workers: int) -> Iterator[DecodedImages]:
    pool = _pool(workers)
    flight: deque[tuple[list[str], Future[Pixels]]] = deque()
    try:
        for chunk in itertools.islice(chunks, AHEAD * workers):
            flight.append((chunk, _submit(pool, chunk, recipe)))
        # Until the processes have started, this one goes on with what comes after what they were given.
        for chunk in itertools.islice(chunks, MEANWHILE):
            flight.append((chunk, _known(decode_pixels(chunk, recipe))))
            if flight[0][1].done():
                break
        while flight:
            chunk, future = flight.popleft()
            try:
                yield DecodedImages.of(chunk, *future.result())
            except BrokenProcessPool:
                # An image killed its process. The chunk is decoded image by image; what else was in flight
                # is handed over again.
                pool.shutdown(wait=False, cancel_futures=True)
                yield _one_by_one(chunk, recipe)
                pool = _pool(workers)
                flight = deque((other, _submit(pool, other, recipe)) for other, _ in flight)
            for chunk in itertools.islice(chunks, max(0, AHEAD * workers - len(flight))):
                flight.append((chunk, _submit(pool, chunk, recipe)))
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _known(result: Pixels) -> Future[Pixels]:
    future: Future[Pixels] = Future()
    future.set_result(result)
    return future


def _one_by_one(paths: list[str], recipe: Recipe) -> DecodedImages:
    parts: list[Pixels] = []
    pool = _pool(1)
    try:
        for path in paths:
            try:
                parts.append(_submit(pool, [path], recipe).result())
            except BrokenProcessPool:
                parts.append((bytes(recipe.n_x), ["decoding it ended its process"]))
                pool.shutdown(wait=False)
                pool = _pool(1)
    finally:
        pool.shutdown(wait=True)
    return DecodedImages.of(paths, b"".join(part[0] for part in parts), [part[1][0] for part in parts])


def exit_with_parent() -> None:
    """End with the process above, however it ends: a killed one cannot say so."""
    above = multiprocessing.parent_process()

    def watch() -> None:
        if above is not None:
            above.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def decode_pixels(paths: list[str], recipe: Recipe) -> tuple[bytes, list[str]]:
    """Decode some images.

    Args:
        paths: of the images.
        recipe: how.

    Returns:
        The columns' bytes, one after the other, zeros for what failed; and why each failed, empty where it
        did not.
    """
    from .decode import pixels, quiet

    columns, errors = [], [""] * len(paths)
    with quiet():
        for i, path in enumerate(paths):
            try:
                columns.append(pixels(path, recipe))
            except ImageError as error:
                columns.append(bytes(recipe.n_x))
                errors[i] = str(error)
    return b"".join(columns), errors
