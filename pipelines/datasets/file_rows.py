"""Rows of a data file that the workers of a cluster map themselves, and statistics that they compute."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from xpnet.data import Moments, fit_standardizer, mapping_of, standardizer_from_moments
from xpnet.errors import WorkerError

from ..images import DECODERS, Cluster, Needs

if TYPE_CHECKING:
    from xpnet.data import ColumnMatrix, Standardizer

    from ..images import Decoders

PART_BYTES = 256 << 20
"""About how many bytes a worker takes the statistics of at a time."""


@dataclass(frozen=True)
class FileRows:
    """Rows of a matrix in a file.

    Attributes:
        path: the absolute path.
        size: the bytes of the whole file.
        offset: where the rows begin, in bytes.
        shape: of the rows.
        dtype: of the rows.
        digest: of the first and the last row.
    """

    path: str
    size: int
    offset: int
    shape: tuple[int, int]
    dtype: str
    digest: str

    @classmethod
    def of(cls, rows: np.ndarray) -> FileRows | None:
        """Return where in a file rows are; None if they are in memory, or in a file without a name."""
        mapping: Any = mapping_of(rows)
        path = None if mapping is None else mapping.filename
        if path is None or mapping.mode == "c" or not rows.flags.c_contiguous or not os.path.isfile(path):
            return None
        offset = mapping.offset + rows.ctypes.data - mapping.ctypes.data
        shape, path = (rows.shape[0], rows.shape[1]), os.path.abspath(path)
        return cls(path, os.path.getsize(path), offset, shape, rows.dtype.str, _digest(rows))

    def opened(self) -> np.ndarray:
        """Return the rows, on a worker. The file is mapped: the system keeps what was read.

        Raises:
            WorkerError: this machine does not see the file, or sees another one.
        """
        problem = "does not see this file"
        try:
            if os.path.getsize(self.path) == self.size:
                rows = np.memmap(self.path, self.dtype, "r", self.offset, self.shape)
                if _digest(rows) == self.digest:
                    return np.asarray(rows)
            problem = "sees another file at this path"
        except OSError as error:
            problem += f" ({error.strerror or error})"
        msg = (
            f"{self.path}: a worker of the cluster {problem}: put the data file where all workers see the "
            "same, such as a shared file system"
        )
        raise WorkerError(msg)


def _digest(rows: np.ndarray) -> str:
    """Return a hash of the first and the last row, in hexadecimal digits."""
    digest = hashlib.blake2b(rows[0].tobytes(), digest_size=16)
    digest.update(rows[-1].tobytes())
    return digest.hexdigest()


def fit_standardizer_with(data: ColumnMatrix, kind: str, channels: int, workers: Decoders) -> Standardizer:
    """Fit a standardization: the workers of a cluster read the file with the examples, if there is one.

    Sums of bytes are exact, so they are the same wherever they are computed. Those of floats are not, and are
    computed here.

    Args:
        data: the examples.
        kind: see `fit_standardizer`.
        channels: see `fit_standardizer`.
        workers: what decodes.

    Raises:
        ShapeError: see `fit_standardizer`.
        WorkerError: a worker does not see the file, or the cluster fails.
    """
    step = max(1, PART_BYTES // data.n_x)
    needs_sums = kind in ("channel", "feature") and data.examples.dtype == np.uint8 and data.m > step
    if not isinstance(workers, Cluster) or not needs_sums or FileRows.of(data.examples) is None:
        return fit_standardizer(data.blocks(), kind, channels)
    parts = [(FileRows.of(block),) for block in data.blocks(step)]
    names = workers.names()
    asked = [names[i % len(names)] for i in range(len(parts))]
    moments = Moments()
    for found in workers.call_each(moments_of, parts, asked, Needs(DECODERS[0])):
        moments.join(found)
    return standardizer_from_moments(moments, kind, channels)


def moments_of(rows: FileRows) -> Moments:
    """Return the moments of rows of bytes, on a worker. Errors: see `FileRows.opened`."""
    moments = Moments()
    moments.add(rows.opened())
    return moments
