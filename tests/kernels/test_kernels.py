"""Each kernel has the parameters and returns the values of the portable function of its name.

The kernels for CuPy run on a GPU, and also on the CPU, compiled by a host compiler: see hostcupy.py.
"""

import ast
import inspect
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cases import CASES, PRIMITIVES, Case

from xpnet import kernels
from xpnet.autodiff import Primitive
from xpnet.autodiff.reverse import evaluate_pullback
from xpnet.backend.backend import Backend
from xpnet.data.batches import gather
from xpnet.errors import DeviceError, ShapeError
from xpnet.features import patch_rows, pool_cells
from xpnet.linear.fused import linear_loss_and_gradient, logistic_residual, softmax_residual
from xpnet.linear.gram import byte_gram, gram_steps
from xpnet.nn import optimizers
from xpnet.training.ensemble import ensemble_affine

FOLDER = Path(kernels.__file__).parent
MODULES = [(module.rpartition(".")[2], library) for library, own in kernels.MODULES.items() for module in own]

on_each = pytest.mark.parametrize(
    "backend", ["numpy", "kernels", pytest.param("cupy", marks=pytest.mark.gpu)], indirect=True
)

PORTABLE = {f.__name__: f for p in (*PRIMITIVES, ensemble_affine) for f in (p.function, p.pullback)}
PORTABLE |= {
    f.__name__: f.__wrapped__
    for f in (
        linear_loss_and_gradient,
        logistic_residual,
        softmax_residual,
        gather,
        byte_gram,
        gram_steps,
        patch_rows,
        pool_cells,
        *vars(optimizers).values(),
    )
    if hasattr(f, "__wrapped__")
}


def definitions(module: str) -> dict[str, ast.FunctionDef]:
    """Return the public functions of a kernel module. It is parsed, not imported: CuPy may be missing."""
    tree = ast.parse((FOLDER / f"{module}.py").read_text(encoding="utf-8"))
    found = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    return {name: node for name, node in found.items() if not name.startswith("_")}


def parameters(definition: ast.FunctionDef) -> list[tuple[str, str]]:
    arguments = definition.args
    assert [arguments.vararg, arguments.kwarg, arguments.posonlyargs] == [None, None, []]
    defaults = [None] * (len(arguments.args) - len(arguments.defaults)) + [
        ast.unparse(d) for d in arguments.defaults
    ]
    listed = [(a.arg, d) for a, d in zip(arguments.args, defaults, strict=True)]
    keyword = [
        (a.arg, ast.unparse(d) if d else None)
        for a, d in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    ]
    return [*listed, ("*", None), *keyword]


@pytest.mark.parametrize("module", [module for module, _ in MODULES])
def test_names_and_parameters_are_the_portable_functions(module: str) -> None:
    found = definitions(module)
    assert found, f"{module}.py holds no kernel"
    for name, definition in found.items():
        assert name in PORTABLE, f"{module}.py: {name} is no primitive's function or pullback"
        source = inspect.getsource(PORTABLE[name])
        portable = next(node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef))
        assert parameters(definition) == parameters(portable), f"{module}.py: {name}"


@pytest.mark.parametrize(("module", "library"), MODULES)
def test_kernels_import_only_their_array_library(module: str, library: str) -> None:
    tree = ast.parse((FOLDER / f"{module}.py").read_text(encoding="utf-8"))
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    standard = {name for name in imported if name.split(".")[0] in sys.stdlib_module_names}
    own = {
        "numpy": {"threadpoolctl", "xpnet.kernels.threads", "xpnet.processors"},
        "cupy": {"xpnet.kernels"},
    }
    assert imported - standard <= {library, "xpnet.arrays", *own[library]}


def kernel_pairs(backend: Backend, primitive: Primitive) -> list[tuple]:
    library = kernels.library_name(backend.xp)
    pairs = [(kernels.find(f, library), f) for f in (primitive.function, primitive.pullback)]
    return [(kernel, portable) for kernel, portable in pairs if kernel]


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("order", ["C", "F", "strided"])
@on_each
def test_kernels_compute_what_the_portable_function_does(
    case: Case, order: str, backend: Backend, dtype: str
) -> None:
    pairs = kernel_pairs(backend, case.primitive)
    if not pairs:
        return
    arrays = [laid_out(backend, array, order) for array in case.arrays(backend, dtype)]
    constants = case.sent_constants(backend)
    options = dict(case.options)
    value = case.primitive.function(*arrays, *constants, **options)
    rtol = 64 * float(np.finfo(dtype).eps)
    for kernel, portable in pairs:
        arguments = [*arrays, *constants]
        if portable is case.primitive.pullback:
            arguments = [backend.xp.ones_like(value), value, *arguments]
        before = [backend.fetch(argument).copy() for argument in arguments]
        got, want = kernel(*arguments, **options), portable(*arguments, **options)
        if got is NotImplemented:
            continue
        for g, w in zip(got, want, strict=True) if isinstance(got, tuple) else [(got, want)]:
            assert (g is None) == (w is None)
            if callable(g):
                g, w = evaluate_pullback(g), evaluate_pullback(w)  # noqa: PLW2901
            if g is not None:
                assert type(g) is type(w)
                assert g.dtype == w.dtype
                np.testing.assert_allclose(backend.fetch(g), backend.fetch(w), rtol=rtol, atol=rtol)
        for argument, copy in zip(arguments, before, strict=True):
            np.testing.assert_array_equal(backend.fetch(argument), copy)


