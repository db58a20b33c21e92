"""What becomes of data of any kind in host memory, and of arrays that other libraries share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from xpnet.arrays import namespace
from xpnet.errors import ArrayTypeError, DtypeError, ShapeError

if TYPE_CHECKING:
    from xpnet.arrays import Array, Namespace

_HOST = frozenset({1, 3, 11})  # kDLCPU, kDLCUDAHost, kDLROCMHost


def to_host(data: Any, function: str = "to_host") -> np.ndarray:
    """Return `data` as a NumPy array in host memory; shared, not copied, if it lies there.

    Args:
        data: as for `Backend.send`.
        function: what an error begins with.

    Raises: as `Backend.send`.
    """
    device = dlpack_device(data)
    if isinstance(data, np.ndarray | np.generic):
        namespace(data, f"{function}: ")  # refuses the kinds of arrays whose operators differ
        array = np.asarray(data)
    elif device is not None and device[0] in _HOST:
        array = from_dlpack(np, data, function)
    elif device is not None:
        from xpnet.backend.device import copy_to_host

        array = copy_to_host(data)
    else:
        array = _converted(data, function)
    if array.dtype.kind not in "biuf":
        kind = f"an array of {array.dtype}" if array.ndim else f"a {type(data).__name__}"
        msg = f"{function}: got {kind}, expected numbers of at most 64 bits"
        raise DtypeError(msg)
    return array


def _converted(data: Any, function: str) -> np.ndarray:
    """Return what NumPy makes of an object that is no array: a number, a list, an open file's data set."""
    try:
        return np.asarray(data)
    except Exception as error:  # whatever the object's own conversion raises
        kind = (
            ShapeError if isinstance(data, list | tuple) and isinstance(error, ValueError) else ArrayTypeError
        )
        msg = f"{function}: no array can be made of this {type(data).__name__}: {error}"
        raise kind(msg) from error


def dlpack_device(data: Any) -> tuple[int, int] | None:
    """Return the DLPack device type and number of an array, or None for what is not one."""
    if not hasattr(data, "__dlpack_device__"):
        return None
    try:
        kind, number = data.__dlpack_device__()
    except Exception as error:  # PyTorch's tensors without data, say
        msg = f"an array of {type(data).__module__} has no device it can be taken from: {error}"
        raise ArrayTypeError(msg) from error
    return int(kind), int(number)


def from_dlpack(xp: Namespace, data: Any, function: str) -> Array:
    """Return an array of another library as one of `xp`, which shares its memory.

    Raises:
        ArrayTypeError: the other library does not give it, as PyTorch for a tensor with a gradient.
    """
    try:
        return xp.from_dlpack(data)
    except (BufferError, RuntimeError, TypeError, ValueError) as error:
        name = f"{type(data).__module__}.{type(data).__qualname__}"
        msg = f"{function}: {name} cannot be shared through DLPack: {error}"
        raise ArrayTypeError(msg) from None
