"""Batches of standardized columns on a device: of data that lies there, or that streams through it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from xpnet.arrays import namespace
from xpnet.kernels import dispatched

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np

    from xpnet.arrays import Array
    from xpnet.backend import Backend
    from xpnet.data.column_matrix import ColumnMatrix

CHUNK_BYTES = 64 << 20
"""How much raw data streams to the device at a time, about."""


class Batch(NamedTuple):
    """Some examples on a device.

    Attributes:
        X: standardized columns x̂ (n_x, k).
        Y: their labels (1, k), or targets (n_out, k).
        weights: how much each counts, (1, k), or None.
    """

    X: Array
    Y: Array
    weights: Array | None


class Batches(Protocol):
    """Where batches come from."""

    def epoch(self, order: np.ndarray | None, size: int) -> Iterator[Batch]:
        """Yield all examples, `size` at a time, in an order (m,) given in host memory, or as they are."""


class BatchStandardizer:
    """What standardizes raw examples on a device.

    Args:
        data: what the standardization belongs to.
        backend: where.
        dtype: of the standardized examples, "float32" or "float64".
    """

    def __init__(self, data: ColumnMatrix, backend: Backend, dtype: str) -> None:
        standardizer = data.standardizer
        # Floats may lie far from 0: their mean is subtracted before they are cast.
        floats = data.examples.dtype != "uint8"
        own = data.examples.dtype.name if floats else dtype
        self._mean = None if standardizer.is_uniform else backend.send(standardizer.mean.T, dtype=own)
        uniform = float(standardizer.scale[0, 0]) if standardizer.is_uniform else None
        self._scale = uniform if uniform is not None else backend.send(standardizer.scale.T, dtype=dtype)
        self._dtype: Any = getattr(backend.xp, dtype)

    def columns(self, examples: Array, indices: Array | None = None) -> Array:
        """Return standardized columns of raw examples (m, n_x), of all or of those of some indices (k,)."""
        # The batch is cast in any case, so standardizing it costs less than folding the standardization
        # into the first layer's weights, which change with each step.
        rows: Array = gather(examples, indices, self._mean, self._scale, self._dtype)
        return rows.T

    def in_order(self, examples: Array, labels: Array, weights: Array | None, size: int) -> Iterator[Batch]:
        """Yield batches of examples as they lie on the device."""
        m = examples.shape[0]
        for start in range(0, m, size):
            part = slice(start, min(start + size, m))
            taken = None if weights is None else weights[:, part]
            yield Batch(self.columns(examples[part, :]), labels[:, part], taken)


class Resident:
    """Examples that lie on the device, raw, and were sent there once.

    Args:
        data: the examples.
        Y: their labels, in host memory, in the dtype that the loss takes.
        weights: of the examples, in host memory, or None.
        backend: where to.
        dtype: of the batches, "float32" or "float64".
    """

    def __init__(
        self, data: ColumnMatrix, Y: np.ndarray, weights: np.ndarray | None, backend: Backend, dtype: str
    ) -> None:
        self._backend = backend
        self._examples, self._labels = backend.send(data.examples), backend.send(Y)
        self._weights = None if weights is None else backend.send(weights, dtype=dtype)
        self._standardizing = BatchStandardizer(data, backend, dtype)

    def epoch(self, order: np.ndarray | None, size: int) -> Iterator[Batch]:
        """As `Batches.epoch`."""
        if order is None:
            yield from self._standardizing.in_order(self._examples, self._labels, self._weights, size)
            return
        sent = self._backend.send(order)
        for start in range(0, len(order), size):
            yield self.take(sent[start : min(start + size, len(order))])

    def take(self, indices: Array) -> Batch:
        """Return the batch of some examples. indices: (k,), on the device."""
        xp = namespace(self._examples)
        weights = None if self._weights is None else xp.take(self._weights, indices, axis=1)
        X = self._standardizing.columns(self._examples, indices)
        return Batch(X, xp.take(self._labels, indices, axis=1), weights)


class Streamed:
    """Examples that do not fit the device: gathered in host memory, and sent some batches at a time.

    Args: as for `Resident`.
    """

    def __init__(
        self, data: ColumnMatrix, Y: np.ndarray, weights: np.ndarray | None, backend: Backend, dtype: str
    ) -> None:
        self._data, self._Y, self._backend = data, Y, backend
        self._weights = None if weights is None else weights.astype(dtype)
        self._standardizing = BatchStandardizer(data, backend, dtype)

    def epoch(self, order: np.ndarray | None, size: int) -> Iterator[Batch]:
        """As `Batches.epoch`."""
        rows = size * max(1, CHUNK_BYTES // (size * self._data.n_x * self._data.examples.itemsize))
        for examples, labels, weights in self._backend.stream(self._chunks(order, rows)):
            yield from self._standardizing.in_order(examples, labels, weights, size)

    def _chunks(
        self, order: np.ndarray | None, rows: int
    ) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray | None]]:
        for start in range(0, self._data.m, rows):
            part: Any = slice(start, start + rows) if order is None else order[start : start + rows]
            weights = None if self._weights is None else self._weights[:, part]
            yield self._data.examples[part], self._Y[:, part], weights


@dispatched
def gather(
    examples: Array, indices: Array | None, mean: Array | None, scale: float | Array, dtype: Any
) -> Array:
    """Return (x - mean) scale of some examples, a new array (k, n_x).

    Args:
        examples: (m, n_x), raw: bytes or floats.
        indices: of the examples to take, (k,) int64, or None for all, in order.
        mean: (1, n_x), or None for 0. Floats may lie far from 0: theirs is in their own dtype, and subtracted
            before they are cast; that of bytes is in the dtype of the result.
        scale: a number, or (1, n_x) in the dtype of the result.
        dtype: of the result, the library's.
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
    data: ColumnMatrix,
    Y: np.ndarray,
    weights: np.ndarray | None,
    backend: Backend,
    dtype: str,
    resident_bytes: int | None = None,
) -> Resident | Streamed:
    """Return the examples resident on the device if they fit, else streamed through it.

    Args:
        data: the examples.
        Y: their labels, in host memory, in the dtype that the loss takes.
        weights: of the examples, in host memory, or None.
        backend: where to.
        dtype: of the batches.
        resident_bytes: most raw bytes to keep there; None for three quarters of the device's free memory.
    """
    kind = Resident if fits_on_device(data, backend, resident_bytes) else Streamed
    return kind(data, Y, weights, backend, dtype)


def fits_on_device(data: ColumnMatrix, backend: Backend, resident_bytes: int | None = None) -> bool:
    """Return whether raw examples may lie on a device as a whole; arguments as for `batches`."""
    if resident_bytes is None:
        free = backend.free_bytes()
        resident_bytes = data.examples.nbytes if free is None else free * 3 // 4
    return data.examples.nbytes <= resident_bytes
