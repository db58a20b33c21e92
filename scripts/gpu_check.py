"""Check and measure xpnet on a GPU: compare it with the CPU, run the tests and the benchmarks.

    python scripts/gpu_check.py [--json FILE] [--only PART ...] [--quick] [--seconds N] [--device gpu:N]
        [--commit ID]

Needs the packages that xpnet needs, CuPy and pytest. The benchmarks compare with PyTorch if it is installed.
Each part runs in a process of its own. Only the comparisons with the CPU share one, and so do the benchmarks
that share the large data. If a part fails, crashes or does not end, the others still run, in a new process.

Exit codes: 0 all passed, 1 something failed, 5 no GPU. Goals that are missed are listed, and are no failures.
"""

import argparse
import functools
import importlib.util
import json
import os
import platform
import re
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(Path(__file__).resolve().parent)]  # xpnet need not be installed

import bench_gpu  # noqa: E402
import gpu_goals  # noqa: E402
import gpu_parity  # noqa: E402
from benching import machine, table  # noqa: E402

from xpnet.backend import Backend, select  # noqa: E402
from xpnet.errors import DeviceError  # noqa: E402

SECONDS = 450.0
"""After this time no other part is begun, by default."""

TEST_SECONDS = 200.0
"""Time limit of the tests. They compile about a hundred kernels when they first run."""

PART_SECONDS = 120.0
"""Time limit of every other part, with the start of its process."""

LIMITS = {"tests": TEST_SECONDS + 30.0, "bench-scoring": 240.0}
"""Time limits of other parts. Scoring takes many images, because processes are slow to start."""

LAST_LINES = 40
"""How many of the last lines that a part printed are kept if it fails."""

CHILD = [sys.executable, str(Path(__file__).resolve())]
"""The command that runs parts in a process of their own."""

Part = Callable[[], list[dict[str, Any]]]
"""A part of the check. It returns the rows of its table."""

BENCHMARKS = tuple(f"bench-{name}" for name in bench_gpu.TITLES)
"""The names of the parts that measure. `--only benchmarks` means all of them."""

PARTS = (*gpu_parity.CHECKS, "tests", *BENCHMARKS)
"""The names of all parts, in order."""

SHARED = dict.fromkeys(gpu_parity.CHECKS, "parity")
SHARED |= {f"bench-{name}": "large" for name in bench_gpu.SHARING}
"""By the name of a part: the name of the process that it shares with others. All others share none."""


@dataclass
class Report:
    """The results of the parts.

    Attributes:
        device: the commit, the GPU, versions and the date.
        parts: by the name of a part: its title, its rows, its seconds, its error or None, and, if it failed,
            its last output.
        is_full: whether the benchmarks have the sizes of the goals.
    """

    device: dict[str, Any]
    parts: dict[str, dict[str, Any]] = field(default_factory=dict)
    is_full: bool = True

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


def commit(root: Path) -> str:
    """Return the commit that is checked out in a folder, without git; "unknown" if it cannot be found."""
    try:
        folder = root / ".git"
        if folder.is_file():  # a worktree: the file names its folder
            folder = root / folder.read_text().removeprefix("gitdir:").strip()
        head = (folder / "HEAD").read_text().strip()
        if not head.startswith("ref:"):
            return head
        name = head.removeprefix("ref:").strip()
        shared = folder / "commondir"
        common = folder / shared.read_text().strip() if shared.exists() else folder
        if (common / name).exists():
            return (common / name).read_text().strip()
        lines = (common / "packed-refs").read_text().splitlines()
        return next(line.split()[0] for line in lines if line.endswith(f" {name}"))
    except (OSError, StopIteration):
        return "unknown"


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
    if importlib.util.find_spec("xdist"):
        command += ["-n", str(min(12, os.cpu_count() or 1))]
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


def all_parts(opened: Callable[[], Backend], sizes: bench_gpu.Sizes) -> dict[str, tuple[str, Part]]:
    """Return all parts by name, in order, each with its title. opened: returns the GPU."""
    parts: dict[str, tuple[str, Part]] = {
        name: (f"Compared with the CPU: {name}", lambda check=check: check(opened()))
        for name, check in gpu_parity.CHECKS.items()
    }
    parts["tests"] = ("The tests for a GPU", lambda: run_tests(TEST_SECONDS))
    benchmarks = functools.cache(lambda: bench_gpu.Benchmarks(opened(), sizes))
    parts |= {
        f"bench-{name}": (title, lambda name=name: getattr(benchmarks(), name)())
        for name, title in bench_gpu.TITLES.items()
    }
    return parts


def run_here(parts: dict[str, tuple[str, Part]], names: Sequence[str], into: Path) -> int:
    """Run parts in this process, and append their records to a file; return the exit code.

    It ends at the first error: after an illegal address a device is of no use to the process.
    """
    for name in names:
        began = time.monotonic()
        rows: list[dict[str, Any]] = []
        error = None
        try:
            rows = parts[name][1]()
        except Exception as raised:
            error = f"{type(raised).__name__}: {raised}"
            traceback.print_exc()
        record = {"name": name, "rows": rows, "error": error, "seconds": time.monotonic() - began}
        sys.stdout.flush()
        with into.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record, default=float) + "\n")  # also numbers of NumPy
        if error:
            return 1
    return 0


