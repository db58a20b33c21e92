"""A recorded CUDA graph does the same as the function.

The fakes cannot record: their graphs call the function again, on the same arrays. A number of the host would
be constant in a graph on a GPU, so some of these tests change such a number between calls.
"""

import gc
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import backends
import hostcupy
import numpy as np
import pytest

from xpnet.backend import cuda_graph
from xpnet.backend.backend import Backend, select
from xpnet.data.column_matrix import ColumnMatrix
from xpnet.errors import ConfigurationError, DeviceError
from xpnet.nn.network import Layer, Network
from xpnet.nn.optimizers import OPTIMIZERS
from xpnet.nn.schedules import SCHEDULES
from xpnet.nn.settings import Settings
from xpnet.training.sweeps import sweep
from xpnet.training.trainer import Trainer, fit

pytestmark = pytest.mark.any_python

MODEL = Network(12, 3, "softmax", (Layer.parse("8:relu"),))


def problem(m: int = 70) -> tuple[ColumnMatrix, np.ndarray]:
    rng = np.random.default_rng(0)
    Y = rng.integers(0, 3, (1, m))
    examples = (rng.integers(0, 200, (m, 12)) + 20 * Y.T).astype(np.uint8)
    return ColumnMatrix.of(examples.T, "channel", channels=3), Y


