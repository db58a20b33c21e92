"""Primitives of a user's own, and their kernels."""

import copy
import functools
import pickle
from typing import Any

import numpy as np
import pytest

from xpnet import functional as F
from xpnet.autodiff import Node, Primitive, gradients, primitive
from xpnet.backend.backend import Backend
from xpnet.errors import ArrayTypeError, GraphError
from xpnet.testing import assert_close, check_gradients


def make_swish() -> Primitive:
    def swish_pullback(grad: Any, a: Any, z: Any) -> tuple[Any, ...]:
        s = F.sigmoid(z)
        return (grad * (s + a * (1 - s)),)

    @primitive(swish_pullback)
    def swish(z: Any) -> Any:
        """z sigmoid(z)."""
        return z * F.sigmoid(z)

    return swish


def test_a_primitive_of_ones_own(backend: Backend) -> None:
    swish = make_swish()
    z = backend.send([[-1.0, 0.0, 2.0]])
    assert_close(swish(z), [[-0.2689414213699951, 0.0, 1.7615941559557649]], backend)
    check_gradients(swish, z, backend=backend)
    assert swish.__doc__ == "z sigmoid(z)."
    assert repr(swish) == "<primitive swish(z: Any) -> Any>"


def test_a_kernel_runs_on_its_library_only(backend: Backend) -> None:
    portable, ran = make_swish(), []

    @portable.kernel("numpy")
    def swish(z: np.ndarray) -> np.ndarray:
        ran.append("swish")
        return z / (1 + np.exp(-z))

    @portable.kernel("numpy")
    def swish_pullback(grad: Any, a: Any, z: Any) -> Any:
        ran.append("swish_pullback")
        s = 1 / (1 + np.exp(-z))
        return (grad * (s + a * (1 - s)),)

    z = backend.send([[-1.0, 0.0, 2.0]])
    assert_close(portable(z), [[-0.2689414213699951, 0.0, 1.7615941559557649]], backend)
    check_gradients(portable, z, backend=backend)
    assert set(ran) == ({"swish", "swish_pullback"} if backend.xp is np else set())


def test_a_kernel_registered_later_replaces_what_ran_before() -> None:
    portable = make_swish()
    before = portable(np.ones((1, 1)))

    @portable.kernel("numpy")
    def swish(z: np.ndarray) -> np.ndarray:
        return 7 * z

    assert before != 7
    assert portable(np.ones((1, 1))) == 7


def test_a_kernel_may_decline() -> None:
    portable = make_swish()

    @portable.kernel("numpy")
    def swish(z: np.ndarray) -> Any:
        return NotImplemented if z.dtype == np.float32 else 7 * z

    @portable.kernel("numpy")
    def swish_pullback(grad: Any, a: Any, z: Any) -> Any:
        return NotImplemented

    assert portable(np.zeros((1, 1), "float32")) == 0
    assert portable(np.ones((1, 1))) == 7
    node = Node(np.zeros((1, 1), "float32"))
    assert gradients(portable(node), [node])[0] == 0.5


def test_a_kernel_must_stand_for_the_function_by_name_and_parameters() -> None:
    portable = make_swish()
    with pytest.raises(GraphError, match="must be named swish or swish_pullback, got quick"):

        @portable.kernel("cupy")
        def quick(z: Any) -> Any:
            return z

    with pytest.raises(GraphError, match=r"kernel swish takes \(z: Any, beta: Any\).*expected \(z: Any\)"):

        @portable.kernel("cupy")
        def swish(z: Any, beta: Any) -> Any:
            return z * beta


def test_the_name_of_a_kernel_goes_on_meaning_the_primitive() -> None:
    swish = make_swish()
    pullback = swish.pullback

    @swish.kernel("numpy")
    def swish_pullback(grad: Any, a: Any, z: Any) -> Any:
        return NotImplemented

    primitive_itself = swish

    @swish.kernel("numpy")
    def swish(z: Any) -> Any:  # as one would at the top of a module
        return 7 * z

    assert swish is primitive_itself
    assert swish_pullback is pullback
    with pytest.raises(GraphError, match="expected a name such as 'numpy' or 'cupy'"):
        swish.kernel(np)


def test_a_primitive_keeps_the_rank() -> None:
    @primitive(lambda grad, total, x: (grad,))
    def flat_sum(x: Any) -> Any:
        return x.sum(axis=0)

    with pytest.raises(
        GraphError, match=r"flat_sum returned shape \(2,\), expected an array that keeps the rank"
    ):
        flat_sum(Node(np.ones((3, 2))))


def test_functions_that_make_no_primitive_are_refused() -> None:
    def f_pullback(grad: Any, a: Any, z: Any) -> Any:
        return (grad,)

    def f(z: Any) -> Any:
        return z

    def spread(*arrays: Any) -> Any:
        return arrays

    with pytest.raises(GraphError, match="keyword-only options"):
        primitive(f_pullback)(spread)
    with pytest.raises(GraphError, match="constants names Y, which is no array of it"):
        primitive(f_pullback, constants=("Y",))(f)
    with pytest.raises(GraphError, match="f: the pullback must be a function with a name of its own"):
        primitive(f)(f)
    with pytest.raises(GraphError, match="a name of its own"):
        primitive(functools.partial(f_pullback))(f)


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


def test_a_user_function_never_meets_a_kernel_of_the_same_name() -> None:
    @primitive(lambda grad, a, z: (grad,))
    def sigmoid(z: Any) -> Any:
        return 7 * z

    assert sigmoid(np.ones((1, 1))) == 7


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


def test_calls_that_do_not_fit_the_signature() -> None:
    with pytest.raises(TypeError, match=r"softmax\(z: .*axis: .*\) .*has no parameter 'axes'"):
        F.softmax(np.ones((2, 2)), axes=1)
    with pytest.raises(TypeError, match="has no parameter 'bias'"):
        F.affine(np.ones((2, 2)), np.ones((2, 2)), bias=np.ones((2, 1)))
    with pytest.raises(TypeError, match=r"sum.* missing 1 required positional argument: 'x'"):
        F.sum(axis=0)
    with pytest.raises(TypeError, match=r"sum\(x: .*axis: .*options go by name"):
        F.sum(np.ones((2, 2)), 0)
    with pytest.raises(TypeError):
        F.sigmoid(np.ones((2, 2)), np.ones((2, 2)))
    with pytest.raises(TypeError, match="more arguments than arrays"):
        F.sigmoid(Node(1.0), np.ones((1, 1)))
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'y'"):
        F.add(1.0)
    with pytest.raises(TypeError, match="more arguments than arrays"):
        F.sigmoid(np.ones((2, 2)), np.ones(2))
    with pytest.raises(TypeError, match="missing 2 required positional arguments: 'X' and 'b'"):
        F.affine(np.ones((2, 2)))
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'z'"):
        F.sigmoid()


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
