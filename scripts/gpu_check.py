"""Prove and measure xpnet on a GPU: parity with the CPU, the tests, benchmarks; one table, and JSON.

    python scripts/gpu_check.py [--json FILE] [--only PART ...] [--quick] [--seconds N] [--device gpu:N]

Needs no more than xpnet's own packages, CuPy and pytest; where PyTorch is installed, it is measured beside.
What fails is reported, and the rest still runs. Exit codes: 0 all passed, 1 something failed, 5 no GPU.
"""

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(Path(__file__).resolve().parent)]  # xpnet need not be installed

import bench_gpu  # noqa: E402
import gpu_parity  # noqa: E402
from benching import machine, table  # noqa: E402

from xpnet import DeviceError, select  # noqa: E402
from xpnet.backend.backend import Backend  # noqa: E402

SECONDS = 450.0
"""For all of it."""

FOR_TESTS = 270.0
"""For the tests, which compile some hundred kernels when they first run."""

Part = Callable[[], list[dict[str, Any]]]


@dataclass
class Report:
    """What came of the parts.

    Attributes:
        device: what it was run on, with versions and the date.
        parts: rows, seconds and the error, if there was one, by the part's name.
    """

    device: dict[str, Any]
    parts: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def failed(self) -> list[str]:
        """Parts that raised, were not run, or have a row that is not ok."""
        return [
            name
            for name, part in self.parts.items()
            if part["error"] or not all(row.get("ok", True) for row in part["rows"])
        ]


def device(backend: Backend) -> dict[str, Any]:
    """Return what is measured on: the GPU, its driver, versions and the date."""
    runtime, known = backend.xp.cuda.runtime, machine()
    properties = runtime.getDeviceProperties(backend.ordinal)  # type: ignore[attr-defined]
    known |= {
        "gpu": properties["name"].decode(),
        "multiprocessors": properties["multiProcessorCount"],
        "compute_capability": f"{properties['major']}.{properties['minor']}",
        "gpu_bytes": properties["totalGlobalMem"],
        "driver_cuda": runtime.driverGetVersion(),
        "runtime_cuda": runtime.runtimeGetVersion(),
        "driver": driver(),
        "cupy": backend.xp.__version__,
        "system_release": platform.release(),
    }
    for package in ("torch", "h5py", "pillow", "pytest"):
        try:
            known[package] = version(package)
        except PackageNotFoundError:
            known[package] = None
    return known


def driver() -> str | None:
    """Return the driver's version, as nvidia-smi says it."""
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)  # noqa: S603
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.splitlines()[0].strip() if done.stdout.strip() else None


def selected_tests() -> list[str]:
    """Return what has tests for a GPU, and can be read on a bare machine."""
    tests = ROOT / "tests"
    files = [*tests.glob("test_*.py"), *(tests / folder for folder in ("functional", "graph", "kernels"))]
    return [*sorted(str(path) for path in files), str(tests / "pipelines" / "test_vectorization.py")]


