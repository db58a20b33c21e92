"""Convert data of any kind to NumPy arrays, and share arrays of other libraries through DLPack."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from xpnet.arrays import namespace
from xpnet.errors import ArrayTypeError, DtypeError, ShapeError

if TYPE_CHECKING:
    from xpnet.arrays import Array, Namespace

_HOST = frozenset({1, 3, 11})  # kDLCPU, kDLCUDAHost, kDLROCMHost
"""DLPack's device types of host memory."""


def to_host(data: Any, function: str = "to_host") -> np.ndarray:
    """Return `data` as a NumPy array in host memory. An array that is already there is not copied.

    Args:
        data: as for `Backend.send`.
        function: name of the calling function, for error messages.

    Raises: the errors of `Backend.send`.
    """
    device = dlpack_device(data)
    if isinstance(data, np.ndarray | np.generic):
        namespace(data, f"{function}: ")  # raises an error for numpy.matrix and masked arrays
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
    """Return another object as a NumPy array: a number, a list, a data set of an open file, ..."""
    try:
        return np.asarray(data)
    except Exception as error:  # the conversion of the object may raise any error
        kind = (
            ShapeError if isinstance(data, list | tuple) and isinstance(error, ValueError) else ArrayTypeError
        )
        msg = f"{function}: a {type(data).__name__} cannot be converted to an array: {error}"
        raise kind(msg) from error


def dlpack_device(data: Any) -> tuple[int, int] | None:
    """Return DLPack's device type and device number of an array; None for other objects."""
    if not hasattr(data, "__dlpack_device__"):
        return None
    try:
        kind, number = data.__dlpack_device__()
    except Exception as error:  # for example for a tensor of PyTorch without data
        msg = f"an array of {type(data).__module__} does not tell on which device it is: {error}"
        raise ArrayTypeError(msg) from error
    return int(kind), int(number)


def from_dlpack(xp: Namespace, data: Any, function: str) -> Array:
    """Return an array of another library as an array of `xp` that shares its memory.

    Raises:
        ArrayTypeError: the other library does not share it, for example PyTorch a tensor with a gradient.
    """
    try:
        return xp.from_dlpack(data)
    except (BufferError, RuntimeError, TypeError, ValueError) as error:
        name = f"{type(data).__module__}.{type(data).__qualname__}"
        msg = f"{function}: {name} cannot be shared through DLPack: {error}"
        raise ArrayTypeError(msg) from None
