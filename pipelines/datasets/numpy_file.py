"""Read NumPy's files, .npy and .npz: nothing is unpickled, and a small file takes little memory."""

from __future__ import annotations

import math
import os
import zipfile
import zlib
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Literal

import numpy as np

from xpnet.errors import DataError

from .limits import FREE_BYTES, MAPPED_BYTES, MAX_COMPRESSION

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MAX_HEADER_BYTES = 10_000
"""Limit of the length of an array's header."""

PART_BYTES = 1 << 20
"""How many bytes of a compressed array are read at a time."""

ENDING = ".npy"


@dataclass(frozen=True)
class StoredArray:
    """An array in a file, which is not read yet.

    Attributes:
        shape: its shape, as the file says.
        dtype: its dtype.
        read: reads it. The file must still be open.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    read: Callable[[], np.ndarray]

    def __str__(self) -> str:
        return f"{self.shape} {'strings' if self.dtype.kind in 'OSU' else self.dtype}"


def read_npy(path: str) -> np.ndarray:
    """Return the array in a .npy file. A large one is mapped into memory: it is read when it is used.

    Raises:
        DataError: the file cannot be read, holds Python objects, or not as many bytes as it says.
    """
    with _refusing(path), open(path, "rb") as file:
        shape, is_fortran, dtype = _header(file, "")
        offset, size = file.tell(), math.prod(shape) * dtype.itemsize
        held = os.path.getsize(path) - offset
        if held != size:
            msg = f"is damaged: its array {shape} {dtype} has {size} bytes, and the file holds {held}"
            raise DataError(msg)
        order: Literal["F", "C"] = "F" if is_fortran else "C"
        if size >= MAPPED_BYTES:
            return np.asarray(np.memmap(path, dtype, "r", offset, shape, order))
        return np.ndarray(shape, dtype, file.read(size), order=order).copy(order="K")


@contextmanager
def open_npz(path: str) -> Iterator[dict[str, StoredArray]]:
    """Return a context with the arrays in a .npz file by name. All errors in the block name the file.

    Raises:
        DataError: the file cannot be read; or an array is encrypted, is there twice, holds Python objects, or
            is far larger than what the file stores of it. The last ones only when the array is read.
    """
    with _refusing(path), zipfile.ZipFile(path) as archive:
        found: dict[str, StoredArray] = {}
        for member in archive.infolist():
            name = member.filename.removesuffix(ENDING)
            if name == member.filename:  # not an array
                continue
            _require_readable(member, name, found)
            with archive.open(member) as file:
                shape, is_fortran, dtype = _header(file, f"its {name} ", allow_objects=True)
                start = file.tell()
            found[name] = StoredArray(
                shape, dtype, _reader(archive, member, name, start, (shape, is_fortran, dtype))
            )
        yield found


def _require_readable(member: zipfile.ZipInfo, name: str, found: dict[str, StoredArray]) -> None:
    if name in found:
        msg = f"has two arrays named {name}, expected one"
        raise DataError(msg)
    if member.flag_bits & 1:
        msg = f"its {name} is encrypted: save the arrays without a password"
        raise DataError(msg)


def _reader(
    archive: zipfile.ZipFile,
    member: zipfile.ZipInfo,
    name: str,
    start: int,
    header: tuple[tuple[int, ...], bool, np.dtype],
) -> Callable[[], np.ndarray]:
    """Return a function that reads an array of a .npz file. start: where its values begin."""
    shape, is_fortran, dtype = header

    def read() -> np.ndarray:
        _require_plain(dtype, f"its {name} ")
        size = math.prod(shape) * dtype.itemsize
        if size > max(FREE_BYTES, member.compress_size * MAX_COMPRESSION):
            msg = f"is damaged: its {name} has {size} bytes, of which it stores only {member.compress_size}"
            raise DataError(msg)
        if member.file_size != start + size:
            msg = f"is damaged: its {name} {shape} {dtype} has {size} bytes, and it holds another number"
            raise DataError(msg)
        content = np.empty(size, np.uint8)
        done = 0
        with archive.open(member) as file:
            file.read(start)
            while part := file.read(PART_BYTES):
                content[done : done + len(part)] = np.frombuffer(part, np.uint8)
                done += len(part)
        if done != size:
            msg = f"is damaged: its {name} has only {done} of {size} bytes"
            raise DataError(msg)
        return np.ndarray(shape, dtype, content.data, order="F" if is_fortran else "C")

    return read


def _header(
    file: IO[bytes], what: str, *, allow_objects: bool = False
) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Return the shape, whether the order is Fortran's, and the dtype. `what` begins the errors."""
    try:
        is_first = np.lib.format.read_magic(file) == (1, 0)
        read = np.lib.format.read_array_header_1_0 if is_first else np.lib.format.read_array_header_2_0
        shape, is_fortran, dtype = read(file, max_header_size=MAX_HEADER_BYTES)
    except Exception as error:  # on damaged headers NumPy and its parser raise many types
        msg = f"{what}cannot be read as an array of NumPy: {' '.join(str(error).split())[:200]}"
        raise DataError(msg) from error
    if not allow_objects:
        _require_plain(dtype, what)
    if any(side < 0 for side in shape):
        msg = f"is damaged: {what}has the shape {shape}"
        raise DataError(msg)
    return shape, is_fortran, dtype


def _require_plain(dtype: np.dtype, what: str) -> None:
    if dtype.hasobject:
        msg = (
            f"{what}holds Python objects (a pickle), which are never loaded, as they could execute code: "
            "save numbers as numbers and names as strings, as in names.astype(str)"
        )
        raise DataError(msg)


@contextmanager
def _refusing(path: str) -> Iterator[None]:
    """Turn all errors in the block into `DataError` with the path."""
    try:
        yield
    except DataError as error:
        msg = f"{path}: {error}"
        raise DataError(msg) from error
    except OSError as error:
        msg = f"{path}: cannot be read: {error.strerror or error}"
        raise DataError(msg) from error
    except MemoryError as error:
        msg = f"{path}: does not fit into memory"
        raise DataError(msg) from error
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, NotImplementedError, RuntimeError) as error:
        msg = f"{path}: is damaged, or no file of NumPy: {' '.join(str(error).split())[:200]}"
        raise DataError(msg) from error
    except (LookupError, TypeError, OverflowError, ArithmeticError) as error:
        msg = f"{path}: is damaged: {type(error).__name__}: {' '.join(str(error).split())[:200]}"
        raise DataError(msg) from error
