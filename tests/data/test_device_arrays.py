"""Examples that are on a GPU already: they are used there, and do not pass through host memory."""

from collections.abc import Callable, Iterator
from typing import Any

import backends
import fakecupy
import numpy as np
import pytest

from xpnet.backend.backend import Backend, backend_of, select
from xpnet.data.column_matrix import ColumnMatrix
from xpnet.data.device_matrix import DeviceMatrix
from xpnet.data.standardize import Standardizer
from xpnet.errors import ArrayTypeError, ConfigurationError, ShapeError
from xpnet.io.scoring import Scorer
from xpnet.linear.cross_validation import choose_penalty
from xpnet.linear.descent import descend
from xpnet.linear.lbfgs import minimize
from xpnet.linear.least_squares import solve
from xpnet.linear.ridge import classify
from xpnet.nn.network import Layer, LogisticRegression, Network, SoftmaxRegression
from xpnet.nn.settings import Settings
from xpnet.training.checkpoints import fingerprint
from xpnet.training.trainer import fit

M, N_X = 300, 40


GPUS = pytest.mark.parametrize(
    "backend", ["fake", pytest.param("cupy", marks=pytest.mark.gpu)], indirect=True
)


@pytest.fixture
def largest(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """The sizes in bytes of what crosses between host and device."""
    sizes = [0]
    send, fetch = Backend.send, Backend.fetch

    def counted(function: Callable[..., Any]) -> Callable[..., Any]:
        def crossing(self: Backend, array: Any, *more: Any, **options: Any) -> Any:
            result = function(self, array, *more, **options)
            if function is fetch or not self.holds(array):
                sizes.append(int(np.prod(result.shape)) * result.dtype.itemsize)
            return result

        return crossing

    monkeypatch.setattr(Backend, "send", counted(send))
    monkeypatch.setattr(Backend, "fetch", counted(fetch))
    return sizes


def examples(dtype: str, classes: int = 3) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, classes, (1, M))
    rows = rng.integers(0, 200, (M, N_X)) + 50 * (np.arange(N_X) % classes == labels.T)
    return rows.astype(dtype), labels


@GPUS
@pytest.mark.parametrize("raw", ["uint8", "float32", "float64"])
@pytest.mark.parametrize("kind", ["none", "unit", "feature", "channel"])
def test_statistics_are_those_of_the_host(backend: Backend, largest: list[int], raw: str, kind: str) -> None:
    rows, _ = examples(raw)
    there = backend.send(rows)
    largest.clear()
    device = ColumnMatrix.of(there.T, kind, 2)
    host = ColumnMatrix.of(rows.T, kind, 2)
    assert device.standardizer.kind == kind
    for name in ("mean", "scale"):
        ours, want = (getattr(each.standardizer, name) for each in (device, host))
        assert np.allclose(ours, want, rtol=1e-13, atol=0)
        assert raw != "uint8" or np.array_equal(ours, want)
    assert backend.holds(device.examples)
    assert max(largest, default=0) <= 8 * N_X
    assert fingerprint(device, np.zeros((1, M))) == fingerprint(host, np.zeros((1, M))) or raw != "uint8"


def trained(name: str, data: ColumnMatrix, labels: np.ndarray, backend: Backend) -> np.ndarray:
    softmax, weights = SoftmaxRegression(N_X, 3), np.linspace(0.5, 1.5, M)[None]
    result: Any
    if name == "descend":
        result = descend(softmax, data, labels, backend, iterations=20, learning_rate=0.1, weights=weights)
    elif name == "minimize":
        result = minimize(softmax, data, labels, backend, l2=1.0, weights=weights)
    elif name == "cross-validation":
        return np.array([choose_penalty(softmax, data, labels, backend, seed=0, folds=3).penalty])
    else:
        model = Network(N_X, 3, "softmax", (Layer.parse("8:relu"),))
        settings = Settings(epochs=3, batch_size=32)
        result = fit(model, data, labels, backend, settings)
    return backend.fetch(result.parameters.views["W1"])


@GPUS
@pytest.mark.parametrize("raw", ["uint8", "float64"])
@pytest.mark.parametrize("name", ["descend", "minimize", "cross-validation", "network"])
def test_trainings_are_those_of_examples_in_host_memory(
    backend: Backend, largest: list[int], name: str, raw: str
) -> None:
    rows, labels = examples(raw)
    host = ColumnMatrix.of(rows.T, "feature")
    device = ColumnMatrix(backend.send(rows), host.standardizer)
    want = trained(name, host, labels, backend)
    largest.clear()
    got = trained(name, device, labels, backend)
    assert max(largest) < rows.nbytes / 2
    assert np.allclose(got, want, rtol=1e-4, atol=1e-5)


