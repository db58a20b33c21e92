"""Safetensors files of arrays with a description. Every file is checked when it is read.

NumPy is imported only where there are arrays: to read a description should take no time.
"""

from __future__ import annotations

import contextlib
import json
import os
import stat
import struct
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xpnet.errors import ModelFileError
from xpnet.io.locks import Lock, remove_orphans, try_lock

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import numpy as np

KEY = "xpnet"
"""Name of the header's entry with the description. It is the only one, so equal content gives equal bytes."""

MAX_INTEGER = 1 << 128
"""Limit of the size of whole numbers in a description: the largest seed that NumPy draws by itself."""

MAX_DIGITS = 40
"""Limit of the characters of a whole number. Python has one, too, with a message for programmers."""

MAX_DIMENSIONS = 2
"""Limit of the number of dimensions of an array. All arrays that xpnet writes are matrices."""

CHECKED_NUMBERS = 1 << 20
"""How many numbers of an array are checked at a time: whether they are finite takes a byte for each."""

MAX_HEADER_BYTES = 16 << 20
"""Limit of the header's length. A real header has some kilobytes; a forged one may claim any length."""


def write_tensors(
    path: str | os.PathLike[str], description: Mapping[str, Any], arrays: Mapping[str, np.ndarray]
) -> None:
    """Write a file under a temporary name, and rename it when it is complete and on the disk.

    Args:
        path: path of the file; an existing file is replaced.
        description: plain data that JSON can hold; its "kind" says what the file is.
        arrays: float32 or float64 arrays by name, in host memory; uint8 for what is stored as it is.

    Raises:
        ModelFileError: the file cannot be written, or could not be read again: an array holds a NaN or an
            infinity.
    """
    import numpy as np
    from safetensors.numpy import save

    _refuse_nonfinite(path, arrays)
    contiguous = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    content = save(contiguous, {KEY: json.dumps(description, allow_nan=False)})
    path = Path(path)
    try:
        with atomic_write(path) as temporary:
            temporary.write_bytes(content)
    except OSError as error:
        msg = f"{path}: cannot be written: {error.strerror or error}"
        raise ModelFileError(msg) from error


@contextlib.contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; after the block flush the file to the disk, and rename it.

    If the block raises an error, the temporary file is removed and `path` is unchanged. Temporary files that
    killed runs left are removed first.

    Raises:
        OSError: from the file system; `path` is unchanged.
    """
    path = path.resolve()  # replace the target of a link, not the link
    prefix, suffix = f".{path.name[:100]}.", ".part"
    remove_orphans(path.parent, prefix, suffix)
    while True:
        handle, name = tempfile.mkstemp(prefix=prefix, suffix=suffix, dir=path.parent)
        lock = try_lock(handle)
        if lock is Lock.UNSUPPORTED:
            os.close(handle)  # Windows cannot rename an open file
            break
        if lock is Lock.HELD and os.fstat(handle).st_nlink:
            break
        os.close(handle)  # another run took it for an orphan, before it was locked
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        umask = os.umask(0)
        os.umask(umask)
        mode = 0o666 & ~umask  # mkstemp lets only the owner read it
        with contextlib.suppress(OSError):  # an existing file keeps its permissions
            mode = stat.S_IMODE(path.stat().st_mode)
        temporary.chmod(mode)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
        if lock is Lock.HELD:
            os.close(handle)


def read_tensors(
    path: str | os.PathLike[str], kind: str, stored: str = ""
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Read a file that `write_tensors` wrote.

    Args:
        path: path of the file.
        kind: the "kind" that its description must have.
        stored: arrays whose names begin like this may be uint8; "" for none.

    Returns:
        The description, and the arrays by name. The arrays are copies: the file may change later.

    Raises:
        ModelFileError: the file cannot be read, is damaged, or is of another kind.
    """
    path = Path(path)
    try:
        _refuse_foreign(path)
        return _read(path, kind, stored)
    except OSError as error:
        msg = f"{path}: cannot be read: {error.strerror or error}"
        raise ModelFileError(msg) from error


def read_description(path: str | os.PathLike[str], kind: str) -> dict[str, Any]:
    """Return only the description of a file that `write_tensors` wrote: no array is read or checked.

    Args and errors: see `read_tensors`.
    """
    path = Path(path)
    return _described(path, _header_entry(path), kind)


def read_kind(path: str | os.PathLike[str]) -> str | None:
    """Return the kind of a file of `write_tensors`, such as "model"; None for other safetensors files.

    Raises:
        ModelFileError: the file cannot be read, or is not a safetensors file.
    """
    text = _header_entry(Path(path))
    try:
        description = json.loads(text or "null")
    except (ValueError, RecursionError):  # `read_tensors` says what is wrong with the description
        return None
    return str(description["kind"]) if isinstance(description, dict) and "kind" in description else None


