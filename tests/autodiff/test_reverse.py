"""Gradients: their values, their memory, and which arguments are refused."""

import gc
import tracemalloc
import weakref
from typing import Any

import numpy as np
import pytest

from xpnet import functional as F
from xpnet.autodiff import Node, gradients, primitive
from xpnet.backend.backend import Backend
from xpnet.errors import ArrayTypeError, DtypeError, GraphError, ShapeError
from xpnet.testing import assert_close, check_gradients


def test_a_shared_node_gets_the_sum(backend: Backend) -> None:
    x = Node(backend.send([[3.0]]))
    y = x * x + x
    assert_close(gradients(y * y, [x])[0], [[2 * 12 * 7.0]], backend)


def test_inputs_may_be_any_iterable() -> None:
    parameters = {"x": Node(2.0), "y": Node(3.0)}
    J = parameters["x"] * parameters["y"]
    assert gradients(J, (node for node in parameters.values())) == [3.0, 2.0]
    assert gradients(J, parameters.values()) == [3.0, 2.0]


def test_an_input_used_twice_by_one_primitive(backend: Backend) -> None:
    x = Node(backend.send([[3.0]]))
    assert_close(gradients(x - x, [x])[0], [[0.0]], backend)
    assert_close(gradients(x / x, [x])[0], [[0.0]], backend)


def test_a_node_that_the_output_does_not_depend_on_is_named(backend: Backend) -> None:
    """As after `w = Node(...)` in a descent loop, before the cost is computed anew."""
    x, unused = Node(backend.send([[3.0]])), Node(backend.send(np.ones((2, 3), dtype="float32")), "w")
    with pytest.raises(
        GraphError, match=r"does not depend on <Node w\(2, 3\) .*float32>: was the node replaced"
    ):
        gradients(x * 2, [x, unused])
    dx, dunused = gradients(x * 2, [x, unused], allow_unused=True)
    assert_close(dx, [[2.0]], backend)
    assert_close(dunused, np.zeros((2, 3), dtype="float32"), backend)


def test_derivatives_of_intermediate_nodes(backend: Backend) -> None:
    x = Node(backend.send([[3.0]]))
    u = x * x
    J = u * x
    du, dx, dJ = gradients(J, [u, x, J])
    for got, expected in [(du, 3.0), (dx, 27.0), (dJ, 1.0)]:
        assert_close(got, [[expected]], backend)


with_kernels = pytest.mark.parametrize(
    "backend",
    ["numpy", "strict", "fake", "kernels", pytest.param("cupy", marks=pytest.mark.gpu)],
    indirect=True,
)


@with_kernels
@pytest.mark.parametrize("penalty", ["none", "before", "after", "both"])
@pytest.mark.parametrize("layers", [1, 2])
def test_gradients_are_written_into_memory_that_is_given(
    layers: int, penalty: str, backend: Backend, dtype: str
) -> None:
    """Products are written there directly. Gradients that arrive before or after them are added."""
    rng = np.random.default_rng(0)
    W, b, c, X = (
        backend.send(rng.standard_normal(shape), dtype=dtype) for shape in ((4, 4), (4, 1), (4, 1), (4, 3))
    )
    with backend.activate():
        nodes = [Node(W, "W"), Node(b, "b"), Node(c, "c")]
        A = X if penalty in ("none", "after") else F.sum(nodes[0] * nodes[0]) * X
        for bias in nodes[1 : 1 + layers]:  # with two layers, W is used twice
            A = F.tanh(F.affine(nodes[0], A, bias))
        J = F.sum(A) + F.sum(nodes[2])
        if penalty in ("after", "both"):
            J = J + F.sum(nodes[0] * nodes[0]) + F.sum(nodes[1])
        want = gradients(J, nodes)
        buffer = backend.send(np.full((24, 1), np.nan), dtype=dtype)
        into = [
            backend.xp.reshape(buffer[start : start + node.value.size, :], node.shape)
            for start, node in zip((0, 16, 20), nodes, strict=True)
        ]
        got = gradients(J, nodes, into=iter(into))
        assert all(array is target for array, target in zip(got, into, strict=True))
        for array, expected in zip(got, want, strict=True):
            assert_close(array, backend.fetch(expected), backend, rtol=1e-5 if dtype == "float32" else 1e-12)
        assert_close(buffer, np.concatenate([backend.fetch(g).reshape(-1, 1) for g in got]), backend)


