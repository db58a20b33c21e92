"""Arithmetic on nodes."""

from typing import Any

import numpy as np
import pytest

from xpnet import functional as F
from xpnet.autodiff import Node, gradients
from xpnet.backend import Backend
from xpnet.errors import ArrayTypeError, ShapeError
from xpnet.testing import assert_close


def test_arithmetic_on_both_sides(backend: Backend) -> None:
    x = Node(backend.send([[2.0, 4.0]]))
    array = backend.send([[1.0, 3.0]])
    if backend.name == "strict":  # its arrays do not let the node on their right compute
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


def test_results_of_rank_0_stay_arrays() -> None:
    """NumPy returns scalars for them, which would later be taken for Python numbers."""
    a = Node(5.0)
    assert type((a + a).value) is np.ndarray
    assert type(F.add(np.asarray(1.0), np.asarray(2.0))) is np.ndarray


def test_an_exponent_is_a_number() -> None:
    with pytest.raises(ArrayTypeError, match="power: exponent is a Node, expected a Python number"):
        Node(2.0) ** Node(3.0)
    with pytest.raises(ArrayTypeError, match="power: exponent is a ndarray"):
        Node(2.0) ** np.ones((1, 1))


def test_x_to_the_0_has_no_slope_anywhere(backend: Backend) -> None:
    x = Node(backend.send([[0.0, 2.0]]))
    assert_close(gradients(x**0, [x], backend.send([[1.0, 1.0]]))[0], [[0.0, 0.0]], backend)


@pytest.mark.parametrize("operation", [F.add, F.subtract, F.multiply, F.divide], ids=lambda f: f.__name__)
def test_shapes_that_do_not_broadcast_are_refused(operation: Any, backend: Backend) -> None:
    x, y = backend.send(np.ones((2, 3))), backend.send(np.ones((2, 2)))
    with pytest.raises(
        ShapeError, match=rf"{operation.__name__}: x is \(2, 3\) and y is \(2, 2\).* here they are 3 and 2"
    ):
        operation(x, y)


def test_transpose_needs_a_matrix(backend: Backend) -> None:
    with pytest.raises(ShapeError, match=r"transpose: x has shape \(1, 2, 3\), expected a matrix"):
        F.transpose(backend.send(np.ones((1, 2, 3))))
