"""Column matrices: raw columns, one example each, and the standardization that belongs to them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from xpnet.arrays import namespace, require_matrix
from xpnet.backend import backend_of
from xpnet.data.mapped_rows import MappedRows, scratch
from xpnet.data.standardize import Standardizer, fit_standardizer
from xpnet.errors import DtypeError, ShapeError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from xpnet.arrays import Array


BLOCK_BYTES = 8 << 20
"""Approximate size in bytes of a block of `ColumnMatrix.blocks`."""


@dataclass(frozen=True, eq=False)
class ColumnMatrix:
    """Raw columns with their standardization.

    A matrix (n_x, m) whose columns are contiguous has the bytes of a C-order array (m, n_x), so `examples`
    holds one example a row, and `X` is its transpose without a copy.

    Attributes:
        examples: (m, n_x) uint8, float32 or float64: in host memory, where it may be a `numpy.memmap`, or an
            array of CuPy. That is used on its device: it is not copied to the host.
        standardizer: the standardization of the columns; by default it changes nothing.
        memory: how many bytes of a file's examples may stay in memory; None for half of the machine's.

    Raises:
        ShapeError: `examples` is not a matrix or is empty, or the standardizer was fitted to another n_x.
        DtypeError: `examples` has another dtype.
        ArrayTypeError: `examples` is no array of NumPy or CuPy.
    """

    examples: Array
    standardizer: Standardizer = field(default_factory=lambda: fit_standardizer([], "none"))
    memory: int | None = None

    def __post_init__(self) -> None:
        backend_of(self.examples, "ColumnMatrix: examples: ")
        require_matrix("ColumnMatrix", "examples", self.examples)
        m, n_x = self.examples.shape
        if not m or not n_x:
            msg = f"ColumnMatrix: {m} examples of {n_x} features: expected at least one of each"
            raise ShapeError(msg)
        if self.examples.dtype not in (np.uint8, np.float32, np.float64):
            msg = f"ColumnMatrix: examples are {self.examples.dtype}, expected uint8, float32 or float64"
            raise DtypeError(msg)
        if self.standardizer.scale.shape[0] not in (1, n_x):
            msg = (
                f"ColumnMatrix: examples have {n_x} features, "
                f"and the standardizer was fitted to {self.standardizer.scale.shape[0]}"
            )
            raise ShapeError(msg)

    @classmethod
    def of(cls, X: Array, standardize: str = "none", channels: int = 1) -> ColumnMatrix:
        """Return the column matrix of X, and fit its standardization.

        Args:
            X: (n_x, m) uint8 or floats, of NumPy or CuPy. Its memory is shared if the columns are contiguous,
                as in the transpose of a C-order array (m, n_x). Otherwise it is copied once, because batches
                of columns that are not contiguous are slow to gather.
            standardize: "none", "unit", "channel" or "feature"; see `xpnet.data.STANDARDIZATIONS`.
            channels: channels of the images, for "channel".

        Raises:
            ShapeError, DtypeError: as for `ColumnMatrix`, and as for `fit_standardizer`.
        """
        xp = namespace(X, "ColumnMatrix: X: ")
        require_matrix("ColumnMatrix", "X", X)
        with backend_of(X).activate():
            raw = cls(xp.ascontiguousarray(X.T))
        return raw.standardized_as(fit_standardizer(raw.blocks(), standardize, channels))

    def standardized_as(self, standardizer: Standardizer) -> ColumnMatrix:
        """Return the same raw columns with another standardization, such as that of the training set."""
        return replace(self, standardizer=standardizer)

    def limited_to(self, memory: int | None) -> ColumnMatrix:
        """Return the same columns with another limit of the memory."""
        return replace(self, memory=memory)

    @property
    def is_in_host_memory(self) -> bool:
        """Whether the examples are in host memory, or in a file that is mapped there."""
        return isinstance(self.examples, np.ndarray)

    def in_host_memory(self) -> ColumnMatrix:
        """Return the same columns in host memory: itself, or a copy of what is on a device."""
        if self.is_in_host_memory:
            return self
        return replace(self, examples=backend_of(self.examples).fetch(self.examples))

    @property
    def X(self) -> Array:  # noqa: N802  (the field's name)
        """The raw columns, (n_x, m); a view."""
        return self.examples.T

    @property
    def n_x(self) -> int:
        """Features: rows of X."""
        return int(self.examples.shape[1])

    @property
    def m(self) -> int:
        """Examples: columns of X."""
        return int(self.examples.shape[0])

    @property
    def row_bytes(self) -> int:
        """Bytes of a raw example."""
        return self.n_x * int(self.examples.itemsize)

    def standardized(self) -> np.ndarray:
        """Return the standardized matrix, (n_x, m) float64, in host memory: eight times as large as uint8."""
        return self.standardizer.apply(self.in_host_memory().X)

    def part(self, rows: slice | np.ndarray) -> ColumnMatrix:
        """Return some of the examples with their standardization: a view for a slice, a copy for indices.

        A copy of rows of a mapped file that takes too much memory is a temporary file; see `scratch`.
        """
        if not self.is_in_host_memory:
            backend = backend_of(self.examples)
            with backend.activate():
                if isinstance(rows, slice):
                    return replace(self, examples=self.examples[rows, :])
                indices = backend.send(np.arange(self.m)[rows])
                return replace(self, examples=backend.xp.take(self.examples, indices, axis=0))
        mapped = None if isinstance(rows, slice) else MappedRows.of(self.examples)
        if mapped is None or isinstance(rows, slice):
            return replace(self, examples=self.examples[rows])
        indices = np.flatnonzero(rows) if rows.dtype == bool else rows
        copy = scratch((len(indices), self.n_x), self.examples.dtype, self.memory)
        step = max(1, BLOCK_BYTES // self.row_bytes)
        for start in range(0, len(indices), step):
            part = indices[start : start + step]
            mapped.read_ahead(part)
            copy[start : start + step] = mapped.take(part)
        return replace(self, examples=copy)

    def blocks(self, rows: int | None = None) -> Iterator[Array]:
        """Yield all raw examples in order, in blocks (rows, n_x), by default of about `BLOCK_BYTES`."""
        rows = rows or max(1, BLOCK_BYTES // self.row_bytes)
        for start in range(0, self.m, rows):
            yield self.examples[start : min(start + rows, self.m), :]

    def refuse_nonfinite(self) -> None:
        """Raise `ShapeError` if an example has a NaN or an infinity; the message names the first one."""
        if self.examples.dtype == np.uint8:
            return
        start, backend = 0, backend_of(self.examples)
        for part in self.blocks():
            with backend.activate():
                is_finite = bool(backend.fetch(backend.xp.all(backend.xp.isfinite(part))))
            if not is_finite:
                block = backend.fetch(part)
                example, feature = np.argwhere(~np.isfinite(block))[0]
                msg = (
                    f"example {start + example} holds {block[example, feature]} in feature {feature}: "
                    "expected finite numbers; remove the example or fill the value"
                )
                raise ShapeError(msg)
            start += part.shape[0]
