"""Batches on a device: standardized there, and the same for resident and streamed examples."""

import backends
import numpy as np
import pytest

from xpnet.backend import Backend
from xpnet.data import (
    STANDARDIZATIONS,
    ColumnMatrix,
    DeviceMatrix,
    Resident,
    Streamed,
    make_batches,
    on_device,
)
from xpnet.testing import assert_close

Y = np.arange(20.0)[None]


def pixels() -> np.ndarray:
    """Twenty images of 2 x 2 pixels and 3 channels, one feature constant."""
    examples = np.random.default_rng(0).integers(0, 256, (20, 12), dtype=np.uint8)
    examples[:, 5] = 7
    return examples


@pytest.mark.parametrize("kind", STANDARDIZATIONS)
@pytest.mark.parametrize("raw", ["uint8", "float64"])
def test_batches_are_standardized_on_the_device(kind: str, raw: str, backend: Backend, dtype: str) -> None:
    data = ColumnMatrix.of(pixels().astype(raw).T, kind, channels=3)
    resident = Resident(on_device(data, backend), Y, Y / 2, dtype)
    indices = backend.send(np.array([3, 0, 19, 3]))
    before = backend.crossings.total
    with backends.no_sync(backend):
        batch = resident.take(indices)
    assert backend.crossings.total == before
    want = data.standardized()[:, [3, 0, 19, 3]].astype(dtype)
    assert_close(batch.X, want, backend, rtol=1e-5 if dtype == "float32" else 1e-12, atol=1e-6)
    np.testing.assert_array_equal(backend.fetch(batch.Y), [[3.0, 0.0, 19.0, 3.0]])
    np.testing.assert_array_equal(backend.fetch(batch.weights), [[1.5, 0.0, 9.5, 1.5]])


@pytest.mark.parametrize("raw", ["float32", "float64"])
def test_the_raw_columns_are_left_alone(raw: str, backend: Backend) -> None:
    data = ColumnMatrix.of(pixels().astype(raw).T, "feature")
    before = data.examples.copy()
    resident = Resident(on_device(data, backend), Y, None, raw)
    resident.take(backend.send(np.arange(20)))
    list(resident.epoch(None, 7))
    np.testing.assert_array_equal(data.examples, before)


@pytest.mark.parametrize(
    "order", [None, np.random.default_rng(1).permutation(20)], ids=["stored order", "shuffled"]
)
@pytest.mark.parametrize("weights", [None, Y + 1.0], ids=["plain", "weighted"])
@pytest.mark.parametrize("size", [1, 6, 20])
def test_streamed_batches_are_those_of_resident_data(
    order: np.ndarray | None,
    weights: np.ndarray | None,
    size: int,
    backend: Backend,
) -> None:
    data = DeviceMatrix(ColumnMatrix.of(pixels().T, "channel", channels=3), backend, chunk_bytes=12 * 7)
    here = list(Resident(data, Y, weights, "float64").epoch(order, size))
    there = list(Streamed(data, Y, weights, "float64").epoch(order, size))
    assert len(here) == len(there) == -(-20 // size)
    for one, other in zip(here, there, strict=True):
        for a, b in zip(one, other, strict=True):
            if a is None:
                assert b is None
            else:
                np.testing.assert_array_equal(backend.fetch(a), backend.fetch(b))


def test_each_chunk_is_sent_once(backend: Backend) -> None:
    """Examples and labels are sent for each chunk, not for each batch."""
    data = ColumnMatrix.of(pixels().T)
    counts = []
    for chunk in (12 * 4, 12 * 10, 12 * 20):
        before = backend.crossings.sent
        list(Streamed(DeviceMatrix(data, backend, chunk_bytes=chunk), Y, None, "float64").epoch(None, 2))
        counts.append(backend.crossings.sent - before)
    assert counts == [10, 4, 2]


def test_examples_above_the_limit_are_streamed(backend: Backend) -> None:
    data = ColumnMatrix.of(pixels().T)
    assert isinstance(make_batches(on_device(data, backend), Y, None, "float32"), Resident)
    assert isinstance(make_batches(on_device(data, backend, 20 * 12), Y, None, "float32"), Resident)
    assert isinstance(make_batches(on_device(data, backend, 20 * 12 - 1), Y, None, "float32"), Streamed)


def test_the_free_memory_of_the_device_decides(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    data = ColumnMatrix.of(pixels().T)
    monkeypatch.setattr(type(backend), "free_bytes", lambda self: 20 * 12)
    assert isinstance(make_batches(on_device(data, backend), Y, None, "float32"), Streamed)


def test_floats_far_from_zero_keep_their_digits(backend: Backend) -> None:
    """Times in seconds since 1970: rounded to float32 before their mean is subtracted, they would all be equal."""
    X = 1.7e9 + np.arange(20.0)[None]
    data = ColumnMatrix.of(X, "feature")
    (batch,) = Resident(on_device(data, backend), Y, None, "float32").epoch(None, 20)
    assert_close(batch.X, data.standardized().astype("float32"), backend, rtol=1e-6, atol=1e-6)
