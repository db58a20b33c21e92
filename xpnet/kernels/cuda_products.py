"""Matrix products by a cuBLAS handle of our own: CuPy's refuses to be recorded into a CUDA graph."""

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
"""Of the handle: given to it, so that it asks for none while it is recorded."""

_FLOAT32, _FLOAT64 = 0, 1  # CUDA_R_32F, CUDA_R_64F
_COMPUTE = {"float32": 68, "tf32": 77, "float64": 70}  # CUBLAS_COMPUTE_32F, ..._32F_FAST_TF32, ..._64F
_DEFAULT = -1  # CUBLAS_GEMM_DEFAULT

_used = threading.local()


def product(A: Array, B: Array) -> Array:
    """Return A B: by CuPy, or by the handle that is used in this thread."""
    own = getattr(_used, "products", None)
    return A @ B if own is None else own(A, B)


@functools.cache
def library() -> Any:
    """Return cuBLAS, which CuPy has loaded: the system finds it by its name."""
    return ctypes.CDLL(f"libcublas.so.{cupy.cuda.runtime.runtimeGetVersion() // 1000}")


class Products:
    """A cuBLAS handle on one stream.

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
        size = ctypes.c_size_t(WORKSPACE_BYTES)
        _check(self._library.cublasSetWorkspace_v2(self._handle, _pointer(self._workspace), size))

    @contextlib.contextmanager
    def used(self) -> Iterator[None]:
        """Let `product` use this handle, in this thread."""
        _used.products = self
        try:
            yield
        finally:
            _used.products = None

    def __call__(self, A: Array, B: Array) -> Array:
        """Return A B, C-contiguous. A: (n, k), B: (k, m), both float32 or both float64."""
        if A.dtype != B.dtype or A.dtype.char not in "fd":
            msg = f"product: {A.dtype} times {B.dtype}, expected float32 or float64, both the same"
            raise TypeError(msg)
        (n, k), m = A.shape, B.shape[1]
        C = cupy.empty((n, m), A.dtype)
        # cuBLAS sees columns: to it a C-contiguous array is the transpose, and C^T = B^T A^T.
        (A, turn_A, step_A), (B, turn_B, step_B) = _seen(A), _seen(B)
        single = A.dtype == cupy.float32
        number = ctypes.c_float if single else ctypes.c_double
        kind = _FLOAT32 if single else _FLOAT64
        one, zero = number(1.0), number(0.0)
        _check(
            self._library.cublasGemmEx(
                self._handle, turn_B, turn_A, m, n, k, ctypes.byref(one),
                _pointer(B), kind, step_B, _pointer(A), kind, step_A, ctypes.byref(zero),
                _pointer(C), kind, m, _COMPUTE[_precision() if single else "float64"], _DEFAULT,
            )
        )  # fmt: skip
        return C


def _seen(array: Array) -> tuple[Array, int, int]:
    """Return a contiguous array, whether cuBLAS has to transpose it (in C^T = B^T A^T), and its stride."""
    if array.flags.c_contiguous or not array.flags.f_contiguous:
        return cupy.ascontiguousarray(array), 0, array.shape[1]
    return array, 1, array.shape[0]


def _precision() -> str:
    """Return the precision that is set for CuPy's own products."""
    linalg = attrgetter("_core._routines_linalg")(cupy)
    return "tf32" if linalg.get_compute_type(cupy.float32) == linalg.COMPUTE_TYPE_TF32 else "float32"


def _pointer(array: Array) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.data.ptr)


def _check(status: int) -> None:
    if status:
        msg = f"cuBLAS returned status {status}"
        raise RuntimeError(msg)
