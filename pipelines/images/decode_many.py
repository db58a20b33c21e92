"""Decode many images in several processes. The results come in the order of the inputs.

Each image gives a column of bytes, or the reason why it cannot be decoded. An image that ends the process
which decodes it (a crash in a decoder, or too little memory) is one such failure: no other image is lost.
"""

from __future__ import annotations

import contextlib
import itertools
import sys
import time
import warnings
from collections import deque
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeAlias

from xpnet.errors import UsageError, WorkerError

from .cluster import Cluster, asked_cluster, part_size
from .cluster_worker import Needs
from .worker import DIED, Pixels, decode_pixels

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from concurrent.futures import Future
    from contextlib import AbstractContextManager

    import numpy as np

    from .recipe import Recipe
    from .workers import Workers

CHUNK_SIZE = 64
"""Images per task. With so many, handing over a task takes almost no time compared with decoding it."""

CHUNK_BYTES = 2 << 20
"""The most bytes of columns in a task, unless one image has more. This bounds the memory."""

TASKS_PER_WORKER = 3
"""Unfinished tasks per worker, at most. This bounds the memory. Each worker has two tasks, so that it never
waits for this process; and the third takes the place of one that is done, before its result is asked for."""

AHEAD_BYTES = 48 << 20
"""The most bytes of columns in all unfinished tasks, if that leaves one task for each worker."""

BEGUN_BYTES = 384 << 20
"""The same for tasks that `begin_decoding` begins: about what sixteen workers decode in two seconds, while a
GPU's libraries are loaded, and its first kernels compiled."""

BEGUN_TASKS_PER_WORKER = 32
"""Unfinished tasks per worker that `begin_decoding` begins, at most."""

ALONE_SECONDS = 0.1
"""How long this process decodes alone before it starts workers: for a few images they are not worth it."""


Decoders: TypeAlias = "int | Workers | Cluster"
"""What decodes: so many processes of this machine, started ones, or a cluster."""


@dataclass(frozen=True)
class DecodedImages:
    """Some inputs, decoded.

    Attributes:
        paths: k paths, as they were given.
        columns: (k, n_x) uint8, one row for each path. The row of an image that failed is zero.
        errors: k reasons why an image failed; "" where it did not fail.
        frames: k numbers of frames or pages of a file; 0 for an image that failed. Empty for inputs that are
            not images.
        libraries: what decoded them, as `decoding_libraries` gives it. Empty for inputs that are not images.
    """

    paths: list[str]
    columns: np.ndarray
    errors: list[str]
    frames: list[int] = field(default_factory=list)
    libraries: dict[str, str] = field(default_factory=dict)

    @classmethod
    def joined(cls, parts: Sequence[DecodedImages]) -> DecodedImages:
        """Return parts, of which there is at least one, as one."""
        import numpy as np

        if len(parts) == 1:
            return parts[0]
        return cls(
            [path for part in parts for path in part.paths],
            np.concatenate([part.columns for part in parts]),
            [error for part in parts for error in part.errors],
            [count for part in parts for count in part.frames],
            next((part.libraries for part in parts if part.libraries), {}),
        )

    def __getitem__(self, part: slice) -> DecodedImages:
        """Return some of the images. The bytes of their columns are shared."""
        return DecodedImages(
            self.paths[part], self.columns[part], self.errors[part], self.frames[part], self.libraries
        )

    @property
    def failed(self) -> list[str]:
        """The paths of the images that failed."""
        return [path for path, error in zip(self.paths, self.errors, strict=True) if error]

    @classmethod
    def from_pixels(cls, paths: list[str], pixels: Pixels) -> DecodedImages:
        """Return the result of `decode_pixels` with the columns as an array. No bytes are copied."""
        import numpy as np

        columns = np.frombuffer(pixels.columns, np.uint8).reshape(len(paths), -1)
        return cls(paths, columns, *pixels[1:])


def workers_for(asked: int | None) -> int:
    """Return the number of workers: the one asked for, or, for None, the number of CPU cores.

    A frozen program has no interpreter for workers, so for None it has one: it decodes itself.

    Raises:
        UsageError: the number is not a whole one, or below 1.
    """
    from xpnet.processors import cores

    if asked is not None and (isinstance(asked, bool) or not isinstance(asked, int) or asked < 1):
        msg = f"workers is {asked!r}, expected a whole number, 1 or more"
        raise UsageError(msg)
    return asked or (1 if getattr(sys, "frozen", False) else cores())


def open_decoders(workers: int | None, cluster: str | None) -> AbstractContextManager[Workers | Cluster]:
    """Return what decodes, to be entered: workers of this machine, or a cluster.

    Args:
        workers: how many workers; None for one for each core.
        cluster: the address of a cluster, as for `Cluster`. None for that of the environment variable
            XPNET_CLUSTER, which counts if no number of workers is given.

    Raises:
        UsageError: both are given, or a value is not possible.
    """
    if workers is not None and cluster is not None:
        msg = "--workers is for processes of this machine, and --cluster for others: give one of the two"
        raise UsageError(msg)
    address = asked_cluster(cluster) if workers is None else None
    if address is not None:
        return Cluster(address)
    from .workers import Workers  # imported only here: importing this module must take little time

    return Workers(workers_for(workers))


def decoders_for(workers: int | None, cluster: str | None) -> AbstractContextManager[Decoders]:
    """Return what decodes for a function of Python, to be entered. With one worker this process decodes.

    Args and errors: see `open_decoders`, but the environment variable does not count.
    """
    if cluster is None:
        return contextlib.nullcontext(workers_for(workers))
    return open_decoders(workers, cluster)


