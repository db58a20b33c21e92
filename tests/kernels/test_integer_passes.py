"""integer_passes.cu gives the sums of the portable function, exactly: on a GPU, and compiled by a host compiler."""

import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import backends
import hostcupy
import numpy as np
import pytest

from xpnet import kernels
from xpnet.backend.backend import Backend
from xpnet.data.column_matrix import ColumnMatrix
from xpnet.linear.descent import make_stepper
from xpnet.linear.fused import RESIDUALS, linear_loss_and_gradient
from xpnet.linear.objective import LinearObjective
from xpnet.nn.history import Method
from xpnet.nn.network import LogisticRegression

pytestmark = pytest.mark.any_python

on_each = pytest.mark.parametrize(
    "backend", ["kernels", pytest.param("cupy", marks=pytest.mark.gpu)], indirect=True
)


def passes(backend: Backend) -> ModuleType:
    """Return the module xpnet.kernels.cuda_passes of the backend."""
    (on_cupy,) = kernels.modules(kernels.library_name(backend.xp))
    return on_cupy.cuda_passes


@pytest.fixture(params=[False, True], ids=["late", "early"])
def arrival(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let asynchronous copies run when they are waited for, or at once. Only for the host compiler."""
    monkeypatch.setattr(hostcupy.RawModule, "early", request.param)


class Sums:
    """Random arguments of `linear_loss_and_gradient`, and the results in float64."""

    def __init__(
        self,
        m: int,
        n_x: int,
        runs: int,
        n_out: int,
        weighted: bool = False,
        size: float = 1.0,
        seed: int = 0,
    ) -> None:
        rng = np.random.default_rng(seed)
        self.examples = rng.integers(0, 256, (m, n_x), dtype=np.uint8)
        classes = rng.integers(0, max(2, n_out), (1, m))
        self.labels = (classes if n_out == 1 else np.arange(n_out)[:, None] == classes).astype("float32")
        deviation = size / 255 / np.sqrt(n_x)
        self.W = (deviation * rng.standard_normal((runs * n_out, n_x))).astype("float32")
        self.b = rng.standard_normal((runs * n_out, 1)).astype("float32")
        self.weights = rng.random((1, m)).astype("float32") if weighted else None
        self.residual = RESIDUALS["sigmoid" if n_out == 1 else "softmax"]

    def arrays(self, backend: Backend) -> list[Any]:
        given = self.examples, self.labels, self.weights, self.W, self.b
        return [None if array is None else backend.send(array) for array in given]

    @property
    def wanted(self) -> list[np.ndarray]:
        floats = [
            None if array is None else array.astype("float64")
            for array in (self.labels, self.weights, self.W, self.b)
        ]
        portable = linear_loss_and_gradient.__wrapped__  # type: ignore[attr-defined]
        return list(portable(self.examples, *floats, center=None, residual=self.residual, rows=50))

    def check(self, got: Any, backend: Backend) -> None:
        for name, sums, want in zip(("loss", "G", "r"), got, self.wanted, strict=True):
            assert sums.dtype == np.float32
            # The rounding error depends on the size of the terms, not of the sum.
            size = max(np.abs(want).max(), len(self.examples) ** 0.5 * (255 if name == "G" else 1))
            np.testing.assert_allclose(backend.fetch(sums), want, rtol=3e-6, atol=1e-6 * size, err_msg=name)


SIZES = [
    (1, 16, 1, 1), (2, 48, 1, 1), (257, 1040, 1, 1), (130, 784, 1, 1), (70, 3072, 1, 1), (40, 3088, 1, 1),
    (33, 12288, 1, 1), (40, 12304, 1, 1), (130, 48, 3, 1), (97, 1040, 9, 1), (40, 80, 41, 1), (64, 32, 2, 5),
    (130, 80, 1, 3), (300, 112, 10, 3), (70, 48, 1, 40),
]  # fmt: skip
"""Examples, features, runs and outputs: in one pass by one block and by clusters, and in two passes."""

OTHER_SIZES = [(50, 75, 1, 1), (64, 75, 2, 1), (66, 52, 2, 5)]
"""With examples that do not begin at multiples of 16 bytes."""


def name_of(sizes: tuple[int, int, int, int]) -> str:
    return "m={},n_x={},runs={},n_out={}".format(*sizes)


def both(backend: Backend, sums: Sums) -> list[Any]:
    """Return the results of `linear_loss_and_gradient`: called twice, it gives the same bits, and nothing crosses."""
    examples, *arrays = sums.arrays(backend)
    before = backend.crossings.total
    with backend.activate():
        got, again = (
            linear_loss_and_gradient(examples, *arrays, center=None, residual=sums.residual, rows=50)
            for _ in range(2)
        )
    assert backend.crossings.total == before
    for one, other in zip(got, again, strict=True):
        np.testing.assert_array_equal(backend.fetch(one), backend.fetch(other))
    return list(got)


@on_each
@pytest.mark.parametrize("sizes", [*SIZES, *OTHER_SIZES], ids=name_of)
def test_sums_are_the_portable_ones(
    sizes: tuple[int, int, int, int], backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    used, finish = [], passes(backend)._finish
    monkeypatch.setattr(passes(backend), "_finish", lambda *given: used.append(1) or finish(*given))
    sums = Sums(*sizes, weighted=sizes[0] % 2 == 0)
    sums.check(both(backend, sums), backend)
    with backend.activate():
        assert bool(used) == passes(backend).handles(backend.send(sums.examples))


@on_each
@pytest.mark.parametrize("n_out", [1, 4])
def test_smoothed_labels_and_class_weights_give_the_portable_sums(n_out: int, backend: Backend) -> None:
    sums = Sums(300, 48, 2, n_out, weighted=True)
    sums.labels = (0.9 * sums.labels + 0.1 / max(2, n_out)).astype("float32")
    sums.weights = np.where(sums.weights > 0.5, 7.5, 0.25).astype("float32")
    sums.check(both(backend, sums), backend)


BUILDS = {
    512: [(1, 4, 8, 2, 1, 0), (1, 4, 8, 3, 3, 1), (1, 1, 32, 2, 1, 1), (2, 2, 8, 2, 1, 1), (4, 1, 8, 4, 1, 1),
          (4, 5, 2, 2, 1, 1)],
    208: [(1, 1, 14, 2, 1, 0), (1, 7, 2, 2, 1, 0), (2, 4, 2, 3, 1, 1), (4, 2, 4, 2, 1, 1)],
}  # fmt: skip
"""By the number of features: builds of one_pass. The last ones have blocks without features."""


@on_each
@pytest.mark.parametrize("n_x", BUILDS)
@pytest.mark.parametrize("m", [2, 41, 300])
def test_every_build_of_one_pass_gives_the_same_bits(
    m: int, n_x: int, backend: Backend, arrival: None
) -> None:
    """In any grid, too: the sums are sums of integers. The losses are added in float64."""
    sums = Sums(m, n_x, 1, 1, weighted=True)
    arrays, first = sums.arrays(backend), None
    with backend.activate():
        if passes(backend)._capability() < 90:
            pytest.skip("no clusters of blocks")
        for build in BUILDS[n_x]:
            got = passes(backend).one_pass(*arrays, passes(backend).OnePass(*build))
            sums.check(got, backend)
            first = first or got
            for one, other in zip(first[1:], got[1:], strict=True):
                np.testing.assert_array_equal(backend.fetch(one), backend.fetch(other))


@pytest.mark.parametrize("backend", ["kernels"], indirect=True)
def test_the_grid_and_the_parts_do_not_change_the_bits(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With one cluster or three, in one launch or several, and with other devices' numbers of blocks."""
    results: dict[tuple[int, int, int], list[Any]] = {}
    module = passes(backend)
    known = module._attribute("MaxSharedMemoryPerBlockOptin")
    monkeypatch.setattr(module, "_clusters_at_once", module._clusters_at_once.__wrapped__)
    for clusters, most, multiprocessors, temporary in (
        (3, 65536, 3, 1 << 28), (1, 65536, 1, 1 << 28), (2, 64, 100, 1), (1, 96, 7, 7 * 8 * 300)
    ):  # fmt: skip
        monkeypatch.setattr(hostcupy.Driver, "clusters", clusters)
        monkeypatch.setattr(module, "MOST_SUMS", most)
        monkeypatch.setattr(module, "TEMPORARY_BYTES", temporary)
        monkeypatch.setattr(
            module, "_attribute", lambda name, n=multiprocessors, k=known: n if "Count" in name else k
        )
        for n_x, runs, n_out in ((3088, 1, 1), (48, 1, 1), (48, 3, 1), (48, 1, 3)):
            sums = Sums(777, n_x, runs, n_out, weighted=True)
            got = both(backend, sums)
            sums.check(got, backend)
            results.setdefault((n_x, runs, n_out), []).append([backend.fetch(array) for array in got[1:]])
    for first, *others in results.values():
        for other in others:
            for one, another in zip(first, other, strict=True):
                np.testing.assert_array_equal(one, another)


def integers(numbers: np.ndarray, finest: int) -> tuple[np.ndarray, np.ndarray]:
    """Return numbers (rows, n) as integers whose largest of each row is at most 2^finest, and their unit."""
    unit = 2.0 ** (np.frexp(np.abs(numbers).max(axis=1, keepdims=True))[1] - finest)
    return np.rint(numbers.astype("float64") / unit).astype(np.int64), unit


@on_each
@pytest.mark.parametrize(("rows", "n_x"), [(1, 784), (8, 48), (10, 208), (32, 3072), (33, 16), (2, 65600)])
def test_logits_are_exact_products_of_integers(rows: int, n_x: int, backend: Backend) -> None:
    """W is rounded to integers; the products and sums are Python's; then Z is rounded once, and b is added."""
    sums = Sums(70, n_x, rows, 1)
    sums.W[-1] *= 1e-5
    sums.W[0, : n_x // 2] = sums.W[0].max() * 4.0  # so that large numbers do not cancel
    W, unit = integers(sums.W, 22)
    exact = np.array([[sum(map(int.__mul__, w, x)) for x in sums.examples.tolist()] for w in W.tolist()])
    module = passes(backend)
    with backend.activate():
        build = module.two_passes_build(rows, n_x)
        ordered, inverses = module.weight_digits(backend.send(sums.W), build)
        Z = module.logits(backend.send(sums.examples), ordered, inverses, backend.send(sums.b), build)
    np.testing.assert_array_equal(backend.fetch(inverses)[:rows], unit[:, 0])
    np.testing.assert_array_equal(backend.fetch(Z), (exact * unit).astype("float32") + sums.b)


@on_each
@pytest.mark.parametrize(("runs", "n_x"), [(1, 784), (1, 3088), (3, 784), (17, 32)])
def test_gradients_are_exact_sums_of_integers(runs: int, n_x: int, backend: Backend) -> None:
    """With zeros for W and b, dZ is known: weight (1/2 - y)."""
    sums = Sums(333, n_x, runs, 1, weighted=True)
    sums.W[:], sums.b[:] = 0.0, 0.0
    dZ = sums.weights * (np.float32(0.5) - sums.labels)
    scale = 2.0 ** ((30 if runs == 1 else 22) - np.frexp(sums.weights.max())[1])
    whole = np.rint(dZ[0].astype("float64") * scale).astype(np.int64)
    loss, G, r = both(backend, sums)
    exact = whole @ sums.examples.astype(np.int64)
    np.testing.assert_array_equal(backend.fetch(G), np.tile((exact / scale).astype("float32"), (runs, 1)))
    np.testing.assert_array_equal(backend.fetch(r), np.full((runs, 1), whole.sum() / scale, "float32"))
    np.testing.assert_allclose(backend.fetch(loss), sums.weights.sum() * np.log(2.0), rtol=1e-6)


def test_int32_holds_the_sums_of_a_launch() -> None:
    most = passes_on_host().MOST_SUMS
    assert most * 255 * 128 < 2**31
    assert 65_793 * 255 * 128 < 2**31 <= 65_794 * 255 * 128


def passes_on_host() -> ModuleType:
    if hostcupy.missing():
        pytest.skip(hostcupy.missing())
    hostcupy.module()
    return kernels.modules("kernelcupy")[0].cuda_passes


@pytest.mark.parametrize("backend", ["kernels"], indirect=True)
def test_the_largest_sums_of_one_pass_do_not_overflow(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """White images whose residuals have three digits of -128: the host ends the process if int32 overflows."""
    module = passes(backend)
    m, whole = module.MOST_SUMS, 32 * 2**24 - 128 * (1 + 256 + 65536)
    sums = Sums(m, 16, 1, 1, weighted=True)
    sums.examples[:], sums.W[:], sums.b[:], sums.labels[:] = 255, 0.0, 0.0, 0.0
    sums.weights[:] = whole / 2**29
    monkeypatch.setattr(module, "_clusters_at_once", lambda *_: 1)
    with backend.activate():
        _, G, r = module.one_pass(*sums.arrays(backend), module.one_pass_build(16))
    assert backend.fetch(G)[0, 0] == np.float32(255.0 * m * whole / 2**30)
    assert backend.fetch(r)[0, 0] == np.float32(m * whole / 2**30)


@pytest.mark.parametrize("backend", ["kernels"], indirect=True)
def test_the_largest_sums_of_two_passes_do_not_overflow(backend: Backend) -> None:
    """White images and digits of -128, as many as are added up in int32."""
    module = passes(backend)
    with backend.activate():
        xp = backend.xp
        build = module.two_passes_build(1, module.MOST_SUMS)
        build = build._replace(gradient=module.Shape(2, 128, 2), logits=module.Shape(2, 128, 2))
        white = xp.full((module.MOST_SUMS, 16), 255, dtype=xp.uint8)
        digits = xp.full((1, module.MOST_SUMS // 32, 3, 2, 32), 0x80808080, dtype=xp.uint32)
        totals = xp.zeros((1, 17), dtype=xp.int64)
        module.add_gradient(white, digits, totals, build)
        both_digits = -128 * (1 + 256 + 65536)
        assert set(backend.fetch(totals)[0, :16].tolist()) == {255 * module.MOST_SUMS * both_digits}
        wide = xp.reshape(white, (16, -1))
        inverses, zeros = xp.ones(8, dtype=xp.float64), xp.zeros((1, 1), dtype=xp.float32)
        Z = module.logits(wide, digits, inverses, zeros, build)
    assert set(backend.fetch(Z)[0].tolist()) == {float(np.float32(255 * module.MOST_SUMS * both_digits))}


@on_each
@pytest.mark.parametrize("n_out", [1, 3])
def test_extreme_logits_give_finite_sums(n_out: int, backend: Backend) -> None:
    sums = Sums(60, 80, 1, n_out, size=1e4)
    with backend.activate():
        got = linear_loss_and_gradient(*sums.arrays(backend), center=None, residual=sums.residual, rows=50)
    for value in got:
        assert np.isfinite(backend.fetch(value)).all()
    np.testing.assert_allclose(backend.fetch(got[0]), sums.wanted[0], rtol=1e-5)


@on_each
def test_weights_that_are_no_numbers_show(backend: Backend) -> None:
    sums = Sums(60, 80, 1, 1)
    sums.W[0, 7] = np.nan
    with backend.activate():
        loss, G, r = linear_loss_and_gradient(
            *sums.arrays(backend), center=None, residual=sums.residual, rows=50
        )
    for value in (loss, G, r):
        assert np.isnan(backend.fetch(value)).all()


@on_each
def test_infinite_weights_show(backend: Backend) -> None:
    sums = Sums(60, 80, 3, 1)
    sums.W[1, 7] = np.inf
    with backend.activate():
        loss, G, r = linear_loss_and_gradient(
            *sums.arrays(backend), center=None, residual=sums.residual, rows=50
        )
    for value in (loss, G, r):
        finite = np.isfinite(backend.fetch(value))
        assert finite[[0, 2]].all()
        assert not finite[1].any()


@on_each
@pytest.mark.parametrize("n_x", [16, 48, 784, 3072, 3088, 6144, 12288])
def test_one_row_of_weights_goes_in_one_pass(n_x: int, backend: Backend) -> None:
    with backend.activate():
        if passes(backend)._capability() < 90:
            pytest.skip("no clusters of blocks")
        build = passes(backend).one_pass_build(n_x)
    assert n_x <= build.CLUSTER * build.features
    fewest = next(cluster for cluster in (1, 2, 4) if n_x <= 3072 * cluster)
    assert fewest == build.CLUSTER
    assert build.TILES % 2 == 0
    assert build.WARPS * build.BLOCKS <= 12


@on_each
def test_more_features_than_a_cluster_holds_go_in_two_passes(backend: Backend) -> None:
    with backend.activate():
        assert passes(backend).one_pass_build(12304) is None


@pytest.mark.parametrize("backend", ["kernels"], indirect=True)
@pytest.mark.parametrize(("capability", "n_x", "ways"), [
    (80, 784, ["one_pass"]), (80, 3072, ["two_passes"]), (89, 48, ["one_pass"]), (75, 784, []), (90, 3072, ["one_pass"]),
])  # fmt: skip
def test_older_devices_use_what_they_have(
    capability: int, n_x: int, ways: list[str], backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without clusters, and with less shared memory; before compute capability 8.0 the portable function."""
    module, used = passes(backend), []
    most = {80: 163 << 10, 89: 99 << 10, 75: 64 << 10, 90: 227 << 10}[capability]
    monkeypatch.setattr(module, "_capability", lambda: capability)
    monkeypatch.setattr(module, "_attribute", lambda name: 3 if "Count" in name else most)
    monkeypatch.setattr(module, "_clusters_at_once", lambda *_: 3)
    for name in ("one_pass", "two_passes"):
        way = getattr(module, name)
        monkeypatch.setattr(module, name, lambda *given, name=name, way=way: used.append(name) or way(*given))
    sums = Sums(70, n_x, 1, 1)
    sums.check(both(backend, sums), backend)
    assert used == 2 * ways
    rows = Sums(70, 32, 32, 1)
    rows.check(both(backend, rows), backend)


@on_each
def test_examples_at_an_odd_address_go_another_way(backend: Backend) -> None:
    """A view of a larger array may begin at any address."""
    sums = Sums(40, 48, 1, 1)
    examples, *arrays = sums.arrays(backend)
    with backend.activate():
        flat = backend.xp.reshape(examples, (-1,))
        view = backend.xp.reshape(backend.xp.concat([flat[:3], flat])[3:], examples.shape)
        assert not passes(backend).handles(view)
        sums.check(
            linear_loss_and_gradient(view, *arrays, center=None, residual=sums.residual, rows=50), backend
        )
        strided = backend.xp.concat([examples, examples], axis=1)[:, :48]
        assert not passes(backend).handles(strided)
        sums.check(
            linear_loss_and_gradient(strided, *arrays, center=None, residual=sums.residual, rows=50), backend
        )


@on_each
def test_a_step_neither_crosses_nor_waits(backend: Backend) -> None:
    sums = Sums(300, 48, 1, 1)
    data, Y = ColumnMatrix.of(sums.examples.T, "channel", channels=3), sums.labels.astype("int64")
    with backend.activate():
        problem = LinearObjective.of(LogisticRegression(48), data, Y, backend)
        stepper = make_stepper(problem, Method.FUSED, problem.runs((0.01,), (0.1,)), [None])
        costs = problem.zeros(1, 1)
        stepper.steps(costs)  # compiles the kernels
        before = backend.crossings.total
        with backends.no_sync(backend):
            stepper.steps(costs)
    assert backend.crossings.total == before


def test_the_host_notices_what_a_gpu_would_not_survive() -> None:
    """The fake reports a barrier that not all threads reach, and an argument of a wrong size."""
    if hostcupy.missing():
        pytest.skip(hostcupy.missing())
    code = (
        'extern "C" __global__ void f(float* x, int n) { if (threadIdx.x < n) __syncthreads(); x[0] = 1.0f; }'
    )
    script = (
        "import hostcupy, numpy as np; xp = hostcupy.module(); "
        f"kernel = hostcupy.RawModule(code={code!r}).get_function('f'); "
        "kernel((1,), (64,), (xp.zeros(1, dtype='float32'), {n}))"
    )
    tests = Path(hostcupy.__file__).parent
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tests), str(tests.parent)])}
    for n, said in (("np.int32(32)", "a thread ended"), ("np.int64(64)", "int64 as int")):
        done = subprocess.run(
            [sys.executable, "-c", script.replace("{n}", n)],
            env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode != 0
        assert said in done.stderr
