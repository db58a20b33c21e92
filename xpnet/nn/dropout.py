"""Dropout: silence random hidden units during training, the same ones on every backend."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from xpnet.arrays import namespace

if TYPE_CHECKING:
    from xpnet.arrays import Array
    from xpnet.backend import Backend


class Dropout:
    """Inverted dropout (Srivastava et al. 2014): what stays is divided by the share that stays.

    The mask is a hash of seed, step, layer and place, computed on the device: no state, so that a resumed
    training drops the same units, and no crossing.

    Args:
        rate: share of the units to silence, at least 0 and below 1.
        seed: of the masks.
        backend: where they are made.
    """

    def __init__(self, rate: float, seed: int, backend: Backend) -> None:
        self.rate, self.seed, self._backend = rate, seed, backend
        self._places: Array | None = None

    def mask(self, A: Array, step: int, layer: int) -> Array:
        """Return 0 or 1 / (1 - rate) for each of the activations A (units, k), in their dtype."""
        xp = namespace(A)
        units, k = A.shape
        if self._places is None or self._places.shape[0] < units * k:
            with self._backend.activate():
                self._places = self._backend.send(np.arange(units * k, dtype=np.uint32))
        places = xp.reshape(self._places[: units * k], (units, k))
        key = int(np.random.SeedSequence([self.seed, step, layer]).generate_state(1)[0])
        keep = hashed(places ^ key) >= int(self.rate * 2**32)
        return xp.astype(keep, A.dtype) * (1.0 / (1.0 - self.rate))


def hashed(x: Array) -> Array:
    """Return uint32 numbers that look random, one for each of x: uint32, any shape.

    The "lowbias32" mixing of Wellons, which flips each output bit with a probability close to one half.
    """
    x = (x ^ (x >> 16)) * 0x7FEB352D
    x = (x ^ (x >> 15)) * 0x846CA68B
    return x ^ (x >> 16)


def no_dropout(A: Any, layer: int) -> Any:
    """Return the activations as they are."""
    del layer
    return A
