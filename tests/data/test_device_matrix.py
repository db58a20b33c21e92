"""Examples on a device: they are sent once, even if they are used often."""

import numpy as np
import pytest

from xpnet.backend import Backend, select
from xpnet.data import ColumnMatrix, DeviceMatrix, on_device
from xpnet.errors import ConfigurationError
from xpnet.linear import descend, minimize
from xpnet.nn import Layer, Network, Settings, SoftmaxRegression
from xpnet.training import Evaluator, fit

MANY = 60


def examples() -> tuple[ColumnMatrix, np.ndarray]:
    rng = np.random.default_rng(0)
    Y = np.arange(MANY)[None] % 3
    return ColumnMatrix.of((80 * Y + rng.integers(0, 60, (12, MANY))).astype(np.uint8), "unit"), Y


def test_examples_are_sent_once_and_only_if_needed(backend: Backend) -> None:
    data, _ = examples()
    placed = on_device(data, backend)
    before = backend.crossings.sent
    first = placed.examples
    assert placed.examples is first
    assert backend.crossings.sent == before + 1
    np.testing.assert_array_equal(backend.fetch(first), data.examples)


def test_a_device_matrix_stays_itself(backend: Backend) -> None:
    placed = on_device(examples()[0], backend)
    assert on_device(placed, backend) is placed
    with pytest.raises(ConfigurationError, match="use one backend for both"):
        on_device(placed, select("cpu"))


@pytest.mark.parametrize("trainer", ["fit", "descend", "minimize"])
def test_one_training_sends_its_examples_once(
    trainer: str, backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Training, the metric of each epoch, and the evaluation at the end share the same raw examples."""
    sent: list[int] = []
    send = Backend.send

    def counted(self: Backend, data: object, dtype: object = None) -> object:
        size = getattr(data, "nbytes", 0) if isinstance(data, np.ndarray) and data.dtype == np.uint8 else 0
        sent.append(size)
        return send(self, data, dtype)

    monkeypatch.setattr(Backend, "send", counted)
    data, Y = examples()
    placed = on_device(data, backend)
    if trainer == "fit":
        model = Network(12, 3, "softmax", (Layer.parse("4"),))
        settings = Settings(epochs=3, batch_size=16, metric_examples=20)
        result = fit(model, placed, Y, backend, settings)
    elif trainer == "descend":
        model = SoftmaxRegression(12, 3)
        result = descend(model, placed, Y, backend, iterations=4, learning_rate=0.1, method="fused")
    else:
        model = SoftmaxRegression(12, 3)
        result = minimize(model, placed, Y, backend, l2=1.0)
    Evaluator.of(model, placed, Y, "float32")(result.parameters)
    assert sum(sent) == data.examples.nbytes


def test_examples_above_the_limit_do_not_stay(backend: Backend) -> None:
    data, _ = examples()
    assert DeviceMatrix(data, backend, data.examples.nbytes).is_resident
    assert not DeviceMatrix(data, backend, data.examples.nbytes - 1).is_resident