@pytest.fixture(autouse=True)
def graphs(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Let a fake CUDA graph call the function again; return the graphs that were made."""
    made: list[Any] = []
    real = cuda_graph.record_cuda_graph

    def record(stream: Any, function: Callable[[], None]) -> Any:
        if "cupy" in request.node.name.replace("kernelcupy", ""):
            graph = real(stream, function)
        else:
            graph = types.SimpleNamespace(launch=hostcupy.again(function))
        made.append(graph)
        return graph

    monkeypatch.setattr(cuda_graph, "record_cuda_graph", record)
    return made


on_each = pytest.mark.parametrize(
    "backend",
    ["fake", "kernels", pytest.param("cupy", marks=pytest.mark.gpu)],
    indirect=True,
)


@on_each
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_recorded_steps_are_the_steps(name: str, backend: Backend, dtype: str, graphs: list[Any]) -> None:
    """With a learning rate that changes between epochs, a smaller last batch, and penalties."""
    data, Y = problem()
    trained = [
        fit(
            MODEL, data, Y, backend,
            Settings(
                epochs=3, batch_size=16, learning_rate=0.01, optimizer=OPTIMIZERS[name],
                schedule=SCHEDULES["cosine"], l2=0.1, clip=1.0, class_weight="balanced", dtype=dtype, cuda_graph=graph,
                metric_examples=40,
            ),
        )
        for graph in (False, True)
    ]  # fmt: skip
    rtol = 1e-5 if dtype == "float32" else 1e-12
    np.testing.assert_allclose(trained[1].history.costs, trained[0].history.costs, rtol=rtol)
    metrics = [[epoch.metric for epoch in each.history] for each in trained]
    np.testing.assert_allclose(*metrics, atol=0.05)  # rounding may change two of the 40 predictions
    there, here = (backend.fetch(each.parameters.buffer) for each in trained)
    np.testing.assert_allclose(here, there, rtol=20 * rtol, atol=20 * rtol)
    assert len(graphs) == 1


@on_each
def test_nothing_in_a_recorded_step_crosses_or_waits(backend: Backend) -> None:
    data, Y = problem()
    training = Trainer(MODEL, data, Y, backend, Settings(batch_size=16, cuda_graph=True))
    training.epoch()
    graph, _ = training._recorded
    indices = backend.send(np.arange(16))
    before = backend.crossings.total
    with backend.activate(), backends.no_sync(backend):
        graph(indices)
    assert backend.crossings.total == before


@pytest.mark.parametrize("backend", ["numpy", "strict"], indirect=True)
def test_on_a_cpu_nothing_changes(backend: Backend) -> None:
    data, Y = problem()
    one, other = (
        fit(MODEL, data, Y, backend, Settings(epochs=2, batch_size=16, cuda_graph=graph))
        for graph in (False, True)
    )
    np.testing.assert_array_equal(*(backend.fetch(each.parameters.buffer) for each in (one, other)))


def test_on_a_cpu_a_function_stays_what_it_is() -> None:
    def function() -> None:
        pass

    assert cuda_graph.as_cuda_graph(select("cpu"), function) is function


@pytest.mark.parametrize("backend", ["fake", "kernels"], indirect=True)
def test_the_first_calls_compile_and_the_next_records(backend: Backend, graphs: list[Any]) -> None:
    calls = []
    function = cuda_graph.as_cuda_graph(backend, lambda: calls.append(len(graphs)))
    for _ in range(cuda_graph.WARM_UP_CALLS + 3):
        function()
    assert (
        calls == [0] * (cuda_graph.WARM_UP_CALLS + 1) + [1] * 3
    )  # the third call runs the function, records it, and launches the recording


@pytest.mark.parametrize("backend", ["fake", "kernels"], indirect=True)
@pytest.mark.parametrize("required", [False, True])
@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("no memory", "no memory for copies"),
        ("refused", "cudaErrorStreamCaptureInvalidated"),
        ("frozen", "gives other numbers"),
        ("not a number", "gives other numbers"),
    ],
)
def test_what_is_not_the_same_when_recorded_is_not_used(
    fault: str, said: str, required: bool, backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The function is still called, and the arrays are as if nothing had been recorded."""

    def record(stream: Any, function: Callable[[], None]) -> Any:
        if fault == "refused":
            counter[...] += 5.0  # the function fails after a change
            raise RuntimeError("cudaErrorStreamCaptureInvalidated")
        if fault == "frozen":
            return types.SimpleNamespace(launch=lambda: None)
        return types.SimpleNamespace(launch=lambda: counter.__setitem__(..., float("nan")))

    def empty_like(array: Any) -> Any:
        raise MemoryError("no memory for copies")

    monkeypatch.setattr(cuda_graph, "record_cuda_graph", record)
    counter = backend.send(np.zeros((2, 1)))

    def function() -> None:
        counter[...] += 1.0

    function_or_graph = cuda_graph.as_cuda_graph(backend, function, [counter], required=required)
    calls = cuda_graph.WARM_UP_CALLS + 4
    for _ in range(cuda_graph.WARM_UP_CALLS):
        function_or_graph()
    if fault == "no memory":
        monkeypatch.setattr(backend.xp, "empty_like", empty_like, raising=False)
    if required:
        with pytest.raises((DeviceError, MemoryError, RuntimeError), match=said):
            function_or_graph()
        calls = cuda_graph.WARM_UP_CALLS + (fault != "no memory")  # the last allocation before the recording
    else:
        for _ in range(4):
            function_or_graph()
        assert said in function_or_graph.problem
    np.testing.assert_array_equal(backend.fetch(counter), [[calls], [calls]])


def test_a_training_goes_on_where_steps_cannot_be_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    def record(stream: Any, function: Callable[[], None]) -> Any:
        raise RuntimeError("no recording here")

    monkeypatch.setattr(cuda_graph, "record_cuda_graph", record)
    data, Y = problem()
    backend = backends.make("fake")
    never, tried = (
        fit(MODEL, data, Y, backend, Settings(epochs=3, batch_size=16, cuda_graph=graph))
        for graph in (False, None)
    )
    assert tried.history.notes == [
        "steps are not launched as one CUDA graph: RuntimeError: no recording here"
    ]
    np.testing.assert_allclose(tried.history.costs, never.history.costs, rtol=1e-6)
    buffers = [backend.fetch(each.parameters.buffer) for each in (never, tried)]
    np.testing.assert_allclose(*buffers, rtol=1e-5, atol=1e-6)
    with pytest.raises(RuntimeError, match="no recording here"):
        fit(MODEL, data, Y, backend, Settings(epochs=3, batch_size=16, cuda_graph=True))


def test_a_resumed_training_says_once_that_nothing_is_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def record(stream: Any, function: Callable[[], None]) -> Any:
        raise RuntimeError("no recording here")

    monkeypatch.setattr(cuda_graph, "record_cuda_graph", record)
    data, Y = problem()
    for epochs in (2, 4):
        settings = Settings(epochs=epochs, batch_size=16)
        trained = fit(MODEL, data, Y, backends.make("fake"), settings, checkpoint=tmp_path / "c")
    assert len(trained.history) == 4
    assert len(trained.history.notes) == 1


def test_a_training_goes_on_where_there_is_no_handle_to_record_with(monkeypatch: pytest.MonkeyPatch) -> None:
    """cuBLAS has another file name, or there is no memory for the workspace of its handle."""

    def own_products(self: Any) -> Any:
        raise OSError("libcublas.so.13: cannot open shared object file")

    monkeypatch.setattr(cuda_graph._RecordedFunction, "_own_products", own_products)
    data, Y = problem()
    backend = backends.make("fake")
    never, tried = (
        fit(MODEL, data, Y, backend, Settings(epochs=3, batch_size=16, cuda_graph=graph))
        for graph in (False, None)
    )
    (note,) = tried.history.notes
    assert "cannot open shared object file" in note
    np.testing.assert_allclose(tried.history.costs, never.history.costs, rtol=1e-6)
    with pytest.raises(OSError, match="libcublas"):
        fit(MODEL, data, Y, backend, Settings(epochs=1, batch_size=16, cuda_graph=True))


def test_an_error_ends_the_recording() -> None:
    ended = []
    stream = types.SimpleNamespace(begin_capture=lambda: None, end_capture=lambda: ended.append(1))

    def broken() -> None:
        raise ValueError("x")

    with pytest.raises(ValueError, match="x"):
        RECORD(stream, broken)
    assert ended
    assert (
        RECORD(types.SimpleNamespace(begin_capture=lambda: None, end_capture=lambda: "graph"), list)
        == "graph"
    )


@pytest.mark.parametrize("enabled", [True, False])
def test_no_garbage_is_collected_while_recording(enabled: bool) -> None:
    """To free a handle of cuBLAS would wait for the device, and end the recording."""
    seen = []
    stream = types.SimpleNamespace(
        begin_capture=lambda: None, end_capture=lambda: seen.append(gc.isenabled())
    )

    def broken() -> None:
        raise ValueError("x")

    try:
        if not enabled:
            gc.disable()
        RECORD(stream, lambda: seen.append(gc.isenabled()))
        with pytest.raises(ValueError, match="x"):
            RECORD(stream, broken)
        assert gc.isenabled() == enabled
    finally:
        gc.enable()
    assert seen == [False] * 3


RECORD = cuda_graph.record_cuda_graph


def test_what_cannot_be_recorded_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="dropout differs in each step"):
        Settings(cuda_graph=True, dropout=0.1)
    data, Y = problem()
    with pytest.raises(ConfigurationError, match="leave it out for a sweep"):
        sweep(MODEL, data, Y, select("cpu"), Settings(cuda_graph=True), learning_rates=[0.1, 0.2])


def test_data_that_streams_goes_on_without() -> None:
    data, Y = problem()
    backend = backends.make("fake")
    settings = Settings(epochs=1, batch_size=16, resident_bytes=0, cuda_graph=True)
    assert Trainer(MODEL, data, Y, backend, settings)._recorded is None
    assert Trainer(MODEL, data, Y, backend, Settings(dropout=0.5))._recorded is None
    assert Trainer(MODEL, data, Y, backend, Settings())._recorded is not None
