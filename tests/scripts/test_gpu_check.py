"""The scripts that check and measure xpnet on a GPU, run without one: on the fake backends, with small sizes."""

import json
import os
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import backends
import bench_gpu
import gpu_check
import gpu_parity
import hostcupy
import pytest

from xpnet.backend import cuda_graph
from xpnet.errors import DeviceError

TOY = bench_gpu.Sizes(200, 48, 3, (12, 4, 3), (8,), 2, 6, 4096, 1)

needs_compiler = pytest.mark.skipif(bool(hostcupy.missing()), reason=hostcupy.missing() or "-")


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_parity, "EXAMPLES", 130)
    monkeypatch.setattr(gpu_parity, "STEPS", 3)


@pytest.mark.parametrize("name", gpu_parity.CHECKS)
def test_every_check_passes_on_the_fake(name: str, few: None) -> None:
    rows = gpu_parity.CHECKS[name](backends.make("fake"))
    assert rows
    assert not [row for row in rows if not row["ok"]]


@needs_compiler
@pytest.mark.parametrize("name", ["streaming", "precisions", "scoring", "determinism", "crossings"])
def test_every_check_passes_by_the_kernels(name: str, few: None) -> None:
    rows = gpu_parity.CHECKS[name](backends.make("kernels"))
    assert not [row for row in rows if not row["ok"]]


def test_a_check_fails_where_the_gpu_is_wrong(few: None, monkeypatch: pytest.MonkeyPatch) -> None:
    backend = backends.make("fake")
    monkeypatch.setattr(type(backend), "fetch", lambda self, array: array.get() * 1.001)
    assert not all(row["ok"] for row in gpu_parity.scoring(backend))
    assert not gpu_parity.row("", float("nan"), 1.0)["ok"]


@pytest.fixture(autouse=True)
def replayed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a fake CUDA graph call the function again, because the fakes cannot record it."""
    monkeypatch.setattr(
        cuda_graph,
        "record_cuda_graph",
        lambda stream, function: types.SimpleNamespace(launch=hostcupy.again(function)),
    )


@needs_compiler
@pytest.mark.parametrize("name", sorted(set(bench_gpu.TITLES) - {"scoring"}))
def test_every_benchmark_runs_at_toy_sizes(name: str) -> None:
    rows = getattr(bench_gpu.Benchmarks(backends.make("kernels"), TOY), name)()
    assert rows
    json.dumps(rows)
    assert len({tuple(row) for row in gpu_check.alike(rows)}) == 1


def test_scoring_is_measured_beside_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    import gpu_scoring

    monkeypatch.setattr(gpu_scoring, "workers_for", lambda asked: 1)
    rows = gpu_scoring.rows(backends.make("fake"), 4, repeat=1)
    assert [row["how"] for row in rows] == ["only decoding", "predict on the GPU", "predict on the CPU"]
    assert all(row["images/s"] > 0 for row in rows)


def test_what_fails_is_reported_and_the_rest_runs(capsys: pytest.CaptureFixture) -> None:
    def broken() -> list[dict[str, Any]]:
        raise RuntimeError("out of luck")

    report = gpu_check.Report({})
    seconds = iter(range(100))
    parts: dict[str, Any] = {
        "broken": ("A broken part", broken),
        "wrong": ("A wrong part", lambda: [{"check": "costs", "ok": True}, {"check": "labels", "ok": False}]),
        "right": ("A right part", lambda: [{"check": "costs", "ok": True}]),
        "late": ("A late part", lambda: [{"check": "costs", "ok": True}]),
    }
    gpu_check.run_parts(parts, report, 9.0, lambda: float(next(seconds)))
    assert report.failed == ["broken", "wrong", "late"]
    assert report.parts["broken"]["error"] == "RuntimeError: out of luck"
    assert report.parts["late"]["error"] == "not run: the 9 s were over"
    printed = capsys.readouterr()
    assert "A wrong part (wrong, " in printed.out
    assert "Traceback" in printed.err


def test_without_a_gpu_it_says_so(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    def none(device: str) -> None:
        raise DeviceError("CuPy is not installed: pip install it", problem="not-installed")

    monkeypatch.setattr(gpu_check, "select", none)
    assert gpu_check.main([]) == 5
    assert "there is no GPU to check: CuPy is not installed" in capsys.readouterr().err
    monkeypatch.setattr(gpu_check, "select", lambda device: backends.make("numpy"))
    assert gpu_check.main(["--device", "auto"]) == 5


def test_the_whole_on_the_fake(
    few: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(gpu_check, "select", lambda device: backends.make("fake"))
    monkeypatch.setattr(bench_gpu, "QUICK", TOY)
    file = tmp_path / "gpu.json"
    only = ["--only", "crossings", "scoring", "bench-network", "bench-streaming"]
    assert gpu_check.main(["--quick", "--json", str(file), *only]) == 0
    written = json.loads(file.read_text())
    assert set(written["parts"]) == {"crossings", "scoring", "bench-network", "bench-streaming"}
    assert {"gpu", "driver", "cupy", "numpy", "date"} <= set(written["machine"])
    assert written["quick"]
    assert "Summary" in capsys.readouterr().out


def test_parts_are_named(capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit):
        gpu_check.main(["--only", "nonsense"])
    assert "bench-step" in capsys.readouterr().err
    assert gpu_check.arguments(["--only", "benchmarks"]).only == list(gpu_check.BENCHMARKS)
    assert gpu_check.arguments(["--only", "benchmarks", "tests"]).only == ["tests", *gpu_check.BENCHMARKS]
    assert gpu_check.arguments([]).only == list(gpu_check.PARTS)


def test_the_outcome_of_the_tests_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    said = "F..\nFAILED tests/a.py::b - why\n1 failed, 2 passed in 3.0s\n"
    done = [subprocess.CompletedProcess([], 1, said, "")]
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: done[-1])
    rows = gpu_check.run_tests(1.0)
    assert rows == [{"test": "2 passed", "ok": False}, {"test": "FAILED tests/a.py::b - why", "ok": False}]
    done.append(subprocess.CompletedProcess([], 0, "...\n3 passed, 2 skipped in 3.0s\n", ""))
    assert gpu_check.run_tests(1.0) == [{"test": "3 passed", "ok": True}]


def test_tests_that_do_not_end_are_reported(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    def late(*_: Any, **__: Any) -> None:
        raise subprocess.TimeoutExpired("pytest", 1.0, output=b"....\n")

    monkeypatch.setattr(subprocess, "run", late)
    assert gpu_check.run_tests(1.0) == [{"test": "not done after 1 s", "ok": False}]
    assert "...." in capsys.readouterr().out


BARE = """
import sys

class Bare:
    def find_spec(self, name, path=None, target=None):
        if name in {"array_api_strict", "hypothesis", "pyarrow", "scipy", "simplejpeg", "sklearn", "torch"}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Bare())
import pytest
sys.exit(pytest.main(sys.argv[1:]))
"""


def test_a_bare_machine_can_read_the_tests_for_a_gpu() -> None:
    """Pytest finds all of them without Hypothesis, SciPy, scikit-learn and other packages for tests."""
    found = []
    for code in (BARE, "import pytest, sys; sys.exit(pytest.main(sys.argv[1:]))"):
        done = subprocess.run(
            [sys.executable, "-c", code, "-m", "gpu", "--collect-only", "-q", *gpu_check.selected_tests()],
            cwd=gpu_check.ROOT, env=os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout[-3000:]
        found.append(sum("::" in line for line in done.stdout.splitlines()))
    assert found[0] == found[1] > 1000
