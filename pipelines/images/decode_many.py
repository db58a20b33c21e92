"""Decode many images in several processes. The results come in the order of the inputs.

Each image gives a column of bytes, or the reason why it cannot be decoded. An image that ends the process
which decodes it (a crash in a decoder, or too little memory) is one such failure: no other image is lost.

The processes, called workers, import this module. It must not import NumPy at its top: they start faster
without it.
"""

from __future__ import annotations

import itertools
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections import deque
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing.spawn import get_executable
from typing import TYPE_CHECKING, Any

from xpnet.errors import ImageError, WorkerError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from concurrent.futures import Executor

    import numpy as np

    from .recipe import Recipe

CHUNK_SIZE = 64
"""Images per task. With so many, handing over a task takes almost no time compared with decoding it."""

TASKS_PER_WORKER = 2
"""Unfinished tasks per worker, at most. This bounds the memory. With two, no worker waits for a task."""

ALONE_SECONDS = 0.1
"""How long this process decodes alone before it starts workers: for a few images they are not worth it."""

CHUNKS_DURING_START = 32
"""How many chunks this process decodes itself, at most, while the workers start."""

Decoded = tuple[bytes, list[str]]
"""The result of `decode_pixels`: the bytes of all columns, and the error of each image."""


@dataclass(frozen=True)
class DecodedImages:
    """Some inputs, decoded.

    Attributes:
        paths: k paths, as they were given.
        columns: (k, n_x) uint8, one row for each path. The row of an image that failed is zero.
        errors: k reasons why an image failed; "" where it did not fail.
    """

    paths: list[str]
    columns: np.ndarray
    errors: list[str]

    @classmethod
    def from_bytes(cls, paths: list[str], pixels: bytes, errors: list[str]) -> DecodedImages:
        """Return the result of `decode_pixels` with the columns as an array. No bytes are copied."""
        import numpy as np

        return cls(paths, np.frombuffer(pixels, np.uint8).reshape(len(paths), -1), errors)


def workers_for(asked: int | None) -> int:
    """Return the number of workers: the one asked for, or, for None, the number of CPU cores."""
    from xpnet.kernels import cores

    return asked or cores()


def decode_chunk(paths: list[str], recipe: Recipe) -> DecodedImages:
    """Decode some images in this process."""
    return DecodedImages.from_bytes(paths, *decode_pixels(paths, recipe))


def decode_all(
    paths: Iterable[str], recipe: Recipe, workers: int, chunk_size: int = CHUNK_SIZE
) -> Iterator[DecodedImages]:
    """Yield the decoded inputs in order, `chunk_size` at a time. The last chunk may be smaller.

    Args:
        paths: the inputs. They are read only a little ahead of the results, so there may be any number.
        recipe: how an image becomes a column.
        workers: the number of processes. With 1, or for a few images, this process decodes.
        chunk_size: the number of inputs in each chunk.

    Raises:
        UsageError: the recipe's decoder is not installed.
        WorkerError: the workers cannot be started.
    """
    if workers > 1:
        exit_if_worker_is_starting()
    recipe.require_decoder()
    chunks, start = _chunks(paths, chunk_size), time.monotonic()
    for chunk in chunks:
        if workers > 1 and time.monotonic() - start > ALONE_SECONDS:
            yield from _decode_by_workers(itertools.chain([chunk], chunks), recipe, workers)
            return
        yield decode_chunk(chunk, recipe)


def _chunks(paths: Iterable[str], size: int) -> Iterator[list[str]]:
    iterator = iter(paths)
    while chunk := list(itertools.islice(iterator, size)):
        yield chunk


def _decode_by_workers(chunks: Iterator[list[str]], recipe: Recipe, workers: int) -> Iterator[DecodedImages]:
    pool = _pool(workers)
    tasks: deque[tuple[list[str], Future[Decoded]]] = deque()
    try:
        for chunk in itertools.islice(chunks, TASKS_PER_WORKER * workers):
            tasks.append((chunk, _submit(pool, chunk, recipe)))
        # Until the first worker has finished a task, this process decodes the chunks that come next.
        for chunk in itertools.islice(chunks, CHUNKS_DURING_START):
            tasks.append((chunk, _finished(decode_pixels(chunk, recipe))))
            if tasks[0][1].done():
                break
        while tasks:
            chunk, task = tasks.popleft()
            try:
                yield DecodedImages.from_bytes(chunk, *task.result())
            except BrokenProcessPool:
                # A worker ended: an image killed it, or it could not start. Decode this chunk image by image
                # to find out, and hand over all other unfinished tasks to new workers.
                pool.shutdown(wait=False, cancel_futures=True)
                yield _decode_one_by_one(chunk, recipe)
                pool = _pool(workers)
                tasks = deque((other, _submit(pool, other, recipe)) for other, _ in tasks)
            for chunk in itertools.islice(chunks, max(0, TASKS_PER_WORKER * workers - len(tasks))):
                tasks.append((chunk, _submit(pool, chunk, recipe)))
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _decode_one_by_one(paths: list[str], recipe: Recipe) -> DecodedImages:
    """Decode some images, each as a task of its own. An image that ends its worker becomes an error.

    Raises:
        WorkerError: the worker could not be started.
    """
    pixels: list[bytes] = []
    errors: list[str] = []
    pool = _started_pool()
    try:
        for path in paths:
            try:
                column, reasons = _submit(pool, [path], recipe).result()
            except BrokenProcessPool:
                column, reasons = bytes(recipe.n_x), ["decoding it ended its process"]
                pool.shutdown(wait=False)
                pool = _started_pool()
            pixels.append(column)
            errors += reasons
    finally:
        pool.shutdown(wait=True)
    return DecodedImages.from_bytes(paths, b"".join(pixels), errors)


