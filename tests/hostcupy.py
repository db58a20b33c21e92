"""A fake CuPy that runs the CUDA kernels: a C++ compiler compiles them for the CPU, and on_cupy.py launches them.

It is a second `fakecupy` that also has the functions that make kernels. It is stricter than CuPy: an argument
whose type is not that of the kernel's parameter is an error.
"""

import contextlib
import ctypes
import functools
import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fakecupy
import numpy as np

HEADER = Path(__file__).with_name("cuda_on_host.h")
RUNTIME = HEADER.with_suffix(".cpp")
COMPILER = shutil.which("g++") or shutil.which("c++") or shutil.which("clang++")
TYPES = {
    "bool": "bool", "int8": "signed char", "uint8": "unsigned char", "int16": "short", "int32": "int",
    "uint16": "unsigned short", "uint32": "unsigned", "int64": "long long", "uint64": "unsigned long long",
    "float32": "float", "float64": "double",
}  # fmt: skip
OF_KERNELS = tuple(f"xpnet.kernels.cuda_{name}" for name in ("elementwise", "passes", "products"))
"""Modules that on_cupy.py imports, and that import CuPy."""

_builds = tempfile.TemporaryDirectory(prefix="hostcupy-")

BUILDS = Path(os.environ.setdefault("XPNET_TEST_BUILDS", _builds.name))
"""Where compiled kernels are kept, for this process and those it starts, such as the workers of pytest-xdist.

nox names a folder that the tests of all Python versions share.
"""

FLAGS = ("-fPIC", "-O1", "-std=c++17", "-w")


@functools.cache
def missing() -> str:
    """Return why kernels cannot be compiled here; an empty text if they can."""
    if COMPILER is None:
        return "no C++ compiler, which the kernels for CUDA are built by"
    probe = Path(_builds.name, "probe.cpp")
    probe.write_text("#include <ucontext.h>\n", encoding="utf-8")
    try:
        _compile("-fsyntax-only", probe)
    except RuntimeError:
        return "the C++ compiler has no ucontext.h, by which the kernels for CUDA are run"
    return ""


@functools.cache
def _header() -> Path:
    """Return the folder of the precompiled header, which takes as long to compile as a kernel."""
    copy = Path(_builds.name, HEADER.name)
    shutil.copy(HEADER, copy)
    _compile("-x", "c++-header", copy, "-o", f"{copy}.gch")
    return copy.parent


def _compile(*arguments: Any) -> None:
    command = [str(COMPILER), *FLAGS, *map(str, arguments)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr)


def _built(source: str, suffix: str, *arguments: Any) -> Path:
    """Return what a source is compiled to, which is kept.

    Args:
        source: the text.
        suffix: of the compiled file.
        arguments: of the compiler. They follow from the suffix.
    """
    texts = [file.read_text(encoding="utf-8") for file in (HEADER, RUNTIME)]
    made_of = "\0".join([source, suffix, *texts, str(COMPILER), *FLAGS])
    kept = BUILDS / f"{hashlib.sha256(made_of.encode()).hexdigest()}{suffix}"
    if not kept.exists():
        made = Path(tempfile.mkdtemp(dir=_builds.name), "source.cpp")
        made.write_text(source, encoding="utf-8")
        _compile("-I", _header(), made, "-o", made.with_suffix(suffix), *arguments)
        BUILDS.mkdir(parents=True, exist_ok=True)
        unfinished = kept.with_suffix(f".{os.getpid()}")  # other processes may make the same one
        shutil.copy(made.with_suffix(suffix), unfinished)
        unfinished.replace(kept)
    return kept


@functools.cache
def _runtime() -> Path:
    """Return what runs the kernels, compiled once: it takes longer than most of them."""
    return _built(RUNTIME.read_text(encoding="utf-8"), ".o", "-c")


@functools.cache
def _library(source: str) -> ctypes.CDLL:
    return ctypes.CDLL(str(_built(source, ".so", "-shared", _runtime())))


def _pointers(values: list[Any]) -> Any:
    return (ctypes.c_void_p * len(values))(*values)


