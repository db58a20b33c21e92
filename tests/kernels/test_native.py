"""The kernels in C equal the portable functions. Without them, everything gives the same results."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from xpnet.backend.backend import select
from xpnet.data.batches import gather
from xpnet.data.column_matrix import ColumnMatrix
from xpnet.kernels import on_native, on_numpy
from xpnet.linear.descent import descend
from xpnet.linear.fused import linear_loss_and_gradient, logistic_residual, softmax_residual
from xpnet.linear.gram import byte_gram, gram_steps
from xpnet.nn import optimizers
from xpnet.nn.network import LogisticRegression

MINGW = "x86_64-w64-mingw32-gcc"

TAILS = np.array([-np.inf, -1e4, -708.5, -88.0, -87.0, -30, -1, -1e-9, -0.0, 0.0, 1e-9, 1, 30, 88, 1e4])


on_both = pytest.mark.parametrize("kernels", [on_native, on_numpy], ids=["in C", "by NumPy"])
"""For functions with a kernel in C, the kernel in NumPy, used without a compiler, is tested too."""


def portable(function: Any) -> Any:
    return function.__wrapped__


@pytest.fixture(autouse=True)
def compiled() -> None:
    if on_native.LIBRARY is None:
        if shutil.which("cc"):
            pytest.fail("there is a C compiler, and xpnet was installed without its loops in C")
        pytest.skip("no C compiler")


@pytest.mark.skipif(not shutil.which(MINGW), reason="there is no compiler for Windows")
def test_it_compiles_for_windows_with_the_export_that_setuptools_demands(tmp_path: Path) -> None:
    source = Path(on_native.__file__).with_name("native.c")
    (tmp_path / "native.def").write_text("LIBRARY _native.pyd\nEXPORTS\nPyInit__native\n")
    options = ["-std=c11", "-O2", "-Wall", "-Wextra", "-Werror", "-DSOURCE=1u", "-shared"]
    output = tmp_path / "_native.pyd"
    subprocess.run([MINGW, *options, str(source), "native.def", "-o", str(output)], check=True, cwd=tmp_path)
    content = output.read_bytes()
    names = ("PyInit__native", "source", "gram", "logistic_residual_float", "logistic_residual_double")
    assert all(f"{name}\0".encode() in content for name in names)


def test_a_library_of_other_sources_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    assert on_native._load() is not None
    monkeypatch.setattr(on_native.zlib, "crc32", lambda content: 1)
    assert on_native._load() is None


def test_exponentials_and_logarithms_are_exact_to_the_last_places(dtype: str) -> None:
    Z = np.concatenate([np.linspace(-100, 100, 4001), np.geomspace(1e-12, 700, 500)])[None].astype(dtype)
    for label in (0.0, 0.3, 1.0):
        Y = np.full_like(Z, label)
        losses, dZ = on_native.logistic_residual(Z, Y)
        wide = Z.astype(np.longdouble)
        exact = (np.maximum(wide, 0) - wide * Y.astype(np.longdouble)) + np.log1p(np.exp(-abs(wide)))
        A = np.where(wide < 0, np.exp(np.minimum(wide, 0)), 1) / (1 + np.exp(-abs(wide)))
        eps = np.finfo(dtype).eps
        assert losses.dtype == dZ.dtype == Z.dtype
        np.testing.assert_allclose(losses.astype(np.longdouble), exact, rtol=8 * eps, atol=1e-37)
        np.testing.assert_allclose(dZ.astype(np.longdouble), A - Y, rtol=0, atol=2 * eps)


@on_both
def test_tails_and_nan_are_as_in_the_portable_text(kernels: Any, dtype: str) -> None:
    Z = np.tile(TAILS, (2, 1)).astype(dtype)
    Z[1, 3] = np.nan
    for label in (0.0, 1.0):
        Y = np.full((1, Z.shape[1]), label, dtype)
        with np.errstate(all="ignore"):
            got, want = kernels.logistic_residual(Z, Y), portable(logistic_residual)(Z, Y)
        for g, w in zip(got, want, strict=True):
            np.testing.assert_allclose(g, w, rtol=8 * np.finfo(dtype).eps, atol=1e-37)


@on_both
@pytest.mark.parametrize("shape", [(1, 1), (2, 3), (3, 16), (4, 5), (7, 33), (257, 12), (1030, 70)])
@pytest.mark.parametrize("weighted", [False, True])
def test_a_pass_sums_what_the_portable_one_does(
    kernels: Any, shape: tuple[int, int], weighted: bool, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(on_native, "SHARE", 1 << 12)  # so that several threads are used
    rng = np.random.default_rng(0)
    examples = rng.integers(0, 256, shape, dtype=np.uint8)
    labels = rng.integers(0, 2, (1, shape[0])).astype(dtype)
    weights = rng.random((1, shape[0])).astype(dtype) if weighted else None
    W, b = rng.normal(0, 0.01, (1, shape[1])).astype(dtype), np.full((1, 1), 0.3, dtype)
    arguments = (examples, labels, weights, W, b)
    options = {"center": None, "residual": logistic_residual, "rows": 50}
    got, want = (
        kernels.linear_loss_and_gradient(*arguments, **options),
        portable(linear_loss_and_gradient)(*arguments, **options),
    )
    for g, w in zip(got, want, strict=True):
        assert (g.shape, g.dtype) == (w.shape, w.dtype)
        np.testing.assert_allclose(
            g, w, rtol=1e-4 if dtype == "float32" else 1e-11, atol=1e-3 * (dtype == "float32")
        )


def test_a_pass_leaves_to_others_what_it_is_not_for() -> None:
    examples, W, b = np.ones((5, 3), np.uint8), np.ones((1, 3)), np.ones((1, 1))
    labels = np.ones((1, 5))
    options: dict[str, Any] = {"center": None, "residual": logistic_residual, "rows": 5}
    for changed, different in [
        ({"examples": examples.astype("float32")}, {}),
        ({"examples": examples[:, ::2], "W": W[:, ::2]}, {}),
        ({"W": np.ones((2, 3)), "b": np.ones((2, 1))}, {}),
        ({"labels": labels.astype("float32")}, {}),
        ({}, {"center": np.ones((1, 3))}),
        ({}, {"residual": softmax_residual}),
    ]:
        arrays = {"examples": examples, "labels": labels, "weights": None, "W": W, "b": b} | changed
        assert on_native.linear_loss_and_gradient(**arrays, **(options | different)) is NotImplemented


@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (4, 4096), (5, 4097), (17, 9000), (209, 1000), (1024, 30)])
def test_products_of_bytes_are_exact(shape: tuple[int, int]) -> None:
    examples = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    examples[-1] = 255
    whole = examples.astype(np.int64)
    np.testing.assert_array_equal(on_native.byte_gram(examples), whole @ whole.T)
    np.testing.assert_array_equal(portable(byte_gram)(examples), whole @ whole.T)
    assert on_native.byte_gram(np.zeros((on_native.MOST_GRAM_EXAMPLES + 1, 1), np.uint8)) is NotImplemented


@pytest.mark.parametrize("m", [1, 2, 3, 5, 6, 7, 11, 50])
@pytest.mark.parametrize("threads", [2, 3, 8])
def test_shares_of_the_triangle_end_with_its_last_row(
    m: int, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Several threads are used for a few images of many pixels."""
    called: list[tuple[int, int, int]] = []

    def gram(block: int, n: int, first: int, last: int, G: int, rows: int) -> None:
        called.append((first, last, rows))

    monkeypatch.setattr(on_native, "SHARE", 1 / 64)
    monkeypatch.setattr(on_native, "cores", lambda: threads)
    examples = np.random.default_rng(0).integers(0, 256, (m, 40), dtype=np.uint8)
    whole = examples.astype(np.int64)
    with monkeypatch.context() as patch:
        patch.setattr(on_native, "_function", lambda *_: gram)
        on_native.byte_gram(examples)
    assert len(called) == threads
    assert max(last for _, last, _ in called) == m
    assert all(0 <= first <= last <= m for first, last, _ in called)
    np.testing.assert_array_equal(on_native.byte_gram(examples), whole @ whole.T)