@on_each
@pytest.mark.parametrize("runs", [1, 3])
@pytest.mark.parametrize("size", [1.0, 1e3, np.inf], ids=["small", "large", "infinite"])
def test_the_residual_of_a_softmax_is_the_portable_one(
    runs: int, size: float, backend: Backend, dtype: str
) -> None:
    rng = np.random.default_rng(0)
    logits = rng.standard_normal((runs * 4, 70))
    logits[0, 3] = size if size > 1.0 else logits[0, 3]
    logits[1, 5], logits[2, 6] = np.nan, -size
    Z = backend.send(logits, dtype=dtype)
    Y = backend.send(np.arange(4)[:, None] == rng.integers(0, 4, (1, 70)), dtype=dtype)
    rtol = 16 * float(np.finfo(dtype).eps)
    with backend.activate():
        pairs = zip(softmax_residual(Z, Y), softmax_residual.__wrapped__(Z, Y), strict=True)  # type: ignore[attr-defined]
        for got, want in pairs:
            assert (got.dtype, got.shape) == (want.dtype, want.shape)
            np.testing.assert_allclose(backend.fetch(got), backend.fetch(want), rtol=rtol, atol=rtol)


@on_each
@pytest.mark.parametrize("shape", [(1, 401), (3, 401), (2, 3, 401)])
def test_the_residual_is_the_portable_one(shape: tuple[int, ...], backend: Backend, dtype: str) -> None:
    tails = np.concatenate(
        [np.linspace(-30, 30, 391), [-1e4, -800, -100, -1e-9, -0.0, 0.0, 1e-9, 100, 800, 1e4]]
    )
    Z = backend.send(np.broadcast_to(tails, shape).copy(), dtype=dtype)
    Y = backend.send((np.arange(401) % 2)[None], dtype=dtype)
    before = backend.fetch(Z).copy()
    rtol = 8 * float(np.finfo(dtype).eps)
    for got, want in zip(logistic_residual(Z, Y), logistic_residual.__wrapped__(Z, Y), strict=True):  # type: ignore[attr-defined]
        assert got.dtype == want.dtype
        np.testing.assert_allclose(backend.fetch(got), backend.fetch(want), rtol=rtol, atol=1e-300)
    np.testing.assert_array_equal(backend.fetch(Z), before)


def laid_out(backend: Backend, array: object, order: str) -> object:
    """Return the same matrix in another memory layout."""
    host = backend.fetch(array)
    if order == "strided" and host.ndim == 2:
        wide = backend.send(np.repeat(np.repeat(host, 2, axis=0), 3, axis=1))
        return wide[::2, ::3]
    return backend.send(np.array(host, order="F" if order == "F" else "C"))


STEPS: list[tuple[str, int, dict[str, Any]]] = [
    ("descend", 0, {}),
    ("momentum", 1, {"beta": 0.9, "nesterov": False}),
    ("momentum", 1, {"beta": 0.9, "nesterov": True}),
    ("rmsprop", 1, {"rho": 0.99, "epsilon": 1e-8}),
    ("adam", 2, {"beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8}),
]


@on_each
@pytest.mark.parametrize(("name", "slots", "options"), STEPS, ids=lambda value: str(value))
@pytest.mark.parametrize("rates", [False, True], ids=["one rate", "a rate for each row"])
@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (3, 70_000)])
@pytest.mark.parametrize("order", ["C", "F"])
def test_optimizers_take_the_portable_step(
    name: str,
    slots: int,
    options: dict[str, Any],
    rates: bool,
    shape: tuple[int, ...],
    order: str,
    backend: Backend,
    dtype: str,
) -> None:
    rng = np.random.default_rng(0)
    start = rng.standard_normal(shape).astype(dtype)
    first = [start, *(np.zeros_like(start) for _ in range(slots))]
    ours, portable = [[backend.send(array.copy()) for array in first] for _ in range(2)]
    rate: Any = 0.01
    if rates:
        rate = backend.send(np.linspace(0.01, 0.02, shape[0])[:, None], dtype=dtype)
    for t in (1, 2, 3):
        g = backend.send(np.asarray(rng.standard_normal(shape), dtype, order=order))
        given = options | ({"t": t} if name == "adam" else {})
        for function, (p, *moments) in ((getattr(optimizers, name), ours), (PORTABLE[name], portable)):
            function(p, g, *moments, rate=rate, **given)
    eps = np.finfo(dtype).eps  # the terms of the sums are up to about 4
    for got, want in zip(ours, portable, strict=True):
        np.testing.assert_allclose(backend.fetch(got), backend.fetch(want), rtol=8 * eps, atol=4 * eps)
    assert not np.array_equal(backend.fetch(ours[0]), start)


