"""What `xpnet.bench` measures: six computations, each in several ways, with the same results."""

import time

import backends
import numpy as np
import pytest

from xpnet import bench
from xpnet.backend.backend import Backend
from xpnet.bench import BenchResult, Operation, Timing, operations
from xpnet.errors import ConfigurationError, DeviceError

OPERATIONS = operations(scale=0.001)


@pytest.fixture
def result(monkeypatch: pytest.MonkeyPatch) -> BenchResult:
    monkeypatch.setattr(bench, "operations", lambda: OPERATIONS)
    return bench.run("cpu", repeat=1)


def test_every_operation_is_timed(result: BenchResult) -> None:
    assert [row.operation for row in result.rows] == [operation.name for operation in OPERATIONS]
    assert all(row.loop_ms > 0 and row.numpy_ms > 0 and row.in_place_ms > 0 for row in result.rows)
    assert all(row.cupy_ms is None for row in result.rows)
    assert result.blas
    assert isinstance(result.simd, list)
    assert "CuPy" not in result.table()[0]
    assert result.machine()[0].startswith(f"Python {result.python}, NumPy {np.__version__}, BLAS ")
    assert result.machine()[1].startswith("SIMD found: ")
    assert result.machine()[2] == "device cpu: cpu was asked for"


def machine(rows: list[Timing], device: str = "gpu:0", reason: str = "asked for") -> BenchResult:
    return BenchResult(rows, "3.12", "2.4", ["AVX2"], "openblas", device, reason)


def test_ratios_are_to_the_loop() -> None:
    result = machine([Timing("exp", "10", 200.0, 2.0, 1.0, 0.5)])
    assert result.table()[1] == [
        "exp", "10", "200.0 ms", "2.000 ms", "100x", "1.000 ms", "200x", "0.500 ms", "400x"
    ]  # fmt: skip


def test_a_notebook_shows_a_table_of_escaped_text() -> None:
    html = machine([Timing("<exp>", "10", 200.0, 2.0, 1.0, None)], "cpu", "<script>")._repr_html_()
    assert "<bdi>&lt;exp&gt;</bdi></th>" in html
    assert "<td><bdi>100x</bdi></td>" in html
    assert "device cpu: &lt;script&gt;" in html
    assert "<script>" not in html


def test_times_are_milliseconds() -> None:
    assert 9 < bench._median_ms(time.sleep, [0.01], 3) < 100


def test_a_gpu_gets_a_column(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "operations", lambda: OPERATIONS)
    monkeypatch.setattr("xpnet.backend.select", lambda device: backends.make("fake"))
    result = bench.run("gpu", repeat=1)
    assert all(row.cupy_ms for row in result.rows)
    assert "CuPy" in result.table()[0]
    assert result.machine()[2].startswith("device gpu:0")


@pytest.mark.parametrize("repeat", [0, -1, 1.5, "many"])
def test_a_number_of_repeats_that_is_none_is_refused(repeat: int) -> None:
    with pytest.raises(ConfigurationError, match=f"repeat is {repeat!r}, expected a whole number"):
        bench.run("cpu", repeat)


def test_a_device_that_is_none_is_refused() -> None:
    with pytest.raises(DeviceError):
        bench.run("abacus")


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
