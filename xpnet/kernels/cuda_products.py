"""Matrix products by cuBLAS for CUDA graphs: CuPy's own products cannot be recorded."""

import contextlib
import ctypes
import functools
import threading
import weakref
from collections.abc import Iterator
from operator import attrgetter
from typing import Any

import cupy

from xpnet.arrays import Array

WORKSPACE_BYTES = 32 << 20
"""Memory that a cuBLAS handle is given in advance: it cannot allocate memory while it is recorded."""

_FLOAT32, _FLOAT64 = 0, 1  # CUDA_R_32F, CUDA_R_64F
_COMPUTE = {"float32": 68, "tf32": 77, "float64": 70}
"""By precision: CUBLAS_COMPUTE_32F, ..._32F_FAST_TF32 and ..._64F.

All of them add in float32 or float64.
"""
_DEFAULT = -1  # CUBLAS_GEMM_DEFAULT

_used = threading.local()
"""The handle that `product` uses in each thread: `_used.products`, a `Products` or None."""


def product(A: Array, B: Array, out: Array | None = None) -> Array:
    """Return A B in the precision that is set, with the handle that this thread uses, or else by CuPy.

    Args:
        A: (n, k).
        B: (k, m).
        out: an array for the product, C-contiguous, (n, m), or None. It is used only if all dtypes are equal.
    """
    if out is not None and not A.dtype == B.dtype == out.dtype:
        out = None
    own = getattr(_used, "products", None)
    if own is not None:
        return own(A, B, out)
    if out is None:
        return A @ B
    A.dot(B, out)
    return out


@functools.cache
def library() -> Any:
    """Return cuBLAS. CuPy has loaded it already, so the system finds it by its name."""
    found = ctypes.CDLL(f"libcublas.so.{cupy.cuda.runtime.runtimeGetVersion() // 1000}")
    kinds: dict[str, Any] = {"p": ctypes.c_void_p, "i": ctypes.c_int}
    # Handle, two transpositions and three sizes; alpha, A and B; beta and C; compute type and algorithm. Each
    # matrix is its address, its type and its stride.
    found.cublasGemmEx.argtypes = [kinds[letter] for letter in "piiiiippiipiippiiii"]
    return found


class Products:
    """Matrix products by a cuBLAS handle of its own, which can be recorded into a CUDA graph.

    Args:
        stream: the CuPy stream on which it computes.
    """

    def __init__(self, stream: Any) -> None:
        self._library, self._handle = library(), ctypes.c_void_p()
        _check(self._library.cublasCreate_v2(ctypes.byref(self._handle)))
        weakref.finalize(self, self._library.cublasDestroy_v2, self._handle).atexit = False
        self._workspace = cupy.empty(WORKSPACE_BYTES, cupy.uint8)
        _check(self._library.cublasSetStream_v2(self._handle, ctypes.c_void_p(stream.ptr)))
        # After the stream is set: to set it takes the workspace away.
        workspace, size = ctypes.c_void_p(self._workspace.data.ptr), ctypes.c_size_t(WORKSPACE_BYTES)
        _check(self._library.cublasSetWorkspace_v2(self._handle, workspace, size))

    @contextlib.contextmanager
    def used(self) -> Iterator[None]:
        """Return a context in which `product` uses this handle, in this thread."""
        _used.products = self
        try:
            yield
        finally:
            _used.products = None

    def __call__(self, A: Array, B: Array, out: Array | None = None) -> Array:
        """Return A B, C-contiguous. A: (n, k), B: (k, m), both float32 or both float64."""
        if A.dtype != B.dtype or A.dtype.char not in "fd":
            msg = f"product: {A.dtype} times {B.dtype}, expected float32 or float64, both the same"
            raise TypeError(msg)
        (n, k), m = A.shape, B.shape[1]
        C = cupy.empty((n, m), A.dtype) if out is None else out
        # cuBLAS expects column-major matrices. It reads a C-contiguous array as its transpose, so this
        # computes C^T = B^T A^T.
        (A, turn_A, step_A), (B, turn_B, step_B) = _seen(A), _seen(B)
        single = A.dtype == cupy.float32
        number, kind = (ctypes.c_float, _FLOAT32) if single else (ctypes.c_double, _FLOAT64)
        one, zero = number(1.0), number(0.0)
        status = self._library.cublasGemmEx(
            self._handle, turn_B, turn_A, m, n, k, ctypes.addressof(one), B.data.ptr, kind, step_B,
            A.data.ptr, kind, step_A, ctypes.addressof(zero), C.data.ptr, kind, max(1, m),
            _COMPUTE[_precision() if single else "float64"], _DEFAULT,
        )  # fmt: skip
        _check(status)
        return C


def _seen(array: Array) -> tuple[Array, int, int]:
    """Return a contiguous array, whether cuBLAS transposes it in C^T = B^T A^T (0, 1), and its stride."""
    if array.flags.c_contiguous or not array.flags.f_contiguous:
        return cupy.ascontiguousarray(array), 0, max(1, array.shape[1])
    return array, 1, max(1, array.shape[0])


def _precision() -> str:
    """Return the precision that is set in CuPy for products of float32: "float32" or "tf32"."""
    linalg = attrgetter("_core._routines_linalg")(cupy)
    return "tf32" if linalg.get_compute_type(cupy.float32) == linalg.COMPUTE_TYPE_TF32 else "float32"


def _check(status: int) -> None:
    """Raise `CUBLASError` unless a status of cuBLAS is success."""
    if status:
        raise cupy.cuda.cublas.CUBLASError(status)
