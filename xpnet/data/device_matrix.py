"""A column matrix on a device: its raw examples are sent there once, or stream through it."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from xpnet.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from xpnet.arrays import Array
    from xpnet.backend import Backend
    from xpnet.data.column_matrix import ColumnMatrix
    from xpnet.data.standardize import Standardizer

CHUNK_BYTES = 64 << 20
"""About how many raw bytes are sent to the device at a time, where the examples stream."""


class DeviceMatrix:
    """Raw examples on a device. Give the same one to training and evaluation: the examples are sent once.

    Args:
        host: the examples in host memory.
        backend: the device.
        resident_bytes: the most raw bytes to keep on the device; more stream through it. None for three
            quarters of the device's free memory.

    Attributes:
        host, backend, resident_bytes: as given.
        is_resident: whether the examples stay on the device.
    """

    def __init__(self, host: ColumnMatrix, backend: Backend, resident_bytes: int | None = None) -> None:
        self.host, self.backend, self.resident_bytes = host, backend, resident_bytes
        limit = resident_bytes
        if limit is None:
            free = backend.free_bytes()
            limit = host.examples.nbytes if free is None else free * 3 // 4
        self.is_resident = host.examples.nbytes <= limit

    @property
    def m(self) -> int:
        """Examples."""
        return self.host.m

    @property
    def n_x(self) -> int:
        """Features."""
        return self.host.n_x

    @property
    def standardizer(self) -> Standardizer:
        """What standardizes the raw examples."""
        return self.host.standardizer

    @cached_property
    def examples(self) -> Array:
        """All raw examples on the device, (m, n_x); sent when they are first asked for. Only if resident."""
        return self.backend.send(self.host.examples)

    def chunks(self) -> Iterator[tuple[slice, Array]]:
        """Yield the raw examples on the device in order: all at once if resident, else some at a time.

        Yields the indices of the examples, and the examples (k, n_x).
        """
        if self.is_resident:
            yield slice(None), self.examples
            return
        rows = max(1, CHUNK_BYTES // (self.n_x * self.host.examples.itemsize))
        blocks = ((block,) for block in self.host.blocks(rows))
        for start, (block,) in zip(range(0, self.m, rows), self.backend.stream(blocks), strict=True):
            yield slice(start, min(start + rows, self.m)), block


def on_device(
    data: ColumnMatrix | DeviceMatrix, backend: Backend, resident_bytes: int | None = None
) -> DeviceMatrix:
    """Return examples on a device: the same ones if they are there already.

    Args:
        data: the examples.
        backend: the device.
        resident_bytes: as for `DeviceMatrix`.

    Raises:
        ConfigurationError: the examples are on another backend.
    """
    if not isinstance(data, DeviceMatrix):
        return DeviceMatrix(data, backend, resident_bytes)
    if data.backend is not backend:
        msg = (
            f"the examples are on {data.backend.device}, expected {backend.device}: use one backend for both"
        )
        raise ConfigurationError(msg)
    return data
