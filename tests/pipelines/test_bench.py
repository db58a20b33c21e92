"""The four texts of each computation compute the same; the table and the JSON say so."""

import json

import backends
import numpy as np
import pytest

from pipelines import bench
from pipelines.bench import Operation
from xpnet.backend import Backend

OPERATIONS = bench.operations(scale=0.001)


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
def test_every_text_computes_the_same(operation: Operation, backend: Backend) -> None:
    looped = np.array(operation.loop(*(array.tolist() for array in operation.arguments)))
    in_place = operation.in_place(*operation.arguments, *operation.buffers())
    np.testing.assert_allclose(in_place, looped, rtol=1e-9, atol=1e-12)
    sent = [backend.send(array) for array in operation.arguments]
    if backend.name == "strict":
        return  # its namespace has no `concatenate`, NumPy's and CuPy's name
    with backends.no_sync(backend):
        vectorized = operation.vectorized(backend.xp, *sent)
    np.testing.assert_allclose(backend.fetch(vectorized), looped, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
def test_in_place_makes_no_array(operation: Operation) -> None:
    buffers = operation.buffers()
    result = operation.in_place(*operation.arguments, *buffers)
    assert any(np.shares_memory(result, buffer) for buffer in buffers)


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
