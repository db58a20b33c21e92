"""Tests of all primitives on each backend."""

import inspect

import backends
import fakecupy
import numpy as np
import pytest
from cases import CASES, PRIMITIVES, Case
from optional import given, hnp, st

from xpnet import functional as F
from xpnet.arrays.namespaces import namespace
from xpnet.autodiff import Node, gradients
from xpnet.backend.backend import Backend
from xpnet.errors import ArrayTypeError, DtypeError, GraphError, ShapeError
from xpnet.testing import assert_close, check_gradients

cases = pytest.mark.parametrize("case", CASES, ids=str)

PER_EXAMPLE = (
    F.sigmoid, F.tanh, F.relu, F.leaky_relu, F.softplus, F.identity, F.softmax, F.log_softmax, F.exp, F.log,
    F.logistic_loss, F.softmax_cross_entropy, F.squared_error,
)  # fmt: skip
"""Primitives that compute each column independently of the others."""

UNBOUNDED = (F.exp, F.log, F.power, F.divide)
"""Primitives that are infinite or undefined for large or small numbers."""

SQUARING = (F.multiply, F.matmul, F.affine, F.dense, F.squared_error, F.L2, F.sum_of_squares)
"""Primitives that overflow in float32 if a square or a product of two numbers does."""


def test_every_public_primitive_has_a_case() -> None:
    assert {p.__name__ for p in PRIMITIVES} == {case.primitive.__name__ for case in CASES}


@cases
def test_gradients_are_derivatives(case: Case, backend: Backend) -> None:
    constants = case.sent_constants(backend)
    check_gradients(
        lambda *nodes: case.call(*nodes, constants=constants),
        *case.arrays(backend),
        backend=backend,
        rtol=1e-7,
    )


@cases
def test_keeps_the_dtype_of_values_and_gradients(case: Case, backend: Backend, dtype: str) -> None:
    arrays = case.arrays(backend, dtype)
    constants = case.sent_constants(backend)
    expected = case.call(
        *case.arrays(Backend("cpu", np, "cpu", ""), "float64"), constants=list(case.constants)
    )
    value = case.call(*arrays, constants=constants)
    assert_close(
        value, expected.astype(dtype), backend, rtol=2e-6 if dtype == "float32" else 1e-12, atol=1e-6
    )
    nodes = [Node(array) for array in arrays]
    output = case.call(*nodes, constants=constants)
    for node, gradient in zip(
        nodes, gradients(output, nodes, backend.xp.ones_like(output.value)), strict=True
    ):
        assert namespace(gradient) is backend.xp
        assert backend.holds(gradient)
        assert gradient.dtype == getattr(backend.xp, dtype)
        assert gradient.shape == node.shape


@pytest.mark.parametrize(
    ("case", "size"),
    [
        (case, size)
        for case in CASES
        for size in (1e4, 1e30)
        if case.primitive not in UNBOUNDED + (SQUARING if size > 1e4 else ())
    ],
    ids=str,
)
def test_tails_give_numbers_and_no_warnings(case: Case, size: float, backend: Backend, dtype: str) -> None:
    arrays = [
        backend.send(np.where(backend.fetch(a) < 0, -size, size), dtype=dtype) for a in case.arrays(backend)
    ]
    nodes = [Node(array) for array in arrays]
    output = case.call(*nodes, constants=case.sent_constants(backend))
    for value in (output.value, *gradients(output, nodes, backend.xp.ones_like(output.value))):
        assert not np.isnan(backend.fetch(value)).any()


@cases
def test_never_changes_its_arguments(case: Case, backend: Backend, dtype: str) -> None:
    arrays = case.arrays(backend, dtype)
    constants = case.sent_constants(backend)
    before = [backend.fetch(array).copy() for array in (*arrays, *constants)]
    nodes = [Node(array) for array in arrays]
    output = case.call(*nodes, constants=constants)
    value = backend.fetch(output.value).copy()
    seed = backend.xp.ones_like(output.value)
    gradients(output, nodes, seed)
    for array, copy in zip((*arrays, *constants), before, strict=True):
        np.testing.assert_array_equal(backend.fetch(array), copy)
    np.testing.assert_array_equal(backend.fetch(output.value), value)
    np.testing.assert_array_equal(backend.fetch(seed), np.ones(output.shape))


@cases
def test_neither_crosses_nor_waits(case: Case, backend: Backend) -> None:
    arrays = case.arrays(backend)
    constants = case.sent_constants(backend)
    case.call(*arrays, constants=constants)  # compiles the kernels
    before = backend.crossings.total
    with backends.no_sync(backend):
        nodes = [Node(array) for array in arrays]
        output = case.call(*nodes, constants=constants)
        gradients(output, nodes, backend.xp.ones_like(output.value))
    assert backend.crossings.total == before


@pytest.mark.parametrize(
    "case", [case for case in CASES if case.primitive in PER_EXAMPLE and not case.options], ids=str
)
def test_no_examples_in_no_examples_out(case: Case, backend: Backend) -> None:
    z = backend.send(np.zeros((case.shapes[0][0], 0)))
    constants = [backend.send(constant[:, :0]) for constant in case.constants]
    assert case.call(z, constants=constants).shape[1] == 0