@on_each
@pytest.mark.parametrize("raw", ["uint8", "float32", "float64"])
@pytest.mark.parametrize("indices", [None, [3, 0, 6, 3]], ids=["all", "some"])
@pytest.mark.parametrize("means", [False, True], ids=["no mean", "means"])
@pytest.mark.parametrize("scales", [False, True], ids=["one scale", "scales"])
def test_batches_are_gathered_as_by_the_portable_function(
    raw: str, indices: list[int] | None, means: bool, scales: bool, backend: Backend, dtype: str
) -> None:
    rng = np.random.default_rng(0)
    examples = backend.send(rng.integers(0, 256, (7, 5)).astype(raw))
    own = dtype if raw == "uint8" else raw
    mean = backend.send(rng.uniform(0, 255, (1, 5)), dtype=own) if means else None
    scale = backend.send(rng.uniform(0.01, 0.02, (1, 5)), dtype=dtype) if scales else 1 / 255
    taken = None if indices is None else backend.send(np.array(indices))
    arguments = examples, taken, mean, scale, getattr(backend.xp, dtype)
    got, want = gather(*arguments), PORTABLE["gather"](*arguments)
    assert got.dtype == want.dtype == getattr(backend.xp, dtype)
    np.testing.assert_allclose(backend.fetch(got), backend.fetch(want), rtol=4 * np.finfo(dtype).eps)
    got[...] = 0  # the result is a new array, not a view
    assert backend.fetch(examples).any()


@on_each
@pytest.mark.parametrize("name", ["sigmoid", "tanh", "relu", "softplus", "logistic_loss"])
def test_kernels_are_the_portable_functions_at_the_tails(name: str, backend: Backend, dtype: str) -> None:
    from xpnet import functional as F

    primitive = getattr(F, name)
    numbers = [-1e4, -80.0, -3.0, -0.5, 0.0, 0.5, 3.0, 80.0, 1e4, np.nan]
    z = backend.send(np.repeat([numbers], 3, axis=0), dtype=dtype)
    y = backend.send(np.repeat([[0.0], [0.25], [1.0]], len(numbers), axis=1), dtype=dtype)
    constants = [y] if name == "logistic_loss" else []
    value = primitive.function(z, *constants)
    grad = 3.0 * backend.xp.ones_like(z)
    for got, want in [
        (primitive(z, *constants), value),
        (primitive.pull_arrays(grad, value, z, *constants)[0], primitive.pullback(grad, value, z, *constants)[0]),
    ]:  # fmt: skip
        np.testing.assert_allclose(
            backend.fetch(got), backend.fetch(want), rtol=16 * np.finfo(dtype).eps, atol=1e-37
        )


def test_affine_of_mixed_dtypes_promotes() -> None:
    from xpnet import functional as F

    W, X, b = np.ones((2, 3), "float32"), np.ones((3, 4), "float32"), np.ones((2, 1))
    assert F.affine(W, X, b).dtype == np.float64
    assert F.affine(W, X, b.astype("float32")).dtype == np.float32


def test_kernels_refuse_what_the_portable_functions_refuse() -> None:
    from xpnet import functional as F

    assert kernels.find(F.affine.function, "numpy")
    with pytest.raises(ShapeError, match="affine"):
        F.affine(np.ones((2, 3)), np.ones((4, 1)), np.ones((2, 1)))
    with pytest.raises(ShapeError, match="softmax"):
        F.softmax(np.ones((2, 3, 4)))


def test_no_kernel_is_looked_up_for_libraries_without() -> None:
    assert kernels.find(PORTABLE["sigmoid"], "torch") is None


@pytest.mark.cuda
def test_kernels_of_cupy_import_without_a_device() -> None:
    pytest.importorskip("cupy")
    from xpnet.kernels import on_cupy

    assert all(callable(getattr(on_cupy, name)) for name in definitions("on_cupy"))


@pytest.mark.gpu
def test_float16_runs_the_portable_text() -> None:
    from xpnet import functional as F
    from xpnet.backend.backend import select

    try:
        backend = select("gpu")
    except DeviceError as error:
        pytest.skip(f"no GPU: {error.problem}")
    z = backend.send(np.ones((1, 1)), dtype="float16")
    assert F.sigmoid(z).dtype == np.float16
