"""Dropout: set random hidden units to 0 in each training step, the same units on every backend."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from xpnet.arrays import namespace

if TYPE_CHECKING:
    from xpnet.arrays import Array
    from xpnet.backend import Backend


class Dropout:
    """Inverted dropout (Srivastava et al. 2014): units that are kept are divided by the share of kept units.

    The mask is a hash of the seed, the step, the layer and the position of the unit, computed on the device.
    It has no state, so a resumed training drops the same units. Only the positions are sent, once.

    Args:
        rate: share of the units to drop, at least 0 and below 1.
        seed: seed of the masks.
        backend: the device.
    """

    def __init__(self, rate: float, seed: int, backend: Backend) -> None:
        self.rate, self.seed, self._backend = rate, seed, backend
        self._positions: Array | None = None

    def mask(self, A: Array, step: int, layer: int) -> Array:
        """Return the mask of the activations A, (units, k), in their dtype: 0 or 1 / (1 - rate).

        Args:
            A: activations of a hidden layer, (units, k).
            step: number of the step, from 0.
            layer: number of the layer, from 1.
        """
        xp = namespace(A)
        units, k = A.shape
        if self._positions is None or self._positions.shape[0] < units * k:
            with self._backend.activate():
                self._positions = self._backend.send(np.arange(units * k, dtype=np.uint32))
        positions = xp.reshape(self._positions[: units * k], (units, k))
        key = int(np.random.SeedSequence([self.seed, step, layer]).generate_state(1)[0])
        keep = hashed(positions ^ key) >= int(self.rate * 2**32)
        return xp.astype(keep, A.dtype) * (1.0 / (1.0 - self.rate))


def hashed(x: Array) -> Array:
    """Return a pseudorandom uint32 for each element of x. x: uint32, any shape.

    The hash is "lowbias32" of Wellons: if a bit of x flips, each bit of the result flips with a probability
    close to 1/2.
    """
    x = (x ^ (x >> 16)) * 0x7FEB352D
    x = (x ^ (x >> 15)) * 0x846CA68B
    return x ^ (x >> 16)


def no_dropout(A: Any, layer: int) -> Any:
    """Return the activations unchanged."""
    del layer
    return A
