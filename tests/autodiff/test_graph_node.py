"""Nodes: values, names, and what they refuse."""

import backends
import numpy as np
import pytest

from xpnet.autodiff import Node
from xpnet.backend import Backend
from xpnet.errors import ArrayTypeError, DtypeError, ShapeError


def test_a_python_number_becomes_float64() -> None:
    assert Node(5).dtype == np.float64
    assert Node(np.float32(5)).dtype == np.float32
    assert Node(5).shape == ()


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
        with pytest.raises(TypeError, match="a Node is not an array and not a number: use xpnet's functions"):
            use(node)
    with pytest.raises(TypeError, match="does not support ufuncs"):
        np.exp(node)


def test_a_value_does_not_change(backend: Backend) -> None:
    w = Node(backend.send([[1.0]]))
    with pytest.raises(TypeError, match=r"make a new node, w = Node\(w.value - learning_rate \* dw\)"):
        w -= 0.1 * w.value


def test_a_name_is_text() -> None:
    with pytest.raises(ArrayTypeError, match="name is of type int, expected str"):
        Node(1.0, 5)


def test_depth_counts_the_longest_way() -> None:
    a = Node(1.0)
    b = a + a
    assert (a.depth, b.depth, (a + b).depth, (b * 2 + a).depth) == (0, 1, 2, 3)


def test_repr_reads_no_value(backend: Backend) -> None:
    with backends.no_sync(backend):
        node = Node(backend.xp.ones_like(backend.send([[1.0, 2.0]])), "x")
        assert "x(1, 2)" in repr(node)
        assert "by multiply" in repr(2 * node)
