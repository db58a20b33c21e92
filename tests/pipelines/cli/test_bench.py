"""What `xpnet bench` prints."""

import json
import time

import backends
import numpy as np
import pytest

from xpnet.pipelines.cli import bench
from xpnet.pipelines.cli.vectorization import operations

OPERATIONS = operations(scale=0.001)


@pytest.fixture
def results(monkeypatch: pytest.MonkeyPatch) -> bench.Results:
    monkeypatch.setattr(bench, "operations", lambda: OPERATIONS)
    return bench.run("cpu", repeat=1)


def test_the_table_has_a_line_for_each(results: bench.Results) -> None:
    lines = bench.to_table(results).splitlines()
    assert [line.split("  ")[0] for line in lines[1:7]] == [operation.name for operation in OPERATIONS]
    assert "CuPy" not in lines[0]
    assert f"NumPy {np.__version__}" in lines[8]
    assert lines[9].startswith("SIMD found: ")
    assert lines[10] == "device cpu: cpu was asked for"


def test_ratios_are_to_the_loop() -> None:
    row = bench.Row("exp", "10", loop_ms=200.0, numpy_ms=2.0, in_place_ms=1.0, cupy_ms=0.5)
    results = bench.Results([row], "3.12", "2.4", ["AVX2"], "openblas", "gpu:0", "asked for")
    cells = bench.to_table(results).splitlines()[1].split()
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


def test_the_json_has_the_same(results: bench.Results) -> None:
    read = json.loads(bench.to_json(results))
    assert [row["operation"] for row in read["rows"]] == [operation.name for operation in OPERATIONS]
    assert all(row["loop_ms"] > 0 and row["numpy_ms"] > 0 and row["in_place_ms"] > 0 for row in read["rows"])
    assert all(row["cupy_ms"] is None for row in read["rows"])
    assert read["blas"]
    assert isinstance(read["simd"], list)


def test_a_gpu_gets_a_column(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "operations", lambda: OPERATIONS)
    monkeypatch.setattr(bench, "select", lambda device: backends.make("fake"))
    results = bench.run("gpu", repeat=1)
    assert all(row.cupy_ms for row in results.rows)
    table = bench.to_table(results)
    assert "CuPy" in table.splitlines()[0]
    assert "device gpu:0" in table