def _header_entry(path: Path) -> str | None:
    """Return the entry of a file's header with the description; None if there is none.

    Raises:
        ModelFileError: the file cannot be read, or is not a safetensors file.
    """
    try:
        _refuse_foreign(path)
        with path.open("rb") as file:
            text = file.read(int.from_bytes(file.read(8), "little"))
    except OSError as error:
        msg = f"{path}: cannot be read: {error.strerror or error}"
        raise ModelFileError(msg) from error
    try:
        header = json.loads(text.decode(), parse_int=_integer)
    except (ValueError, RecursionError) as error:
        msg = f"{path}: is damaged or truncated: {error}"
        raise ModelFileError(msg) from error
    entries = header.get("__metadata__") if isinstance(header, dict) else None
    found = entries.get(KEY) if isinstance(entries, dict) else None
    return found if isinstance(found, str) else None


def _refuse_foreign(path: Path) -> None:
    """Raise `ModelFileError` if the file does not begin like a safetensors file."""
    if not path.is_file():
        msg = f"{path}: " + ("is not a file" if path.exists() else "there is no such file")
        raise ModelFileError(msg)
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(9)
    length = struct.unpack("<Q", start[:8])[0] if len(start) == 9 else 0
    if start[8:] != b"{" or length > MAX_HEADER_BYTES:
        what = "is empty" if not size else "does not begin like a safetensors file"
        msg = f"{path}: {what}: expected a file that xpnet wrote"
        raise ModelFileError(msg)
    if length > size - 8:
        msg = f"{path}: is truncated: its header of {length} bytes is longer than the file of {size}"
        raise ModelFileError(msg)


def _read(path: Path, kind: str, stored: str) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return description and arrays of a file, as `read_tensors`."""
    import numpy as np
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np") as file:
            description = _described(path, (file.metadata() or {}).get(KEY), kind)
            arrays = {}
            for name in file.keys():  # noqa: SIM118  (not a mapping)
                part = file.get_slice(name)
                dtype, dimensions = part.get_dtype(), len(part.get_shape())
                is_stored = bool(stored) and name.startswith(stored) and dtype == "U8"
                if dtype not in ("F32", "F64") and not is_stored:
                    msg = f"{path}: {name} is {dtype}, expected F32 or F64"
                    raise ModelFileError(msg)
                if dimensions > MAX_DIMENSIONS:
                    msg = f"{path}: {name} has {dimensions} dimensions, expected at most {MAX_DIMENSIONS}"
                    raise ModelFileError(msg)
                arrays[name] = np.array(file.get_tensor(name))
    except MemoryError as error:
        msg = f"{path}: its {path.stat().st_size} bytes do not fit into memory"
        raise ModelFileError(msg) from error
    except (SafetensorError, ValueError, OverflowError) as error:
        if isinstance(error, ModelFileError):
            raise
        msg = f"{path}: is damaged or truncated: {error}"
        raise ModelFileError(msg) from error
    _refuse_nonfinite(path, arrays)
    return description, arrays


def _refuse_nonfinite(path: str | os.PathLike[str], arrays: Mapping[str, np.ndarray]) -> None:
    import numpy as np

    for name, array in arrays.items():
        parts = np.array_split(array.reshape(-1), 1 + array.size // CHECKED_NUMBERS)
        if not all(np.isfinite(part).all() for part in parts):
            msg = f"{path}: {name} holds a NaN or an infinity"
            raise ModelFileError(msg)


def _integer(digits: str) -> int:
    if len(digits) > MAX_DIGITS or abs(value := int(digits)) > MAX_INTEGER:
        msg = f"a number of {len(digits)} digits is out of range"
        raise ValueError(msg)
    return value


def _described(path: Path, text: str | None, kind: str) -> dict[str, Any]:
    """Return the description in a header's entry; raise `ModelFileError` if it is not of this kind."""
    if text is None:
        msg = f"{path}: is a safetensors file of another program: expected one that xpnet wrote"
        raise ModelFileError(msg)
    try:
        description = json.loads(text, parse_int=_integer)
        # Refuse numbers that are not finite, and text that no file can hold. The bytes of a name that is not
        # UTF-8 may be in it, as Python keeps them.
        json.dumps(description, ensure_ascii=False, allow_nan=False).encode("utf-8", "surrogateescape")
    except (ValueError, RecursionError) as error:
        msg = f"{path}: its description is not JSON: {error}"
        raise ModelFileError(msg) from error
    found = description.get("kind") if isinstance(description, dict) else None
    if found != kind:
        msg = f"{path}: is a file of kind {found!r}, expected {kind!r}"
        raise ModelFileError(msg)
    return dict(description)
