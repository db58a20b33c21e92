"""A worker: a process that decodes images for another process, its parent.

The parent (`workers.py`) starts it, sends tasks through its standard input, and gets the results from its
standard output. It ends when its standard input ends, so it never outlives its parent. It must not import
NumPy: it starts faster without it.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import queue
import signal
import threading
from typing import IO, TYPE_CHECKING, NamedTuple, TypeAlias

from xpnet.errors import ImageError

if TYPE_CHECKING:
    from mmap import mmap

    from .read_ahead import ReadAhead
    from .recipe import Recipe

READY = b"xpnet decodes\n"
"""The line that a worker writes when it has started."""

DIED = "decoding it ended its process"
"""The error of an image that ends its worker."""

NUMBER_BYTES = 8
"""The size of a number in bytes, big-endian. Three stand before each result: see `spawn_main`."""

LARGE_BYTES = 1 << 20
"""Columns of so many bytes are not copied more often than necessary."""

Buffer: TypeAlias = "bytes | mmap"
"""Bytes in memory."""

Task = tuple[int, list[str], "Recipe", "ReadAhead | None"]
"""The number of a task, and the arguments of `_decode`. A worker is sent the first three."""

Result = tuple[list[bytes], list[str], list[int], dict[str, str]]
"""What `_decode` returns: the attributes of `Pixels`, but the columns one by one."""

Done = tuple[int, Result]
"""The number of a task, and its result."""


class Pixels(NamedTuple):
    """Decoded images, and what decoded them: the result of a task.

    Attributes:
        columns: the bytes of all columns (k * n_x), one column after the other. An image that failed has
            zeros.
        errors: k reasons why an image failed; "" where it did not fail.
        frames: k numbers of frames or pages; 0 for an image that failed.
        libraries: what decoded them, as `decoding_libraries` gives it.
    """

    columns: Buffer
    errors: list[str]
    frames: list[int]
    libraries: dict[str, str]


def spawn_main() -> None:
    """Run a worker until its parent closes the worker's standard input.

    It writes each result as the number of the task and two lengths, the pickled parts of `Pixels` after
    `columns`, and the columns as they are. Columns of megabytes are not copied for that.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # on Ctrl-C the parent ends its workers
    tasks_in, results_out = _take_standard_streams()
    from . import decode  # noqa: F401  (a decoder that cannot be imported is a worker that cannot be started)

    tasks: queue.SimpleQueue[Task] = queue.SimpleQueue()
    results: queue.SimpleQueue[Done | BaseException] = queue.SimpleQueue()
    threading.Thread(target=_receive, args=(tasks_in, tasks), daemon=True).start()
    threading.Thread(target=_decode_tasks, args=(tasks, results), daemon=True).start()
    try:
        results_out.write(READY)
        results_out.flush()
        while True:
            found = results.get()
            if isinstance(found, BaseException):
                raise found
            number, (columns, *others) = found
            del found
            head, size = pickle.dumps(others, pickle.HIGHEST_PROTOCOL), sum(map(len, columns))
            numbers = (each.to_bytes(NUMBER_BYTES, "big") for each in (number, len(head), size))
            parts = [*numbers, head, *columns]
            del columns
            for part in parts if size >= LARGE_BYTES else [b"".join(parts)]:
                results_out.write(part)
            results_out.flush()
            del parts
    except (BrokenPipeError, MemoryError):  # the parent has ended, or decodes these images one by one
        os._exit(1)


def _take_standard_streams() -> tuple[IO[bytes], IO[bytes]]:
    """Return standard input and output. What decoders print themselves goes to standard error instead."""
    streams = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_RDWR)
    os.dup2(nowhere, 0)
    try:
        os.dup2(2, 1)
    except OSError:  # standard error is closed
        os.dup2(nowhere, 1)
    return streams


def _receive(tasks_in: IO[bytes], tasks: queue.SimpleQueue[Task]) -> None:
    """Receive tasks, and begin to read what lies on servers.

    At the end of the stream, end this process, also in the middle of an image.
    """
    try:
        while True:
            number, paths, recipe = pickle.load(tasks_in)  # noqa: S301  (from the parent)
            tasks.put((number, paths, recipe, _read_ahead(paths)))
    finally:
        os._exit(0)


def _decode_tasks(tasks: queue.SimpleQueue[Task], results: queue.SimpleQueue[Done | BaseException]) -> None:
    """Decode images, also while the parent is too busy to take results. After an error there are none."""
    try:
        while True:
            number, paths, recipe, reading = tasks.get()
            results.put((number, _decode(paths, recipe, reading)))
    except BaseException as error:
        results.put(error)


def decode_pixels(paths: list[str], recipe: Recipe) -> Pixels:
    """Decode some images. This is the task of a worker.

    Args:
        paths: k images.
        recipe: how an image becomes a column.
    """
    columns, errors, frames, libraries = _decode(paths, recipe, _read_ahead(paths))
    return Pixels(b"".join(columns), errors, frames, libraries)


def _read_ahead(paths: list[str]) -> ReadAhead | None:
    """Begin to read the inputs that lie on servers, if there are any."""
    from .remote import is_remote

    if not any(map(is_remote, paths)):
        return None
    from .decode import MAX_FILE_BYTES
    from .read_ahead import ReadAhead

    return ReadAhead(paths, MAX_FILE_BYTES)


def _decode(paths: list[str], recipe: Recipe, reading: ReadAhead | None) -> Result:
    """Decode some images. reading: has begun to read the paths."""
    from .contents import read_content
    from .decode import decode_to_bytes, usual_pillow
    from .libraries import decoding_libraries

    columns, errors, frames = [], [""] * len(paths), [0] * len(paths)
    with usual_pillow(), reading or contextlib.nullcontext():
        for i, path in enumerate(paths):
            try:
                column, frames[i] = decode_to_bytes(path, recipe, reading or read_content)
                columns.append(column)
            except ImageError as error:
                columns.append(bytes(recipe.n_x))
                errors[i] = str(error)
        return columns, errors, frames, decoding_libraries(recipe.decoder)