class RawModule:
    """The kernels of one source. Their asynchronous copies run as late as possible, or as early as possible."""

    early = False

    def __init__(self, *, code: str, options: tuple[str, ...] = (), **_: Any) -> None:
        self._code, self._options = code, options

    def get_function(self, name: str) -> "RawKernel":
        return RawKernel(self, name)

    def signature(self, name: str) -> list[tuple[str, bool]]:
        """Return the type of each parameter, and whether it is a pointer."""
        found = re.search(rf"\b{name}\(([^)]*)\)\s*{{", self._code)
        assert found, f"no kernel {name}"
        parameters = [" ".join(p.split()) for p in found[1].split(",")]
        read = [re.fullmatch(r"(?:const )?([a-z ]+?)(\*?) ?(?:__restrict__ )?(\w+)", p) for p in parameters]
        return [(match[1].strip(), bool(match[2])) for match in read if match]

    def function(self, name: str) -> Any:
        """Return the function that launches a kernel. All kernels of the module are compiled together."""
        defined = [option[2:].split("=") for option in self._options if option.startswith("-D")]
        lines = [f"#define {key} {value}" for key, value in defined]
        cluster = dict(defined).get("CLUSTER", "1")
        code = self._code.replace("extern __shared__ uint4 ring[];", "uint4* const ring = on_host::ring();")
        pieces, done = [], 0
        for found in re.finditer(r'extern "C" __global__ void\b', code):
            kernel = next(name for name in re.findall(r"(\w+)\(", code[found.end() :]) if name[:2] != "__")
            given = ", ".join(
                f"*({kind}{'*' if pointer else ''}*)on_host::given[{i}]"
                for i, (kind, pointer) in enumerate(self.signature(kernel))
            )
            # After the end of the kernel: a macro may leave out both.
            end = code.find("\n}\n", found.end())
            end = len(code) if end < 0 else end + 3
            launch = (
                f'extern "C" void launch_{kernel}(unsigned* grid, unsigned* block, size_t shared, void** args, '
                f"int early) {{ on_host::early = early; on_host::given = args; "
                f"on_host::launch(grid, block, shared, {cluster}, [] {{ {kernel}({given}); }}); }}\n"
            )
            pieces += [code[done:end], launch]
            done = end
        library = _library("\n".join(['#include "cuda_on_host.h"', *lines, *pieces, code[done:]]))
        return getattr(library, f"launch_{name}")


class RawKernel:
    """A kernel that is launched like a kernel of CuPy."""

    def __init__(self, module: RawModule, name: str) -> None:
        self._module, self._name = module, name
        self.kernel = types.SimpleNamespace(ptr=0)
        self.max_dynamic_shared_size_bytes = 48 << 10

    def __call__(self, grid: tuple, block: tuple, args: tuple, *, shared_mem: int = 0) -> None:
        signature = self._module.signature(self._name)
        assert len(args) == len(signature), f"{self._name} takes {len(signature)} arguments, got {len(args)}"
        assert shared_mem <= self.max_dynamic_shared_size_bytes, "more shared memory than was asked for"
        values: list[Any] = []
        for argument, (kind, pointer) in zip(args, signature, strict=True):
            given = argument._on_host if pointer else np.asarray(argument)
            assert isinstance(argument, np.generic) != pointer, f"{self._name}: {argument!r} as {kind}"
            assert kind in ("void", TYPES.get(given.dtype.name)), f"{self._name}: {given.dtype} as {kind}"
            assert not pointer or given.flags.c_contiguous, f"{self._name}: an array with strides"
            values.append(np.array(given.ctypes.data if pointer else argument))
        sizes = [(ctypes.c_uint * 3)(*(*map(int, size), 1, 1)[:3]) for size in (grid, block)]
        self._module.function(self._name)(
            *sizes,
            ctypes.c_size_t(shared_mem),
            _pointers([value.ctypes.data for value in values]),
            int(self._module.early),
        )


