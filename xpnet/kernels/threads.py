"""Threads for NumPy's work: each matrix product of BLAS in one thread, and large ones in parts, side by side.

The threads of BLAS wait for each other without sleeping. If other programs hold the processors, a product can
take a hundred times as long. So BLAS gets one thread, and the threads here share the parts of a product among
them: whoever is free takes the next part. How something is cut into parts depends on its shape only, and
parts are added up in order. So the digits do not depend on the number of threads.
"""

import functools
import itertools
import os
import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, TypeVar

import numpy as np

from xpnet.arrays import Array
from xpnet.processors import cores
from xpnet.shared_context import SharedContext

T = TypeVar("T")

PART_COLUMNS = 128
"""The least number of columns, or rows, of a part of a product. Narrower ones take more time in all."""

PART_OPERATIONS = 8 << 20
"""The least number of additions and multiplications of a part of a product: about 60 microseconds."""

ALIGNMENT = 32
"""Columns of a part are a multiple of this, which suits the loops of BLAS."""


@functools.cache
def _blas() -> Any:
    from threadpoolctl import ThreadpoolController  # imported only when needed, to start quickly

    return ThreadpoolController()  # kept, because it takes milliseconds to make


_ONE_THREAD = SharedContext(lambda: _blas().limit(limits=1, user_api="blas"))


def one_for_each_product() -> AbstractContextManager[None]:
    """Return a context in which NumPy computes each matrix product in one thread."""
    return _ONE_THREAD


class _Job:
    """Parts of some work, which several threads take one after the other."""

    def __init__(self, work: Callable[[int], object], count: int) -> None:
        self._work, self._count = work, count
        self._indices, self._ended = itertools.count(), itertools.count(1)
        self._all = threading.Lock()
        self._all.acquire()
        self.error: BaseException | None = None

    def take(self) -> None:
        """Do parts until all have been taken."""
        while (i := next(self._indices)) < self._count:
            try:
                self._work(i)
            except BaseException as error:  # it is raised in the thread that waits
                self.error = error
            if next(self._ended) == self._count:
                self._all.release()

    def wait(self) -> None:
        """Wait until all parts are done."""
        self._all.acquire()


class _Helper:
    """A thread that sleeps until it is given a job."""

    def __init__(self) -> None:
        self._job: _Job | None = None
        self._wake = threading.Lock()
        self._wake.acquire()
        threading.Thread(target=self._run, name="xpnet", daemon=True).start()

    def give(self, job: _Job) -> None:
        """Let the thread help with a job, once it has ended what it does."""
        self._job = job
        if self._wake.locked():
            self._wake.release()

    def _run(self) -> None:
        # A thread does not take over how the caller treats overflows: these are found in the result.
        with np.errstate(all="ignore"):
            while True:
                self._wake.acquire()
                job, self._job = self._job, None
                if job is not None:
                    job.take()


class _Team:
    """The threads of this process. They help one caller at a time; another one works alone."""

    def __init__(self) -> None:
        self._helpers: list[_Helper] = []
        self._busy = threading.Lock()

    def run(self, work: Callable[[int], object], count: int) -> None:
        """Call `work` with 0 to count - 1, in several threads."""
        helpers = min(cores(), count) - 1
        if helpers < 1 or not self._busy.acquire(blocking=False):
            for i in range(count):
                work(i)
            return
        try:
            while len(self._helpers) < helpers:
                self._helpers.append(_Helper())
            job = _Job(work, count)
            for helper in self._helpers[:helpers]:
                helper.give(job)
            job.take()
            job.wait()
        finally:
            self._busy.release()
        if job.error is not None:
            raise job.error


_team = _Team()


def _forget_threads() -> None:
    global _team  # noqa: PLW0603  (a forked process has none of the threads)
    _team = _Team()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_threads)


def in_threads(work: Callable[[int], T], count: int) -> Sequence[T]:
    """Call `work` with 0 to count - 1, and return the results in order. Free processors share the calls.

    BLAS has one thread in the meantime.
    """
    found: list[Any] = [None] * count

    def one(i: int) -> None:
        found[i] = work(i)

    with one_for_each_product():
        _team.run(one, count)
    return found


def product(A: Array, B: Array, out: Array | None = None) -> Array:
    """Return A @ B, in parts that several threads share. The parts depend on the shapes only.

    Args:
        A: (n, k), or several such matrices (runs, n, k).
        B: (k, m), or (runs, k, m).
        out: an array for the product, or None.
    """
    if A.ndim not in (2, 3) or B.ndim != A.ndim or A.shape[:-2] != B.shape[:-2] or A.shape[-1] != B.shape[-2]:
        return np.matmul(A, B, out=out)  # small, or an error
    n, k, m = A.shape[-2], A.shape[-1], B.shape[-1]
    runs, operations = A.shape[0] if A.ndim == 3 else 1, 2 * n * k * m
    if runs * operations < 2 * PART_OPERATIONS:
        return np.matmul(A, B, out=out)
    if out is None:
        out = np.empty((*A.shape[:-1], m), np.result_type(A, B))
    if A.ndim == 3 and operations >= 2 * PART_OPERATIONS:
        for run in range(runs):
            product(A[run], B[run], out[run])
        return out
    by_columns = A.ndim == 2 and (m >= n or m >= 2 * PART_COLUMNS)
    length = runs if A.ndim == 3 else m if by_columns else n
    width = -(-PART_OPERATIONS // max(1, operations * runs // length))
    if A.ndim == 2:
        width = -(-max(width, PART_COLUMNS) // ALIGNMENT) * ALIGNMENT

    def part(i: int) -> None:
        own = slice(i * width, min((i + 1) * width, length))
        if by_columns:
            np.matmul(A, B[:, own], out=out[:, own])
        else:
            np.matmul(A[own], B[own] if A.ndim == 3 else B, out=out[own])

    in_threads(part, -(-length // width))
    return out