def test_a_product_needs_no_other_memory_than_what_is_given() -> None:
    W, X = Node(np.ones((300, 1000))), np.ones((1000, 2))
    J = F.sum(F.affine(W, X, np.zeros((300, 1))))
    target = np.empty((300, 1000))
    tracemalloc.start()
    gradients(J, [W], into=[target])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < target.nbytes / 10
    np.testing.assert_array_equal(target, np.full((300, 1000), 2.0))


def test_memory_is_given_for_each_input(backend: Backend) -> None:
    x, unused = Node(backend.send([[3.0]])), Node(backend.send([[1.0]]))
    into = [backend.send(np.full((1, 1), 7.0)) for _ in range(3)]
    gradients(x * x, [x, x, unused], into=into, allow_unused=True)
    for array, expected in zip(into, [6.0, 6.0, 0.0], strict=True):
        assert_close(array, [[expected]], backend)
    with pytest.raises(
        ShapeError, match=r"into has shapes \[\(1, 1\)\], the inputs have \[\(1, 1\), \(1, 1\)\]"
    ):
        gradients(x * x, [x, x], into=into[:1])
    with pytest.raises(ShapeError, match="expected the same"):
        gradients(x * x, [x], into=[backend.send(np.ones((2, 1)))])


def test_the_gradient_of_a_further_quantity(backend: Backend) -> None:
    x = Node(backend.send([[1.0, 2.0]]))
    (dx,) = gradients(x * x, [x], backend.send([[10.0, 100.0]]))
    assert_close(dx, [[20.0, 400.0]], backend)


def test_a_gradient_has_the_dtype_of_its_input(backend: Backend) -> None:
    narrow, wide = Node(backend.send([[1.0]], dtype="float32")), Node(backend.send([[2.0]]))
    dnarrow, dwide = gradients(narrow * wide, [narrow, wide])
    assert_close(dnarrow, np.array([[2]], dtype="float32"), backend)
    assert_close(dwide, np.array([[1.0]]), backend)


def test_a_small_network(backend: Backend) -> None:
    generator = np.random.default_rng(0)
    X, Y = backend.send(generator.standard_normal((4, 6))), backend.send(np.array([[0, 1, 2, 2, 1, 0]]))

    def cost(W1: Node, b1: Node, W2: Node, b2: Node) -> Node:
        A1 = F.tanh(F.affine(W1, X, b1))
        return F.mean(F.softmax_cross_entropy(F.affine(W2, A1, b2), Y)) + 0.1 * F.sum(W1**2)

    shapes = [(5, 4), (5, 1), (3, 5), (3, 1)]
    check_gradients(cost, *(backend.send(generator.standard_normal(s)) for s in shapes), backend=backend)


@pytest.mark.parametrize("depth", [3_000, 30_000])
def test_a_deep_chain_needs_no_recursion(depth: int) -> None:
    x = node = Node(1.0)
    for _ in range(depth):
        node = node * 1.0001
    (dx,) = gradients(node, [x])
    assert dx == pytest.approx(1.0001**depth)
    alive = weakref.ref(node)
    del node  # this must not recurse through all nodes
    assert alive() is None


def test_only_wanted_gradients_are_computed() -> None:
    computed = []

    def both_pullback(grad: Any, value: Any, x: Any, y: Any) -> tuple[Any, ...]:
        return lambda: computed.append("x") or grad, lambda: computed.append("y") or grad

    @primitive(both_pullback)
    def both(x: Any, y: Any) -> Any:
        return x + y

    x, y, constant = Node(1.0), Node(2.0), np.asarray(3.0)
    gradients(both(x, y), [y])
    assert computed == ["y"]
    gradients(both(x, constant), [x])
    assert computed == ["y", "x"]
    gradients(both(both(constant, y), x), [x])
    assert computed == ["y", "x", "y"]