class ElementwiseKernel:
    """An elementwise kernel: its parameters have letters for their types, its arguments are broadcast."""

    def __init__(
        self, in_params: str, out_params: str, operation: str, name: str, preamble: str = "", **_: Any
    ) -> None:
        self._in, self._out = self._parsed(in_params), self._parsed(out_params)
        self._operation, self.name, self._preamble = operation, name, preamble

    @staticmethod
    def _parsed(text: str) -> list[tuple[bool, str, str]]:
        parts = [part.split() for part in text.split(",") if part.strip()]
        return [(part[0] == "raw", part[-2], part[-1]) for part in parts]

    def __call__(self, *args: Any, size: int | None = None) -> Any:
        host, parameters = module(), [*self._in, *self._out]
        letters: dict[str, np.dtype] = {}
        for (_, kind, name), argument in zip(parameters, args, strict=False):
            if not isinstance(argument, host.ndarray):
                assert isinstance(argument, int | float), (
                    f"{self.name}: {name} is a {type(argument).__name__}"
                )
                continue
            fixed = np.dtype(kind) if len(kind) > 1 else letters.setdefault(kind, argument.dtype)
            assert argument.dtype == fixed, f"{self.name}: {name} is {argument.dtype}, expected {fixed}"
        dtypes = [np.dtype(kind) if len(kind) > 1 else letters[kind] for _, kind, _ in parameters]
        given = [host._inside(a, self.name) for a in args]
        shapes = [
            a.shape
            for (raw, _, _), a in zip(parameters, given, strict=False)
            if not raw and isinstance(a, np.ndarray)
        ]
        shape = np.broadcast_shapes(*shapes) if shapes else (size,)
        assert size is None or not shapes, f"{self.name}: size is for raw arguments alone"
        outs = given[len(self._in) :] or [np.empty(shape, d) for d in dtypes[len(self._in) :]]
        assert all(raw or out.shape == shape for (raw, _, _), out in zip(self._out, outs, strict=True))
        flat = [
            np.array(a if raw else np.broadcast_to(a, shape), dtype, order="C")
            for (raw, _, _), a, dtype in zip(
                parameters, [*given[: len(self._in)], *outs], dtypes, strict=True
            )
        ]
        library = _library(self._source(dtypes, letters))
        library.run(ctypes.c_longlong(int(np.prod(shape))), _pointers([a.ctypes.data for a in flat]))
        for out, written in zip(outs, flat[len(self._in) :], strict=True):
            out[...] = written
        results = [*args[len(self._in) :]] or [host.ndarray(out) for out in outs]
        return results[0] if len(results) == 1 else tuple(results)

    def cuda(self, letters: dict[str, np.dtype], contiguous: bool) -> str:
        """Return the CUDA source as CuPy makes it, with CuPy's array type, to be put after the preamble."""
        parameters, inside = (
            [],
            [f"typedef {TYPES[dtype.name]} {letter};" for letter, dtype in letters.items()],
        )
        for i, (raw, kind, name) in enumerate([*self._in, *self._out]):
            const = "const " if i < len(self._in) else ""
            ctype = TYPES[(np.dtype(kind) if len(kind) > 1 else letters[kind]).name]
            array = f"{const}CArray<{ctype}, 2, {int(contiguous)}, 1>"
            if i < len(self._in) and kind in ("int32", "int64", "uint32", "float32") and not raw:  # a number
                parameters.append(f"const {ctype} {name}")
            elif raw:
                parameters.append(f"{array} {name}")
            else:
                parameters.append(f"{array} raw_{name}")
                inside.append(f"{const}{ctype}& {name} = raw_{name}[indexer.get()];")
        return (
            f'extern "C" __global__ void {self.name}({", ".join(parameters)}, CIndexer<2, 1> indexer) {{ '
            "const ptrdiff_t i = (ptrdiff_t)blockIdx.x * blockDim.x + threadIdx.x; indexer.set(i);"
            f"{' '.join(inside)} {self._operation}; }}"
        )

    def _element(self, dtypes: list[np.dtype], letters: dict[str, np.dtype]) -> list[str]:
        elements = [f"typedef {TYPES[dtype.name]} {letter};" for letter, dtype in letters.items()]
        for i, (raw, _, name) in enumerate([*self._in, *self._out]):
            const = "const " if i < len(self._in) else ""
            kind = f"{const}{TYPES[dtypes[i].name]}"
            elements.append(
                f"{kind}* {name} = ({kind}*)args[{i}];"
                if raw
                else f"{kind}& {name} = (({kind}*)args[{i}])[i];"
            )
        return elements

    def _source(self, dtypes: list[np.dtype], letters: dict[str, np.dtype]) -> str:
        return "\n".join(
            [
                '#include "cuda_on_host.h"', "using namespace std;", self._preamble,
                'extern "C" void run(long long n, void** args) { for (ptrdiff_t i = 0; i < n; i++) {',
                *self._element(dtypes, letters), self._operation, "; } }",
            ]
        )  # fmt: skip


