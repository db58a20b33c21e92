"""Evaluation: its batches, and the sample of examples for the training metric."""

import numpy as np
import pytest
from blobs import MLP, blobs

from xpnet.backend import select
from xpnet.data import on_device
from xpnet.nn import Network, SoftmaxRegression, initialize
from xpnet.training import evaluation
from xpnet.training.evaluation import Evaluator, sample_indices


def test_a_sample_is_ascending_and_has_no_example_twice() -> None:
    rows = sample_indices(3000, 1000, seed=3)
    assert rows is not None
    assert len(rows) == len(set(rows.tolist())) == 1000
    assert (np.diff(rows) > 0).all()
    assert rows.min() >= 0
    assert rows.max() < 3000


def test_a_seed_chooses_the_same_examples() -> None:
    one, two, other = (sample_indices(3000, 50, seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one, two)
    assert one.tolist() != other.tolist()


def test_a_sample_is_independent_of_the_order_of_an_epoch() -> None:
    chosen = set(sample_indices(3000, 300, seed=0).tolist())
    for epoch in range(5):
        order = np.random.default_rng([0, epoch]).permutation(3000)  # as `Batches.shuffled`
        for part in (order[:300], order[-300:]):
            assert len(chosen & set(part.tolist())) < 90  # 30 are expected


def test_all_of_few_examples_are_taken() -> None:
    assert sample_indices(3000, 3000, seed=0) is None
    assert sample_indices(3000, 10**9, seed=0) is None


@pytest.mark.parametrize("model", [MLP, SoftmaxRegression(4, 3)])
def test_batches_are_limited_in_bytes_and_change_nothing(
    model: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, Y = blobs()
    cpu = select("cpu")
    parameters = initialize(model, cpu, seed=1)
    evaluator = Evaluator.of(model, on_device(data, cpu), Y, "float32")
    expected, sizes = evaluator(parameters), []
    real = evaluator._batches.epoch
    monkeypatch.setattr(evaluation, "BATCH_BYTES", 4 * max(4, model.widest) * 7)
    monkeypatch.setattr(
        evaluator._batches, "epoch", lambda order, size: (sizes.append(size), real(order, size))[1]
    )
    np.testing.assert_allclose(evaluator(parameters), expected, rtol=1e-5)
    assert sizes == [7]
