"""Matrix products by cuBLAS where CuPy's own do not do: recorded into a CUDA graph, or in bfloat16."""

import contextlib
import ctypes
import functools
import threading
import weakref
from collections.abc import Callable, Iterator
from operator import attrgetter
from typing import Any

import cupy

from xpnet.arrays import Array

WORKSPACE_BYTES = 32 << 20
"""Of a handle: given to it, so that it asks for none while it is recorded."""

_FLOAT32, _FLOAT64 = 0, 1  # CUDA_R_32F, CUDA_R_64F
_COMPUTE = {"float32": 68, "tf32": 77, "bfloat16": 75, "float64": 70}
"""CUBLAS_COMPUTE_32F, ..._32F_FAST_TF32, ..._32F_FAST_16BF and ..._64F: sums are of float32 at least."""
_DEFAULT = -1  # CUBLAS_GEMM_DEFAULT

_used = threading.local()


def product(A: Array, B: Array, out: Array | None = None) -> Array:
    """Return A B, in the precision that is set: by CuPy, or by the handle that is used in this thread.

    `out`, where it is given, is C-contiguous and of the product's shape; if it has its dtype too, the product
    is written there.
    """
    if out is not None and not A.dtype == B.dtype == out.dtype:
        out = None
    own = getattr(_used, "products", None)
    if own is not None:
        return own(A, B, out)
    if A.dtype == B.dtype == cupy.float32 and _precision() == "bfloat16":
        # CuPy passes TF32 on to cuBLAS, and this not.
        return _multiplied(cupy.cuda.cublas.gemmEx, cupy.cuda.Device().cublas_handle, A, B, out)
    if out is None:
        return A @ B
    A.dot(B, out)
    return out


@functools.cache
def library() -> Any:
    """Return cuBLAS, which CuPy has loaded: the system finds it by its name."""
    found = ctypes.CDLL(f"libcublas.so.{cupy.cuda.runtime.runtimeGetVersion() // 1000}")
    kinds: dict[str, Any] = {"p": ctypes.c_void_p, "i": ctypes.c_int}
    # The handle, how and how much; then 1, A and B; then 0 and C, each matrix with its type and its stride.
    found.cublasGemmEx.argtypes = [kinds[letter] for letter in "piiiiippiipiippiiii"]
    return found


class Products:
    """A cuBLAS handle on one stream: CuPy's refuses to be recorded into a CUDA graph.

    Args:
        stream: where it computes.
    """

    def __init__(self, stream: Any) -> None:
        self._library, self._handle = library(), ctypes.c_void_p()
        _check(self._library.cublasCreate_v2(ctypes.byref(self._handle)))
        weakref.finalize(self, self._library.cublasDestroy_v2, self._handle).atexit = False
        self._workspace = cupy.empty(WORKSPACE_BYTES, cupy.uint8)
        _check(self._library.cublasSetStream_v2(self._handle, ctypes.c_void_p(stream.ptr)))
        # After the stream, which takes the workspace away.
        workspace, size = ctypes.c_void_p(self._workspace.data.ptr), ctypes.c_size_t(WORKSPACE_BYTES)
        _check(self._library.cublasSetWorkspace_v2(self._handle, workspace, size))

    @contextlib.contextmanager
    def used(self) -> Iterator[None]:
        """Let `product` use this handle, in this thread."""
        _used.products = self
        try:
            yield
        finally:
            _used.products = None

    def __call__(self, A: Array, B: Array, out: Array | None = None) -> Array:
        """Return A B, C-contiguous. A: (n, k), B: (k, m), both float32 or both float64."""
        return _multiplied(self._library.cublasGemmEx, self._handle, A, B, out)


def _multiplied(gemm: Callable[..., int | None], handle: Any, A: Array, B: Array, out: Array | None) -> Array:
    """Return A B by a function with the parameters of cublasGemmEx, which are numbers and addresses."""
    if A.dtype != B.dtype or A.dtype.char not in "fd":
        msg = f"product: {A.dtype} times {B.dtype}, expected float32 or float64, both the same"
        raise TypeError(msg)
    (n, k), m = A.shape, B.shape[1]
    C = cupy.empty((n, m), A.dtype) if out is None else out
    # cuBLAS sees columns: to it a C-contiguous array is the transpose, and C^T = B^T A^T.
    (A, turn_A, step_A), (B, turn_B, step_B) = _seen(A), _seen(B)
    single = A.dtype == cupy.float32
    number, kind = (ctypes.c_float, _FLOAT32) if single else (ctypes.c_double, _FLOAT64)
    one, zero = number(1.0), number(0.0)
    status = gemm(
        handle, turn_B, turn_A, m, n, k, ctypes.addressof(one), B.data.ptr, kind, step_B,
        A.data.ptr, kind, step_A, ctypes.addressof(zero), C.data.ptr, kind, max(1, m),
        _COMPUTE[_precision() if single else "float64"], _DEFAULT,
    )  # fmt: skip
    _check(status or 0)
    return C


def _seen(array: Array) -> tuple[Array, int, int]:
    """Return a contiguous array, whether cuBLAS has to transpose it (in C^T = B^T A^T), and its stride."""
    if array.flags.c_contiguous or not array.flags.f_contiguous:
        return cupy.ascontiguousarray(array), 0, max(1, array.shape[1])
    return array, 1, max(1, array.shape[0])


def _precision() -> str:
    """Return the precision that is set for products of float32: CuPy keeps it."""
    linalg = attrgetter("_core._routines_linalg")(cupy)
    names = {linalg.COMPUTE_TYPE_TF32: "tf32", linalg.COMPUTE_TYPE_BF16: "bfloat16"}
    return names.get(linalg.get_compute_type(cupy.float32), "float32")


def _check(status: int) -> None:
    if status:
        raise cupy.cuda.cublas.CUBLASError(status)
