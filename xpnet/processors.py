"""How many processors and how much memory this process may use."""

import functools
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
"""Where Linux mounts the control groups, which limit containers and jobs."""

OWN_CGROUPS = Path("/proc/self/cgroup")
"""The control groups of this process: lines of number:controllers:path."""


DEFAULT_MEMORY = 4 << 30
"""Bytes of memory where the system does not tell."""


def cores() -> int:
    """Return the number of processors that this process may use.

    A container's limit of processor time counts too: 1.5 processors are 2.
    """
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return int(min(count, _quota_cores()))


BLAS_THREADS = "OPENBLAS_NUM_THREADS"
"""The environment variable that says how many threads the BLAS of NumPy's wheels starts when it is loaded."""


@contextmanager
def no_blas_threads() -> Iterator[None]:
    """Let NumPy, if it is first imported in this context, start no threads for BLAS.

    It would start one for each processor. These wait for work for a while without sleeping, and so take the
    processors from others, such as processes that decode images.
    """
    is_set = BLAS_THREADS in os.environ
    os.environ.setdefault(BLAS_THREADS, "1")
    try:
        yield
    finally:
        if not is_set:
            del os.environ[BLAS_THREADS]


@functools.cache  # it takes many times as long as a small product
def _quota_cores() -> float:
    """Return the limit of processor time as a number of whole processors; infinity if there is none."""
    return min((max(1, math.ceil(quota)) for quota in _quotas()), default=math.inf)


@functools.cache  # to read the limits takes longer than a step of a small training
def memory_bytes() -> int:
    """Return how much memory this process may use: that of the machine, or less in a container."""
    limits = [DEFAULT_MEMORY]
    with suppress(AttributeError, OSError, ValueError):  # Windows has no sysconf
        limits = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    for group in _groups("memory"):
        for name in ("memory.max", "memory.limit_in_bytes"):
            with suppress(OSError, ValueError):
                limits.append(int((group / name).read_text(encoding="ascii")))  # without a limit "max"
    return min(limits)


def _quotas() -> Iterator[float]:
    """Yield the limits of processor time, in processors, of this process's control group and those above."""
    for group in _groups("cpu"):
        yield from _quota(group)


def _groups(controller: str) -> Iterator[Path]:
    """Yield the folders of the control groups of this process for a controller, and of those above."""
    with suppress(OSError, ValueError):
        for line in OWN_CGROUPS.read_text(encoding="utf-8", errors="replace").splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers and controller not in controllers.split(","):
                continue
            mounts = [CGROUPS / controllers, CGROUPS / controller] if controllers else [CGROUPS]
            below = Path(path.lstrip("/"))
            for mount in mounts:
                for group in (below, *below.parents):
                    yield mount / group


def _quota(group: Path) -> Iterator[float]:
    """Yield the limit of one control group, if it has one: of version 2 in one file, of version 1 in two."""
    with suppress(OSError, ValueError, ZeroDivisionError):
        limit, period = (group / "cpu.max").read_text(encoding="ascii").split()
        yield int(limit) / int(period)  # without a limit it is "max"
    with suppress(OSError, ValueError, ZeroDivisionError):
        names = ("cpu.cfs_quota_us", "cpu.cfs_period_us")
        limit, period = ((group / name).read_text(encoding="ascii") for name in names)
        if int(limit) > 0:
            yield int(limit) / int(period)