def run_tests(seconds: float) -> list[dict[str, Any]]:
    """Run the tests for a GPU in a process of their own; return how many passed, and which did not.

    Warnings, of a CuPy or a driver that nobody has seen before, are shown: errors they are to `nox -s gpu`.
    """
    command = [sys.executable, "-m", "pytest", "-m", "gpu", "--require", "gpu", "-q", "-W", "default"]
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    try:
        done = subprocess.run(  # noqa: S603  (this interpreter, on the files of this repository)
            [*command, "--durations=5", *selected_tests()],
            cwd=ROOT, env=os.environ | {"PYTHONPATH": path},
            capture_output=True, text=True, timeout=seconds, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        said = error.stdout or b""  # bytes, whatever was asked for
        print((said.decode(errors="replace") if isinstance(said, bytes) else said)[-4000:])
        return [{"test": f"not done after {seconds:.0f} s", "ok": False}]
    lines = done.stdout.splitlines() or done.stderr.splitlines() or ["no output"]
    print("\n".join(lines[-60:]))
    counts = {word: int(n) for n, word in re.findall(r"(\d+) (passed|failed|errors?|skipped)", lines[-1])}
    rows = [{"test": line, "ok": False} for line in lines if line.startswith(("FAILED", "ERROR"))]
    if done.returncode and not rows:
        rows = [{"test": lines[-1], "ok": False}]
    passed = counts.get("passed", 0)
    return [{"test": f"{passed} passed", "ok": bool(passed) and not done.returncode}, *rows]


def all_parts(backend: Backend, sizes: bench_gpu.Sizes) -> dict[str, tuple[str, Part]]:
    """Return every part by name, in order: a title, and what gives its rows."""
    parts: dict[str, tuple[str, Part]] = {
        name: (f"The same as on the CPU: {name}", lambda check=check: check(backend))
        for name, check in gpu_parity.CHECKS.items()
    }
    parts["tests"] = ("The tests for a GPU", lambda: run_tests(FOR_TESTS))
    benchmarks = bench_gpu.Benchmarks(backend, sizes)
    parts |= {f"bench-{name}": (title, getattr(benchmarks, name)) for name, title in bench_gpu.TITLES.items()}
    return parts


def run_parts(
    parts: dict[str, tuple[str, Part]],
    report: Report,
    seconds: float,
    clock: Callable[[], float] = time.monotonic,
    save: Callable[[], None] = lambda: None,
) -> None:
    """Run parts, each for itself: print its rows, and note an error instead of raising it.

    Args:
        parts: a title and what gives the rows, by name.
        report: where the results go.
        seconds: after which no further part is begun.
        clock: tells seconds.
        save: is called after each part: what is known survives whatever the next does.
    """
    began = clock()
    for name, (title, part) in parts.items():
        before = clock()
        rows: list[dict[str, Any]] = []
        error = None
        if before - began > seconds:
            error = f"not run: the {seconds:.0f} s were over"
        else:
            try:
                rows = part()
            except Exception as raised:  # whatever it was, the other parts say more
                error = f"{type(raised).__name__}: {raised}"
                traceback.print_exc()
        report.parts[name] = {"title": title, "rows": rows, "error": error, "seconds": clock() - before}
        table(f"{title} ({name}, {clock() - before:.1f} s)", alike(rows))
        if error:
            print(f"  {error}")
        save()


def alike(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return rows of the same keys, for a table: a dash where there is nothing."""
    keys = list(dict.fromkeys(key for row in rows for key in row))
    return [{key: row.get(key, "-") for key in keys} for row in rows]


def arguments(names: Sequence[str], given: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", type=Path, help="file for the results")
    parser.add_argument("--only", nargs="+", choices=names, default=list(names), metavar="PART",
                        help=f"of {', '.join(names)}")  # fmt: skip
    parser.add_argument("--quick", action="store_true", help="smaller benchmarks, to look at and not to keep")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="after which no further part is begun")
    parser.add_argument("--device", default="gpu")
    return parser.parse_args(given)


def main(given: Sequence[str] | None = None) -> int:
    """Run what the command line asks for; return the exit code."""
    names = [*gpu_parity.CHECKS, "tests", *(f"bench-{name}" for name in bench_gpu.TITLES)]
    asked = arguments(names, given)
    try:
        backend = select(asked.device)
        if backend.name != "gpu":
            raise DeviceError(f"{asked.device} is {backend.reason}", problem="not-a-gpu")  # noqa: EM102, TRY301
    except DeviceError as error:
        print(f"there is no GPU to check: {error}", file=sys.stderr)
        return 5
    report = Report(device(backend))
    table("What it is run on", [report.device])
    parts = all_parts(backend, bench_gpu.QUICK if asked.quick else bench_gpu.FULL)

    def save() -> None:
        if asked.json:
            known = {"machine": report.device, "quick": asked.quick, "parts": report.parts}
            asked.json.write_text(json.dumps(known, indent=2) + "\n", encoding="utf-8")

    run_parts({name: parts[name] for name in names if name in asked.only}, report, asked.seconds, save=save)
    table(
        "In short",
        [
            {"part": name, "seconds": part["seconds"], "result": "FAILED" if name in report.failed else "ok"}
            for name, part in report.parts.items()
        ],
    )
    return 1 if report.failed else 0


if __name__ == "__main__":
    sys.exit(main())
