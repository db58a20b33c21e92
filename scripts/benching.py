"""What the benchmarks share: fair timing, the machine, and tables."""

import datetime as dt
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np


def machine() -> dict[str, Any]:
    """Return what was measured on: the processor, its cores, versions and the date."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        processor = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        processor = platform.processor() or platform.machine()
    return {
        "processor": processor,
        "cores": os.cpu_count(),
        "system": platform.system(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "date": dt.datetime.now(dt.UTC).date().isoformat(),
    }


def medians(functions: dict[str, Callable[[], Any]], repeat: int, number: int = 1) -> dict[str, float]:
    """Return the median seconds of one call of each, timed in turn so that drift meets all alike."""
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    for function in functions.values():
        function()
    for _ in range(repeat):
        for name, function in functions.items():
            start = time.perf_counter()
            for _ in range(number):
                function()
            seconds[name].append((time.perf_counter() - start) / number)
    return {name: statistics.median(times) for name, times in seconds.items()}


def table(title: str, rows: list[dict[str, Any]]) -> None:
    """Print rows of equal keys."""
    print(f"\n{title}")
    if not rows:
        print("  (none)")
        return
    cells = [
        list(rows[0]),
        *([f"{v:.3g}" if isinstance(v, float) else str(v) for v in row.values()] for row in rows),
    ]
    widths = [max(len(row[i]) for row in cells) for i in range(len(cells[0]))]
    for row in cells:
        print(
            "  "
            + "  ".join(
                f"{cell:<{w}}" if i == 0 else f"{cell:>{w}}"
                for i, (cell, w) in enumerate(zip(row, widths, strict=True))
            )
        )