class Cublas:
    """The functions of cuBLAS that xpnet calls, on host memory, with the same parameters."""

    def cublasCreate_v2(self, handle: Any) -> int:
        return 0

    def cublasDestroy_v2(self, handle: Any) -> int:
        return 0

    def cublasSetStream_v2(self, handle: Any, stream: Any) -> int:
        return 0

    def cublasSetWorkspace_v2(self, handle: Any, memory: Any, size: Any) -> int:
        return 0

    def cublasGemmEx(
        self, handle: Any, turn_a: int, turn_b: int, m: int, n: int, k: int,
        alpha: int, a: int, a_kind: int, a_step: int, b: int, b_kind: int, b_step: int,
        beta: int, c: int, c_kind: int, c_step: int, compute: int, algorithm: int,
    ) -> int:  # fmt: skip
        assert a_kind == b_kind == c_kind
        number = {0: ctypes.c_float, 1: ctypes.c_double}[c_kind]
        assert (number.from_address(alpha).value, number.from_address(beta).value) == (1.0, 0.0)

        def seen(memory: int, rows: int, columns: int, step: int) -> np.ndarray:
            assert step >= max(1, rows)
            kept = (number * (step * columns)).from_address(memory)
            return np.frombuffer(kept, number).reshape(columns, step)[:, :rows].T

        A = rounded(seen(a, *((k, m) if turn_a else (m, k)), a_step), compute)
        B = rounded(seen(b, *((n, k) if turn_b else (k, n)), b_step), compute)
        # Not computed by BLAS: its sums depend on the addresses of the arrays, those of cuBLAS do not.
        sums = np.zeros((m, n), number)
        for column, row in zip((A if turn_a else A.T), (B.T if turn_b else B), strict=True):
            sums += column[:, None] * row
        seen(c, m, n, c_step)[...] = sums
        return 0


class Driver:
    """The function of the CUDA driver that xpnet calls."""

    clusters = 3

    def cuOccupancyMaxActiveClusters(self, count: Any, kernel: Any, config: Any) -> int:
        assert config._obj.grid_x
        count._obj.value = self.clusters
        return 0


class CUBLASError(RuntimeError):
    """The error of CuPy. xpnet recognizes it by its module."""

    __module__ = "cupy_backends.cuda.libs.cublas"

    def __init__(self, status: int) -> None:
        super().__init__({13: "CUBLAS_STATUS_EXECUTION_FAILED"}[status])


def rounded(factor: np.ndarray, compute: int) -> np.ndarray:
    """Return a factor of a product as cuBLAS uses it: rounded for TF32."""
    lost = {68: 0, 70: 0, 77: 13}[compute]
    assert (factor.dtype == np.float64) == (compute == 70)
    if not lost:
        return factor
    bits = factor.view(np.uint32).astype(np.uint64)  # round to nearest, ties to even
    bits += (1 << (lost - 1)) - 1 + (bits >> lost & 1)
    return (bits >> lost << lost).astype(np.uint32).view(np.float32)


def again(function: Callable[[], None]) -> Callable[[], None]:
    """Return a function that calls another with the cuBLAS handle of now, as a CUDA graph keeps its handle."""
    loaded = sys.modules.get("xpnet.kernels.on_kernelcupy")
    own = getattr(loaded.cuda_products._used, "products", None) if loaded else None

    def run() -> None:
        with own.used() if own is not None else contextlib.nullcontext():
            function()

    return run


def _loaded(name: str, path: str) -> types.ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@functools.cache
def module() -> types.ModuleType:
    """Return the fake library `xp`. xpnet finds the kernels of on_cupy.py for its arrays."""
    from xpnet import kernels

    host = _loaded("kernelcupy", str(fakecupy.__file__))
    host.RawModule, host.ElementwiseKernel = RawModule, ElementwiseKernel
    host.cuda.cublas = types.SimpleNamespace(CUBLASError=CUBLASError)
    host.cuda.nvrtc = types.SimpleNamespace(getVersion=lambda: (13, 0))
    before = sys.modules.get("cupy")
    sys.modules["cupy"] = host
    try:
        for name in OF_KERNELS:
            sys.modules.pop(name, None)
        _loaded("xpnet.kernels.on_kernelcupy", str(Path(kernels.__file__).with_name("on_cupy.py")))
        for name in OF_KERNELS:
            sys.modules.pop(name)
    finally:
        sys.modules.pop("cupy") if before is None else sys.modules.__setitem__("cupy", before)
    sys.modules["xpnet.kernels.on_kernelcupy"].cuda_products.library = Cublas
    sys.modules["xpnet.kernels.on_kernelcupy"].cuda_passes.driver = Driver
    kernels.MODULES["kernelcupy"] = ("xpnet.kernels.on_kernelcupy",)
    return host
