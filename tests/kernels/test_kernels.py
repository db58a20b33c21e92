"""Each kernel is held to the portable function of its name: by its parameters, and by its values."""

import ast
import ctypes
import inspect
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from cases import CASES, PRIMITIVES, Case

from xpnet import kernels, optimizers
from xpnet.backend import Backend
from xpnet.batches import gather
from xpnet.errors import DeviceError, ShapeError
from xpnet.graph import Primitive
from xpnet.onepass import logistic_residual, sweep_blocks
from xpnet.span import byte_gram, span_steps

FOLDER = Path(kernels.__file__).parent
MODULES = [(module.rpartition(".")[2], library) for library, own in kernels.MODULES.items() for module in own]

PORTABLE = {f.__name__: f for p in PRIMITIVES for f in (p.function, p.pullback)}
PORTABLE |= {
    f.__name__: f.__wrapped__
    for f in (sweep_blocks, logistic_residual, gather, byte_gram, span_steps, *vars(optimizers).values())
    if hasattr(f, "__wrapped__")
}


def definitions(module: str) -> dict[str, ast.FunctionDef]:
    """Return the public functions of a kernel module, read and not imported: CuPy may be missing."""
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
    beside = {"threadpoolctl", "xpnet.arrays", "xpnet.kernels.threads", "xpnet.shapes"}
    assert imported - standard <= {library} | beside


def kernel_pairs(backend: Backend, primitive: Primitive) -> list[tuple]:
    library = kernels.library_name(backend.xp)
    pairs = [(kernels.find(f, library), f) for f in (primitive.function, primitive.pullback)]
    return [(kernel, portable) for kernel, portable in pairs if kernel]


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("order", ["C", "F", "strided"])
@pytest.mark.parametrize("backend", ["numpy", pytest.param("cupy", marks=pytest.mark.gpu)], indirect=True)
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
            if g is not None:
                assert type(g) is type(w)
                assert g.dtype == w.dtype
                np.testing.assert_allclose(backend.fetch(g), backend.fetch(w), rtol=rtol, atol=rtol)
        for argument, copy in zip(arguments, before, strict=True):
            np.testing.assert_array_equal(backend.fetch(argument), copy)


@pytest.mark.parametrize("backend", ["numpy", pytest.param("cupy", marks=pytest.mark.gpu)], indirect=True)
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


@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (3, 70_000)])
@pytest.mark.parametrize("order", ["C", "F"])
def test_adam_takes_the_portable_step(shape: tuple[int, ...], order: str, dtype: str) -> None:
    rng = np.random.default_rng(0)
    options = {"rate": 0.01, "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8}
    start = rng.standard_normal(shape).astype(dtype)
    ours, portable = [[start.copy(), np.zeros_like(start), np.zeros_like(start)] for _ in range(2)]
    for t in (1, 2, 3):
        g = np.asarray(rng.standard_normal(shape), dtype, order=order)
        for function, (p, v, s) in ((optimizers.adam, ours), (PORTABLE["adam"], portable)):
            function(p, g, v, s, **options, t=t)
    eps = np.finfo(dtype).eps  # p is a difference: its rounding is that of what it is a difference of
    for got, want in zip(ours, portable, strict=True):
        np.testing.assert_allclose(got, want, rtol=4 * eps, atol=eps)
    assert not np.array_equal(ours[0], start)


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


def cuda_sources() -> list[Path]:
    return sorted(FOLDER.glob("*.cu"))


INSTANCES = """
extern "C" __global__ void all_float(const float* x, float* y) {
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    y[i] = xpnet_sigmoid(x[i]) + xpnet_softplus(x[i]) + xpnet_sigmoid_pullback(x[i], y[i])
         + xpnet_tanh_pullback(x[i], y[i]) + xpnet_logistic_loss(x[i], y[i])
         + xpnet_logistic_loss_pullback(x[i], y[i], x[i]);
}
"""


@pytest.mark.cuda
@pytest.mark.parametrize("architecture", ["sm_75", "sm_80", "sm_90", "sm_100"])
@pytest.mark.parametrize("source", cuda_sources(), ids=lambda path: path.name)
def test_cuda_sources_compile(source: Path, architecture: str, request: pytest.FixtureRequest) -> None:
    nvrtc = pytest.importorskip("cupy").cuda.nvrtc
    try:
        nvrtc.getVersion()
    except RuntimeError:
        if request.config.getoption("--require"):
            raise
        pytest.skip("NVRTC is not installed")
    text = source.read_text(encoding="utf-8")
    if source.name == "stable.cu":
        text += INSTANCES + INSTANCES.replace("float", "double")
    program = nvrtc.createProgram(text, source.name, (), ())
    try:
        nvrtc.compileProgram(program, (f"-arch={architecture}", "--ptxas-options=-v", "--std=c++17"))
    except nvrtc.NVRTCError:
        pytest.fail(nvrtc.getProgramLog(program))
    log = nvrtc.getProgramLog(program)
    assert log.count("Used ") == 2
    assert log.count(" 0 bytes spill stores") == 2


def elementwise_kernels() -> dict[str, tuple[str, str, str]]:
    """Return parameters, result and formula of each elementwise kernel, read from on_cupy.py."""
    tree = ast.parse((FOLDER / "on_cupy.py").read_text(encoding="utf-8"))
    calls = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "_elementwise"
    ]
    read = [[ast.literal_eval(argument) for argument in call.args] for call in calls]
    return {name: (parameters, result, formula) for name, parameters, result, formula in read}