def decode_chunk(paths: list[str], recipe: Recipe) -> DecodedImages:
    """Decode some images in this process."""
    return DecodedImages.from_pixels(paths, decode_pixels(paths, recipe))


@dataclass(frozen=True)
class DecodeTask:
    """Decodes parts of the inputs on a cluster: see `cluster_worker.Task`."""

    recipe: Recipe

    @property
    def needs(self) -> Needs:
        """See `Task.needs`."""
        return Needs(self.recipe.decoder)

    def __call__(self, paths: list[str], places: list[str], first: int) -> DecodedImages:
        """See `Task.__call__`."""
        del first
        return replace(decode_chunk(places, self.recipe), paths=paths)

    def lost(self, path: str, first: int) -> DecodedImages:
        """See `Task.lost`."""
        del first
        return DecodedImages.from_pixels([path], Pixels(bytes(self.recipe.n_x), [DIED], [0], {}))


def decode_all(
    paths: Iterable[str], recipe: Recipe, workers: Decoders, chunk_size: int = CHUNK_SIZE
) -> Iterator[DecodedImages]:
    """Yield the decoded inputs in order, at most `chunk_size` at a time: fewer if their columns are large.

    Args:
        paths: the inputs. They are read only a little ahead of the results, so there may be any number.
        recipe: how an image becomes a column.
        workers: the number of processes: with 1, or for a few images, this process decodes. Or the processes
            themselves, or a cluster: then this process decodes nothing, so that no image can end it.
        chunk_size: the number of inputs in each chunk.

    Raises:
        UsageError: the recipe's decoder is not installed.
        WorkerError: the workers end before their first task. With one worker, or where the system cannot
            start any, this process decodes instead, with a warning. Or a cluster fails: see `Cluster.map`.
    """
    recipe.require_decoder()
    if isinstance(workers, Cluster):
        yield from workers.map(DecodeTask(recipe), paths, part_size(recipe.n_x))
        return
    chunks, start = _chunks(paths, recipe, chunk_size), time.monotonic()
    if not isinstance(workers, int):
        yield from _Decoding(chunks, recipe, workers).results()
        return
    for chunk in chunks:
        if workers > 1 and time.monotonic() - start > ALONE_SECONDS:
            from .workers import Workers  # imported only here: importing this module must take little time

            with Workers(workers) as own:
                yield from _Decoding(itertools.chain([chunk], chunks), recipe, own).results()
            return
        yield decode_chunk(chunk, recipe)


def begin_decoding(paths: Iterable[str], recipe: Recipe, workers: Decoders) -> Iterator[DecodedImages]:
    """Return what `decode_all` returns. If workers are given, they begin at once, for results to come.

    Args and errors: see `decode_all`.
    """
    if isinstance(workers, int | Cluster):
        return decode_all(paths, recipe, workers)
    recipe.require_decoder()
    decoding = _Decoding(_chunks(paths, recipe, CHUNK_SIZE), recipe, workers)
    decoding.begin(BEGUN_BYTES, BEGUN_TASKS_PER_WORKER)
    return decoding.results()


def in_batches(parts: Iterable[DecodedImages], size: int) -> Iterator[DecodedImages]:
    """Yield the images of all parts in order, `size` at a time; the last may be fewer."""
    held: list[DecodedImages] = []
    count = 0
    for part in parts:
        held.append(part)
        count += len(part.paths)
        if count >= size:
            images = DecodedImages.joined(held)
            for start in range(0, count - size + 1, size):
                yield images[start : start + size]
            held, count = [images[count - count % size :]] if count % size else [], count % size
    if held:
        yield DecodedImages.joined(held)


def _chunks(paths: Iterable[str], recipe: Recipe, size: int) -> Iterator[list[str]]:
    iterator, size = iter(paths), max(1, min(size, CHUNK_BYTES // recipe.n_x))
    while chunk := list(itertools.islice(iterator, size)):
        yield chunk


class _Decoding:
    """Tasks for workers.

    Args:
        chunks: the inputs of each task.
        recipe: how an image becomes a column.
        workers: the workers.
    """

    def __init__(self, chunks: Iterator[list[str]], recipe: Recipe, workers: Workers) -> None:
        self._chunks, self._recipe, self._workers = chunks, recipe, workers
        self._tasks: deque[tuple[list[str], Future[Pixels]]] = deque()

    def begin(self, ahead: int = 0, per_worker: int = TASKS_PER_WORKER) -> None:
        """Submit tasks, until there are enough.

        Args:
            ahead: the most bytes of columns in all tasks, if that leaves one task for each worker; by default
                `AHEAD_BYTES`.
            per_worker: the most tasks for each worker.
        """
        tasks, count, n_x = self._tasks, self._workers.count, self._recipe.n_x
        while len(tasks) < per_worker * count:
            if tasks and len(tasks) >= max(count, (ahead or AHEAD_BYTES) // (len(tasks[-1][0]) * n_x)):
                return
            chunk = next(self._chunks, None)
            if chunk is None:
                return
            tasks.append((chunk, self._workers.submit(chunk, self._recipe)))

    def results(self) -> Iterator[DecodedImages]:
        """Yield the results in order, and submit the other tasks meanwhile."""
        is_told = False
        self.begin()
        while self._tasks:
            chunk, task = self._tasks.popleft()
            try:
                decoded = task.result()
            except WorkerError as error:
                if self._workers.count > 1 and not isinstance(error.__cause__, OSError):
                    raise  # the system starts processes, but they end: the user should know why
                if not is_told:
                    warnings.warn(f"images are decoded in this process: {error}", stacklevel=2)
                is_told = True
                decoded = decode_pixels(chunk, self._recipe)
            self.begin()  # before the caller does something with the result
            yield DecodedImages.from_pixels(chunk, decoded)
