"""`xpnet bench`: its six computations, their times, and what it prints."""

import json
import time
from typing import Any

import backends
import numpy as np
import pytest
from program import xpnet

from xpnet.backend.backend import Backend
from xpnet.pipelines.cli import bench
from xpnet.pipelines.cli.bench import Operation, operations
from xpnet.pipelines.cli.text import to_json

OPERATIONS = operations(scale=0.001)


@pytest.fixture
def results(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.setattr(bench, "operations", lambda: OPERATIONS)
    return bench.measure("cpu", repeat=1)


def test_the_table_has_a_line_for_each(results: dict[str, Any]) -> None:
    lines = bench.results_text(results).splitlines()
    assert [line.split("  ")[0] for line in lines[1:7]] == [operation.name for operation in OPERATIONS]
    assert "CuPy" not in lines[0]
    assert f"NumPy {np.__version__}" in lines[8]
    assert lines[9].startswith("SIMD found: ")
    assert lines[10] == "device cpu: cpu was asked for"


def test_ratios_are_to_the_loop() -> None:
    times = {"loop_ms": 200.0, "numpy_ms": 2.0, "in_place_ms": 1.0, "cupy_ms": 0.5}
    machine = {"python": "3.12", "numpy": "2.4", "simd": ["AVX2"], "blas": "openblas"}
    results = {
        "rows": [{"operation": "exp", "size": "10", **times}],
        **machine,
        "device": "gpu:0",
        "reason": "asked for",
    }
    cells = bench.results_text(results).splitlines()[1].split()
    assert cells == [
        "exp",
        "10",
        "200.0",
        "ms",
        "2.000",
        "ms",
        "100x",
        "1.000",
        "ms",
        "200x",
        "0.500",
        "ms",
        "400x",
    ]


def test_times_are_milliseconds() -> None:
    assert 9 < bench._median_ms(time.sleep, [0.01], 3) < 100


def test_the_json_has_the_same(results: dict[str, Any]) -> None:
    read = json.loads(to_json(results))
    assert [row["operation"] for row in read["rows"]] == [operation.name for operation in OPERATIONS]
    assert all(row["loop_ms"] > 0 and row["numpy_ms"] > 0 and row["in_place_ms"] > 0 for row in read["rows"])
    assert all(row["cupy_ms"] is None for row in read["rows"])
    assert read["blas"]
    assert isinstance(read["simd"], list)


def test_a_gpu_gets_a_column(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "operations", lambda: OPERATIONS)
    monkeypatch.setattr("xpnet.backend.select", lambda device: backends.make("fake"))
    results = bench.measure("gpu", repeat=1)
    assert all(row["cupy_ms"] for row in results["rows"])
    table = bench.results_text(results)
    assert "CuPy" in table.splitlines()[0]
    assert "device gpu:0" in table


def test_bench_writes_json_to_stdout_and_nothing_else() -> None:
    done = xpnet("bench", "--json", "--repeat", "1", "--device", "cpu")
    assert done.returncode == 0
    assert done.stderr == ""
    assert len(json.loads(done.stdout)["rows"]) == 6


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
def test_every_implementation_computes_the_same(operation: Operation, backend: Backend) -> None:
    looped = np.array(operation.loop(*(array.tolist() for array in operation.arguments)))
    in_place = operation.in_place(np, *operation.arguments, *operation.buffers)
    np.testing.assert_allclose(in_place, looped, rtol=1e-9, atol=1e-12)
    sent = [backend.send(array) for array in operation.arguments]
    if backend.name == "strict":
        return  # its namespace has no `concatenate`, NumPy's and CuPy's name
    with backends.no_sync(backend):
        vectorized = operation.vectorized(backend.xp, *sent)
    np.testing.assert_allclose(backend.fetch(vectorized), looped, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
def test_in_place_makes_no_array(operation: Operation) -> None:
    result = operation.in_place(np, *operation.arguments, *operation.buffers)
    assert any(np.shares_memory(result, buffer) for buffer in operation.buffers)
