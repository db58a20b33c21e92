"""Write HDF5 files whole or not at all, also when the disk is full."""

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


class Sink(io.FileIO):
    """A file that keeps to itself that it cannot be written: HDF5, told so, would end the process later."""

    failed: OSError | None = None

    def write(self, data: Any) -> int:
        """Write all of the data, or remember why not."""
        view = memoryview(data).cast("B")
        size = len(view)
        try:
            while len(view) and self.failed is None:
                view = view[super().write(view) :]
        except OSError as error:
            self.failed = error
        return size

    def truncate(self, size: int | None = None) -> int:
        """Set the length, or remember why not."""
        try:
            return super().truncate(size)
        except OSError as error:
            self.failed = self.failed or error
            return size or 0

    def check(self) -> None:
        """Raise what was remembered."""
        if self.failed is not None:
            raise self.failed


@contextmanager
def atomic_hdf5(path: str | os.PathLike[str]) -> Iterator[tuple[h5py.File, Sink]]:
    """Give a new HDF5 file, and what it is written to; it gets its name when the block ends well.

    Raises:
        OutputError: it cannot be written.
    """
    try:
        with atomic_write(Path(path)) as temporary, closing(Sink(temporary, "w+")) as sink:
            with h5py.File(sink, "w") as file:
                yield file, sink
            sink.check()
    except OutputError:
        raise
    except OSError as error:
        msg = f"{path}: cannot be written: {error.strerror or error}"
        raise OutputError(msg) from error