@pytest.mark.parametrize("m", [1, 3, 4, 40, 209])
@pytest.mark.parametrize("runs", [1, 2, 4, 5, 11])
@pytest.mark.parametrize("penalized", [False, True])
def test_steps_in_the_span_are_the_portable_ones(
    m: int, runs: int, penalized: bool, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(on_native, "STEPS", 1)
    rng = np.random.default_rng(0)
    X = rng.normal(0, 1, (m, m + 5))
    G, Z0 = X @ X.T, rng.normal(0, 1, (runs, m))
    labels, weights = rng.integers(0, 2, (1, m)), rng.random((1, m)) if penalized else None
    l2 = rng.random((runs, 1)) * penalized
    options = {
        "rate": 0.01 + 0.01 * rng.random((runs, 1)),
        "l2": l2,
        "share": l2 / (2 * m),
        "square0": l2 + 1,
    }
    options = {name: value.astype(dtype) for name, value in options.items()}
    results = []
    for function in (on_native.gram_steps, portable(gram_steps)):
        C, c, b, costs = np.zeros((runs, m)), np.ones((runs, 1)), np.zeros((runs, 1)), np.zeros((runs, 30))
        C, c, b, wide = (array.astype(dtype) for array in (C, c, b, np.repeat(costs, 2, axis=1)))
        given = [None if a is None else a.astype(dtype) for a in (G, Z0, labels, weights)]
        done = function(C, c, b, wide[:, :30], *given, **options, penalized=penalized, output="sigmoid")
        assert done is None
        results.append((C, c, b, wide))
    for got, want in zip(*results, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-3 if dtype == "float32" else 1e-9, atol=1e-5)
    assert not results[0][3][:, 30:].any()


@pytest.mark.parametrize("standardized", ["plain", "unit", "feature"])
@pytest.mark.parametrize("chosen", [None, [0], [4, 4, 0, 2]])
def test_a_batch_is_the_portable_one(standardized: str, chosen: list[int] | None, dtype: str) -> None:
    rng = np.random.default_rng(0)
    examples = rng.integers(0, 256, (5, 37), dtype=np.uint8)
    indices = None if chosen is None else np.array(chosen)
    mean, scale = {
        "plain": (None, 1.0),
        "unit": (None, 1 / 255),
        "feature": (rng.random((1, 37)).astype(dtype), rng.random((1, 37)).astype(dtype)),
    }[standardized]
    got = on_native.gather(examples, indices, mean, scale, np.dtype(dtype))
    want = portable(gather)(examples, indices, mean, scale, np.dtype(dtype))
    assert got.dtype == want.dtype
    np.testing.assert_allclose(got, want, rtol=4 * np.finfo(dtype).eps, atol=1e-4)


@pytest.mark.parametrize("outside", [[5], [-6], [0, 99]])
def test_an_example_that_is_not_there_is_refused(outside: list[int]) -> None:
    with pytest.raises(IndexError, match="out of bounds"):
        gather(np.ones((5, 3), np.uint8), np.array(outside), None, 1.0, np.float32)


@on_both
def test_adam_takes_the_portable_step(kernels: Any, dtype: str) -> None:
    rng = np.random.default_rng(0)
    start = rng.standard_normal((3, 70_000)).astype(dtype)
    results = []
    for function in (kernels.adam, portable(optimizers.adam)):
        p, v, s = start.copy(), np.zeros_like(start), np.zeros_like(start)
        for t in (1, 2, 3):
            done = function(p, np.sin(t * start), v, s, rate=0.01, beta1=0.9, beta2=0.999, epsilon=1e-8, t=t)
            assert done is None
        results.append((p, v, s))
    eps = np.finfo(dtype).eps
    for got, want in zip(*results, strict=True):
        np.testing.assert_allclose(got, want, rtol=8 * eps, atol=4 * eps)
    assert not np.array_equal(results[0][0], start)


def test_optimizers_leave_to_others_what_is_not_in_one_piece() -> None:
    p, wide = np.ones((4, 1)), np.ones((4, 2))
    assert on_native.descend(p, wide[:, :1], rate=0.1) is NotImplemented
    assert on_native.descend(p, np.ones((1, 4)), rate=0.1) is NotImplemented
    assert on_native.descend(p, p.astype("float32"), rate=0.1) is NotImplemented
    assert on_native.descend(p, p.copy(), rate=np.ones((4, 1))) is NotImplemented  # type: ignore[arg-type]


@pytest.mark.parametrize("method", ["gram", "fused"])
def test_without_the_loops_in_c_the_answer_is_the_same(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    data = ColumnMatrix.of(rng.integers(0, 256, (60, 40), dtype=np.uint8), "unit")
    Y = (np.arange(40) % 2)[None]
    costs = []
    for library in (on_native.LIBRARY, None):
        monkeypatch.setattr(on_native, "LIBRARY", library)
        done = descend(
            LogisticRegression(60), data, Y, select("cpu"),
            iterations=30, learning_rate=0.1, method=method, dtype="float64",
        )  # fmt: skip
        costs.append(done.costs)
    np.testing.assert_allclose(costs[0], costs[1], rtol=1e-12)
