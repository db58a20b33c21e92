"""Score raw examples with a trained network: the standardization is folded into its first layer, once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from xpnet.errors import ShapeError
from xpnet.nn import Parameters

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from xpnet.arrays import Array
    from xpnet.backend import Backend
    from xpnet.data import Standardizer
    from xpnet.nn import Network

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
        self._blanks: dict[str, Array] = {}
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
        k = self._count(examples)
        results = np.empty((self.model.n_out, k), self._dtype)
        with self._backend.activate():
            pending: tuple[slice, int, Array] | None = None
            parts = self._parts(k, first)
            blocks = self._backend.stream((self._raw_rows(examples[part]),) for part, _ in parts)
            for (part, place), (rows,) in zip(parts, blocks, strict=True):
                scored = part, place, self._score(rows, place)
                # On a GPU the next block is under way while the one before is fetched.
                if pending is not None:
                    self._fetch(*pending, results)
                pending = scored
            if pending is not None:
                self._fetch(*pending, results)
        return results

    def begin(self, examples: np.ndarray, first: int = 0) -> Callable[[], np.ndarray]:
        """Begin to score; return a function that waits for what calling would return.

        On a GPU the work goes on meanwhile. Arguments and errors as for calling.
        """
        k = self._count(examples)
        with self._backend.activate():
            begun = [
                (part, place, self._score(self._backend.send(self._raw_rows(examples[part])), place))
                for part, place in self._parts(k, first)
            ]

        def fetched() -> np.ndarray:
            results = np.empty((self.model.n_out, k), self._dtype)
            with self._backend.activate():
                for each in begun:
                    self._fetch(*each, results)
            return results

        return fetched

    def _count(self, examples: np.ndarray) -> int:
        """Return how many examples there are, if they have the features of the model."""
        n_x = examples.shape[1]
        if n_x != self.model.n_x:
            msg = f"examples have {n_x} features, and the model expects {self.model.n_x}"
            raise ShapeError(msg)
        return len(examples)

    def _parts(self, k: int, first: int) -> list[tuple[slice, int]]:
        """Return the examples of each block, and their place in it."""
        starts = range(-(first % self.block), k, self.block)
        parts = [slice(max(start, 0), min(start + self.block, k)) for start in starts]
        return [(part, part.start - start) for part, start in zip(parts, starts, strict=True)]

    def _raw_rows(self, examples: np.ndarray) -> np.ndarray:
        # Floats may lie far from 0, so they are centered before they are rounded.
        return examples if examples.dtype == np.uint8 else examples - self._center

    def _score(self, rows: Array, place: int) -> Array:
        """Return the answers to a block that holds raw rows from a place on, and zeros elsewhere."""
        xp = self._backend.xp
        parameters = self._raw if rows.dtype == xp.uint8 else self._centered
        if rows.shape[0] < self.block:
            block = xp.zeros_like(self._blank(rows.dtype))
            block[place : place + rows.shape[0], :] = rows
            rows = block
        X = xp.astype(rows, getattr(xp, self._dtype)).T
        return self.model.activate_output(self.model.forward(parameters.views, X))

    def _blank(self, dtype: Any) -> Array:
        """Return a block of zeros on the device: its shape is what is asked for, and never changes."""
        name = np.dtype(str(dtype).rpartition(".")[2]).name
        if name not in self._blanks:
            self._blanks[name] = self._backend.send(np.zeros((self.block, self.model.n_x), name))
        return self._blanks[name]

    def _fetch(self, part: slice, place: int, answers: Array, results: np.ndarray) -> None:
        results[:, part] = self._backend.fetch(answers)[:, place : place + part.stop - part.start]
