"""Column matrices: raw columns, one example each, and the standardization that belongs to them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from xpnet.arrays import namespace, require_matrix
from xpnet.data.mapped_rows import MappedRows, scratch
from xpnet.data.standardize import Standardizer, fit_standardizer
from xpnet.errors import DtypeError, ShapeError

if TYPE_CHECKING:
    from collections.abc import Iterator


BLOCK_BYTES = 8 << 20
"""Approximate size in bytes of a block of `ColumnMatrix.blocks`."""


@dataclass(frozen=True, eq=False)
class ColumnMatrix:
    """Raw columns with their standardization.

    A matrix (n_x, m) whose columns are contiguous has the bytes of a C-order array (m, n_x), so `examples`
    holds one example a row, and `X` is its transpose without a copy.

    Attributes:
        examples: (m, n_x) uint8, float32 or float64, in host memory; may be a `numpy.memmap`.
        standardizer: the standardization of the columns; by default it changes nothing.
        memory: how many bytes of a file's examples may stay in memory; None for half of the machine's.

    Raises:
        ShapeError: `examples` is not a matrix or is empty, or the standardizer was fitted to another n_x.
        DtypeError: `examples` has another dtype.
    """

    examples: np.ndarray
    standardizer: Standardizer = field(default_factory=lambda: fit_standardizer([], "none"))
    memory: int | None = None

    def __post_init__(self) -> None:
        namespace(self.examples, "ColumnMatrix: examples: ")
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
    def of(cls, X: np.ndarray, standardize: str = "none", channels: int = 1) -> ColumnMatrix:
        """Return the column matrix of X, and fit its standardization.

        Args:
            X: (n_x, m) uint8 or floats. Its memory is shared if the columns are contiguous, as in the
                transpose of a C-order array (m, n_x). Otherwise it is copied once, because batches of
                columns that are not contiguous are slow to gather.
            standardize: "none", "unit", "channel" or "feature"; see `xpnet.data.STANDARDIZATIONS`.
            channels: channels of the images, for "channel".

        Raises:
            ShapeError, DtypeError: as for `ColumnMatrix`, and as for `fit_standardizer`.
        """
        namespace(X, "ColumnMatrix: X: ")
        require_matrix("ColumnMatrix", "X", X)
        raw = cls(np.ascontiguousarray(X.T))
        return raw.standardized_as(fit_standardizer(raw.blocks(), standardize, channels))

    def standardized_as(self, standardizer: Standardizer) -> ColumnMatrix:
        """Return the same raw columns with another standardization, such as that of the training set."""
        return replace(self, standardizer=standardizer)

    def limited_to(self, memory: int | None) -> ColumnMatrix:
        """Return the same columns with another limit of the memory."""
        return replace(self, memory=memory)

    @property
    def X(self) -> np.ndarray:  # noqa: N802  (the field's name)
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

    def standardized(self) -> np.ndarray:
        """Return the standardized matrix, (n_x, m) float64: a copy, eight times as large as uint8."""
        return self.standardizer.apply(self.X)

    def part(self, rows: slice | np.ndarray) -> ColumnMatrix:
        """Return some of the examples with their standardization: a view for a slice, a copy for indices.

        A copy of rows of a mapped file that takes too much memory is a temporary file; see `scratch`.
        """
        mapped = None if isinstance(rows, slice) else MappedRows.of(self.examples)
        if mapped is None or isinstance(rows, slice):
            return replace(self, examples=self.examples[rows])
        indices = np.flatnonzero(rows) if rows.dtype == bool else rows
        copy = scratch((len(indices), self.n_x), self.examples.dtype, self.memory)
        step = max(1, BLOCK_BYTES // (self.n_x * self.examples.itemsize))
        for start in range(0, len(indices), step):
            part = indices[start : start + step]
            mapped.read_ahead(part)
            copy[start : start + step] = mapped.take(part)
        return replace(self, examples=copy)

    def blocks(self, rows: int | None = None) -> Iterator[np.ndarray]:
        """Yield all raw examples in order, in blocks (rows, n_x); by default of about `BLOCK_BYTES`."""
        rows = rows or max(1, BLOCK_BYTES // (self.n_x * self.examples.itemsize))
        for start in range(0, self.m, rows):
            yield self.examples[start : start + rows]

    def refuse_nonfinite(self) -> None:
        """Raise `ShapeError` if an example has a NaN or an infinity; the message names the first one."""
        if self.examples.dtype == np.uint8:
            return
        start = 0
        for block in self.blocks():
            finite = np.isfinite(block)
            if not finite.all():
                example, feature = np.argwhere(~finite)[0]
                msg = (
                    f"example {start + example} holds {block[example, feature]} in feature {feature}: "
                    "expected finite numbers; remove the example or fill the value"
                )
                raise ShapeError(msg)
            start += len(block)
