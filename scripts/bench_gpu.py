"""Benchmarks on a GPU, compared with PyTorch if it is installed.

`scripts/gpu_check.py --only benchmarks` runs them. The data are random bytes. Times are medians, measured by
CUDA events after a warm-up. Functions that are compared run in turn. gpu_goals.py says what is expected.
"""

import os
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
from gpu_parity import passes_of
from torch_peers import PRECISIONS, torch_network, torch_on_gpu, torch_step

from xpnet.backend import Backend, select
from xpnet.data import ColumnMatrix, DeviceMatrix, fit_standardizer, gather
from xpnet.features import BLOCK_IMAGES, PatchSettings, fit_patches
from xpnet.linear import LinearObjective, logistic_residual, make_stepper, softmax_residual
from xpnet.nn import (
    OPTIMIZERS,
    UPDATE_FUNCTIONS,
    Layer,
    LogisticRegression,
    Method,
    Network,
    Settings,
    SoftmaxRegression,
)
from xpnet.training import Trainer

Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Sizes:
    """How much is measured.

    Attributes:
        m: examples of the full-batch steps.
        n_x: features of the full-batch steps.
        rates: learning rates of the sweep.
        network: features, hidden units and classes of the network.
        batches: batch sizes of the network.
        steps: how many steps of the network are timed at once.
        images: how many images are decoded and scored.
        streamed: how many bytes are streamed to the device.
        repeat: how often each function is timed.
    """

    m: int
    n_x: int
    rates: int
    network: tuple[int, int, int]
    batches: tuple[int, ...]
    steps: int
    images: int
    streamed: int
    repeat: int


FULL = Sizes(1_000_000, 12288, 32, (3072, 512, 10), (256, 4096), 50, 40_000, 2 << 30, 7)
QUICK = Sizes(100_000, 12288, 32, (3072, 512, 10), (256, 4096), 20, 4000, 1 << 29, 3)

TITLES = {
    "step": "One full-batch step of logistic regression over bytes",
    "builds": "The kernels of integer_passes.cu compiled in different ways",
    "sweep": "Several learning rates at once, over the same bytes",
    "softmax": "One full-batch step of softmax regression over bytes",
    "network": "A step of a network in batches",
    "kernels": "Kernels compared with the portable functions",
    "features": "Patch features of images, from host memory and back",
    "streaming": "Bytes from host memory to the device",
    "scoring": "From images to rows",
}
"""All benchmarks: the name of the method of `Benchmarks`, and what it measures."""


IN_A_ROW = 5
"""Full-batch steps that are timed at once: as in training, one is launched while another is computed."""

ONE_PASS = [(4, 12, 16, 2, 1, 1), (4, 8, 24, 2, 1, 1)]
"""Ways to compile one_pass for 12288 features (see `OnePass` in cuda_passes.py)."""

SHAPES = [(2, 128, 4), (3, 128, 3), (4, 128, 2), (4, 64, 3), (2, 256, 2), (2, 256, 3)]
"""Ways to compile logits and gradient: HALVES, CHUNK and STAGES (see integer_passes.cu)."""


SHARING = ("step", "builds", "sweep", "softmax")
"""Benchmarks that share the large data, so they run in the same process."""

READING = """
extern "C" __global__ void read_bytes(const uint4* x, unsigned long long count, unsigned* out) {
    unsigned found = 0;
    const unsigned long long step = (unsigned long long)gridDim.x * blockDim.x;
    const unsigned long long first = (unsigned long long)blockIdx.x * blockDim.x + threadIdx.x;
    #pragma unroll 4
    for (unsigned long long i = first; i < count; i += step) {
        const uint4 v = __ldcs(x + i);
        found ^= v.x ^ v.y ^ v.z ^ v.w;
    }
    out[first] = found;
}
"""
"""CUDA source of a kernel that only reads. Each thread writes a number, so that no load is optimized away."""


