"""The library of an array (`xp`), and checks of its dtype."""

import sys
from typing import Any, TypeAlias

import numpy as np

from xpnet.errors import ArrayTypeError, DtypeError

Array: TypeAlias = Any
"""An array of any library that follows the Python array API standard: NumPy, CuPy, PyTorch, ..."""

Namespace: TypeAlias = Any
"""The module of an array library. Variables that hold one are named `xp`."""

_namespaces: dict[type, Namespace] = {}
"""The library of each type of array, filled in when a type is first seen."""


def namespace(array: Array, where: str = "") -> Namespace:
    """Return the library of an array: `numpy`, `cupy`, or another that follows the array API standard.

    Args:
        array: any array.
        where: text that an error message begins with, such as "sigmoid: z: ".

    Raises:
        ArrayTypeError: `array` is not an array, or is a `numpy.matrix` or a masked array.
    """
    kind = type(array)
    try:
        return _namespaces[kind]
    except KeyError:
        xp = _namespaces[kind] = _find_namespace(array, where)
        return xp


def _find_namespace(array: Array, where: str) -> Namespace:
    kind = type(array)
    if isinstance(array, np.matrix | np.ma.MaskedArray):
        msg = (
            f"{where}{kind.__name__} is not supported, because its operators differ from those of arrays: "
            "use numpy.asarray(...)"
        )
        raise ArrayTypeError(msg)
    if isinstance(array, np.ndarray):
        return np
    if kind.__module__.partition(".")[0] == "cupy" and hasattr(array, "dtype"):
        return sys.modules["cupy"]
    if hasattr(array, "__array_namespace__"):
        return array.__array_namespace__()
    import array_api_compat

    try:
        return array_api_compat.array_namespace(array)
    except TypeError:
        name = f"{kind.__module__}.{kind.__qualname__}".removeprefix("builtins.")
        fix = "pass node.value" if kind.__name__ == "Node" else "make one with backend.send(...)"
        msg = f"{where}expected an array, got a {name}: {fix}"
        raise ArrayTypeError(msg) from None


float_arrays: dict[type, tuple[Namespace, set[Any]]] = {}
"""For each type of array seen so far: its library, and the floating-point dtypes seen so far."""


def is_float_array(array: Array) -> bool:
    """Return whether an array holds real floats. Adds its type and dtype to `float_arrays`."""
    xp = namespace(array)
    floats = float_arrays.setdefault(type(array), (xp, set()))[1]
    if array.dtype in floats:
        return True
    if is_number_dtype(xp, array.dtype) and xp.isdtype(array.dtype, "real floating"):
        floats.add(array.dtype)
        return True
    return False


_number_dtypes: dict[Namespace, set[Any]] = {}
"""For each library: the dtypes seen so far that hold numbers."""


def refuse_other_than_numbers(function: str, parameter: str, array: Array) -> None:
    """Raise `DtypeError` unless `array` holds booleans, integers or real floating-point numbers."""
    xp = namespace(array)
    seen = _number_dtypes.setdefault(xp, set())
    if array.dtype in seen:
        return
    if not is_number_dtype(xp, array.dtype):
        msg = f"{function}: {parameter} is {array.dtype}, expected integers, booleans or floats"
        raise DtypeError(msg)
    seen.add(array.dtype)


def is_number_dtype(xp: Namespace, dtype: Any) -> bool:
    """Return whether a dtype of the library `xp` is boolean, integer or real floating-point."""
    try:
        return bool(xp.isdtype(dtype, ("bool", "integral", "real floating")))
    except TypeError:  # NumPy raises it for strings of variable width
        return False


def refuse_other_than_floats(function: str, parameter: str, array: Array) -> None:
    """Raise `DtypeError` unless `array` holds real floating-point numbers.

    Integers are not converted silently: that would copy a whole uint8 matrix to a wider type. And arithmetic
    on uint8 itself wraps around at 256.
    """
    if not is_float_array(array):
        msg = (
            f"{function}: {parameter} is {array.dtype}, expected floats: "
            f'cast it first, for example {parameter}.astype("float32") or backend.send(..., dtype="float32")'
        )
        raise DtypeError(msg)


def cast_like(array: Array, like: Array) -> Array:
    """Return `array` with the dtype of `like`; without a copy if it has that dtype already."""
    if array.dtype == like.dtype:
        return array
    if isinstance(array, np.ndarray):
        return array.astype(like.dtype)  # takes a quarter of the time of numpy.astype
    return namespace(like).astype(array, like.dtype)


def indices_like(array: Array, count: int) -> Array:
    """Return 0, 1, ..., count - 1 as a column (count, 1), int64, on the device of `array`."""
    xp = namespace(array)
    # CuPy's creation functions have no parameter `device`: they use CUDA's current device, and CuPy can
    # compute only with arrays of that device.
    on = {} if xp.__name__.endswith("cupy") else {"device": array.device}
    return xp.arange(count, dtype=xp.int64, **on)[:, None]
