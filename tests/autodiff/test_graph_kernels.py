"""Kernels that users register for a primitive."""

from typing import Any

import numpy as np
import pytest
from cases import make_swish

from xpnet.autodiff import Node, gradients, primitive
from xpnet.backend import Backend
from xpnet.errors import GraphError
from xpnet.testing import assert_close, check_gradients


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
    def swish(z: Any) -> Any:  # as a user writes it in a module
        return 7 * z

    assert swish is primitive_itself
    assert swish_pullback is pullback
    with pytest.raises(GraphError, match="expected a name such as 'numpy' or 'cupy'"):
        swish.kernel(np)


def test_a_user_function_never_meets_a_kernel_of_the_same_name() -> None:
    @primitive(lambda grad, a, z: (grad,))
    def sigmoid(z: Any) -> Any:
        return 7 * z

    assert sigmoid(np.ones((1, 1))) == 7
