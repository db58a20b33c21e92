"""Datasets: the numbers of examples of each class."""

import numpy as np

from xpnet.pipelines.datasets.dataset import class_counts


def test_counts_are_of_every_class() -> None:
    assert class_counts(np.array([2, 0, 2]), ("a", "b", "c", "d")) == [1, 0, 2, 0]
    assert class_counts(np.array([0.5, 2.0]), ()) == []