@cases
def test_refuses_rank_1(case: Case, backend: Backend) -> None:
    vectors = [backend.send(np.ones(4)) for _ in case.shapes]
    constants = [backend.send(np.ones(4, dtype=constant.dtype)) for constant in case.constants]
    with pytest.raises(
        ShapeError, match=rf"{case.primitive.__name__}: .*\(4,\).*(column \(4, 1\)|row \(1, 4\))"
    ):
        case.call(*vectors, constants=constants)


@cases
def test_refuses_integers(case: Case, backend: Backend) -> None:
    arrays = [backend.send(np.ones(shape, dtype="uint8")) for shape in case.shapes]
    with pytest.raises(DtypeError, match=rf"{case.primitive.__name__}: .* is .*uint8, expected floats"):
        case.call(*arrays, constants=case.sent_constants(backend))


@cases
def test_refuses_what_is_not_an_array(case: Case) -> None:
    for wrong in ([[1.0]], "cat", None, {1.0}):
        with pytest.raises(ArrayTypeError, match=rf"{case.primitive.__name__}: .*expected an array, got a"):
            case.call(*[wrong] * len(case.shapes), constants=list(case.constants))


@pytest.mark.parametrize("case", [case for case in CASES if case.constants], ids=str)
def test_refuses_a_node_as_constant(case: Case) -> None:
    with pytest.raises(GraphError, match="is a constant and has no gradient"):
        case.call(
            *(Node(np.ones(shape)) for shape in case.shapes),
            constants=[Node(np.ones(c.shape)) for c in case.constants],
        )


@pytest.mark.parametrize("case", [case for case in CASES if len(case.shapes) > 1], ids=str)
def test_refuses_arrays_of_two_libraries(case: Case) -> None:
    strict, fake = backends.make("strict"), backends.make("fake")
    arrays = [(strict if i else fake).send(np.ones(shape)) for i, shape in enumerate(case.shapes)]
    with pytest.raises(ArrayTypeError, match="arrays of fakecupy and array_api_strict, expected one library"):
        case.call(*arrays, constants=[])


@cases
def test_arrays_may_be_passed_by_name(case: Case, backend: Backend) -> None:
    arrays, constants = case.arrays(backend), case.sent_constants(backend)
    names = list(inspect.signature(case.primitive).parameters)
    by_name = case.primitive(**dict(zip(names, [*arrays, *constants], strict=False)), **dict(case.options))
    assert_close(by_name, case.call(*arrays, constants=constants), backend)


def test_the_public_names_are_documented() -> None:
    for name in F.__all__:
        assert inspect.getdoc(getattr(F, name)), name


matrices = hnp.arrays(
    np.float64,
    hnp.array_shapes(min_dims=2, max_dims=2, max_side=5),
    elements=st.floats(-1e4, 1e4, allow_subnormal=False),
)


@pytest.mark.parametrize("name", ["numpy", "strict", "fake"])
@given(z=matrices)
def test_classifier_outputs_stay_in_range(name: str, z: np.ndarray) -> None:
    backend = backends.make(name)
    sent = backend.send(z)
    for value in (F.sigmoid(sent), F.softmax(sent)):
        got = backend.fetch(value)
        assert np.all((got >= 0) & (got <= 1))
    np.testing.assert_allclose(backend.fetch(F.softmax(sent)).sum(axis=0), 1.0, rtol=1e-12)
    np.testing.assert_allclose(
        backend.fetch(F.sigmoid(sent)) + backend.fetch(F.sigmoid(-sent)), 1.0, rtol=1e-12
    )
    assert np.all(backend.fetch(F.log_softmax(sent)) <= 0)


@pytest.mark.parametrize("name", ["numpy", "strict", "fake"])
@given(
    shapes=hnp.mutually_broadcastable_shapes(num_shapes=2, min_dims=2, max_dims=3, max_side=4),
    operation=st.sampled_from([F.add, F.subtract, F.multiply, F.divide]),
)
def test_gradients_undo_broadcasting(name: str, shapes: hnp.BroadcastableShapes, operation: F.add) -> None:
    backend = backends.make(name)
    generator = np.random.default_rng(1)
    x, y = (backend.send(generator.uniform(0.5, 2.0, shape)) for shape in shapes.input_shapes)
    assert operation(x, y).shape == shapes.result_shape
    check_gradients(operation, x, y, backend=backend)


@given(
    x=hnp.array_shapes(min_dims=2, max_dims=3, max_side=4),
    y=hnp.array_shapes(min_dims=2, max_dims=3, max_side=4),
)
def test_shapes_that_do_not_broadcast_are_refused(x: tuple[int, ...], y: tuple[int, ...]) -> None:
    try:
        expected = np.broadcast_shapes(x, y)
    except ValueError:
        with pytest.raises(ShapeError, match="do not broadcast"):
            F.add(np.ones(x), np.ones(y))
    else:
        assert F.add(np.ones(x), np.ones(y)).shape == expected


def test_the_fake_would_notice() -> None:
    """The test above can fail: the fake raises an error if a value is read back."""
    backend = backends.make("fake")
    z = backend.send(np.ones((2, 2)))
    with backends.no_sync(backend), pytest.raises(fakecupy.HiddenSynchronization):
        float(F.sum(z))
    strict = backends.make("strict")
    with backends.no_sync(strict), pytest.raises(fakecupy.HiddenSynchronization):
        float(F.sum(strict.send(np.ones((2, 2)))))
