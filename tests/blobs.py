"""A small problem of several classes, and a network for it."""

import numpy as np

from xpnet.data import ColumnMatrix
from xpnet.nn import Layer, Network

MLP = Network(4, 3, "softmax", (Layer.parse("16:relu"),))
"""A network with a hidden layer for three classes of `blobs`."""


def blobs(m: int = 300, n_classes: int = 3, seed: int = 0) -> tuple[ColumnMatrix, np.ndarray]:
    """Return points around as many centres as there are classes, and their classes."""
    generator = np.random.default_rng(seed)
    Y = generator.integers(0, n_classes, (1, m))
    centres = 6.0 * np.eye(n_classes, 4)
    return ColumnMatrix((centres[Y[0]] + generator.standard_normal((m, 4))).astype("float32")), Y
