"""Primitives that users define."""

import copy
import pickle
from typing import Any

import numpy as np
import pytest
from cases import make_swish

from xpnet import functional as F
from xpnet.autodiff import Node, gradients, primitive
from xpnet.backend import Backend
from xpnet.errors import ArrayTypeError, GraphError
from xpnet.testing import assert_close, check_gradients


def test_a_primitive_of_ones_own(backend: Backend) -> None:
    swish = make_swish()
    z = backend.send([[-1.0, 0.0, 2.0]])
    assert_close(swish(z), [[-0.2689414213699951, 0.0, 1.7615941559557649]], backend)
    check_gradients(swish, z, backend=backend)
    assert swish.__doc__ == "z sigmoid(z)."
    assert repr(swish) == "<primitive swish(z: Any) -> Any>"


def test_a_primitive_keeps_the_rank() -> None:
    @primitive(lambda grad, total, x: (grad,))
    def flat_sum(x: Any) -> Any:
        return x.sum(axis=0)

    with pytest.raises(
        GraphError, match=r"flat_sum returned shape \(2,\), expected an array that keeps the rank"
    ):
        flat_sum(Node(np.ones((3, 2))))


def test_primitives_are_pickled_and_copied_by_reference() -> None:
    assert pickle.loads(pickle.dumps(F.sigmoid)) is F.sigmoid  # noqa: S301
    assert copy.deepcopy(F.softmax) is F.softmax


@pytest.mark.parametrize("returned", [None, True, 1.0])
def test_a_primitive_returns_an_array(returned: Any) -> None:
    @primitive(lambda grad, a, z: (grad,))
    def broken(z: Any) -> Any:
        return returned

    with pytest.raises(GraphError, match=r"broken returned a \w+, expected an array that keeps the rank"):
        broken(Node(1.0))


@pytest.mark.parametrize("entry", [1.0, "x", Node(1.0), [1.0]])
def test_a_pullback_returns_arrays(entry: Any) -> None:
    def broken_pullback(grad: Any, a: Any, z: Any) -> Any:
        return (entry,)

    @primitive(broken_pullback)
    def broken(z: Any) -> Any:
        return z * 1.0

    z = Node(1.0)
    with pytest.raises(GraphError, match=r"broken_pullback returned a \w+, expected an array"):
        gradients(broken(z), [z])


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (lambda grad: (grad, grad), "returned 2 gradients, expected a tuple of 1: one for each of z"),
        (lambda grad: (grad.T,), r"returned a gradient of shape \(2, 1\) for an input of shape \(1, 2\)"),
        (lambda grad: grad, r"broken_pullback returned an? \w+, expected a tuple of 1: one for each of z"),
        (lambda grad: (None,), "broken has no derivative with respect to <Node"),
    ],
)
def test_a_broken_pullback_is_named(returned: Any, message: str, backend: Backend) -> None:
    def broken_pullback(grad: Any, a: Any, z: Any) -> Any:
        return returned(grad)

    @primitive(broken_pullback)
    def broken(z: Any) -> Any:
        return z

    z = Node(backend.send([[1.0, 2.0]]))
    with pytest.raises(GraphError, match=message):
        gradients(F.sum(broken(z)), [z])


def test_arrays_of_a_second_library_work_through_array_api_compat() -> None:
    torch = pytest.importorskip("torch")
    z = Node(torch.tensor([[-1.0, 2.0]]))
    Y = torch.tensor([[0, 1]])
    loss = F.mean(F.logistic_loss(z, Y))
    (dz,) = gradients(loss, [z])
    assert isinstance(dz, torch.Tensor)
    expected = (torch.sigmoid(z.value) - Y) / 2
    torch.testing.assert_close(dz, expected)
    with pytest.raises(ArrayTypeError, match="arrays of torch and numpy"):
        F.add(torch.ones((1, 1)), np.ones((1, 1)))
