"""A column matrix on a device: the raw examples are sent once and stay, or are sent in chunks each time."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from xpnet.backend import backend_of
from xpnet.data.mapped_rows import MappedRows, memory_limit
from xpnet.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from xpnet.arrays import Array
    from xpnet.backend import Backend
    from xpnet.data.column_matrix import ColumnMatrix
    from xpnet.data.standardize import Standardizer

CHUNK_BYTES = 64 << 20
"""Default of `DeviceMatrix.chunk_bytes`."""


class DeviceMatrix:
    """Raw examples on a device. Training and evaluation can share one, so that its examples are sent once.

    Args:
        host: the examples: in host memory, or on this device already.
        backend: the device.
        resident_bytes: size limit of examples that stay on the device. Larger ones are sent in chunks each
            time they are used. None: three quarters of a GPU's free memory. On a CPU examples in memory stay
            there; of those in a mapped file (see `numpy.memmap`), `ColumnMatrix.memory` may.
        chunk_bytes: approximate size of a chunk, in raw bytes.

    Attributes:
        host, backend, resident_bytes, chunk_bytes: as given.
        is_resident: whether the examples stay on the device.
        mapped: the rows of a file that are read in each pass; None if they are in memory, or stay there.
    """

    def __init__(
        self,
        host: ColumnMatrix,
        backend: Backend,
        resident_bytes: int | None = None,
        chunk_bytes: int = CHUNK_BYTES,
    ) -> None:
        self.host, self.backend = host, backend
        self.resident_bytes, self.chunk_bytes = resident_bytes, chunk_bytes
        if not host.is_in_host_memory:
            if not backend.holds(host.examples):
                where = backend_of(host.examples).device
                msg = f"the examples are on {where}, expected {backend.device}: compute where they are"
                raise ConfigurationError(msg)
            self.is_resident, self.mapped = True, None
            return
        size, free, rows = host.examples.nbytes, backend.free_bytes(), MappedRows.of(host.examples)
        limit, most = resident_bytes, memory_limit() if host.memory is None else host.memory
        if limit is None and free is None:
            limit = size if rows is None else most
        elif limit is None and free is not None:
            limit = free * 3 // 4
        self.is_resident = limit is not None and size <= limit
        is_held = self.is_resident if free is None else size <= most
        self.mapped = None if is_held else rows

    @property
    def m(self) -> int:
        """Number of examples."""
        return self.host.m

    @property
    def n_x(self) -> int:
        """Number of features."""
        return self.host.n_x

    @property
    def standardizer(self) -> Standardizer:
        """The standardization of the examples."""
        return self.host.standardizer

    @cached_property
    def examples(self) -> Array:
        """All raw examples on the device, (m, n_x). They are sent at the first use. Only if `is_resident`."""
        rows = MappedRows.of(self.host.examples) if self.host.is_in_host_memory else None
        if rows is not None:
            rows.read_ahead()
        return self.backend.send(self.host.examples)

    def chunks(self) -> Iterator[tuple[slice, Array]]:
        """Yield the raw examples on the device in order: all at once if resident, else in chunks.

        A file that is mapped on a CPU is also one chunk: its bytes are read as they are used, and sums are
        added up as those of resident examples are.

        Yields pairs: the slice of their indices, and the examples (k, n_x).
        """
        if self.is_resident:
            yield slice(None), self.examples
            return
        if self.mapped is not None and self.backend.free_bytes() is None:
            yield slice(None), self.host.examples
            return
        rows = max(1, self.chunk_bytes // self.host.row_bytes)
        blocks = ((block,) for block in self.host.blocks(rows))
        for start, (block,) in zip(range(0, self.m, rows), self.backend.stream(blocks), strict=True):
            yield slice(start, min(start + rows, self.m)), block


def on_device(
    data: ColumnMatrix | DeviceMatrix, backend: Backend, resident_bytes: int | None = None
) -> DeviceMatrix:
    """Return examples on a device. A `DeviceMatrix` is returned unchanged.

    Args:
        data: the examples.
        backend: the device.
        resident_bytes: see `DeviceMatrix`.

    Raises:
        ConfigurationError: the `DeviceMatrix` belongs to another backend.
    """
    if not isinstance(data, DeviceMatrix):
        return DeviceMatrix(data, backend, resident_bytes)
    if data.backend is not backend:
        msg = (
            f"the examples are on {data.backend.device}, expected {backend.device}: use one backend for both"
        )
        raise ConfigurationError(msg)
    return data
