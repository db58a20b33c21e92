"""The scripts that check and measure xpnet on a GPU, run without one: on the fake backends, with small sizes."""

import gc
import json
import os
import subprocess
import sys
import time
import types
import weakref
from contextlib import nullcontext
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import backends
import bench_gpu
import gpu_check
import gpu_goals
import gpu_parity
import hostcupy
import pytest
import torch_peers

from xpnet.backend import cuda_graph
from xpnet.errors import DeviceError
from xpnet.nn import Layer, Network

pytestmark = pytest.mark.any_python

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
def test_every_benchmark_runs_at_toy_sizes(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_gpu, "reader", lambda xp, array: array.sum)  # the fakes have no RawKernel
    monkeypatch.setattr(bench_gpu, "SHAPES", bench_gpu.SHAPES[:2])  # each takes a second to compile
    rows = getattr(bench_gpu.Benchmarks(backends.make("kernels"), TOY), name)()
    assert rows
    json.dumps(rows)
    assert len({tuple(row) for row in gpu_check.alike(rows)}) == 1


@pytest.mark.cuda
def test_the_kernel_that_only_reads_compiles() -> None:
    nvrtc = pytest.importorskip("cupy").cuda.nvrtc
    program = nvrtc.createProgram(bench_gpu.READING, "read.cu", (), ())
    try:
        nvrtc.compileProgram(program, ("-arch=compute_80",))
    except nvrtc.NVRTCError:
        pytest.fail(nvrtc.getProgramLog(program))
    assert nvrtc.getPTX(program).decode().count("ld.global.cs.v4.u32") >= 4  # several loads are on their way


def test_scoring_is_measured_beside_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    import gpu_scoring

    monkeypatch.setattr(gpu_scoring, "workers_for", lambda asked: 2)
    monkeypatch.setattr(gpu_scoring, "device_of", lambda backend: "cpu")
    rows = gpu_scoring.rows(backends.make("fake"), 4, repeat=1)
    decoding, predicting = "only decoding, workers: ", "xpnet predict on the "
    assert [(row["how"], row["images"]) for row in rows] == [
        (f"{decoding}1", 2), (f"{decoding}2", 4), ("separate processes that only decode: 2", 4),
        (f"{predicting}GPU, workers: 2", 4), (f"{predicting}CPU, workers: 2", 4),
    ]  # fmt: skip
    assert rows[0]["of linear"] == 1.0
    assert all(row["images/s"] > 0 for row in rows)
    monkeypatch.setattr(gpu_scoring, "device_of", lambda backend: "no device")
    with pytest.raises(RuntimeError, match="expected auto, cpu"):
        gpu_scoring.rows(backends.make("fake"), 4, repeat=1)


