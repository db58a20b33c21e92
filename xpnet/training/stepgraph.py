"""Steps of a training, each launched as one: what changes from step to step lies on the device."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from xpnet.backend import as_cuda_graph

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from xpnet.arrays import Array
    from xpnet.backend import Backend
    from xpnet.data import Batch, Resident


class RecordedStep:
    """Steps on batches of one size.

    Args:
        backend: where.
        batches: of examples that lie there.
        size: of each batch.
        dtype: of the parameters.
        change: changes the parameters by a step, given the batch, the learning rate (1, 1) and the number of
            the step (1, 1); returns the cost.
        changed: the arrays that it changes, of any shapes.
        required: raise what keeps a step from being recorded.
    """

    def __init__(
        self,
        backend: Backend,
        batches: Resident,
        size: int,
        dtype: str,
        change: Callable[[Batch, Array, Array], Array],
        changed: Sequence[Array],
        *,
        required: bool,
    ) -> None:
        self._batches, self._change = batches, change
        self._indices = backend.send(np.zeros(size, np.int64))
        self._rate = backend.send(np.zeros((1, 1)), dtype=dtype)
        self._t = backend.send(np.zeros((1, 1)))
        self._cost = backend.send(np.zeros((1, 1)), dtype=dtype)
        changed = [self._t, self._cost, *changed]
        self._step = as_cuda_graph(backend, self._taken, changed, required=required)

    @property
    def problem(self) -> str:
        """Why steps are not launched as one; nothing as long as they are, or are yet to be."""
        return str(getattr(self._step, "problem", ""))

    def begin(self, rate: float, t: int) -> None:
        """Set the learning rate, and how many steps were taken before."""
        self._rate[...] = rate
        self._t[...] = float(t)

    def __call__(self, indices: Array) -> Array:
        """Take a step on the examples of some indices, (size,) on the device; return its cost, (1, 1)."""
        self._indices[...] = indices
        self._step()
        return self._cost

    def _taken(self) -> None:
        self._t += 1.0
        batch = self._batches.take(self._indices)
        self._cost[0, 0] = self._change(batch, self._rate, self._t)
