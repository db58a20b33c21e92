"""Which definitions and arguments of primitives are refused."""

import functools
from typing import Any

import numpy as np
import pytest

from xpnet import functional as F
from xpnet.autodiff import Node, primitive
from xpnet.errors import DtypeError, GraphError


@pytest.mark.parametrize(
    ("scalar", "error"),
    [
        (np.uint8(3), DtypeError),
        (np.complex128(1j), DtypeError),
        (np.str_("cat"), DtypeError),
        (10**400, DtypeError),
    ],
)
def test_scalars_that_are_no_floats_are_refused(scalar: Any, error: type) -> None:
    for use in (F.sigmoid, F.negative, lambda x: F.power(x, exponent=2), lambda x: F.add(x, x), Node):
        with pytest.raises(error):
            use(scalar)


def test_a_complex_scalar_is_refused_beside_an_array() -> None:
    with pytest.raises(DtypeError, match="complex128, expected integers, booleans or floats"):
        Node(5.0) + np.complex128(1j)
    assert (Node(np.ones((1, 1), "float32")) + np.longdouble(2)).dtype == np.float32


def test_functions_that_make_no_primitive_are_refused() -> None:
    def f_pullback(grad: Any, a: Any, z: Any) -> Any:
        return (grad,)

    def f(z: Any) -> Any:
        return z

    def spread(*arrays: Any) -> Any:
        return arrays

    with pytest.raises(GraphError, match="keyword-only options"):
        primitive(f_pullback)(spread)
    with pytest.raises(GraphError, match="constants names Y, which is not one of its arrays"):
        primitive(f_pullback, constants=("Y",))(f)
    with pytest.raises(GraphError, match="f: the pullback must be a function with a different name"):
        primitive(f)(f)
    with pytest.raises(GraphError, match="a different name"):
        primitive(functools.partial(f_pullback))(f)


def test_calls_that_do_not_fit_the_signature() -> None:
    with pytest.raises(TypeError, match=r"softmax\(z: .*axis: .*\) .*has no parameter 'axes'"):
        F.softmax(np.ones((2, 2)), axes=1)
    with pytest.raises(TypeError, match="has no parameter 'bias'"):
        F.affine(np.ones((2, 2)), np.ones((2, 2)), bias=np.ones((2, 1)))
    with pytest.raises(TypeError, match=r"sum.* missing 1 required positional argument: 'x'"):
        F.sum(axis=0)
    with pytest.raises(TypeError, match=r"sum\(x: .*axis: .*give options by name"):
        F.sum(np.ones((2, 2)), 0)
    with pytest.raises(TypeError):
        F.sigmoid(np.ones((2, 2)), np.ones((2, 2)))
    with pytest.raises(TypeError, match="more positional arguments than arrays"):
        F.sigmoid(Node(1.0), np.ones((1, 1)))
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'y'"):
        F.add(1.0)
    with pytest.raises(TypeError, match="more positional arguments than arrays"):
        F.sigmoid(np.ones((2, 2)), np.ones(2))
    with pytest.raises(TypeError, match="missing 2 required positional arguments: 'X' and 'b'"):
        F.affine(np.ones((2, 2)))
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'z'"):
        F.sigmoid()
