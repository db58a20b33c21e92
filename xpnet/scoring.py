"""Score raw examples with a trained network: the standardization is folded into its first layer, once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from xpnet.errors import ShapeError
from xpnet.parameters import Parameters

if TYPE_CHECKING:
    from collections.abc import Mapping

    from xpnet.arrays import Array
    from xpnet.backend import Backend
    from xpnet.models import Network
    from xpnet.standardize import Standardizer

BLOCK = {"cpu": 16, "gpu": 1024}
"""Examples that are multiplied at a time, always so many, filled up with zeros if need be.

A matrix product of another size may sum in another order, and how many others are scored beside an example
must not change its digits. With OpenBLAS a block of 16 is one tile, in which not even the place matters, and
takes about a quarter more time than 64; a GPU needs more to be busy.
"""


class Scorer:
    """A network on a device, ready for raw examples.

    With x̂ = (x - mean) scale, W x̂ + b = (W scale^T) x + (b - W (mean scale)): no example is standardized.

    Args:
        model: the network.
        parameters: W1, b1, W2, ... in host memory.
        standardizer: of the raw columns.
        backend: where to score.
        dtype: of the arithmetic.

    Attributes:
        block: how many examples are multiplied at a time.
    """

    def __init__(
        self,
        model: Network,
        parameters: Mapping[str, np.ndarray],
        standardizer: Standardizer,
        backend: Backend,
        dtype: str = "float32",
    ) -> None:
        self.model = model
        self.block = BLOCK["gpu" if backend.name == "gpu" else "cpu"]
        self._backend, self._dtype = backend, dtype
        self._center = standardizer.mean.T
        W, b = (np.asarray(parameters[name], np.float64) for name in ("W1", "b1"))
        W = W * standardizer.scale.T
        shift = np.sum(W * standardizer.mean.T, axis=1, keepdims=True)
        with backend.activate():
            sent = {name: backend.send(array, dtype=dtype) for name, array in parameters.items()}
            sent["W1"] = backend.send(W, dtype=dtype)
            self._centered = Parameters.of(model, sent)
            sent["b1"] = backend.send(b - shift, dtype=dtype)
            self._raw = Parameters.of(model, sent)

    def __call__(self, examples: np.ndarray, first: int = 0) -> np.ndarray:
        """Return probabilities (n_out, k), or the predicted numbers, in host memory.

        An example's digits do not depend on the others, or on how many there are, as long as it keeps its
        place: the remainder of its index divided by `block`.

        Args:
            examples: (k, n_x), raw: bytes or floats.
            first: index of the first of them, if others were scored before.

        Raises:
            ShapeError: they have another number of features.
        """
        k, n_x = examples.shape
        if n_x != self.model.n_x:
            msg = f"examples have {n_x} features, and the model expects {self.model.n_x}"
            raise ShapeError(msg)
        results = np.empty((self.model.n_out, k), self._dtype)
        with self._backend.activate():
            pending: tuple[slice, int, Array] | None = None
            for start in range(-(first % self.block), k, self.block):
                part = slice(max(start, 0), min(start + self.block, k))
                place = part.start - start
                scored = part, place, self._score(self._filled(examples[part], place))
                # On a GPU the next block is under way while the one before is fetched.
                if pending is not None:
                    self._fetch(*pending, results)
                pending = scored
            if pending is not None:
                self._fetch(*pending, results)
        return results

    def _filled(self, rows: np.ndarray, place: int) -> np.ndarray:
        if len(rows) == self.block:
            return rows
        block = np.zeros((self.block, rows.shape[1]), rows.dtype)
        block[place : place + len(rows)] = rows
        return block

    def _score(self, rows: np.ndarray) -> Array:
        xp = self._backend.xp
        if rows.dtype == np.uint8:
            X, parameters = self._backend.send(rows), self._raw
        else:  # floats may lie far from 0, so they are centered before they are rounded
            X, parameters = self._backend.send(rows - self._center), self._centered
        X = xp.astype(X, getattr(xp, self._dtype)).T
        return self.model.answer(self.model.forward(parameters.views, X))

    def _fetch(self, part: slice, place: int, answers: Array, results: np.ndarray) -> None:
        results[:, part] = self._backend.fetch(answers)[:, place : place + part.stop - part.start]
