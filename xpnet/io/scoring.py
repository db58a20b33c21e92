"""Predictions for raw examples: the standardization is folded into the first layer of the network, once."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from xpnet.errors import ShapeError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from xpnet.arrays import Array
    from xpnet.backend import Backend
    from xpnet.data import Standardizer
    from xpnet.nn import Network

BLOCK_EXAMPLES = {"cpu": 16, "gpu": 1024}
"""Number of examples in a block. All matrix products have this size; a smaller block is filled with zeros.

A matrix product of another size may sum in another order. Then the digits of an example would depend on the
number of examples that are computed with it. With OpenBLAS, 16 examples are one tile: there even the position
in the block does not matter, and it takes only a quarter more time than 64. A GPU needs more to be busy.
"""

BLOCK_BYTES = {"cpu": 32 << 20, "gpu": 256 << 20}
"""Limit of the size of a block in bytes. Examples of very many features have smaller blocks."""


TRANSFORMED_EXAMPLES = 1024
"""How many examples are transformed at a time, at most."""

FOLDED_FEATURES = 1 << 16
"""How many columns of weights are folded at a time, in float64."""


class Scorer:
    """A network on a device that takes raw examples.

    No example is standardized: with x̂ = (x - mean) scale, W x̂ + b = (W scale^T) x + (b - W (mean scale)).

    Args:
        model: the network.
        parameters: W1, b1, W2, ... by name, in host memory.
        standardizer: the standardization of the raw columns.
        backend: the device.
        dtype: dtype of the arithmetic, "float32" or "float64".
        transform: turns raw examples (k, n) into those that the network takes, (k, n_x); None if they are.

    Attributes:
        model: the network.
        block: number of examples in a block; see `BLOCK_EXAMPLES` and `BLOCK_BYTES`.
    """

    def __init__(
        self,
        model: Network,
        parameters: Mapping[str, np.ndarray],
        standardizer: Standardizer,
        backend: Backend,
        dtype: str = "float32",
        transform: Callable[[np.ndarray], np.ndarray] | None = None,
    ) -> None:
        self.model, self._transform = model, transform
        device = "gpu" if backend.name == "gpu" else "cpu"
        row_bytes = max(model.n_x, model.widest) * np.dtype(dtype).itemsize
        self.block = max(1, min(BLOCK_EXAMPLES[device], BLOCK_BYTES[device] // row_bytes))
        self._backend, self._dtype = backend, dtype
        self._center = standardizer.mean.T
        self._blanks: dict[str, Array] = {}
        W, shift = fold_standardization(parameters["W1"], standardizer, dtype)
        with backend.activate():
            self._centered = {
                name: backend.send(W if name == "W1" else array, dtype=dtype)
                for name, array in parameters.items()
            }
            self._raw = {**self._centered, "b1": backend.send(parameters["b1"] - shift, dtype=dtype)}

    def __call__(self, examples: Array, first: int = 0) -> np.ndarray:
        """Return probabilities (for regression the predicted numbers), (n_out, k), in host memory.

        The digits of an example do not depend on the other examples or on their number, if its position in
        the block, which is its index modulo `block`, is the same.

        Args:
            examples: raw examples, (k, n_x), bytes or floats: of NumPy, or of CuPy on the device of the
                network, where they stay.
            first: index of the first example, if others were computed before.

        Raises:
            ShapeError: the examples have another number of features.
        """
        if self._transform is not None or not isinstance(examples, np.ndarray):
            return self._in_parts(examples, first)
        k = self._count(examples)
        results = np.empty((self.model.n_out, k), self._dtype)
        with self._backend.activate():
            pending: tuple[slice, int, Array] | None = None
            parts = self._parts(k, first)
            blocks = self._backend.stream((self._raw_rows(examples[part]),) for part, _ in parts)
            for (part, position), (rows,) in zip(parts, blocks, strict=True):
                scored = part, position, self._score(rows, position)
                # On a GPU the next block is computed while the one before is fetched.
                if pending is not None:
                    self._fetch(*pending, results)
                pending = scored
            if pending is not None:
                self._fetch(*pending, results)
        return results

    def begin(self, examples: Array, first: int = 0) -> Callable[[], np.ndarray]:
        """Start the computation, and return a function that waits for its result and returns it.

        On a GPU the computation continues in the meantime. Arguments, result and errors: see `__call__`.
        """
        if self._transform is not None:
            examples = self._transform(examples)
        k = self._count(examples)
        with self._backend.activate():
            begun = [
                (part, position, self._score(self._backend.send(self._raw_rows(examples[part, :])), position))
                for part, position in self._parts(k, first)
            ]

        def fetched() -> np.ndarray:
            results = np.empty((self.model.n_out, k), self._dtype)
            with self._backend.activate():
                for each in begun:
                    self._fetch(*each, results)
            return results

        return fetched

    def _in_parts(self, examples: Array, first: int) -> np.ndarray:
        """Return what `__call__` does; the transformed examples of all parts do not take memory together."""
        k = examples.shape[0]
        results = np.empty((self.model.n_out, k), self._dtype)
        for start in range(0, k, TRANSFORMED_EXAMPLES):
            part = slice(start, min(start + TRANSFORMED_EXAMPLES, k))
            results[:, part] = self.begin(examples[part, :], first + start)()
        return results

    def _count(self, examples: Array) -> int:
        """Return the number of examples; raise `ShapeError` if their features are not those of the model."""
        n_x = examples.shape[1]
        if n_x != self.model.n_x:
            msg = f"examples have {n_x} features, and the model expects {self.model.n_x}"
            raise ShapeError(msg)
        return int(examples.shape[0])

    def _parts(self, k: int, first: int) -> list[tuple[slice, int]]:
        """Return for each block the slice of its examples, and the position of the first one in the block."""
        starts = range(-(first % self.block), k, self.block)
        parts = [slice(max(start, 0), min(start + self.block, k)) for start in starts]
        return [(part, part.start - start) for part, start in zip(parts, starts, strict=True)]

    def _raw_rows(self, examples: Array) -> Array:
        # Floats may be far from 0, so they are centered before they are rounded to the dtype.
        if examples.dtype == np.uint8:
            return examples
        return examples - (self._center if isinstance(examples, np.ndarray) else self._center_there)

    @cached_property
    def _center_there(self) -> Array:
        """The mean of the raw rows on the device, (1, n_x) or (1, 1) float64, for rows that are there."""
        return self._backend.send(self._center)

    def _score(self, rows: Array, position: int) -> Array:
        """Return the outputs of a block, (n_out, block): raw rows from a position on, and zeros elsewhere."""
        xp = self._backend.xp
        parameters = self._raw if rows.dtype == xp.uint8 else self._centered
        if rows.shape[0] < self.block:
            block = xp.zeros_like(self._blank(rows.dtype))
            block[position : position + rows.shape[0], :] = rows
            rows = block
        X = xp.astype(rows, getattr(xp, self._dtype)).T
        return self.model.activate_output(self.model.forward(parameters, X))

    def _blank(self, dtype: Any) -> Array:
        """Return a block of zeros on the device, (block, n_x). It is sent once and never changed."""
        name = np.dtype(str(dtype).rpartition(".")[2]).name
        if name not in self._blanks:
            self._blanks[name] = self._backend.send(np.zeros((self.block, self.model.n_x), name))
        return self._blanks[name]

    def _fetch(self, part: slice, position: int, outputs: Array, results: np.ndarray) -> None:
        results[:, part] = self._backend.fetch(outputs)[:, position : position + part.stop - part.start]


def fold_standardization(
    W: np.ndarray, standardizer: Standardizer, dtype: str
) -> tuple[np.ndarray, np.ndarray]:
    """Return W scale^T (n, n_x) in a dtype, and W (mean scale) (n, 1) float64. W: (n, n_x)."""
    folded, shift = np.empty(W.shape, dtype), np.zeros((len(W), 1))
    shape = 1, W.shape[1]
    mean, scale = np.broadcast_to(standardizer.mean.T, shape), np.broadcast_to(standardizer.scale.T, shape)
    for start in range(0, W.shape[1], FOLDED_FEATURES):
        part = np.s_[:, start : start + FOLDED_FEATURES]
        product = W[part].astype(np.float64) * scale[part]
        folded[part] = product
        shift += np.sum(product * mean[part], axis=1, keepdims=True)
    return folded, shift
