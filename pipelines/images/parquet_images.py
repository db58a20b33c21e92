"""Images in the rows of a Parquet file: `train.parquet/00017` is the image in row 17, counted from 0.

They are in a column of bytes, or, as Hugging Face writes them, in one of structs {bytes, path}.
"""

from __future__ import annotations

import functools
import itertools
import os
import threading
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from typing import Any, cast

from xpnet.errors import ImageError

from .members import Directory, Member
from .remote import RemoteFile, is_remote, status_of

PARQUET_SUFFIXES = (".parquet", ".pq")
"""The endings of Parquet files."""

BYTES = "bytes"
"""The field with the bytes of an image, in a column of structs."""

USUAL_NAMES = ("image", "img", "images", "picture", "photo", "jpg", "jpeg", "png", "bytes", "content")
"""Names of the column of images, if there are several of bytes, in lower case. The first one is preferred."""

BATCH_ROWS = 16
"""How many rows are decoded at a time. This bounds the memory."""

BUFFER_BYTES = 1 << 20
"""How much of the file is read at a time."""

OPEN_FILES = 2
"""How many files a process keeps open."""

READING = threading.Lock()
"""Held while a row is read: one thread at a time goes forward in a file."""


class RowDirectory(Directory):
    """The rows of a file as members. Their names are their numbers, with as many digits as the last one has.

    Args:
        count: how many rows there are.
    """

    def __init__(self, count: int) -> None:
        super().__init__(cast("dict[str, Member]", _Rows(count)))
        self.has_only_images = True

    def below(self, folder: str) -> Iterator[str]:
        """See `Directory.below`. There are no folders."""
        return iter(()) if folder else iter(self.members)


class _Rows(Mapping[str, Member]):
    """The members of a `RowDirectory`. None of them is in memory."""

    def __init__(self, count: int) -> None:
        self._count, self._digits = count, len(str(count - 1))

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[str]:
        return (f"{row:0{self._digits}}" for row in range(self._count))

    def __getitem__(self, name: str) -> Member:
        if len(name) != self._digits or not (name.isascii() and name.isdigit()) or int(name) >= self._count:
            raise KeyError(name)
        return Member(int(name), 0, 0)


def read_parquet_directory(path: str) -> Directory:
    """Return the rows of a Parquet file with images.

    Raises:
        ImageError: the file cannot be read, or has no images. The message does not name it.
    """
    rows = _opened(path)
    count, size = rows.count, status_of(path).size if is_remote(path) else os.path.getsize(path)
    if count > size:  # an image takes more than one byte
        msg = f"is damaged: it says that it has {count} rows, in {size} bytes"
        raise ImageError(msg)
    return RowDirectory(count)


def read_row(path: str, identity: tuple[int | str, ...], row: int, most_bytes: int) -> bytes:
    """Return the bytes of the image in a row.

    Rows that are read in their order are read fast.

    Args:
        path: the file.
        identity: differs if another file has the path.
        row: its index.
        most_bytes: a larger image is refused.

    Raises:
        ImageError: the file cannot be read, or has no image there. The message does not name it.
    """
    with READING:
        content = _kept(path, identity).image(row)
    if content is None:
        msg = "the row has no image"
        raise ImageError(msg)
    if not content:
        msg = "file is empty"
        raise ImageError(msg)
    if len(content) > most_bytes:
        msg = f"file of {len(content)} bytes, expected at most {most_bytes}"
        raise ImageError(msg)
    return content


@functools.lru_cache(OPEN_FILES)
def _kept(path: str, identity: tuple[int | str, ...]) -> _Images:
    del identity
    return _opened(path)


def _opened(path: str) -> _Images:
    try:
        import pyarrow.parquet as pq
    except ImportError:
        msg = "Parquet files need pyarrow: pip install 'xpnet[parquet]'"
        raise ImageError(msg) from None
    try:
        return _Images(pq.ParquetFile(open_parquet(path), buffer_size=BUFFER_BYTES))
    except ImageError:
        raise
    except Exception as error:  # on damaged files pyarrow raises many types
        raise _unreadable(error) from None


def open_parquet(path: str) -> Any:
    """Return what pyarrow can open: the path, or a file on a server."""
    return RemoteFile(path) if is_remote(path) else path


def _unreadable(error: Exception) -> ImageError:
    return ImageError(f"cannot be read as Parquet: {' '.join(str(error).split())[:200]}")


class _Images:
    """The images in an open file. file: a `ParquetFile` of pyarrow."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self._column, self._is_struct = _column_of_images(file.schema_arrow)
        groups = (file.metadata.row_group(i).num_rows for i in range(file.metadata.num_row_groups))
        self._starts = list(itertools.accumulate(groups, initial=0))
        self.count = self._starts[-1]
        self._batches: Iterator[Any] = iter(())
        self._group = -1
        self._start, self._stop = 0, 0  # the rows of the batch that was read last
        self._values: Any = None

    def image(self, row: int) -> bytes | None:
        """Return the bytes of the image in a row, or None for an empty cell.

        Raises:
            ImageError: the row cannot be read.
        """
        try:
            group = bisect_right(self._starts, row) - 1
            if group != self._group or row < self._start:
                self._begin(group)
            while row >= self._stop:
                self._values = next(self._batches).column(0)
                self._start, self._stop = self._stop, self._stop + len(self._values)
                if self._is_struct:
                    self._values = self._values.field(BYTES)
            found: bytes | None = self._values[row - self._start].as_py()
        except StopIteration:
            self._group = -1
            msg = "is damaged: it has fewer rows than it says"
            raise ImageError(msg) from None
        except Exception as error:
            self._group = -1  # the next row begins anew
            raise _unreadable(error) from None
        return found

    def _begin(self, group: int) -> None:
        """Go to the first row of a group."""
        self._group = group
        self._start = self._stop = self._starts[group]
        name = f"{self._column}.{BYTES}" if self._is_struct else self._column
        self._batches = self._file.iter_batches(BATCH_ROWS, row_groups=[group], columns=[name])


def _column_of_images(schema: Any) -> tuple[str, bool]:
    """Return the name of the column of images, and whether it is one of structs.

    Raises:
        ImageError: there is none, or it is not known which.
    """
    import pyarrow as pa

    def is_binary(kind: Any) -> bool:
        return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))

    structs, plain = [], []
    for field in schema:
        if pa.types.is_struct(field.type):
            index = field.type.get_field_index(BYTES)
            if index >= 0 and is_binary(field.type.field(index).type):
                structs.append(field.name)
        elif is_binary(field.type):
            plain.append(field.name)
    found = structs or plain
    if not found:
        msg = f"has no column of images, such as one of bytes; its columns are {', '.join(schema.names)}"
        raise ImageError(msg)
    usual = [name for word in USUAL_NAMES for name in found if name.lower() == word]
    if len(found) > 1 and not usual:
        msg = f"has several columns of bytes, {', '.join(found)}: name that of the images image"
        raise ImageError(msg)
    return (usual or found)[0], bool(structs)
