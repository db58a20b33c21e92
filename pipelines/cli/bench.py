"""Measure what vectorization gains: a Python loop, NumPy, NumPy in place, and CuPy where there is one."""

import json
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from xpnet.backend import Backend, select

from .vectorization import Operation, operations


@dataclass(frozen=True)
class Row:
    """Median milliseconds of one operation; `cupy_ms` is None where there is no GPU."""

    operation: str
    size: str
    loop_ms: float
    numpy_ms: float
    in_place_ms: float
    cupy_ms: float | None


@dataclass(frozen=True)
class Results:
    """All rows, and what they were measured on."""

    rows: list[Row]
    python: str
    numpy: str
    simd: list[str]
    blas: str
    device: str
    reason: str


def run(device: str | None, repeat: int) -> Results:
    """Measure every operation.

    Args:
        device: as for `select`; CuPy is measured if it names, or finds, a GPU.
        repeat: runs of each vectorized text, of which the median counts; a loop runs at most three times.

    Raises:
        DeviceError: the device cannot be used.
    """
    backend = select(device)
    rows = [_measure(operation, backend, repeat) for operation in operations()]
    config: Any = np.show_config(mode="dicts")
    blas = config["Build Dependencies"]["blas"]
    return Results(
        rows,
        platform.python_version(),
        np.__version__,
        list(config["SIMD Extensions"].get("found", [])),
        f"{blas.get('name', 'unknown')} {blas.get('version', '')}".strip(),
        backend.device,
        backend.reason,
    )


def to_json(results: Results) -> str:
    """Return the results as JSON."""
    return json.dumps(asdict(results), indent=2)


def to_table(results: Results) -> str:
    """Return the results as text: milliseconds, and how many times faster than the loop."""
    head = ["", "size", "loop", "NumPy", "", "in place", ""]
    gpu = results.device != "cpu"
    lines = [[*head, "CuPy", ""] if gpu else head]
    for row in results.rows:
        line = [row.operation, row.size, f"{row.loop_ms:.1f} ms"]
        for ms in (row.numpy_ms, row.in_place_ms, row.cupy_ms):
            if ms is not None:
                line += [f"{ms:.3f} ms", f"{row.loop_ms / ms:.0f}x"]
        lines.append(line)
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    justified = [
        "  ".join(
            f"{cell:<{w}}" if i < 2 else f"{cell:>{w}}"
            for i, (cell, w) in enumerate(zip(line, widths, strict=True))
        )
        for line in lines
    ]
    return "\n".join(
        [
            *(line.rstrip() for line in justified),
            "",
            f"Python {results.python}, NumPy {results.numpy}, BLAS {results.blas}",
            f"SIMD found: {' '.join(results.simd) or 'none beyond the baseline'}",
            f"device {results.device}: {results.reason}",
        ]
    )


def _measure(operation: Operation, backend: Backend, repeat: int) -> Row:
    arguments = operation.arguments
    return Row(
        operation.name,
        operation.size,
        _median_ms(operation.loop, [array.tolist() for array in arguments], min(repeat, 3)),
        _median_ms(operation.vectorized, [np, *arguments], repeat),
        _median_ms(operation.in_place, [*arguments, *operation.buffers()], repeat),
        _on_gpu_ms(operation, backend, repeat) if backend.name == "gpu" else None,
    )


def _median_ms(function: Callable[..., Any], arguments: list[Any], repeat: int) -> float:
    """Return the median of at least `repeat` runs; of more, if they are short, until 0.1 s have passed."""
    function(*arguments)
    times: list[float] = []
    while len(times) < repeat or (sum(times) < 0.1 and len(times) < 1000):
        start = time.perf_counter()
        function(*arguments)
        times.append(time.perf_counter() - start)
    return statistics.median(times) * 1e3


def _on_gpu_ms(operation: Operation, backend: Backend, repeat: int) -> float:
    arguments = [backend.send(array) for array in operation.arguments]

    def once() -> None:
        operation.vectorized(backend.xp, *arguments)
        backend.synchronize()

    with backend.activate():
        return _median_ms(once, [], repeat)