def run_apart(names: Sequence[str], options: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Run parts in a process of their own; yield their records, until one of them has an error.

    A part whose process ends, or that is not done in time, has an error too.

    Args:
        names: the names of the parts.
        options: options of the command.
    """
    with tempfile.TemporaryDirectory() as folder:
        into, said = Path(folder, "records"), Path(folder, "output")
        into.touch()
        with said.open("wb") as output:
            process = subprocess.Popen(  # noqa: S603  (this interpreter, on this file)
                [*CHILD, *options, "--into", str(into), "--part", *names],
                stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
        try:
            done, began = 0, time.monotonic()
            while done < len(names):
                code = (
                    process.poll()
                )  # before the file is read, so that nothing of an ended process is missed
                lines = [
                    line for line in into.read_text(encoding="utf-8").splitlines(True) if line[-1] == "\n"
                ]
                name, spent = names[done], time.monotonic() - began
                limit = LIMITS.get(name, PART_SECONDS)
                error = None
                if len(lines) > done:
                    record = json.loads(lines[done])
                elif code is not None:
                    error = f"the process ended with {_exit(code)}"
                elif spent > limit:
                    error = f"not done after {limit:.0f} s"
                else:
                    time.sleep(0.05)
                    continue
                if error:
                    record = {"name": name, "rows": [], "error": error, "seconds": spent}
                if record["error"] or not all(row.get("ok", True) for row in record["rows"]):
                    record["output"] = said.read_text(errors="replace").splitlines()[-LAST_LINES:]
                yield record
                if record["error"]:
                    return
                done, began = done + 1, time.monotonic()
        finally:
            with suppress(subprocess.TimeoutExpired):
                process.wait(10 if process.poll() is None and done == len(names) else 0)
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # with the processes that it has started
            process.wait()


def _exit(code: int) -> str:
    with suppress(ValueError):
        if code < 0:
            return f"signal {signal.Signals(-code).name}"
    return f"exit code {code}"


def run_parts(
    titles: dict[str, str],
    names: Sequence[str],
    report: Report,
    seconds: float,
    options: Sequence[str] = (),
    clock: Callable[[], float] = time.monotonic,
    save: Callable[[], None] = lambda: None,
) -> None:
    """Run parts, print their rows, and put the results into the report.

    Args:
        titles: the titles of the parts.
        names: the parts to run, in order.
        report: gets the results.
        seconds: after this time, no other part is begun.
        options: options of the command for other processes.
        clock: returns the time in seconds.
        save: called after each part, to save the results so far.
    """
    began, left = clock(), list(names)
    while left and clock() - began <= seconds:
        process = SHARED.get(left[0], left[0])
        together = [name for name in left if SHARED.get(name, name) == process]
        with closing(run_apart(together, options)) as records:
            for record in records:
                name = record.pop("name")
                _add(report, name, titles[name], record)
                left.remove(name)
                save()
                if clock() - began > seconds:
                    break
    for name in left:
        error = f"not run: the {seconds:.0f} s were over"
        _add(report, name, titles[name], {"rows": [], "error": error, "seconds": 0.0})
        save()


def _add(report: Report, name: str, title: str, record: dict[str, Any]) -> None:
    """Add the record of a part to the report, and print it with its goals."""
    report.parts[name] = {"title": title, **record}
    table(f"{title} ({name}, {record['seconds']:.1f} s)", alike(record["rows"]))
    if record["error"]:
        print(f"  {record['error']}")
    for line in record.get("output", ()):
        print(f"  | {line}")
    goals = gpu_goals.results(report.parts, {name}) if report.is_full and not record["error"] else []
    if goals:
        table("Goals", goals)
    sys.stdout.flush()


def alike(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return rows that all have the same keys, with a dash for a value that a row does not have."""
    keys = list(dict.fromkeys(key for row in rows for key in row))
    return [{key: "-" if row.get(key) is None else row[key] for key in keys} for row in rows]


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
    parser.add_argument("--commit", default=commit(ROOT), help="the commit, if this is no checkout of git")
    parser.add_argument("--part", nargs="+", choices=PARTS, default=[], help=argparse.SUPPRESS)
    parser.add_argument("--into", type=Path, help=argparse.SUPPRESS)  # run --part here: see run_here
    parsed = parser.parse_args(given)
    only = {*parsed.only, *(BENCHMARKS if "benchmarks" in parsed.only else ())}
    parsed.only = [name for name in PARTS if name in only]
    return parsed


def main(given: Sequence[str] | None = None) -> int:
    """Run what the command line asks for; return the exit code."""
    asked = arguments(given)
    opened = functools.cache(lambda: select(asked.device))
    parts = all_parts(opened, bench_gpu.QUICK if asked.quick else bench_gpu.FULL)
    if asked.into:
        return run_here(parts, asked.part, asked.into)
    try:
        backend = opened()
        if backend.name != "gpu":
            msg = f"--device {asked.device} gives the CPU: {backend.reason}"
            raise DeviceError(msg, problem="not-a-gpu")  # noqa: TRY301
    except DeviceError as error:
        print(f"there is no GPU to check: {error}", file=sys.stderr)
        return 5
    report = Report({"commit": asked.commit, **device(backend)}, is_full=not asked.quick)
    table("Machine", [report.device])

    def save() -> None:
        if asked.json:
            known = {"machine": report.device, "quick": asked.quick, "parts": report.parts}
            asked.json.write_text(json.dumps(known, indent=2) + "\n", encoding="utf-8")

    titles = {name: title for name, (title, _) in parts.items()}
    options = ["--device", asked.device, *(["--quick"] if asked.quick else [])]
    run_parts(titles, asked.only, report, asked.seconds, options, save=save)
    table(
        "Summary",
        [
            {"part": name, "seconds": part["seconds"], "result": "FAILED" if name in report.failed else "ok"}
            for name, part in report.parts.items()
        ],
    )
    if report.is_full:
        goals = gpu_goals.results(report.parts, set(report.parts))
        table("Goals that are not met", [goal for goal in goals if goal["met"] != "ok"])
    return 1 if report.failed else 0


if __name__ == "__main__":
    sys.exit(main())