def reader(xp: Any, array: Any) -> Callable[[], None]:
    """Return a function that only reads the bytes of a contiguous array on a GPU."""
    kernel = xp.RawKernel(READING, "read_bytes")
    blocks, threads = 8 * xp.cuda.Device().attributes["MultiProcessorCount"], 256
    out = xp.empty(blocks * threads, dtype=xp.uint32)
    given = array.reshape(-1), np.uint64(array.nbytes // 16), out
    return partial(kernel, (blocks,), (threads,), given)


class RandomBytes(DeviceMatrix):
    """Random bytes that are made on the device: in host memory there are none.

    Args:
        backend: the device.
        examples: (m, n_x) bytes on the device.
    """

    def __init__(self, backend: Backend, examples: Any) -> None:
        nothing = np.broadcast_to(np.zeros((), np.uint8), examples.shape)
        super().__init__(ColumnMatrix(nothing, fit_standardizer([], "unit")), backend)
        self.examples = examples  # in place of those of the host, which would be sent

    @classmethod
    def of(cls, backend: Backend, m: int, n_x: int, different: int = 5000) -> "RandomBytes":
        """Return m examples of which the first ones are random, and the others repeat them."""
        some = np.random.default_rng(0).integers(0, 256, (min(m, different), n_x), dtype=np.uint8)
        with backend.activate():
            examples, sent = backend.xp.empty((m, n_x), dtype=backend.xp.uint8), backend.send(some)
            for start in range(0, m, len(some)):
                examples[start : start + len(some)] = sent[: m - start]
        return cls(backend, examples)


class Benchmarks:
    """The benchmarks on one device. They share the data, which is made on the device once.

    Args:
        backend: the GPU.
        sizes: how much is measured.
    """

    def __init__(self, backend: Backend, sizes: Sizes) -> None:
        self._backend, self._sizes = backend, sizes

    @cached_property
    def _data(self) -> tuple[DeviceMatrix, np.ndarray]:
        """Random bytes, and labels of two classes."""
        m = self._sizes.m
        return RandomBytes.of(self._backend, m, self._sizes.n_x), two_classes(m)

    @cached_property
    def _objective(self) -> LinearObjective:
        """The cost of logistic regression on the data."""
        data, Y = self._data
        return LinearObjective.of(LogisticRegression(data.n_x), data, Y, self._backend)

    def step(self) -> Rows:
        """One step of logistic regression: by xpnet, by PyTorch, and the time to read the bytes once.

        The same bytes are taken for four times as many examples with a quarter of the features, too.
        """
        backend, sizes = self._backend, self._sizes
        raw, pool = sizes.m * sizes.n_x, backend.xp.get_default_memory_pool()
        with backend.activate():
            pool.free_all_blocks()
            before = pool.total_bytes()
            objective = self._objective
            ours = self._step(objective)
            ours()
            memory = pool.total_bytes() - before  # the most it needed: the pool returns no memory
            few = RandomBytes(backend, objective.data.examples.reshape(4 * sizes.m, sizes.n_x // 4))
            model = LogisticRegression(few.n_x)
            other = LinearObjective.of(model, few, two_classes(few.m), backend)
            ways: dict[str, Callable[[], Any]] = {
                "xpnet, one pass over bytes": ours,
                "reading the bytes once": reader(backend.xp, objective.data.examples),
                f"xpnet, one pass over bytes, {few.n_x} features": self._step(other),
            }
            spent = self._timed_in_a_row(ways)
            rows: Rows = [{"how": how, "ms": each, "TB/s": raw / (1e9 * each)} for how, each in spent.items()]
            rows[0]["of raw bytes"] = memory / raw
            torch = torch_on_gpu()
            for name in ("float32", "bfloat16"):
                if torch is None:
                    rows.append(
                        {"how": f"PyTorch {name}", "ms": None, "note": "PyTorch is not installed for a GPU"}
                    )
                    continue
                pool.free_all_blocks()
                rows.append(torch_step(torch, sizes.m, sizes.n_x, name, self._timed_in_a_row))
        for row in rows:
            row["times ours"] = row["ms"] and row["ms"] / rows[0]["ms"]
        return rows

    def _step(self, objective: LinearObjective, rates: Sequence[float] = (0.005,)) -> Callable[[], None]:
        """Return a function that takes a full-batch step, with one or several learning rates."""
        count = len(rates)
        stepper = make_stepper(objective, Method.FUSED, objective.runs(rates, [0.0] * count), [None] * count)
        return partial(stepper.steps, objective.zeros(count, 1))

    def _timed_in_a_row(self, functions: dict[str, Callable[[], Any]]) -> dict[str, float]:
        """Return the median milliseconds of each function when it is called `IN_A_ROW` times."""

        def often(function: Callable[[], Any]) -> Callable[[], None]:
            def run() -> None:
                for _ in range(IN_A_ROW):
                    function()

            return run

        spent = self._timed({name: often(function) for name, function in functions.items()})
        return {name: each / IN_A_ROW for name, each in spent.items()}

    def builds(self) -> Rows:
        """The kernels over the raw bytes, compiled as xpnet chooses, and in other ways."""
        backend, passes, rows = self._backend, passes_of(self._backend), []
        data, Y = self._data
        with backend.activate():
            examples, labels = data.examples, backend.send(Y, dtype="float32")
            W, b = self._objective.zeros(1, data.n_x) + 1e-6, self._objective.zeros(1, 1)
            chosen = passes.one_pass_build(data.n_x)
            ways: dict[Any, Callable[[], Any]] = {
                build: partial(passes.one_pass, examples, labels, None, W, b, build)
                for build in dict.fromkeys([chosen, *(passes.OnePass(*each) for each in ONE_PASS)])
                if build.CLUSTER * build.features >= data.n_x
            }
            for build, each in self._timed(ways).items():
                rows.append({"kernel": "one_pass", "rows": 1, "build": "-".join(map(str, build)), "ms": each,
                             "chosen": build == chosen})  # fmt: skip
            for count in (8, 10, 24, self._sizes.rates):
                rows += self._shapes(passes, examples, count)
        return rows

    def _shapes(self, passes: Any, examples: Any, count: int) -> Rows:
        """Measure logits and gradient in each shape, for `count` rows of weights."""
        xp, (m, n_x) = self._backend.xp, examples.shape
        chosen = passes.two_passes_build(count, n_x)
        W, b = xp.full((count, n_x), 1e-6, dtype=xp.float32), xp.zeros((count, 1), dtype=xp.float32)
        totals = xp.zeros((count, n_x + 1), dtype=xp.int64)
        digits = xp.full((1, -(-m // 32), 3 * chosen.triples, 2, 32), 0x01FF02FE, dtype=xp.uint32)
        ways: dict[Any, Callable[[], Any]] = {}
        for shape in dict.fromkeys(
            [chosen.logits, chosen.gradient, *(passes.Shape(*each) for each in SHAPES)]
        ):
            if shape.shared_bytes(chosen.triples) <= passes.most_shared_bytes():
                build = chosen._replace(logits=shape, gradient=shape)
                ordered = passes.weight_digits(W, build)
                of_both = {
                    "logits": partial(passes.logits, examples, *ordered, b, build),
                    "gradient": partial(passes.add_gradient, examples, digits, totals, build),
                }
                ways |= {(name, shape): way for name, way in of_both.items() if shape.suits(name)}
        return [
            {"kernel": kernel, "rows": count, "build": "-".join(map(str, shape)), "ms": each,
             "chosen": shape == getattr(chosen, kernel)}
            for (kernel, shape), each in self._timed(ways).items()
        ]  # fmt: skip

    def sweep(self) -> Rows:
        """A step with several learning rates, compared with one."""
        sizes, objective = self._sizes, self._objective
        ways: dict[str, Callable[[], Any]] = {}
        with self._backend.activate():
            for count in (1, sizes.rates):
                rates = [0.001 * 1.1**i for i in range(count)]
                ways[f"a step with {count}"] = self._step(objective, rates)
            spent = self._timed_in_a_row(ways)
        one = spent["a step with 1"]
        return [{"how": how, "ms": each, "times one": each / one} for how, each in spent.items()]

    def softmax(self) -> Rows:
        """A step of softmax regression with ten classes."""
        data, _ = self._data
        Y = (np.arange(data.m) % 10)[None]
        with self._backend.activate():
            objective = LinearObjective.of(SoftmaxRegression(data.n_x, 10), data, Y, self._backend)
            ours = self._timed_in_a_row({"": self._step(objective)})[""]
        return [{"how": f"xpnet, two passes over {data.m} x {data.n_x} bytes", "ms": ours}]

    def network(self) -> Rows:
        """Steps of a network: by xpnet, by PyTorch, and only their matrix products."""
        n_x, hidden, n_classes = self._sizes.network
        model = Network(n_x, n_classes, "softmax", (Layer.parse(f"{hidden}:relu"),))
        torch, rows = torch_on_gpu(), []
        for size in self._sizes.batches:
            m = size * self._sizes.steps
            data = RandomBytes.of(self._backend, m, n_x)
            Y = np.random.default_rng(0).integers(0, n_classes, (1, m))
            if torch is not None:
                self._backend.synchronize()  # the bytes are ready, on whatever stream PyTorch reads them
                X, classes = torch.from_dlpack(data.examples).float().div_(255), torch.from_numpy(Y[0]).cuda()
            for name in ("sgd", "adam"):
                ways = self._network_ways(model, data, Y, size, name)
                if torch is not None:
                    ways |= torch_network(torch, model, X, classes, size, name)
                for how, function in ways.items():
                    spent = self._timed({"": function})[""] / self._sizes.steps
                    rows.append({"batch": size, "optimizer": name, "how": how, "µs a step": 1e3 * spent})
        if torch is None:
            rows[0]["note"] = "PyTorch is not installed for a GPU"
        return rows

    def _network_ways(
        self, model: Network, data: DeviceMatrix, Y: np.ndarray, size: int, name: str
    ) -> dict[str, Callable[[], Any]]:
        """Return functions that train for an epoch, by what they do."""
        backend = self._backend
        order = np.random.default_rng(1).permutation(data.m)

        def ours(precision: str, cuda_graph: bool) -> Callable[[], None]:
            settings = Settings(
                batch_size=size, optimizer=OPTIMIZERS[name], precision=precision, cuda_graph=cuda_graph
            )  # fmt: skip
            trainer = Trainer(model, data, Y, backend, settings)

            def epoch() -> None:
                with backend.activate(), backend.precision(precision):
                    for _ in trainer.steps(order, 0.001):
                        pass

            return epoch

        with backend.activate():
            xp = backend.xp
            hidden = model.shapes["W1"][0]
            shapes = (data.n_x, size), (hidden, data.n_x), (hidden, size)
            X, W, dZ = (xp.ones(shape, dtype=xp.float32) for shape in shapes)

        def products() -> None:
            with backend.activate():
                for _ in range(data.m // size):
                    W @ X
                    dZ @ X.T

        ways: dict[str, Callable[[], Any]] = {"the first layer's products alone": products}
        for precision in PRECISIONS:
            ways[f"xpnet, {precision}"] = ours(precision, cuda_graph=True)
            ways[f"xpnet, {precision}, no CUDA graph"] = ours(precision, cuda_graph=False)
        return ways

    def kernels(self) -> Rows:
        """Kernels, compared with the portable functions."""
        backend = self._backend
        rng, rows = np.random.default_rng(0), []

        def array(*shape: int) -> Any:
            return backend.send(rng.standard_normal(shape), dtype="float32")

        with backend.activate():
            n_x, hidden, n_classes = self._sizes.network
            raw = backend.send(rng.integers(0, 256, (20 * self._sizes.batches[-1], n_x), dtype=np.uint8))
            for size in self._sizes.batches:
                indices = backend.send(rng.integers(0, raw.shape[0], size))
                labels = backend.send(np.eye(n_classes)[rng.integers(0, n_classes, size)].T, dtype="float32")
                cases: dict[str, tuple[Any, tuple[Any, ...], dict[str, Any]]] = {
                    "gather": (gather, (raw, indices, None, 1 / 255, backend.xp.float32), {}),
                    "softmax_residual": (softmax_residual, (array(n_classes, size), labels), {}),
                    "logistic_residual": (logistic_residual, (array(1, size), labels[:1, :]), {}),
                }
                rows += [self._kernel_row(name, size, *case) for name, case in cases.items()]
            for shape in ((hidden, 1), (hidden, n_x)):
                p, g, v, s = (array(*shape) for _ in range(4))
                s *= s
                momentum = {"rate": 1e-3, "beta": 0.9, "nesterov": False}
                adam = {"rate": 1e-3, "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8, "t": 3}
                cases = {
                    "descend": (UPDATE_FUNCTIONS["sgd"], (p, g), {"rate": 1e-3}),
                    "momentum": (UPDATE_FUNCTIONS["momentum"], (p, g, v), momentum),
                    "adam": (UPDATE_FUNCTIONS["adam"], (p, g, v, s), adam),
                }
                rows += [self._kernel_row(name, p.size, *case) for name, case in cases.items()]
        return rows

    def _kernel_row(self, name: str, size: int, function: Any, given: Any, options: Any) -> dict[str, Any]:
        """Return the times of a function's kernel and of the portable function."""

        def often(f: Callable[..., Any]) -> Callable[[], None]:
            def run() -> None:
                for _ in range(20):
                    f(*given, **options)

            return run

        spent = self._timed({"kernel": often(function), "portable": often(function.__wrapped__)})
        ours, portable = (1e3 * spent[which] / 20 for which in ("kernel", "portable"))
        return {"function": name, "size": size, "µs": ours, "portable, µs": portable, "gain": portable / ours}

    def features(self) -> Rows:
        """Patch features of 32 x 32 pixels at the default settings: on the GPU, and on two cores."""
        backend, shape = self._backend, (32, 32, 3)
        m = min(16384, self._sizes.images)
        images = np.random.default_rng(0).integers(0, 256, (m, int(np.prod(shape))), dtype=np.uint8)
        found = fit_patches(images[:500], shape, PatchSettings(samples=20_000, rounds=1))
        height, count = shape[0] - found.settings.size + 1, found.settings.count
        rows: Rows = []

        def measured(how: str, m: int, function: Callable[[], Any]) -> None:
            function()
            spent = []
            for _ in range(3):
                began = time.perf_counter()
                function()
                spent.append(time.perf_counter() - began)
            rows.append({"how": how, "images/s": m / statistics.median(spent)})

        transform = found.on(backend)
        measured("on the GPU", m, lambda: transform(images))
        with backend.activate():
            xp, block = backend.xp, BLOCK_IMAGES["gpu"]
            blocks = max(1, m // block // 8)
            patches = xp.ones((block * height * height, len(found.filters) + 1), dtype=xp.float32)
            filters = xp.ones((len(found.filters) + 1, count), dtype=xp.float32)

            def products() -> None:
                for _ in range(blocks):
                    patches @ filters
                xp.cuda.Device().synchronize()

            measured("only the products, on the GPU", block * blocks, products)
        cores = os.sched_getaffinity(0)
        os.sched_setaffinity(0, sorted(cores)[:2])
        try:
            on_cpu = found.on(select("cpu"))
            measured("on two cores", len(images[:512]), lambda: on_cpu(images[:512]))
        finally:
            os.sched_setaffinity(0, cores)
        return rows

    def streaming(self) -> Rows:
        """Copy from host memory to the device: one large array, and chunks as large as in training."""
        backend, chunk = self._backend, 64 << 20
        chunk = min(chunk, self._sizes.streamed)
        block = np.random.default_rng(0).integers(0, 256, (chunk // 4096, 4096), dtype=np.uint8)
        count = max(1, self._sizes.streamed // chunk)

        large = np.tile(block, (count, 1))

        def sent() -> None:
            with backend.activate():
                backend.send(large)

        def streamed() -> None:
            for _ in backend.stream((block,) for _ in range(count)):
                pass

        spent = self._timed({"send, one large array": sent, "stream, through pinned buffers": streamed})
        return [{"how": name, "GB/s": count * chunk / (1e6 * each)} for name, each in spent.items()]

    def scoring(self) -> Rows:
        """Only decoding, and whole predictions on the GPU and on the CPU."""
        from gpu_scoring import rows  # which needs Pillow

        return rows(self._backend, self._sizes.images)

    def _timed(self, functions: dict[str, Callable[[], Any]]) -> dict[str, float]:
        """Return the median milliseconds of each function on the device, by name."""
        cuda = self._backend.xp.cuda
        spent: dict[str, list[float]] = {name: [] for name in functions}
        with self._backend.activate():
            for function in functions.values():
                function()
                function()
            for _ in range(self._sizes.repeat):
                for name, function in functions.items():
                    begin, end = cuda.Event(), cuda.Event()
                    begin.record()
                    function()
                    end.record()
                    end.synchronize()
                    spent[name].append(cuda.get_elapsed_time(begin, end))
        return {name: statistics.median(times) for name, times in spent.items()}


def two_classes(m: int) -> np.ndarray:
    """Return labels of m examples, (1, m)."""
    labels: np.ndarray = (np.arange(m) * 7 % 10 < 5).astype(np.int64)[None]
    return labels