def _pool(workers: int) -> Executor:
    """Return a pool of workers. Each of them is started when it gets its first task.

    Raises:
        WorkerError: this system cannot start processes.
    """
    interpreter = os.fsdecode(get_executable() or "")
    if not os.access(interpreter, os.X_OK):
        cause = f"{interpreter or 'the Python interpreter'} cannot be executed"
        raise _worker_error(cause)
    try:
        # Not by fork: a forked copy of a process with threads may hang. "spawn" takes only 0.2 s longer.
        spawn = multiprocessing.get_context("spawn")
        return ProcessPoolExecutor(workers, spawn, initializer=exit_with_parent)
    except (OSError, ImportError, NotImplementedError) as error:  # a system without semaphores
        raise _worker_error(str(error)) from error


def _started_pool() -> Executor:
    """Return a pool of one worker that is running.

    Raises:
        WorkerError: the worker ended before it could do anything.
    """
    pool = _pool(1)
    try:
        _submit_call(pool, is_started).result()
    except BrokenProcessPool as error:
        pool.shutdown(wait=True)
        reason = error.__cause__ if isinstance(error.__cause__, OSError) else None
        raise _worker_error(str(reason or "a new process ended before its first task")) from reason
    except BaseException:
        pool.shutdown(wait=True, cancel_futures=True)
        raise
    return pool


def _worker_error(cause: str) -> WorkerError:
    return WorkerError(
        f"the processes that decode images could not be started: {cause}. In a script, put the calls to xpnet"
        ' under `if __name__ == "__main__":`. Or decode in one process: --workers 1, in Python workers=1'
    )


def _submit(pool: Executor, paths: list[str], recipe: Recipe) -> Future[Decoded]:
    return _submit_call(pool, decode_pixels, paths, recipe)


def _submit_call(pool: Executor, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
    """Hand over a task. If the pool is broken, the future has the error `BrokenProcessPool`.

    The call may start a worker, which inherits the blocked signals: workers must not react to Ctrl-C, because
    this process does and then ends them.
    """
    can_block = hasattr(signal, "pthread_sigmask")
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT}) if can_block else set()
    try:
        return pool.submit(function, *arguments)
    except (BrokenProcessPool, OSError) as error:  # OSError: no further process can be started
        future: Future[Any] = Future()
        broken = BrokenProcessPool(str(error))
        broken.__cause__ = error
        future.set_exception(broken)
        return future
    finally:
        if can_block:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _finished(result: Decoded) -> Future[Decoded]:
    future: Future[Decoded] = Future()
    future.set_result(result)
    return future


def exit_if_worker_is_starting() -> None:
    """Exit, without a message, if this process is a worker that runs the user's script while it starts.

    A new process first runs the script of its parent, as the module `__mp_main__`, and then its tasks. In a
    script without `if __name__ == "__main__":` this calls xpnet again, which must not start workers of its
    own. The parent finds that the worker ended, and raises `WorkerError`: so there is one message.
    """
    script = sys.modules.get("__mp_main__")
    if script is None or script is sys.modules.get("__main__"):  # it becomes `__main__` when it has run
        return
    if threading.current_thread() is not threading.main_thread():  # where SystemExit ends only the thread
        os._exit(1)
    sys.exit(1)


def exit_with_parent() -> None:
    """Make this worker exit as soon as its parent ends. A parent that is killed cannot tell its workers."""
    parent = multiprocessing.parent_process()

    def watch() -> None:
        if parent is not None:
            parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def is_started() -> bool:
    """Return True: the smallest task, which shows that a worker runs."""
    return True


def decode_pixels(paths: list[str], recipe: Recipe) -> Decoded:
    """Decode some images. This is the task of a worker.

    Args:
        paths: k images.
        recipe: how an image becomes a column.

    Returns:
        The bytes of all columns (k * n_x), one column after the other, with zeros for an image that failed;
        and k reasons why an image failed, "" where it did not fail.
    """
    from .decode import decode_to_bytes, ignore_pillow_warnings

    columns, errors = [], [""] * len(paths)
    with ignore_pillow_warnings():
        for i, path in enumerate(paths):
            try:
                columns.append(decode_to_bytes(path, recipe))
            except ImageError as error:
                columns.append(bytes(recipe.n_x))
                errors[i] = str(error)
    return b"".join(columns), errors
