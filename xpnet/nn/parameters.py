"""The parameters of a network: one buffer, views of it by name, and their initial values."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from xpnet.arrays import namespace
from xpnet.errors import ConfigurationError, ShapeError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from xpnet.arrays import Array
    from xpnet.backend import Backend
    from xpnet.nn.network import Network

INITIALIZERS: dict[str, Callable[[int, int], float]] = {
    "zeros": lambda n_out, n_in: 0.0,  # noqa: ARG005
    "he": lambda n_out, n_in: 2.0 / n_in,  # noqa: ARG005
    "xavier": lambda n_out, n_in: 2.0 / (n_out + n_in),
}
"""Variance of a layer's initial weights as a function of n_out and n_in, by the initializer's name."""


class Parameters:
    """The parameters of a network, in one buffer.

    Attributes:
        buffer: all parameters, a column (count, 1).
        views: W1, b1, W2, ... by name: views of the buffer in the shapes of `Network.shapes`.

    Raises:
        ShapeError: the buffer has another shape.
    """

    def __init__(self, model: Network, buffer: Array) -> None:
        shapes = model.shapes
        count = sum(math.prod(shape) for shape in shapes.values())
        if tuple(buffer.shape) != (count, 1):
            msg = f"parameters have shape {tuple(buffer.shape)}, expected ({count}, 1) for {model}"
            raise ShapeError(msg)
        self.buffer = buffer
        self.views: dict[str, Array] = {}
        xp, start = namespace(buffer), 0
        for name, shape in shapes.items():
            stop = start + math.prod(shape)
            self.views[name] = xp.reshape(buffer[start:stop, :], shape)
            start = stop

    def count_nonfinite(self) -> Array:
        """Return how many parameters are NaN or infinite, (1, 1), on the device, in their dtype."""
        xp, buffer = namespace(self.buffer), self.buffer
        is_bad = xp.logical_not(xp.isfinite(buffer))
        return xp.sum(xp.astype(is_bad, buffer.dtype), axis=0, keepdims=True)

    def is_finite(self, backend: Backend) -> bool:
        """Return whether all parameters are finite. One number is fetched from the device."""
        return not backend.fetch(self.count_nonfinite())[0, 0]

    @classmethod
    def of(cls, model: Network, views: Mapping[str, Array]) -> Parameters:
        """Return parameters in a new buffer. views: arrays W1, b1, W2, ... by name, which are copied."""
        xp = namespace(views["W1"])
        return cls(model, xp.concat([xp.reshape(views[name], (-1, 1)) for name in model.shapes], axis=0))


def initialize(
    model: Network, backend: Backend, kind: str = "he", seed: int = 0, dtype: str = "float32"
) -> Parameters:
    """Return initial parameters: biases 0, and random weights that are the same on every backend.

    Args:
        model: the network.
        backend: the device.
        kind: "zeros"; "he", variance 2 / n_in (He et al. 2015), for relu; "xavier", variance
            2 / (n_in + n_out) (Glorot and Bengio 2010), for tanh and sigmoid.
        seed: seed of the random numbers, which are drawn on the host.
        dtype: "float32" or "float64".

    Raises:
        ConfigurationError: the kind is unknown.
    """
    if kind not in INITIALIZERS:
        msg = f"initializer is {kind!r}, expected one of {', '.join(INITIALIZERS)}"
        raise ConfigurationError(msg)
    generator = np.random.default_rng(seed)
    parts = []
    for name, shape in model.shapes.items():
        if name.startswith("W"):
            deviation = math.sqrt(INITIALIZERS[kind](*shape))
            parts.append(deviation * generator.standard_normal(shape).reshape(-1, 1))
        else:
            parts.append(np.zeros((math.prod(shape), 1)))
    return Parameters(model, backend.send(np.concatenate(parts).astype(dtype)))
