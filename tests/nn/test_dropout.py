"""Dropout: the share of dropped units, randomness, and the same units on every backend."""

import backends
import numpy as np
import pytest

from xpnet.backend import Backend, select
from xpnet.nn import Dropout
from xpnet.nn.dropout import hashed


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_the_share_of_dropped_units_and_the_scale_of_the_others(rate: float) -> None:
    A = np.ones((200, 500), dtype=np.float32)
    mask = Dropout(rate, 0, select("cpu")).mask(A, 0, 1)
    assert mask.dtype == np.float32
    assert set(np.unique(mask)) == {np.float32(0.0), np.float32(1 / (1 - rate))}
    # 100,000 draws: four standard deviations
    assert abs((mask == 0).mean() - rate) < 4 * np.sqrt(rate * (1 - rate) / mask.size)
    assert abs((A * mask).mean() - 1.0) < 0.02


def test_units_steps_layers_and_seeds_differ() -> None:
    A = np.ones((100, 100))
    cpu = select("cpu")
    masks = [
        Dropout(0.5, seed, cpu).mask(A, step, layer) for seed, step, layer in
        [(0, 0, 1), (1, 0, 1), (0, 1, 1), (0, 0, 2), (0, 1, 2)]
    ]  # fmt: skip
    for i, one in enumerate(masks):
        for other in masks[:i]:
            assert abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 0.05
        rows, columns = np.corrcoef(one), np.corrcoef(one.T)
        assert np.abs(rows - np.eye(100)).max() < 0.5
        assert np.abs(columns - np.eye(100)).max() < 0.5


def test_the_same_units_on_every_backend(backend: Backend) -> None:
    A = backend.send(np.ones((7, 9)))
    dropout = Dropout(0.3, 5, backend)
    dropout.mask(A, 0, 1)  # the places are sent once
    before = backend.crossings.total
    with backends.no_sync(backend):
        mask = dropout.mask(A, 3, 2)
    assert backend.crossings.total == before
    np.testing.assert_array_equal(
        backend.fetch(mask), Dropout(0.3, 5, select("cpu")).mask(np.ones((7, 9)), 3, 2)
    )


def test_the_hash_is_that_of_its_author() -> None:
    """Values of lowbias32 computed with Python's integers."""

    def mixed(x: int) -> int:
        x = ((x ^ (x >> 16)) * 0x7FEB352D) % 2**32
        x = ((x ^ (x >> 15)) * 0x846CA68B) % 2**32
        return x ^ (x >> 16)

    numbers = [0, 1, 2, 12345, 2**31, 2**32 - 1]
    np.testing.assert_array_equal(hashed(np.array(numbers, np.uint32)), [mixed(x) for x in numbers])
