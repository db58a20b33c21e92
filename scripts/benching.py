"""Shared by the benchmarks: timing, the machine, and tables."""

import argparse
import datetime as dt
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np


def machine() -> dict[str, Any]:
    """Return the processor, the number of cores, versions and the date."""
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


Parts = dict[str, tuple[str, Callable[[int], list[dict[str, Any]]]]]
"""Parts of a benchmark by name: a title, and a function of the number of repetitions that measures."""


def run(description: str | None, parts: Parts, packages: Sequence[str] = ()) -> None:
    """Measure the parts that the command line names. Print tables, and write JSON.

    Args:
        description: description of the script.
        parts: all parts.
        packages: packages whose versions are part of the results.
    """
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", type=Path, help="file for the results")
    parser.add_argument("--repeat", type=int, default=5, help="how often each is measured")
    parser.add_argument("--only", nargs="+", choices=parts, default=list(parts), help="parts to measure")
    arguments = parser.parse_args()
    report: dict[str, Any] = {"machine": machine() | {name: _version(name) for name in packages}}
    for name in arguments.only:
        title, measure = parts[name]
        report[name] = measure(arguments.repeat)
        table(title, report[name])
    if arguments.json:
        arguments.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:  # a part that needs it will say so
        return None


def medians(functions: dict[str, Callable[[], Any]], repeat: int, number: int = 1) -> dict[str, float]:
    """Return the median seconds of one call of each function.

    They run in turn, so that changes of the machine's speed affect all of them alike.

    Args:
        functions: the functions by name.
        repeat: how many measurements are taken of each.
        number: how many calls a measurement has.
    """
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
    """Print rows that have the same keys."""
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
