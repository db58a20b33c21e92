"""one_pass.cu gives the sums of the portable function: on a GPU, and compiled for the CPU by a host compiler."""

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
    (1, 1, 1, 1), (1, 16, 1, 1), (2, 3, 1, 1), (50, 48, 1, 1), (257, 1040, 1, 1), (333, 75, 1, 1), (129, 52, 1, 1),
    (130, 52, 3, 1), (97, 1040, 9, 1), (64, 75, 2, 1), (130, 75, 1, 3), (66, 52, 2, 5), (1, 5, 1, 2), (70, 20000, 1, 1),
]  # fmt: skip


@on_each
@pytest.mark.parametrize("sizes", SIZES, ids=lambda sizes: "m={},n_x={},runs={},n_out={}".format(*sizes))
def test_sums_are_the_portable_ones(sizes: tuple[int, int, int, int], backend: Backend) -> None:
    sums = Sums(*sizes, weighted=sizes[0] % 2 == 0)
    examples, *arrays = sums.arrays(backend)
    before = backend.crossings.total
    with backend.activate():
        got = linear_loss_and_gradient(examples, *arrays, center=None, residual=sums.residual, rows=50)
        again = linear_loss_and_gradient(examples, *arrays, center=None, residual=sums.residual, rows=50)
    assert backend.crossings.total == before
    sums.check(got, backend)
    for one, other in zip(got, again, strict=True):
        np.testing.assert_array_equal(backend.fetch(one), backend.fetch(other))


BUILDS = [
    (32, 1, 3, 1, 1), (32, 1, 2, 1, 2), (32, 2, 5, 1, 1), (64, 1, 4, 0, 1), (64, 2, 3, 0, 1), (96, 3, 12, 1, 1),
    (32, 4, 8, 0, 16),
]  # fmt: skip


@on_each
@pytest.mark.parametrize("build", BUILDS, ids=lambda build: "-".join(map(str, build)))
@pytest.mark.parametrize(("m", "n_x"), [(41, 512), (2, 204), (300, 204), (41, 333)])
def test_every_shape_of_a_build_gives_the_same(
    build: tuple[int, ...], m: int, n_x: int, backend: Backend, arrival: None
) -> None:
    """With fewer and with more than the 32 examples of a block whose losses are added at once."""
    sums = Sums(m, n_x, 1, 1, weighted=True)
    aligned = next(size for size in (16, 4, 1) if n_x % size == 0)
    shape = passes(backend).Build(*build, aligned)
    if n_x > shape.THREADS * shape.VECTORS * 16:
        shape = shape._replace(THREADS=32 * -(-n_x // (512 * shape.VECTORS)))
    with backend.activate():
        sums.check(passes(backend).one_pass(*sums.arrays(backend), shape), backend)


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
def test_many_examples_go_some_at_a_time(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    """With many learning rates, the logits of all examples would need more memory than the raw bytes."""
    monkeypatch.setattr(passes(backend), "TEMPORARY_BYTES", 4 * 3 * 70)
    sums = Sums(333, 20, 1, 3, weighted=True)
    with backend.activate():
        got = linear_loss_and_gradient(*sums.arrays(backend), center=None, residual=sums.residual, rows=50)
    sums.check(got, backend)


@on_each
@pytest.mark.parametrize(
    "sizes",
    [
        (1, 16, 1, 1), (70, 48, 3, 1), (300, 1040, 16, 1), (33, 64, 17, 1), (130, 1088, 32, 1), (40, 80, 41, 1),
        (64, 32, 2, 5),
    ],
    ids=lambda sizes: "m={},n_x={},runs={},n_out={}".format(*sizes),
)  # fmt: skip
def test_tensor_cores_give_the_portable_sums(sizes: tuple[int, int, int, int], backend: Backend) -> None:
    """As exactly as with float32: bytes are exact, and the other factor is the sum of two float16."""
    sums = Sums(*sizes, weighted=True)
    sums.W[0] = 0.0
    sums.W[-1] *= 1e-3  # each row has a different scale
    examples, *arrays = sums.arrays(backend)
    with backend.activate():
        if not passes(backend).cuda_tensor.handles(examples):
            pytest.skip("no such tensor cores")
        got, again = (
            passes(backend).two_passes(examples, *arrays, sums.residual, tensor=True) for _ in range(2)
        )
    sums.check(got, backend)
    for one, other in zip(got, again, strict=True):
        np.testing.assert_array_equal(backend.fetch(one), backend.fetch(other))


@on_each
@pytest.mark.parametrize(("rows", "by_tensor"), [(1, False), (3, False), (4, True), (32, True)])
def test_tensor_cores_are_for_several_rows(
    rows: int, by_tensor: bool, backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    used, sums = [], Sums(40, 48, rows, 1)
    logits = passes(backend).cuda_tensor.logits
    monkeypatch.setattr(passes(backend).cuda_tensor, "logits", lambda *a: used.append(1) or logits(*a))
    examples, *arrays = sums.arrays(backend)
    with backend.activate():
        got = passes(backend).two_passes(examples, *arrays, sums.residual)
        assert bool(used) == (by_tensor and passes(backend).cuda_tensor.handles(examples))
    sums.check(got, backend)


@on_each
def test_what_tensor_cores_cannot_read_goes_without(backend: Backend) -> None:
    sums = Sums(40, 75, 3, 1)
    examples, *arrays = sums.arrays(backend)
    with backend.activate():
        assert not passes(backend).cuda_tensor.handles(examples)
        sums.check(passes(backend).two_passes(examples, *arrays, sums.residual, tensor=True), backend)


@on_each
@pytest.mark.parametrize("n_x", [1, 16, 784, 3072, 12288, 16384])
def test_one_row_of_weights_goes_in_one_pass(n_x: int, backend: Backend) -> None:
    examples = backend.send(np.zeros((1, n_x), np.uint8))
    with backend.activate():
        build = passes(backend).build_for(examples)
    assert n_x <= build.THREADS * build.VECTORS * 16
    assert build.THREADS % 32 == 0
    assert n_x % build.ALIGNED == 0


@on_each
def test_more_features_than_registers_go_in_two_passes(backend: Backend) -> None:
    with backend.activate():
        assert passes(backend).build_for(backend.send(np.zeros((1, 20000), np.uint8))) is None


@on_each
def test_examples_at_an_odd_address_are_read_byte_by_byte(backend: Backend) -> None:
    """A view of a larger array may begin at any address."""
    sums = Sums(40, 48, 1, 1)
    examples, *arrays = sums.arrays(backend)
    with backend.activate():
        wide = backend.xp.concat(
            [backend.xp.reshape(examples, (-1,))[:3], backend.xp.reshape(examples, (-1,))]
        )
        view = backend.xp.reshape(wide[3:], examples.shape)
        assert passes(backend).build_for(view).ALIGNED == 1
        sums.check(
            linear_loss_and_gradient(view, *arrays, center=None, residual=sums.residual, rows=50), backend
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
