"""The library and the dtype of arrays."""

import numpy as np
import pytest

from xpnet.arrays import cast_like, indices_like, is_float_array, is_number_dtype, namespace
from xpnet.backend import Backend
from xpnet.errors import ArrayTypeError
from xpnet.testing import assert_close


def test_the_library_of_an_array(backend: Backend) -> None:
    assert namespace(backend.send([[1.0]])) is backend.xp


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([1.0], "f: x: expected an array, got a list: make one with backend.send"),
        (None, "expected an array, got a NoneType"),
        (np.ma.masked_array([[1.0]]), "f: x: MaskedArray is not supported"),
    ],
)
def test_other_objects_are_refused(value: object, message: str) -> None:
    with pytest.raises(ArrayTypeError, match=message):
        namespace(value, "f: x: ")


@pytest.mark.parametrize(
    ("dtype", "floats"), [("float32", True), ("float64", True), ("uint8", False), ("bool", False)]
)
def test_arrays_of_floats(dtype: str, floats: bool, backend: Backend) -> None:
    assert is_float_array(backend.send(np.ones((2, 2)), dtype=dtype)) is floats
    assert is_float_array(backend.send(np.ones((2, 2)), dtype=dtype)) is floats  # now from the table


def test_dtypes_of_numbers() -> None:
    for dtype in ("bool", "int8", "uint64", "float32"):
        assert is_number_dtype(np, np.dtype(dtype))
    for dtype in ("complex128", "U3", "O"):
        assert not is_number_dtype(np, np.dtype(dtype))
    assert not is_number_dtype(np, np.dtypes.StringDType())


def test_casting(backend: Backend) -> None:
    narrow, wide = backend.send([[1.0]], dtype="float32"), backend.send([[2.0]])
    assert_close(cast_like(wide, narrow), np.array([[2.0]], "float32"), backend)
    assert cast_like(wide, backend.send([[3.0]])) is wide


def test_indices_are_a_column_on_the_device(backend: Backend) -> None:
    assert_close(indices_like(backend.send([[1.0]]), 3), np.array([[0], [1], [2]]), backend)
