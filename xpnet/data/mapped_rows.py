"""Examples of a file that is mapped into memory: read in runs, and let go of again.

The system reads a mapped file page by page, when a page is first used: in a random order that is a hundred
times as slow as it could be. So the pages of the next rows are asked for in advance, and rows that lie one
after another in the file are taken together, in runs. Pages that were copied are given back.
"""

from __future__ import annotations

import mmap
import os
import tempfile
from typing import TYPE_CHECKING, Any

import numpy as np

from xpnet.errors import OutputError
from xpnet.processors import memory_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator

RUN_ROWS = 64
"""The most rows that a shuffled order leaves together."""

LEAST_RUNS = 64
"""The least number of runs that are mixed with each other: runs of large rows are shorter for that."""

MEMORY_SHARE = 0.5
"""The share of the memory that raw examples of a file may take. More of them are read in each pass."""

GAP_BYTES = 256 << 10
"""Rows with less than this between them are read together."""


def memory_limit() -> int:
    """Return how many bytes of a mapped file may stay in memory, by default."""
    return int(MEMORY_SHARE * memory_bytes())


def mapping_of(array: np.ndarray) -> np.memmap[Any, Any] | None:
    """Return the mapped file whose bytes an array shows, or None if it is in memory."""
    owner: Any = array
    while owner is not None and not isinstance(owner, np.memmap):
        owner = getattr(owner, "base", None)
    while isinstance(owner, np.memmap) and isinstance(owner.base, np.memmap):
        owner = owner.base
    found: np.memmap[Any, Any] | None = owner
    return found


class MappedRows:
    """The rows of a mapped file.

    Args:
        rows: a C-contiguous matrix in a mapped file.
    """

    def __init__(self, rows: np.ndarray) -> None:
        self._rows = rows
        mapping = mapping_of(rows)
        self._pages: Any = getattr(mapping, "_mmap", None)
        if mapping is not None:
            # A mapping begins at a multiple of the granularity, which is at or before the offset.
            skipped = mapping.offset % mmap.ALLOCATIONGRANULARITY
            self._first = rows.ctypes.data - mapping.ctypes.data + skipped

    @classmethod
    def of(cls, rows: np.ndarray) -> MappedRows | None:
        """Return the rows, or None if they are in memory.

        So are those of a private copy of a file (mode "c"): to give its pages back would undo its changes.
        """
        mapping = mapping_of(rows)
        is_shared = mapping is not None and mapping.mode != "c"
        return cls(rows) if is_shared and rows.flags.c_contiguous else None

    def read_ahead(self, indices: np.ndarray | None = None) -> None:
        """Ask the system to read rows, and do not wait. indices: (k,); None for all."""
        self._advise("MADV_WILLNEED", indices)

    def take(self, indices: np.ndarray) -> np.ndarray:
        """Return a copy of some rows, (k, n), and give their pages back. indices: (k,)."""
        found: np.ndarray = self._rows[indices]
        self._advise("MADV_DONTNEED", indices)  # the file has them, so nothing is lost
        return found

    def _advise(self, name: str, indices: np.ndarray | None) -> None:
        advice = getattr(mmap, name, None)  # Windows has none
        if advice is None or self._pages is None:
            return
        for first, last in self._spans(indices):
            start = first // mmap.PAGESIZE * mmap.PAGESIZE
            self._pages.madvise(advice, start, last - start)

    def _spans(self, indices: np.ndarray | None) -> Iterator[tuple[int, int]]:
        """Yield first and last + 1 of the bytes of rows that lie near each other, in the mapping."""
        stride = self._rows.strides[0] if len(self._rows) > 1 else self._rows.nbytes
        if indices is None:
            yield self._first, self._first + self._rows.nbytes
            return
        ordered = np.unique(indices)
        breaks = np.flatnonzero(np.diff(ordered) * stride >= stride + GAP_BYTES) + 1
        for part in np.split(ordered, breaks):
            if len(part):
                yield self._first + int(part[0]) * stride, self._first + (int(part[-1]) + 1) * stride


def run_rows(window: int) -> int:
    """Return how many rows stay together in an order that is mixed in windows of so many rows."""
    return max(1, min(RUN_ROWS, window // LEAST_RUNS))


def shuffled_in_runs(seed: int, epoch: int, m: int, window: int) -> np.ndarray:
    """Return an order of m examples, (m,), which only depends on the arguments.

    Runs of neighbours are shuffled. Then the rows of each window are.

    Args:
        seed: the seed.
        epoch: number of the epoch.
        m: number of examples.
        window: how many rows are in memory at a time.
    """
    generator, length = np.random.default_rng([seed, epoch, 3]), run_rows(window)
    runs = generator.permutation(-(-m // length))
    order: np.ndarray = (runs[:, None] * length + np.arange(length)).ravel()
    order = order[order < m]
    for start in range(0, m, window):
        generator.shuffle(order[start : start + window])
    return order


def scratch(shape: tuple[int, int], dtype: Any, limit: int | None = None) -> np.ndarray:
    """Return an array for numbers that are computed once: in memory, or if it is larger, in a temporary file.

    The file has no name: it vanishes with the array, however the process ends. It is in the folder that
    TMPDIR names.

    Args:
        shape: of the array.
        dtype: of the array.
        limit: how many bytes may be in memory; None for `memory_limit()`.

    Raises:
        OutputError: there is no room for the file.
    """
    size = shape[0] * shape[1] * np.dtype(dtype).itemsize
    if not size or size <= (memory_limit() if limit is None else limit):
        return np.empty(shape, dtype)
    try:
        with tempfile.TemporaryFile(prefix="xpnet-") as file:
            # A mapped file that finds no room later would end the process: the room is taken now.
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, size)
            else:
                file.truncate(size)
            return np.asarray(np.memmap(file, dtype, "r+", shape=shape))
    except OSError as error:
        msg = (
            f"{tempfile.gettempdir()}: has no room for a temporary file of {size / 1e9:.1f} GB: "
            f"{error.strerror or error}; name a folder with room by the environment variable TMPDIR, or give "
            "more --memory"
        )
        raise OutputError(msg) from error
