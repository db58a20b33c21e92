"""Open HDF5 files of other people: nothing outside the file is read, and a small file takes little memory."""

from __future__ import annotations

import math
import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import h5py
import numpy as np

from xpnet.errors import DataError

from .limits import FREE_BYTES, MAPPED_BYTES, MAX_COMPRESSION

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def open_hdf5(path: str | os.PathLike[str]) -> Iterator[h5py.File]:
    """Return a context with the open file. All errors in the block become `DataError`.

    Raises:
        DataError: the file cannot be read; the message begins with its path.
    """
    if Path(path).exists() and not Path(path).is_file():  # opening a pipe might never end
        msg = f"{path}: cannot be read: it is not a regular file"
        raise DataError(msg)
    if Path(path).exists() and not h5py.is_hdf5(path):
        msg = f"{path}: cannot be read as HDF5: expected a folder, a data file (HDF5), or a table (.csv)"
        raise DataError(msg)
    try:
        with h5py.File(path, "r", locking="best-effort") as file:
            yield file
    except DataError as error:
        msg = f"{path}: {error}"
        raise DataError(msg) from error
    except BlockingIOError as error:
        msg = (
            f"{path}: another program has the file open: wait until it has finished, or close it; if it does "
            "not write to the file, set HDF5_USE_FILE_LOCKING=FALSE"
        )
        raise DataError(msg) from error
    except OSError as error:
        msg = f"{path}: cannot be read as HDF5: {' '.join(str(error).split())}"
        raise DataError(msg) from error
    except MemoryError as error:
        msg = f"{path}: does not fit into memory"
        raise DataError(msg) from error
    except Exception as error:  # on damaged files h5py raises many types
        msg = f"{path}: is damaged: {type(error).__name__}: {' '.join(str(error).split())}"
        raise DataError(msg) from error


def dataset_in(
    file: h5py.File, name: str, free: int = FREE_BYTES, compression: float = MAX_COMPRESSION
) -> h5py.Dataset:
    """Return an HDF5 dataset that is safe to read: all of it is in this file, and it is not far larger.

    Args:
        file: the open file.
        name: the name of the dataset.
        free: up to this size in bytes the dataset may be compressed by any factor.
        compression: by what factor a larger dataset may be compressed.

    Raises:
        DataError: there is no such dataset, it is stored elsewhere or not at all, or it is too large.
    """
    if name not in file:
        msg = f"is damaged: it has no {name}"
        raise DataError(msg)
    if not isinstance(file.get(name, getlink=True), h5py.HardLink):
        msg = f"its {name} is a link; data is read only from the file itself"
        raise DataError(msg)
    found = file[name]
    if not isinstance(found, h5py.Dataset) or found.shape is None:
        msg = f"is damaged: its {name} is not a dataset with a shape"
        raise DataError(msg)
    if found.is_virtual or found.external:
        msg = f"its {name} is stored in another file; data is read only from the file itself"
        raise DataError(msg)
    chunk = found.chunks or ()
    stored = found.id.get_storage_size()
    size = max(found.nbytes, math.prod(chunk) * found.dtype.itemsize)
    chunks = math.prod(-(-side // part) for side, part in zip(found.shape, chunk, strict=False))
    if found.nbytes and (stored == 0 or (chunk and found.id.get_num_chunks() < chunks)):
        msg = f"is damaged: a part of its {name} is missing"
        raise DataError(msg)
    if size > max(free, stored * compression):
        msg = f"is damaged: its {name} has {size} bytes, of which the file stores only {stored}"
        raise DataError(msg)
    return found


def rows_of(stored: h5py.Dataset, path: str | os.PathLike[str]) -> np.ndarray:
    """Return an HDF5 dataset (m, ...) as an array (m, n).

    Large contiguous ones are mapped into memory: nothing is read or copied until it is used. The file must
    not be changed meanwhile. xpnet replaces files by renaming new ones: mapped bytes stay as they are.
    A program that cuts off a mapped file ends the process that uses it.

    Args:
        stored: a dataset of an open file, which `dataset_in` returned.
        path: the path of the file.
    """
    shape = stored.shape[0], math.prod(stored.shape[1:])
    offset = stored.id.get_offset() if stored.chunks is None else None
    is_large = stored.nbytes >= MAPPED_BYTES and stored.dtype.isnative and not stored.file.userblock_size
    if offset is not None and is_large and os.path.getsize(path) >= offset + stored.nbytes:
        return np.asarray(np.memmap(path, stored.dtype, "r", offset, shape))
    rows: np.ndarray = np.empty(shape, stored.dtype)
    stored.read_direct(rows.reshape(stored.shape))
    return rows