def test_gradients_are_released_once_used() -> None:
    """Only a few gradients are in memory at a time, not one for each node."""
    size = 100_000
    x = node = Node(np.ones((1, size)))
    for _ in range(50):
        node = node * 1.5
    grad = np.ones((1, size))
    tracemalloc.start()
    gradients(node, [x], grad)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 5 * grad.nbytes


def test_nothing_refers_to_itself() -> None:
    """Without the garbage collector, a thousand training steps leave no memory behind."""
    W, b = np.zeros((1, 50)), np.zeros((1, 1))
    X, Y = np.random.default_rng(0).standard_normal((50, 200)), np.zeros((1, 200), dtype="uint8")

    def step() -> None:
        nodes = [Node(W), Node(b)]
        gradients(F.mean(F.logistic_loss(F.affine(nodes[0], X, nodes[1]), Y)), nodes)

    gc.collect()
    gc.disable()
    tracemalloc.start()
    try:
        for _ in range(200):  # until Python's lists of freed objects are full
            step()
        before, _ = tracemalloc.get_traced_memory()
        for _ in range(1000):
            step()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        gc.enable()
    assert after - before < 2048


def test_the_output_must_be_one_number(backend: Backend) -> None:
    x = Node(backend.send([[1.0, 2.0]]))
    with pytest.raises(ShapeError, match=r"output has shape \(1, 2\), expected one element such as a cost J"):
        gradients(x * 2, [x])
    with pytest.raises(
        ShapeError, match=r"grad is \(2, 1\), the output is \(1, 2\): expected the same shape"
    ):
        gradients(x * 2, [x], backend.send([[1.0], [2.0]]))


def test_a_shared_node_of_rank_0_gets_an_array() -> None:
    x = Node(3.0)
    assert type(gradients(x * x, [x])[0]) is np.ndarray


@pytest.mark.parametrize(
    ("grad", "error", "message"),
    [
        ([[1.0, 1.0]], ArrayTypeError, "gradients: grad: expected an array, got a list"),
        (np.ones((1, 2), "int64"), DtypeError, "gradients: grad is int64, expected floats"),
        (np.ones((1, 2), complex), DtypeError, "gradients: grad is complex128, expected floats"),
        (Node(np.ones((1, 2))), ArrayTypeError, "gradients: grad: .*got a .*Node: pass node.value"),
        (np.ma.masked_array([[1.0, 1.0]]), ArrayTypeError, "MaskedArray is not supported"),
    ],
)
def test_a_seed_that_is_no_float_array_is_refused(grad: Any, error: type, message: str) -> None:
    x = Node(np.ones((1, 2)))
    with pytest.raises(error, match=message):
        gradients(x * 2, [x], grad)


def test_a_seed_takes_the_dtype_of_the_output(backend: Backend) -> None:
    x = Node(backend.send(np.ones((1, 2), "float32")))
    (dx,) = gradients(x, [x], backend.send(np.ones((1, 2))))
    assert_close(dx, np.ones((1, 2), "float32"), backend)


def test_a_seed_of_another_library_is_refused() -> None:
    import backends

    x = Node(np.ones((1, 2)))
    with pytest.raises(ArrayTypeError, match="another library"):
        gradients(x * 2, [x], backends.make("fake").send(np.ones((1, 2))))


def test_what_is_no_node_is_refused() -> None:
    x = Node(1.0)
    with pytest.raises(GraphError, match=r"inputs is one node, expected a sequence of nodes: \[node\]"):
        gradients(x * 2, x)
    with pytest.raises(GraphError, match="a ndarray is not a Node: wrap an array before using it"):
        gradients(x * 2, [np.ones((1, 1))])
    with pytest.raises(GraphError, match="a ndarray is not a Node"):
        gradients(np.ones((1, 1)), [x])
