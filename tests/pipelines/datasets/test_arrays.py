"""Datasets from arrays: the names of their classes."""

import numpy as np

from xpnet.pipelines.datasets.arrays import dataset_from_arrays


def test_labels_that_look_alike_are_one_class() -> None:
    X = np.zeros((2, 3))
    dataset = dataset_from_arrays(X, ["u\u0308", "a", "\u00fc"], "none")
    assert (dataset.classes, dataset.Y.tolist()) == (("a", "\u00fc"), [[1, 0, 1]])
    dataset = dataset_from_arrays(X, [10, 9, 10], "none")
    assert (dataset.classes, dataset.Y.tolist()) == (("9", "10"), [[1, 0, 1]])
