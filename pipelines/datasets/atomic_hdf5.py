"""Write an HDF5 file completely or not at all, also if the disk becomes full."""

from __future__ import annotations

import io
import math
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from xpnet.errors import OutputError
from xpnet.io import atomic_write

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator


ALIGNMENT = 4096
"""HDF5 datasets of at least so many bytes begin at a multiple of it: at the beginning of a page. The
first one begins right here: what HDF5 writes before it is shorter."""


class DeferredErrorFile(io.FileIO):
    """A file that remembers write errors instead of raising them.

    HDF5 cannot handle a write error: it would end the whole process when the file is closed.

    Attributes:
        failed: the first error, or None. After it nothing more is written.
    """

    failed: OSError | None = None

    def write(self, data: Any) -> int:
        """Write all of the data, or remember the error; return the size of the data in bytes."""
        view = memoryview(data).cast("B")
        size = len(view)
        try:
            while len(view) and self.failed is None:
                view = view[super().write(view) :]
        except OSError as error:
            self.failed = error
        return size

    def truncate(self, size: int | None = None) -> int:
        """Set the length of the file, or remember the error."""
        try:
            return super().truncate(size)
        except OSError as error:
            self.failed = self.failed or error
            return size or 0

    def raise_error(self) -> None:
        """Raise the remembered error, if there is one."""
        if self.failed is not None:
            raise self.failed


@contextmanager
def atomic_hdf5(path: str | os.PathLike[str]) -> Iterator[tuple[h5py.File, DeferredErrorFile]]:
    """Return a context with a new HDF5 file, and the file object that HDF5 writes to.

    The file appears at `path` when the block ends without an error. Otherwise nothing is left of it.

    Raises:
        OutputError: the file cannot be written.
    """
    try:
        with atomic_write(Path(path)) as temporary, closing(DeferredErrorFile(temporary, "w+")) as raw:
            aligned = {"alignment_threshold": ALIGNMENT, "alignment_interval": ALIGNMENT}
            with h5py.File(raw, "w", **aligned) as file:
                yield file, raw
            raw.raise_error()
    except OutputError:
        raise
    except OSError as error:
        msg = f"{path}: cannot be written: {error.strerror or error}"
        raise OutputError(msg) from error


class GrowingDataset:
    """A contiguous HDF5 dataset whose number of rows is known only at the end.

    HDF5 can change the size of datasets only if they are stored in chunks. But contiguous ones can be mapped
    into memory. So rows are written to the place at which HDF5 will put the first dataset of the file, which
    is made when all are there.

    Args:
        file: a new HDF5 file, without datasets.
        raw: the file object that HDF5 writes to.
        name: the name of the dataset.
        shape: the shape of a row.
        dtype: the dtype of its elements.
    """

    def __init__(
        self, file: h5py.File, raw: DeferredErrorFile, name: str, shape: tuple[int, ...], dtype: str = "uint8"
    ) -> None:
        self._file, self._raw, self._name, self._shape = file, raw, name, shape
        self._dtype = np.dtype(dtype)
        self._written = 0

    def append(self, rows: np.ndarray) -> None:
        """Write rows, of any number of dimensions.

        Raises:
            OSError: the file cannot be written.
        """
        self._raw.seek(ALIGNMENT + self._written)
        rows = np.ascontiguousarray(rows, self._dtype)
        self._raw.write(rows.reshape(-1))
        self._written += rows.nbytes
        self._raw.raise_error()

    def finish(self) -> h5py.Dataset:
        """Make the dataset of all rows, and return it."""
        properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        properties.set_layout(h5py.h5d.CONTIGUOUS)
        properties.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
        properties.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
        shape = self._written // (math.prod(self._shape) * self._dtype.itemsize), *self._shape
        space, dtype = h5py.h5s.create_simple(shape), h5py.h5t.py_create(self._dtype)
        made = h5py.h5d.create(self._file.id, self._name.encode(), dtype, space, properties)
        if made.get_offset() != ALIGNMENT:  # it is so small that HDF5 has put it elsewhere
            self._raw.seek(ALIGNMENT)
            rows = self._raw.read(self._written)
            h5py.Dataset(made)[...] = np.frombuffer(rows, self._dtype).reshape(shape)
        return h5py.Dataset(made)
