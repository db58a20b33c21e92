"""Which examples parameters are judged by."""

import numpy as np

from xpnet.data.column_matrix import ColumnMatrix
from xpnet.training.evaluation import sample_examples
from xpnet.training.trainer import shuffled

ROWS = np.arange(3000.0)[:, None]
DATA, Y = ColumnMatrix(ROWS), np.concatenate([ROWS.T, -ROWS.T])


def test_a_sample_has_its_own_labels_and_no_example_twice() -> None:
    data, labels = sample_examples(DATA, Y, 1000, seed=3)
    numbers = data.examples[:, 0]
    assert data.m == len(set(numbers)) == 1000
    np.testing.assert_array_equal(labels, [numbers, -numbers])
    assert data.standardizer is DATA.standardizer


def test_a_seed_chooses_the_same_ones() -> None:
    one, two, other = (sample_examples(DATA, Y, 50, seed)[0].examples for seed in (0, 0, 1))
    np.testing.assert_array_equal(one, two)
    assert set(one[:, 0]) != set(other[:, 0])


def test_it_is_no_part_of_an_epochs_order() -> None:
    chosen = set(sample_examples(DATA, Y, 300, seed=0)[0].examples[:, 0])
    for epoch in range(5):
        order = shuffled(0, epoch, 3000, 256)
        assert order is not None
        for part in (order[:300], order[-300:]):
            assert len(chosen & set(part)) < 90  # 30 are expected


def test_few_examples_are_taken_as_they_are() -> None:
    for count in (3000, 10**9):
        data, labels = sample_examples(DATA, Y, count, seed=0)
        assert data is DATA
        assert labels is Y
