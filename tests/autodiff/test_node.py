"""Nodes and their arithmetic."""

from typing import Any

import numpy as np
import pytest

from xpnet import functional as F
from xpnet.autodiff import Node, gradients
from xpnet.backend.backend import Backend
from xpnet.errors import ArrayTypeError, DtypeError, ShapeError
from xpnet.testing import assert_close


def test_arithmetic_on_both_sides(backend: Backend) -> None:
    x = Node(backend.send([[2.0, 4.0]]))
    array = backend.send([[1.0, 3.0]])
    if (
        backend.name == "strict"
    ):  # whose arrays refuse what they do not know, and do not leave it to the right
        array = Node(array)
    for node, expected in [
        (x + 1, [[3, 5]]), (1 + x, [[3, 5]]), (x + array, [[3, 7]]), (array + x, [[3, 7]]),
        (x - 1, [[1, 3]]), (1 - x, [[-1, -3]]), (array - x, [[-1, -1]]), (x - array, [[1, 1]]),
        (x * 3, [[6, 12]]), (3 * x, [[6, 12]]), (array * x, [[2, 12]]), (x * array, [[2, 12]]),
        (x / 2, [[1, 2]]), (2 / x, [[1, 0.5]]), (array / x, [[0.5, 0.75]]), (x / array, [[2, 4 / 3]]),
        (-x, [[-2, -4]]), (x**2, [[4, 16]]), (x**0.5, [[2**0.5, 2]]),
        (x @ x.T, [[20]]), (array @ x.T, [[14]]), (x @ array.T, [[14]]),
    ]:  # fmt: skip
        assert isinstance(node, Node)
        assert_close(node.value, np.array(expected, dtype="float64"), backend)


@pytest.mark.parametrize(
    "scalar", [2, 2.0, np.float64(2), np.float32(2), np.int64(2)], ids=lambda s: type(s).__name__
)
def test_scalars_leave_the_dtype_alone(scalar: float, backend: Backend) -> None:
    x = Node(backend.send(np.ones((2, 2), dtype="float32")))
    for node in (
        x + scalar,
        scalar + x,
        x * scalar,
        scalar * x,
        x - scalar,
        scalar - x,
        x / scalar,
        scalar / x,
    ):
        assert node.dtype == backend.xp.float32
    assert F.leaky_relu(x, slope=np.float64(0.1)).dtype == backend.xp.float32
    assert F.power(x, exponent=np.float64(2)).dtype == backend.xp.float32


def test_a_python_number_becomes_float64() -> None:
    assert Node(5).dtype == np.float64
    assert Node(np.float32(5)).dtype == np.float32
    assert Node(5).shape == ()


def test_results_of_rank_0_stay_arrays() -> None:
    """NumPy's own arithmetic makes scalars of them, which would pass for Python numbers later."""
    a = Node(5.0)
    assert type((a + a).value) is np.ndarray
    assert type(F.add(np.asarray(1.0), np.asarray(2.0))) is np.ndarray


def test_values_that_are_no_arrays_of_floats_are_refused() -> None:
    with pytest.raises(DtypeError, match="pixels is uint8"):
        Node(np.ones((2, 2), dtype="uint8"), "pixels")
    with pytest.raises(ShapeError, match=r"Node: w has shape \(3,\).*column \(3, 1\)"):
        Node(np.ones(3), "w")
    with pytest.raises(ArrayTypeError, match="Node: value: expected an array, got a list"):
        Node([1.0])
    with (
        pytest.warns(PendingDeprecationWarning),
        pytest.raises(ArrayTypeError, match="matrix is not supported"),
    ):
        Node(np.matrix([[1.0]]))
    with pytest.raises(ArrayTypeError, match="MaskedArray is not supported"):
        Node(np.ma.masked_array([[1.0]]))


def test_a_node_is_no_array(backend: Backend) -> None:
    node = Node(backend.send([[1.0]]))
    for use in (
        bool,
        float,
        int,
        np.asarray,
        np.mean,
        lambda w: np.dot(w, w),
        lambda w: np.dot(np.ones((1, 1)), w),
    ):
        with pytest.raises(
            TypeError, match="a Node is no array and no number: compute with xpnet's functions"
        ):
            use(node)
    with pytest.raises(TypeError, match="does not support ufuncs"):
        np.exp(node)


def test_a_value_does_not_change(backend: Backend) -> None:
    w = Node(backend.send([[1.0]]))
    with pytest.raises(TypeError, match=r"make a new node, w = Node\(w.value - learning_rate \* dw\)"):
        w -= 0.1 * w.value


def test_an_exponent_is_a_number() -> None:
    with pytest.raises(ArrayTypeError, match="power: exponent is a Node, expected a Python number"):
        Node(2.0) ** Node(3.0)
    with pytest.raises(ArrayTypeError, match="power: exponent is a ndarray"):
        Node(2.0) ** np.ones((1, 1))


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


def test_x_to_the_0_has_no_slope_anywhere(backend: Backend) -> None:
    x = Node(backend.send([[0.0, 2.0]]))
    assert_close(gradients(x**0, [x], backend.send([[1.0, 1.0]]))[0], [[0.0, 0.0]], backend)


@pytest.mark.parametrize("operation", [F.add, F.subtract, F.multiply, F.divide], ids=lambda f: f.__name__)
def test_shapes_that_do_not_broadcast_are_refused(operation: Any, backend: Backend) -> None:
    x, y = backend.send(np.ones((2, 3))), backend.send(np.ones((2, 2)))
    with pytest.raises(
        ShapeError, match=rf"{operation.__name__}: x is \(2, 3\) and y is \(2, 2\).* 3 and 2 are"
    ):
        operation(x, y)


def test_transpose_needs_a_matrix(backend: Backend) -> None:
    with pytest.raises(ShapeError, match=r"transpose: x has shape \(1, 2, 3\), expected a matrix"):
        F.transpose(backend.send(np.ones((1, 2, 3))))


def test_a_name_is_text() -> None:
    with pytest.raises(ArrayTypeError, match="name is a int, expected text"):
        Node(1.0, 5)


def test_depth_counts_the_longest_way() -> None:
    a = Node(1.0)
    b = a + a
    assert (a.depth, b.depth, (a + b).depth, (b * 2 + a).depth) == (0, 1, 2, 3)


def test_repr_reads_no_value(backend: Backend) -> None:
    import backends

    with backends.no_sync(backend):
        node = Node(backend.xp.ones_like(backend.send([[1.0, 2.0]])), "x")
        assert "x(1, 2)" in repr(node)
        assert "by multiply" in repr(2 * node)
