"""Batches of standardized columns on a device. The raw examples stay on the device, or are sent in chunks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

from xpnet.arrays import namespace
from xpnet.data.device_matrix import DeviceMatrix
from xpnet.data.mapped_rows import run_rows, shuffled_in_runs
from xpnet.kernels import dispatched

if TYPE_CHECKING:
    from collections.abc import Iterator

    from xpnet.arrays import Array


class Batch(NamedTuple):
    """Some examples on a device.

    Attributes:
        X: standardized columns, (n_x, k).
        Y: their labels (1, k), or targets (n_out, k).
        weights: weight of each example, (1, k), or None for equal weights.
    """

    X: Array
    Y: Array
    weights: Array | None


class Batches(Protocol):
    """A source of batches."""

    def epoch(self, order: np.ndarray | None, size: int) -> Iterator[Batch]:
        """Yield all examples in batches of `size`; the last batch may be smaller.

        Args:
            order: indices of the examples, (m,), in host memory; None for the stored order.
            size: examples in a batch.
        """

    def subset(self, rows: np.ndarray) -> Batches:
        """Return a source of batches of some examples. rows: their indices, (k,), in host memory."""

    def shuffled(self, seed: int, epoch: int, size: int) -> np.ndarray | None:
        """Return the order of the examples in an epoch, (m,); None, which is the stored order, for one batch.

        It only depends on the arguments, and on how the examples are read; see `run`.

        Args:
            seed: the seed.
            epoch: number of the epoch.
            size: examples in a batch.
        """

    def run(self, size: int) -> int:
        """Return how many neighbours stay near each other in a shuffled order. size: examples in a batch."""


class BatchStandardizer:
    """Standardizes raw examples on a device.

    Args:
        data: the examples that the standardization belongs to.
        dtype: dtype of the standardized examples, "float32" or "float64".
    """

    def __init__(self, data: DeviceMatrix, dtype: str) -> None:
        standardizer, backend = data.standardizer, data.backend
        # Floats may be far from 0. Their mean is subtracted in their own dtype, before the cast.
        raw = data.host.examples.dtype
        own = dtype if raw == "uint8" else raw.name
        self._mean = None if standardizer.is_uniform else backend.send(standardizer.mean.T, dtype=own)
        uniform = float(standardizer.scale[0, 0]) if standardizer.is_uniform else None
        self._scale = uniform if uniform is not None else backend.send(standardizer.scale.T, dtype=dtype)
        self._dtype: Any = getattr(backend.xp, dtype)

    def columns(self, examples: Array, indices: Array | None = None) -> Array:
        """Return standardized columns, (n_x, k).

        Args:
            examples: raw examples on the device, (m, n_x).
            indices: indices of the examples to take, (k,) on the device; None for all.
        """
        # A batch is cast in any case. Standardizing it then costs less than folding the standardization
        # into the weights of the first layer, because these change in each step.
        rows: Array = gather(examples, indices, self._mean, self._scale, self._dtype)
        return rows.T

    def in_order(self, examples: Array, labels: Array, weights: Array | None, size: int) -> Iterator[Batch]:
        """Yield batches of examples on the device, in the order in which they are stored."""
        m = examples.shape[0]
        for start in range(0, m, size):
            part = slice(start, min(start + size, m))
            taken = None if weights is None else weights[:, part]
            yield Batch(self.columns(examples[part, :]), labels[:, part], taken)


class Resident:
    """Batches of examples that stay on the device.

    Args:
        data: the examples.
        Y: their labels (1, m), or targets (n_out, m), in host memory, in the dtype that the loss takes.
        weights: weights of the examples, (1, m), in host memory, or None.
        dtype: dtype of the batches, "float32" or "float64".
    """

    def __init__(self, data: DeviceMatrix, Y: np.ndarray, weights: np.ndarray | None, dtype: str) -> None:
        self._backend, self._examples = data.backend, data.examples
        self._labels = data.backend.send(Y)
        self._weights = None if weights is None else data.backend.send(weights, dtype=dtype)
        self._standardizer = BatchStandardizer(data, dtype)

    def epoch(self, order: np.ndarray | None, size: int) -> Iterator[Batch]:
        """See `Batches.epoch`."""
        if order is None:
            yield from self._standardizer.in_order(self._examples, self._labels, self._weights, size)
        else:
            yield from self.subset(order).epoch(None, size)

    def subset(self, rows: np.ndarray) -> Subset:
        """See `Batches.subset`. Only the indices are sent."""
        return Subset(self, rows)

    def shuffled(self, seed: int, epoch: int, size: int) -> np.ndarray | None:
        """See `Batches.shuffled`."""
        return _permutation(seed, epoch, self._examples.shape[0], size)

    def run(self, size: int) -> int:
        """See `Batches.run`: single examples are shuffled."""
        del size
        return 1

    def send(self, rows: np.ndarray) -> Array:
        """Send indices of examples, (k,), to the device."""
        return self._backend.send(rows)

    def take(self, indices: Array) -> Batch:
        """Return the batch of some examples. indices: (k,), on the device."""
        xp = namespace(self._examples)
        weights = None if self._weights is None else xp.take(self._weights, indices, axis=1)
        X = self._standardizer.columns(self._examples, indices)
        return Batch(X, xp.take(self._labels, indices, axis=1), weights)


class Subset:
    """Batches of some of the examples that stay on a device.

    Args:
        whole: batches of all of them.
        rows: indices of the examples, (k,), in host memory; sent once.
    """

    def __init__(self, whole: Resident, rows: np.ndarray) -> None:
        self._whole, self._rows, self._sent = whole, rows, whole.send(rows)

    def epoch(self, order: np.ndarray | None, size: int) -> Iterator[Batch]:
        """See `Batches.epoch`."""
        if order is not None:
            yield from self.subset(order).epoch(None, size)
            return
        k = len(self._rows)
        for start in range(0, k, size):
            yield self._whole.take(self._sent[start : min(start + size, k)])

    def subset(self, rows: np.ndarray) -> Subset:
        """See `Batches.subset`."""
        return Subset(self._whole, self._rows[rows])

    def shuffled(self, seed: int, epoch: int, size: int) -> np.ndarray | None:
        """See `Batches.shuffled`."""
        return _permutation(seed, epoch, len(self._rows), size)

    def run(self, size: int) -> int:
        """See `Batches.run`."""
        return self._whole.run(size)


class Streamed:
    """Batches of examples that do not fit on the device, or not into memory. They are sent in chunks.

    Those of a file are read a chunk at a time. While one is used, the system reads the next one.

    Args: those of `Resident`.
    """

    def __init__(self, data: DeviceMatrix, Y: np.ndarray, weights: np.ndarray | None, dtype: str) -> None:
        self._data, self._Y, self._dtype = data, Y, dtype
        self._weights = None if weights is None else weights.astype(dtype)
        self._standardizer = BatchStandardizer(data, dtype)

    def epoch(self, order: np.ndarray | None, size: int) -> Iterator[Batch]:
        """See `Batches.epoch`."""
        chunks = self._chunks(order, self._chunk_rows(size))
        for examples, labels, weights in self._data.backend.stream(chunks):
            yield from self._standardizer.in_order(examples, labels, weights, size)

    def subset(self, rows: np.ndarray) -> Batches:
        """See `Batches.subset`. The examples are copied, and sent if they fit on the device."""
        whole = self._data
        part = DeviceMatrix(whole.host.part(rows), whole.backend, whole.resident_bytes, whole.chunk_bytes)
        weights = None if self._weights is None else self._weights[:, rows]
        return make_batches(part, self._Y[:, rows], weights, self._dtype)

    def shuffled(self, seed: int, epoch: int, size: int) -> np.ndarray | None:
        """See `Batches.shuffled`."""
        if self._data.mapped is None or size >= self._data.m:
            return _permutation(seed, epoch, self._data.m, size)
        return shuffled_in_runs(seed, epoch, self._data.m, self._chunk_rows(size))

    def run(self, size: int) -> int:
        """See `Batches.run`. Rows of a file are shuffled in runs, because random ones are slow to read."""
        return 1 if self._data.mapped is None else run_rows(self._chunk_rows(size))

    def _chunk_rows(self, size: int) -> int:
        """Return the rows of a chunk: whole batches, of about `chunk_bytes`."""
        return size * max(1, self._data.chunk_bytes // (size * self._data.host.row_bytes))

    def _chunks(
        self, order: np.ndarray | None, rows: int
    ) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray | None]]:
        examples, m, mapped = self._data.host.examples, self._data.m, self._data.mapped
        parts: list[Any] = [slice(start, start + rows) for start in range(0, m, rows)]
        if order is not None:
            parts = [order[part] for part in parts]
            if mapped is not None:
                mapped.read_ahead(parts[0])
        for i, part in enumerate(parts):
            weights = None if self._weights is None else self._weights[:, part]
            if mapped is None or order is None:
                yield examples[part], self._Y[:, part], weights
                continue
            if i + 1 < len(parts):
                mapped.read_ahead(parts[i + 1])
            yield mapped.take(part), self._Y[:, part], weights


def _permutation(seed: int, epoch: int, m: int, size: int) -> np.ndarray | None:
    """Return a random order of m examples; None if one batch has them all."""
    return None if size >= m else np.random.default_rng([seed, epoch]).permutation(m)


@dispatched
def gather(
    examples: Array, indices: Array | None, mean: Array | None, scale: float | Array, dtype: Any
) -> Array:
    """Return (x - mean) scale of some examples, a new array (k, n_x).

    Args:
        examples: (m, n_x), raw: bytes or floats.
        indices: indices of the examples to take, (k,) int64; None for all, in order.
        mean: (1, n_x), or None for 0. For floats it has their dtype and is subtracted before the cast,
            because they may be far from 0. For bytes it has the dtype of the result.
        scale: a number, or (1, n_x) in the dtype of the result.
        dtype: dtype of the result, an object of the array library.
    """
    xp = namespace(examples)
    rows = examples if indices is None else xp.take(examples, indices, axis=0)
    if mean is not None and rows.dtype != xp.uint8:
        rows = xp.astype(rows - mean, dtype, copy=False)
    else:
        rows = xp.astype(rows, dtype)
        if mean is not None:
            rows -= mean
    if not isinstance(scale, float) or scale != 1.0:
        rows *= scale
    return rows


def make_batches(
    data: DeviceMatrix, Y: np.ndarray, weights: np.ndarray | None, dtype: str
) -> Resident | Streamed:
    """Return a source of batches of the examples: `Resident` if they stay on the device, else `Streamed`.

    Args: those of `Resident`.
    """
    return (Resident if data.is_resident else Streamed)(data, Y, weights, dtype)
