"""Check and measure xpnet on a GPU: compare it with the CPU, run the tests and the benchmarks.

    python scripts/gpu_check.py [--json FILE] [--only PART ...] [--quick] [--seconds N] [--device gpu:N]

Needs the packages that xpnet needs, CuPy and pytest. The benchmarks compare with PyTorch if it is installed.
If a part fails, the others still run. Exit codes: 0 all passed, 1 something failed, 5 no GPU.
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

from xpnet.backend import Backend, select  # noqa: E402
from xpnet.errors import DeviceError  # noqa: E402

SECONDS = 450.0
"""After this time no other part is begun, by default."""

TEST_SECONDS = 270.0
"""Time limit of the tests. They compile about a hundred kernels when they first run."""

Part = Callable[[], list[dict[str, Any]]]
"""A part of the check. It returns the rows of its table."""

BENCHMARKS = tuple(f"bench-{name}" for name in bench_gpu.TITLES)
"""The names of the parts that measure. `--only benchmarks` means all of them."""

PARTS = (*gpu_parity.CHECKS, "tests", *BENCHMARKS)
"""The names of all parts, in order."""


@dataclass
class Report:
    """The results of the parts.

    Attributes:
        device: the GPU, versions and the date.
        parts: by the name of a part: its title, its rows, its seconds, and its error or None.
    """

    device: dict[str, Any]
    parts: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def failed(self) -> list[str]:
        """The parts that raised an error, were not run, or have a row that is not ok."""
        return [
            name
            for name, part in self.parts.items()
            if part["error"] or not all(row.get("ok", True) for row in part["rows"])
        ]


def device(backend: Backend) -> dict[str, Any]:
    """Return the GPU, its driver, versions and the date."""
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
    """Return the version of the driver, from nvidia-smi; None if that does not run."""
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)  # noqa: S603
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.splitlines()[0].strip() if done.stdout.strip() else None


def selected_tests() -> list[str]:
    """Return the files and folders that have tests for a GPU, and need only xpnet's packages."""
    tests = ROOT / "tests"
    folders = ("autodiff", "backend", "data", "functional", "io", "kernels", "linear", "nn", "training")
    files = [*tests.glob("test_*.py"), *(tests / folder for folder in folders)]
    return sorted(str(path) for path in files)


def run_tests(seconds: float) -> list[dict[str, Any]]:
    """Run the tests for a GPU in another process; return how many passed, and which did not.

    Warnings are shown, but are not errors as with `nox -s gpu`: a new CuPy or driver may have new ones.
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
        said = error.stdout or b""  # bytes, although text was asked for
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
    """Return all parts by name, in order, each with its title."""
    parts: dict[str, tuple[str, Part]] = {
        name: (f"Compared with the CPU: {name}", lambda check=check: check(backend))
        for name, check in gpu_parity.CHECKS.items()
    }
    parts["tests"] = ("The tests for a GPU", lambda: run_tests(TEST_SECONDS))
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
    """Run parts: print their rows, and put the results into the report. An error does not end the run.

    Args:
        parts: the parts by name, each with its title.
        report: gets the results.
        seconds: after this time, no other part is begun.
        clock: returns the time in seconds.
        save: called after each part, to save the results so far.
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
            except Exception as raised:  # the other parts are still useful
                error = f"{type(raised).__name__}: {raised}"
                traceback.print_exc()
        report.parts[name] = {"title": title, "rows": rows, "error": error, "seconds": clock() - before}
        table(f"{title} ({name}, {clock() - before:.1f} s)", alike(rows))
        if error:
            print(f"  {error}")
        save()


def alike(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return rows that all have the same keys, with a dash for a value that a row does not have."""
    keys = list(dict.fromkeys(key for row in rows for key in row))
    return [{key: row.get(key, "-") for key in keys} for row in rows]


def arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line, or the arguments given."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", type=Path, help="file for the results")
    parser.add_argument("--only", nargs="+", choices=[*PARTS, "benchmarks"], default=PARTS, metavar="PART",
                        help=f"parts to run: benchmarks, or {', '.join(PARTS)}")  # fmt: skip
    parser.add_argument("--quick", action="store_true", help="smaller benchmarks, for a first look")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="after this time no part is begun")
    parser.add_argument("--device", default="gpu", help="gpu or gpu:N")
    parsed = parser.parse_args(given)
    only = {*parsed.only, *(BENCHMARKS if "benchmarks" in parsed.only else ())}
    parsed.only = [name for name in PARTS if name in only]
    return parsed


def main(given: Sequence[str] | None = None) -> int:
    """Run what the command line asks for; return the exit code."""
    asked = arguments(given)
    try:
        backend = select(asked.device)
        if backend.name != "gpu":
            msg = f"--device {asked.device} gives the CPU: {backend.reason}"
            raise DeviceError(msg, problem="not-a-gpu")  # noqa: TRY301
    except DeviceError as error:
        print(f"there is no GPU to check: {error}", file=sys.stderr)
        return 5
    report = Report(device(backend))
    table("Machine", [report.device])
    parts = all_parts(backend, bench_gpu.QUICK if asked.quick else bench_gpu.FULL)

    def save() -> None:
        if asked.json:
            known = {"machine": report.device, "quick": asked.quick, "parts": report.parts}
            asked.json.write_text(json.dumps(known, indent=2) + "\n", encoding="utf-8")

    run_parts({name: parts[name] for name in asked.only}, report, asked.seconds, save=save)
    table(
        "Summary",
        [
            {"part": name, "seconds": part["seconds"], "result": "FAILED" if name in report.failed else "ok"}
            for name, part in report.parts.items()
        ],
    )
    return 1 if report.failed else 0


if __name__ == "__main__":
    sys.exit(main())
