"""What an array is: its library (`xp`) and its dtype. Everything numeric asks its arguments here."""

import sys
from typing import Any, TypeAlias

import numpy as np

from xpnet.errors import ArrayTypeError, DtypeError

Array: TypeAlias = Any
"""An array of any library that follows the Python array API standard: NumPy, CuPy, PyTorch, ..."""

Namespace: TypeAlias = Any
"""An array library's module, by convention named `xp`."""

_namespaces: dict[type, Namespace] = {}


def namespace(array: Array, where: str = "") -> Namespace:
    """Return the library whose array this is: `numpy`, `cupy`, or another with the array API standard.

    Args:
        array: any array.
        where: what an error begins with, such as "sigmoid: z: ".

    Raises:
        ArrayTypeError: `array` is not an array, or one whose operators mean something else.
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
            f"{where}{kind.__name__} is not supported (its operators differ from an array's): "
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
"""For each type of array seen so far: its library, and the floating-point dtypes seen in it."""


def is_float_array(array: Array) -> bool:
    """Whether `array`, of a library, holds real floating-point numbers. Remembered in `float_arrays`."""
    xp = namespace(array)
    floats = float_arrays.setdefault(type(array), (xp, set()))[1]
    if array.dtype in floats:
        return True
    if is_number_dtype(xp, array.dtype) and xp.isdtype(array.dtype, "real floating"):
        floats.add(array.dtype)
        return True
    return False


_number_dtypes: dict[Namespace, set[Any]] = {}


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
    """Whether a dtype of the library `xp` is boolean, integral or real floating."""
    try:
        return bool(xp.isdtype(dtype, ("bool", "integral", "real floating")))
    except TypeError:  # NumPy's strings of variable width
        return False


def refuse_other_than_floats(function: str, parameter: str, array: Array) -> None:
    """Raise `DtypeError` unless `array` holds real floating-point numbers.

    Integers are refused and not converted: a uint8 matrix would be copied whole to a wider type, and
    uint8 arithmetic wraps around at 256.
    """
    if not is_float_array(array):
        msg = (
            f"{function}: {parameter} is {array.dtype}, expected floats: "
            f'cast it first, for example {parameter}.astype("float32") or backend.send(..., dtype="float32")'
        )
        raise DtypeError(msg)


def cast_like(array: Array, like: Array) -> Array:
    """Return `array` with the dtype of `like`: itself if it has it already."""
    if array.dtype == like.dtype:
        return array
    if isinstance(array, np.ndarray):
        return array.astype(like.dtype)  # a quarter of the time of numpy.astype
    return namespace(like).astype(array, like.dtype)


def indices_like(array: Array, count: int) -> Array:
    """Return the column 0, 1, ..., count - 1, shape (count, 1), int64, on the device of `array`."""
    xp = namespace(array)
    # CuPy's creation functions take no device: they use the current one, the only one on which its
    # arrays can be used at all.
    on = {} if xp.__name__.endswith("cupy") else {"device": array.device}
    return xp.arange(count, dtype=xp.int64, **on)[:, None]