@pytest.fixture
def children(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the other processes have parts of ours."""
    script = tmp_path / "child.py"
    script.write_text(CHILD)
    monkeypatch.setattr(gpu_check, "CHILD", [sys.executable, str(script), gpu_check.CHILD[-1]])
    monkeypatch.setattr(
        gpu_check, "SHARED", dict.fromkeys(("right", "broken", "wrong", "crash", "last"), "one")
    )
    monkeypatch.setattr(gpu_check, "PART_SECONDS", 20.0)


CHILD = """
import json, os, sys, time
from pathlib import Path

sys.path.insert(0, os.path.dirname(sys.argv[1]))
import gpu_check

def broken():
    raise RuntimeError("out of luck")

def crash():
    print("an illegal address", flush=True)
    os.abort()

rows = lambda ok: [{"check": "costs", "ok": True}, {"check": "labels", "ok": ok, "pid": os.getpid()}]
parts = {
    "right": ("", lambda: rows(True)), "last": ("", lambda: rows(True)), "wrong": ("", lambda: rows(False)),
    "broken": ("", broken), "crash": ("", crash), "hang": ("", lambda: time.sleep(600)),
}
start = sys.argv.index("--part") + 1
into = Path(sys.argv[sys.argv.index("--into") + 1])
sys.exit(gpu_check.run_here(parts, sys.argv[start:], into))
"""


def run(names: list[str], seconds: float = 1e9, **options: Any) -> gpu_check.Report:
    report = gpu_check.Report({})
    gpu_check.run_parts({name: f"A {name} part" for name in names}, names, report, seconds, **options)
    return report


def test_what_fails_is_reported_and_the_rest_runs_in_a_new_process(
    children: None, capsys: pytest.CaptureFixture
) -> None:
    saved = []
    names = ["right", "wrong", "broken", "crash", "last"]
    report = run(names, save=lambda: saved.append(None))
    assert list(report.parts) == names
    assert len(saved) == len(names)
    assert report.failed == ["wrong", "broken", "crash"]
    assert report.parts["broken"]["error"] == "RuntimeError: out of luck"
    assert report.parts["broken"]["output"][-1] == "RuntimeError: out of luck"
    assert report.parts["crash"]["error"] == "the process ended with signal SIGABRT"
    assert "an illegal address" in report.parts["crash"]["output"]
    assert "output" not in report.parts["right"]
    right, wrong, last = (report.parts[name]["rows"][1]["pid"] for name in ("right", "wrong", "last"))
    assert right == wrong != last
    printed = capsys.readouterr().out
    assert "A wrong part (wrong, " in printed
    assert "| an illegal address" in printed


def test_a_part_that_does_not_end_is_ended(children: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_check, "PART_SECONDS", 3.0)
    began = time.monotonic()
    report = run(["hang", "last"])
    assert time.monotonic() - began < 60
    assert report.failed == ["hang"]
    assert report.parts["hang"]["error"] == "not done after 3 s"


def test_no_part_begins_when_the_time_is_over(children: None) -> None:
    seconds = iter(range(100))
    report = run(["right", "wrong", "last"], 2.5, clock=lambda: float(next(seconds)))
    assert report.failed == ["wrong", "last"]
    assert report.parts["last"]["error"] == "not run: the 2 s were over"


def test_what_a_graph_writes_to_is_kept() -> None:
    """A recorded CUDA graph does not keep the parameters, the optimizer and the inputs that it uses."""

    class Net:
        def cuda(self) -> "Net":
            nets.append(weakref.ref(self))
            return self

        def parameters(self) -> list[Any]:
            return []

        def __call__(self, X: Any) -> Any:
            return X

    nets: list[Any] = []
    torch = MagicMock()
    torch.nn.Sequential = lambda *layers: Net()
    torch.optim.SGD = lambda parameters, lr: types.SimpleNamespace(
        zero_grad=lambda **_: None, step=lambda: None
    )
    torch.cuda.graph = torch.cuda.stream = lambda *_: nullcontext()
    torch.randperm = lambda m, device: MagicMock()
    torch.nn.CrossEntropyLoss = lambda: lambda *_: types.SimpleNamespace(backward=lambda: None)
    model = Network(4, 3, "softmax", (Layer.parse("2:relu"),))
    X = MagicMock(shape=(6, 4))
    ways = torch_peers.torch_network(torch, model, X, MagicMock(), 3, "sgd")
    gc.collect()
    assert len(nets) == 4
    assert all(net() is not None for net in nets)
    for epoch in ways.values():
        epoch()


def test_without_a_gpu_it_says_so(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    def none(device: str) -> None:
        raise DeviceError("CuPy is not installed: pip install it", problem="not-installed")

    monkeypatch.setattr(gpu_check, "select", none)
    assert gpu_check.main([]) == 5
    assert "there is no GPU to check: CuPy is not installed" in capsys.readouterr().err
    monkeypatch.setattr(gpu_check, "select", lambda device: backends.make("numpy"))
    assert gpu_check.main(["--device", "auto"]) == 5


def test_the_whole_on_the_fake(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    """The other processes take the fake too."""
    script = tmp_path / "child.py"
    script.write_text(
        "import sys\n"
        f"sys.path[:0] = {[str(gpu_check.ROOT / 'tests'), str(gpu_check.ROOT / 'scripts')]}\n"
        "import backends, bench_gpu, gpu_check, gpu_parity\n"
        "gpu_check.select = lambda device: backends.make('fake')\n"
        f"bench_gpu.QUICK = bench_gpu.{TOY}\n"
        "gpu_parity.EXAMPLES, gpu_parity.STEPS = 130, 3\n"
        "sys.exit(gpu_check.main(sys.argv[1:]))\n"
    )
    monkeypatch.setattr(gpu_check, "CHILD", [sys.executable, str(script)])
    monkeypatch.setattr(gpu_check, "select", lambda device: backends.make("fake"))
    file = tmp_path / "gpu.json"
    only = ["--only", "crossings", "scoring", "bench-streaming"]
    assert gpu_check.main(["--quick", "--json", str(file), *only]) == 0
    written = json.loads(file.read_text())
    assert list(written["parts"]) == ["scoring", "crossings", "bench-streaming"]
    assert {"commit", "gpu", "driver", "cupy", "numpy", "date"} <= set(written["machine"])
    assert written["quick"]
    assert "Summary" in capsys.readouterr().out


def test_the_commit_is_read_without_git(tmp_path: Path) -> None:
    assert gpu_check.commit(tmp_path) == "unknown"
    folder = tmp_path / ".git"
    (folder / "refs" / "heads").mkdir(parents=True)
    (folder / "HEAD").write_text("ref: refs/heads/main\n")
    assert gpu_check.commit(tmp_path) == "unknown"
    (folder / "packed-refs").write_text(
        "# pack-refs with: peeled\nabc1 refs/heads/other\nabc2 refs/heads/main\n"
    )
    assert gpu_check.commit(tmp_path) == "abc2"
    (folder / "refs" / "heads" / "main").write_text("abc3\n")
    assert gpu_check.commit(tmp_path) == "abc3"
    (folder / "HEAD").write_text("abc4\n")
    assert gpu_check.commit(tmp_path) == "abc4"
    tree = folder / "worktrees" / "one"
    tree.mkdir(parents=True)
    (tree / "HEAD").write_text("ref: refs/heads/main\n")
    (tree / "commondir").write_text("../..\n")
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / ".git").write_text(f"gitdir: {tree}\n")
    assert gpu_check.commit(tmp_path / "one") == "abc3"


def measured(part: str, *rows: dict[str, Any]) -> dict[str, Any]:
    return {part: {"rows": list(rows), "error": None}}


def test_goals_are_compared_with_what_was_measured() -> None:
    parts = measured(
        "bench-step",
        {"how": "xpnet, one pass over bytes", "ms": 4.0}, {"how": "reading the bytes once", "ms": 3.2},
        {"how": "PyTorch float32", "ms": 20.0}, {"how": "PyTorch bfloat16", "ms": None, "note": "no memory"},
    ) | measured(
        "bench-softmax", {"how": "xpnet, two passes over 1000000 x 12288 bytes", "ms": 8.0}
    ) | measured(
        "bench-streaming", {"how": "send, one after the other", "GB/s": 29.0}
    ) | measured(
        "bench-scoring",
        {"how": "only decoding, workers: 1", "images/s": 10.0}, {"how": "only decoding, workers: 16", "images/s": 120.0},
        {"how": "separate processes that only decode: 16", "images/s": 125.0},
        {"how": "xpnet predict on the GPU, workers: 16", "images/s": 117.0},
    )  # fmt: skip
    found = [(row["xpnet"], row["ratio"], row["met"]) for row in gpu_goals.results(parts, set(parts))]
    assert found == [
        ("4 ms", "1.25", "ok"), ("4 ms", "5.00", "not ok"), ("4 ms", "-", "not measured"),
        ("not measured", "-", "not measured"), ("8 ms", "1.25", "ok"),
        ("29 GB/s", "-", "not ok"), ("not measured", "-", "not measured"),
        ("120 images/s", "0.75", "not ok"), ("120 images/s", "0.96", "ok"),
        ("117 images/s", "0.97", "ok"), ("not measured", "-", "not measured"),
    ]  # fmt: skip


def test_goals_have_the_names_of_benchmarks() -> None:
    assert {goal.part for goal in gpu_goals.GOALS} <= set(gpu_check.PARTS)


def test_the_documentation_has_the_committed_results() -> None:
    """After another run: `python scripts/gpu_goals.py scripts/results/gpu.json`."""
    known = json.loads((gpu_check.ROOT / "scripts" / "results" / "gpu.json").read_text())
    page = (gpu_check.ROOT / "docs" / "performance.md").read_text()
    assert gpu_goals.markdown(known) in page


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
