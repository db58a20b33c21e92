"""Products in parts that threads share: their values, their bits, and threads that fail, wait or are forked."""

import multiprocessing
import os
import threading

import numpy as np
import pytest
from threadpoolctl import threadpool_info

from xpnet.kernels import one_for_each_product, threads
from xpnet.kernels.threads import in_threads, product

SHAPES = {
    "many columns": ((40, 700), (700, 1500)),
    "many rows": ((1500, 700), (700, 40)),
    "columns and rows": ((300, 500), (500, 300)),
    "narrow": ((1, 60_000), (60_000, 300)),
    "several": ((9, 64, 300), (9, 300, 64)),
    "several large ones": ((2, 300, 300), (2, 300, 300)),
    "small": ((3, 4), (4, 5)),
    "empty": ((0, 4), (4, 5)),
}


@pytest.fixture(params=[1, 2, 5])
def count(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """A number of processors, and threads for them."""
    monkeypatch.setattr(threads, "cores", lambda: request.param)
    return int(request.param)


def matrices(name: str, dtype: str = "float32") -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    left, right = SHAPES[name]
    return rng.normal(size=left).astype(dtype), rng.normal(size=right).astype(dtype)


@pytest.mark.parametrize("name", SHAPES)
def test_products_are_those_of_numpy(name: str, count: int) -> None:
    A, B = matrices(name)
    want = A.astype(np.float64) @ B.astype(np.float64)
    scale = np.abs(A).astype(np.float64) @ np.abs(B) if want.size else want
    transposed = np.ascontiguousarray(A.swapaxes(-1, -2)).swapaxes(-1, -2)
    out = np.full(want.shape, np.nan, np.float32)
    assert product(A, B, out) is out
    for got in (product(A, B), product(transposed, B), out):
        assert got.dtype == np.float32
        assert np.all(np.abs(got - want) <= 1e-5 * scale)


@pytest.mark.parametrize("name", SHAPES)
def test_the_bits_do_not_depend_on_the_threads(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    A, B = matrices(name)
    found = []
    for count in (1, 2, 3, 7):
        monkeypatch.setattr(threads, "cores", lambda count=count: count)
        with one_for_each_product():
            found.append(product(A, B).tobytes())
    assert len(set(found)) == 1


def test_dtypes_are_those_of_numpy(count: int) -> None:
    A, B = matrices("columns and rows", "float64")
    assert product(A, B).dtype == np.float64
    assert product(A.astype(np.float32), B).dtype == np.float64


def test_what_numpy_refuses_is_refused(count: int) -> None:
    A, B = matrices("columns and rows")
    with pytest.raises(ValueError, match="matmul"):
        product(A, B[1:])
    assert product(A, B[:, 0]).shape == (300,)


def test_results_are_in_order_and_errors_are_raised(count: int) -> None:
    assert list(in_threads(lambda i: i * i, 20)) == [i * i for i in range(20)]
    done = []

    def fail(i: int) -> None:
        if i == 3:
            msg = "the fourth"
            raise ValueError(msg)
        done.append(i)

    with pytest.raises(ValueError, match="the fourth"):
        in_threads(fail, 10)
    assert list(in_threads(lambda i: -i, 3)) == [0, -1, -2]  # the threads go on


def test_a_call_within_a_call_and_calls_side_by_side_end(count: int) -> None:
    def square(i: int) -> int:
        return sum(in_threads(lambda j: i * j, i))

    want = [sum(i * j for j in range(i)) for i in range(30)]
    assert list(in_threads(square, 30)) == want
    found: list[list[int]] = []

    def call() -> None:
        found.append(list(in_threads(square, 30)))

    callers = [threading.Thread(target=call) for _ in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(30)
    assert found == [want] * 4


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*is multi-threaded:DeprecationWarning")  # that is what is tested
def test_a_forked_process_has_threads_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "cores", lambda: 3)
    in_threads(abs, 5)
    context = multiprocessing.get_context("fork")
    child: multiprocessing.Process = context.Process(target=_use_threads)  # type: ignore[assignment]
    child.start()
    child.join(30)
    assert child.exitcode == 0


def _use_threads() -> None:
    A, B = matrices("columns and rows")
    np.testing.assert_allclose(product(A, B), A @ B, rtol=1e-3, atol=1e-3)


def blas_threads() -> int:
    return max((each["num_threads"] for each in threadpool_info() if each["user_api"] == "blas"), default=1)


def test_blas_has_one_thread_until_the_last_context_ends() -> None:
    before = blas_threads()

    def other() -> None:
        with one_for_each_product():
            pass

    thread = threading.Thread(target=other)
    with one_for_each_product():
        with one_for_each_product():
            assert blas_threads() == 1
        thread.start()
        thread.join(30)
        assert blas_threads() == 1  # neither of the contexts that ended was the first
    assert blas_threads() == before


def test_threads_give_no_warnings_of_overflows(count: int, recwarn: pytest.WarningsRecorder) -> None:
    large = np.full((300, 300), 1e30, np.float32)
    with np.errstate(all="ignore"):
        assert np.isinf(product(large, large)).all()
    assert not recwarn.list
