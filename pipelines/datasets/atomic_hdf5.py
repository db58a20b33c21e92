"""Write an HDF5 file completely or not at all, also if the disk becomes full."""

from __future__ import annotations

import io
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py

from xpnet.errors import OutputError
from xpnet.io import atomic_write

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator


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
            with h5py.File(raw, "w") as file:
                yield file, raw
            raw.raise_error()
    except OutputError:
        raise
    except OSError as error:
        msg = f"{path}: cannot be written: {error.strerror or error}"
        raise OutputError(msg) from error
