"""The matrix products equal CuPy's in each precision, in new memory or in a given array."""

import types
from typing import Any

import numpy as np
import pytest

from xpnet import kernels
from xpnet.backend.backend import Backend
from xpnet.errors import DeviceError

on_kernels = pytest.mark.parametrize(
    "backend", ["kernels", pytest.param("cupy", marks=pytest.mark.gpu)], indirect=True
)


def products_of(backend: Backend) -> Any:
    (on_cupy,) = kernels.modules(kernels.library_name(backend.xp))
    return on_cupy.cuda_products


@on_kernels
@pytest.mark.parametrize("given", [False, True], ids=["new", "out"])
@pytest.mark.parametrize("sizes", [(3, 5, 4), (1, 5, 4), (3, 1, 4), (3, 5, 1), (1, 1, 1)], ids=str)
@pytest.mark.parametrize("left", ["C", "F", "strided"])
@pytest.mark.parametrize("right", ["C", "F", "strided"])
def test_our_products_are_cupys(
    sizes: tuple[int, int, int], left: str, right: str, given: bool, backend: Backend, dtype: str
) -> None:
    products = products_of(backend)
    n, k, m = sizes
    rng = np.random.default_rng(0)

    def laid_out(shape: tuple[int, int], order: str) -> Any:
        host = rng.standard_normal(shape).astype(dtype)
        if order == "strided":
            return backend.send(np.repeat(host, 2, axis=1))[:, ::2]
        return backend.send(host) if order == "C" else backend.send(np.ascontiguousarray(host.T)).T

    with backend.activate():
        A, B = laid_out((n, k), left), laid_out((k, m), right)
        want = backend.fetch(A @ B)
        stream = backend.xp.cuda.Stream(non_blocking=True)
        own = products.Products(stream)
        backend.synchronize()
        with stream, own.used():
            out = backend.xp.full((n, m), 7, dtype=dtype) if given else None
            got = products.product(A, B, out)
        backend.synchronize()
        assert got.flags.c_contiguous
        assert out is None or got is out
        rtol = 1e-5 if dtype == "float32" else 1e-12
        np.testing.assert_allclose(backend.fetch(got), want, rtol=rtol, atol=rtol)


@on_kernels
def test_tf32_rounds_the_factors_and_not_the_sum(backend: Backend) -> None:
    """Factors with 11 significant bits are exact in TF32, those with 12 are not.

    cuBLAS may round, but does not have to: it may have no such kernel for a product as small as this one.
    """
    if int(backend.xp.cuda.Device(backend.ordinal).compute_capability) < 80:  # type: ignore[attr-defined]
        pytest.skip("this GPU has no TF32")
    products = products_of(backend)
    exact, lost, row = [1 + 2**-10, 1.0], [1 + 2**-11, 1.0], np.ones((1, 2), "float32")
    with backend.activate():
        A, B = backend.send(row), backend.send(np.asarray([exact, lost], "float32").T)
        double = backend.send(np.full((1, 1), 1 + 2**-20))
        stream = backend.xp.cuda.Stream(non_blocking=True)
        own = products.Products(stream)
        backend.synchronize()
        with stream, own.used():
            with backend.precision("tf32"):
                got, wide = products.product(A, B), products.product(double, double)
            restored = products.product(A, B)
        backend.synchronize()
        got = backend.fetch(got)
        assert got[0, 0] == 2 + 2**-10
        assert got[0, 1] in ((2.0, 2 + 2**-11) if backend.xp.__name__ == "cupy" else (2.0,))
        assert float(backend.fetch(wide)[0, 0]) == (1 + 2**-20) ** 2
        np.testing.assert_array_equal(backend.fetch(restored), [[2 + 2**-10, 2 + 2**-11]])


@on_kernels
def test_a_product_that_fails_is_a_device_that_fails(backend: Backend) -> None:
    """A kernel may have failed before, and cuBLAS is the first to report it."""
    with backend.activate():
        own = products_of(backend).Products(backend.xp.cuda.Stream(non_blocking=True))
        A = backend.send(np.ones((2, 2)))
    own._library = types.SimpleNamespace(cublasGemmEx=lambda *_: 13)
    with pytest.raises(DeviceError, match="CUBLAS_STATUS_EXECUTION_FAILED: check"), backend.activate():
        own(A, A)


@pytest.mark.cuda
def test_cublas_has_the_functions_that_are_called() -> None:
    import ctypes

    pathfinder = pytest.importorskip("cuda.pathfinder")
    try:
        path = pathfinder.load_nvidia_dynamic_lib("cublas").abs_path
    except Exception as error:  # the type of error depends on the reason
        pytest.skip(f"cuBLAS is not installed: {error}")
    library = ctypes.CDLL(path)
    for name in ("Create_v2", "Destroy_v2", "SetStream_v2", "SetWorkspace_v2", "GemmEx"):
        assert getattr(library, f"cublas{name}")