@GPUS
@pytest.mark.parametrize("raw", ["uint8", "float32"])
def test_predictions_stay_on_the_device(backend: Backend, largest: list[int], raw: str) -> None:
    rows, _ = examples(raw)
    host = ColumnMatrix.of(rows.T, "feature")
    parameters = {"W1": np.random.default_rng(1).normal(size=(3, N_X)), "b1": np.ones((3, 1))}
    score = Scorer(SoftmaxRegression(N_X, 3), parameters, host.standardizer, backend)
    there = backend.send(rows)
    want = score(rows, 5)
    largest.clear()
    assert np.allclose(score(there, 5), want, rtol=1e-5)
    assert np.allclose(score.begin(there, 5)(), want, rtol=1e-5)
    assert max(largest) <= 3 * 4 * score.block


@GPUS
def test_closed_forms_fetch_them_once(backend: Backend) -> None:
    rows, labels = examples("float64")
    host, device = ColumnMatrix(rows), ColumnMatrix(backend.send(rows))
    for function, model, Y in (
        (classify, SoftmaxRegression(N_X, 3), labels),
        (solve, Network(N_X, 1, "identity"), labels.astype(np.float64)),
    ):
        want, got = (function(model, data, Y, backend).parameters.views["W1"] for data in (host, device))
        assert np.array_equal(backend.fetch(want), backend.fetch(got))
    few = [ColumnMatrix(each.examples[:20, :]) for each in (host, device)]
    model, Y = LogisticRegression(N_X), labels[:, :20] % 2
    want, got = (
        descend(model, data, Y, backend, iterations=3, learning_rate=1e-4, method="gram").costs
        for data in few
    )
    assert np.array_equal(want, got)
    assert descend(model, few[1], Y, backend, iterations=3, learning_rate=1e-4).method == "fused"


@GPUS
def test_parts_and_blocks_stay_there(backend: Backend) -> None:
    rows, _ = examples("uint8")
    data = ColumnMatrix(backend.send(rows))
    mask = np.arange(M) % 3 == 0
    for part in (slice(3, 7), np.array([5, 1, 299]), mask):
        taken = data.part(part)
        assert backend.holds(taken.examples)
        assert np.array_equal(taken.in_host_memory().examples, rows[part])
    assert np.array_equal(np.concatenate([backend.fetch(block) for block in data.blocks(7)]), rows)
    assert np.array_equal(data.standardized(), rows.T)
    assert DeviceMatrix(data, backend).is_resident
    assert DeviceMatrix(data, backend).examples is data.examples


@GPUS
def test_numbers_that_are_not_finite_are_named(backend: Backend) -> None:
    rows, _ = examples("float32")
    rows[222, 11] = np.inf
    with pytest.raises(ShapeError, match="example 222 holds inf in feature 11"):
        ColumnMatrix(backend.send(rows)).refuse_nonfinite()


@GPUS
def test_they_are_computed_with_where_they_are(backend: Backend) -> None:
    rows, labels = examples("uint8")
    data = ColumnMatrix(backend.send(rows))
    assert backend_of(data.examples).device == backend.device
    assert backend_of(rows).device == "cpu"
    with pytest.raises(
        ConfigurationError, match="the examples are on gpu:0, expected cpu: compute where they are"
    ):
        descend(SoftmaxRegression(N_X, 3), data, labels, select("cpu"), iterations=1, learning_rate=1.0)


def test_on_the_second_gpu() -> None:
    second = backends.CudaBackend(fakecupy, 1, "for tests")
    rows, labels = examples("uint8")
    with second.activate():
        device = ColumnMatrix.of(second.send(rows).T, "feature")
    assert backend_of(device.part(np.array([1])).examples).device == "gpu:1"
    host = ColumnMatrix.of(rows.T, "feature")
    assert isinstance(device.standardizer, Standardizer)
    got, want = (trained("minimize", data, labels, second) for data in (device, host))
    assert np.allclose(got, want, rtol=1e-4, atol=1e-5)


def test_other_arrays_are_refused() -> None:
    strict = backends.make("strict")
    with pytest.raises(ArrayTypeError, match="expected one of NumPy or CuPy"):
        ColumnMatrix(strict.send(np.zeros((2, 2))))
    with pytest.raises(ArrayTypeError, match="expected an array, got a list"):
        ColumnMatrix([[1]])  # type: ignore[arg-type]