@pytest.mark.parametrize("dtype", ["float", "double"])
def test_cuda_formulas_agree_with_the_portable_functions_on_the_host(dtype: str, tmp_path: Path) -> None:
    """The formulas are plain C++ but for their qualifier, so a host compiler can run them."""
    compiler = shutil.which("c++") or shutil.which("g++") or shutil.which("clang++")
    if compiler is None:
        pytest.skip("no C++ compiler")
    found = elementwise_kernels()
    for name, definition in definitions("on_cupy").items():
        calls = [
            n for n in ast.walk(definition) if isinstance(n, ast.Call) and ast.unparse(n.func) == f"_{name}"
        ]
        given = [ast.unparse(argument).lower() for argument in calls[0].args]
        assert given == [parameter.split()[1] for parameter in found[name][0].split(", ")], name
    exported = "\n".join(
        f'extern "C" {dtype} {name}_({parameters.replace("T ", f"{dtype} ").replace("U ", f"{dtype} ")}) '
        f"{{ typedef {dtype} T; {result}; {formula}; return {result.removeprefix('T ')}; }}"
        for name, (parameters, result, formula) in found.items()
    )
    source = tmp_path / "stable.cpp"
    stable = (FOLDER / "stable.cu").read_text(encoding="utf-8")
    source.write_text(
        f"#include <cmath>\n#define __device__ static\nusing namespace std;\n{stable}\n{exported}\n"
    )
    library = tmp_path / "stable.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", library, source], check=True)
    loaded = ctypes.CDLL(str(library))
    number = getattr(ctypes, f"c_{dtype}")
    width = np.float32 if dtype == "float" else np.float64
    for name, (parameters, _, _) in found.items():
        names = [parameter.split()[1] for parameter in parameters.split(",")]
        function = getattr(loaded, f"{name}_")
        function.restype, function.argtypes = number, [number] * len(names)
        portable = PORTABLE[name]
        for x in [-1e4, -80.0, -3.0, -0.5, 0.0, 0.5, 3.0, 80.0, 1e4, np.nan]:
            for y in (0.0, 0.25, 1.0):
                given = {"z": x, "a": y, "y": y, "grad": 3.0}
                # The portable function is called with the names of its own parameters, whatever their order.
                arguments = [
                    np.full((1, 1), given[parameter.lower()], width) if parameter.lower() in given else None
                    for parameter in inspect.signature(portable).parameters
                ]
                want = portable(*arguments)
                want = (want[0] if isinstance(want, tuple) else want)[0, 0]
                got = function(*(given[name] for name in names))
                np.testing.assert_allclose(got, want, rtol=16 * np.finfo(width).eps, atol=1e-37, err_msg=name)


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
    from xpnet.backend import select

    try:
        backend = select("gpu")
    except DeviceError as error:
        pytest.skip(f"no GPU: {error.problem}")
    z = backend.send(np.ones((1, 1)), dtype="float16")
    assert F.sigmoid(z).dtype == np.float16
