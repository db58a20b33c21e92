"""`xpnet bench`: what it prints."""

import json

import pytest
from program import xpnet

from xpnet import bench
from xpnet.pipelines.cli.bench import result_text

OPERATIONS = bench.operations(scale=0.001)


def test_the_table_has_a_line_for_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "operations", lambda: OPERATIONS)
    result = bench.run("cpu", repeat=1)
    lines = result_text(result).splitlines()
    assert [line.split("  ")[0] for line in lines[1:7]] == [operation.name for operation in OPERATIONS]
    assert "CuPy" not in lines[0]
    assert lines[8:] == result.machine()


def test_bench_writes_json_to_stdout_and_nothing_else() -> None:
    done = xpnet("bench", "--json", "--repeat", "1", "--device", "cpu")
    assert done.returncode == 0
    assert done.stderr == ""
    read = json.loads(done.stdout)
    assert [row["operation"] for row in read["rows"]] == [operation.name for operation in OPERATIONS]
    assert all(row["loop_ms"] > 0 and row["numpy_ms"] > 0 and row["in_place_ms"] > 0 for row in read["rows"])
    assert all(row["cupy_ms"] is None for row in read["rows"])
    assert read["blas"]
    assert isinstance(read["simd"], list)
