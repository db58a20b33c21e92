"""Checks that a GPU computes what the CPU does: same seed and data, same costs and labels, same bits twice.

`scripts/gpu_check.py` runs them; each is a function of the GPU's backend, so the tests run them without one.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from xpnet import kernels, select
from xpnet.backend.backend import Backend
from xpnet.data.column_matrix import ColumnMatrix
from xpnet.io.scoring import Scorer
from xpnet.linear.descent import descend, make_stepper
from xpnet.linear.fused import RESIDUALS, linear_loss_and_gradient
from xpnet.linear.lbfgs import minimize
from xpnet.linear.objective import LinearObjective
from xpnet.nn.network import Layer, LogisticRegression, Network, SoftmaxRegression
from xpnet.nn.optimizers import OPTIMIZERS
from xpnet.nn.settings import Settings
from xpnet.training.fitting import fit
from xpnet.training.sweeps import sweep
from xpnet.training.trainer import Training

COSTS = {"float32": 1e-5, "float64": 1e-9}
"""Largest relative difference of a cost between the CPU and the GPU, by dtype."""

Row = dict[str, Any]
"""What was checked, the worst that was found, the most allowed, and whether it is at most that."""

EXAMPLES, STEPS = 900, 60
"""Of most checks; the tests, whose GPU is a host compiler, take fewer."""


def pictures(m: int, n_classes: int, n_x: int = 768, seed: int = 0) -> tuple[ColumnMatrix, np.ndarray]:
    """Return noisy images that are brighter where their class is, standardized by channel, and classes."""
    rng = np.random.default_rng(seed)
    Y = rng.integers(0, n_classes, (1, m))
    examples = rng.normal(110.0, 25.0, (m, n_x))
    examples[np.arange(n_x)[None] % n_classes == Y.T] += 20.0
    X = examples.clip(0, 255).astype(np.uint8).T
    return ColumnMatrix.of(X, "channel", channels=3), Y


def row(check: str, worst: float, allowed: float) -> Row:
    """Return one result. A worst that is no number is not allowed."""
    return {"check": check, "worst": float(worst), "allowed": allowed, "ok": bool(worst <= allowed)}


def apart(here: Any, there: Any) -> float:
    """Return the largest relative difference of two lists of costs."""
    one, other = np.asarray(here, np.float64), np.asarray(there, np.float64)
    if one.shape != other.shape:
        return np.inf
    return float(np.max(np.abs(one - other) / np.maximum(np.abs(other), 1e-30)))


def labels(model: Network, parameters: Any, data: ColumnMatrix, backend: Backend) -> np.ndarray:
    """Return the class of each example by a trained model, on its device."""
    host = {name: backend.fetch(view) for name, view in parameters.views.items()}
    answers = Scorer(model, host, data.standardizer, backend)(data.examples)
    return np.argmax(answers, axis=0) if model.n_out > 1 else (answers[0] > 0.5).astype(np.int64)


def differing(model: Network, gpu: tuple[Any, Backend], cpu: tuple[Any, Backend], data: ColumnMatrix) -> int:
    """Return how many labels differ between two trainings, each with its backend."""
    return int(np.sum(labels(model, gpu[0], data, gpu[1]) != labels(model, cpu[0], data, cpu[1])))


def regressions(gpu: Backend) -> list[Row]:
    """Full-batch descent, three ways, and L-BFGS: of two classes and of five."""
    cpu, rows = select("cpu"), []
    for name, n_classes, n_x in (("logistic", 2, 768), ("softmax", 5, 768), ("logistic, odd n_x", 2, 75)):
        data, Y = pictures(EXAMPLES, n_classes, n_x)
        model = LogisticRegression(n_x) if n_classes == 2 else SoftmaxRegression(n_x, n_classes)
        few = ColumnMatrix(data.examples[:60], data.standardizer), Y[:, :60]
        for dtype, allowed in COSTS.items():
            given: dict[str, Any] = {"iterations": STEPS, "learning_rate": 0.01, "l2": 1.0, "dtype": dtype}
            for method in ("graph", "one-pass", "span"):
                part = few if method == "span" and n_x > 60 else (data, Y)
                here, there = (
                    descend(model, *part, backend, method=method, **given) for backend in (gpu, cpu)
                )
                how = f"{name}, {method}"
                rows.append(row(f"{how}, {dtype}: costs", apart(here.costs, there.costs), allowed))
                if dtype == "float32":
                    pairs = (here.parameters, gpu), (there.parameters, cpu)
                    rows.append(row(f"{how}: labels that differ", differing(model, *pairs, data), 0))
        given = {"iterations": STEPS, "l2": 1.0, "class_weight": "balanced", "dtype": "float64"}
        here, there = (minimize(model, data, Y, backend, **given) for backend in (gpu, cpu))
        rows.append(row(f"{name}, L-BFGS: last cost", apart(here.costs[-1], there.costs[-1]), 1e-6))
    return rows


def networks(gpu: Backend) -> list[Row]:
    """Batches through the graph, by each optimizer."""
    cpu, rows = select("cpu"), []
    data, Y = pictures(EXAMPLES, 4)
    held = pictures(200, 4, seed=1)
    model = Network(data.n_x, 4, "softmax", (Layer.parse("32:relu"), Layer.parse("8:tanh+8:sigmoid")))
    shared = Settings(epochs=3, batch_size=64, learning_rate=0.002, l2=0.1, clip=5.0)
    for name, optimizer in OPTIMIZERS.items():
        for dtype, allowed in COSTS.items():
            settings = replace(shared, optimizer=optimizer, dtype=dtype)
            here, there = (fit(model, data, Y, backend, settings, held) for backend in (gpu, cpu))
            costs = apart(
                here.history.costs + here.history.judged, there.history.costs + there.history.judged
            )
            rows.append(row(f"network, {name}, {dtype}: costs", costs, allowed))
            if dtype == "float32":
                pairs = (here.parameters, gpu), (there.parameters, cpu)
                rows.append(row(f"network, {name}: labels that differ", differing(model, *pairs, data), 0))
    return rows


def graphs(gpu: Backend) -> list[Row]:
    """Steps that are launched as one CUDA graph."""
    rows = []
    data, Y = pictures(EXAMPLES, 4)
    model = Network(data.n_x, 4, "softmax", (Layer.parse("32:relu"), Layer.parse("16:tanh")))
    shared = Settings(epochs=3, batch_size=64, learning_rate=0.002, l2=0.1, clip=5.0)
    for name, optimizer in OPTIMIZERS.items():
        for dtype, allowed in COSTS.items():
            settings = replace(shared, optimizer=optimizer, dtype=dtype)
            here, there = (
                fit(model, data, Y, gpu, replace(settings, graph=graph)).history.costs
                for graph in (True, False)
            )
            rows.append(row(f"graph, {name}, {dtype}: costs", apart(here, there), allowed))
    return rows


def precisions(gpu: Backend) -> list[Row]:
    """Products of rounded factors: nearly the same costs."""
    data, Y = pictures(EXAMPLES, 4)
    model = Network(data.n_x, 4, "softmax", (Layer.parse("32:relu"),))
    settings = Settings(epochs=2, batch_size=64, learning_rate=0.002)
    exact = fit(model, data, Y, gpu, settings).history.costs
    rows = []
    for precision, allowed in (("tf32", 5e-3), ("bfloat16", 4e-2)):
        for graph in (False, True):
            rounded = replace(settings, precision=precision, graph=graph)
            costs = fit(model, data, Y, gpu, rounded).history.costs
            how = f"{precision}{', graph' if graph else ''}"
            rows.append(row(f"{how}: costs", apart(costs, exact), allowed))
    return rows


def sweeps(gpu: Backend) -> list[Row]:
    """Several runs at once."""
    cpu, rows = select("cpu"), []
    data, Y = pictures(EXAMPLES, 2)
    network = Network(data.n_x, 1, "sigmoid", (Layer.parse("16:relu"),))
    full = Settings(
        epochs=STEPS, batch_size=None, learning_rate=0.01, optimizer=OPTIMIZERS["sgd"], initializer="zeros"
    )
    small = Settings(epochs=2, batch_size=100)
    for name, model, settings in (
        ("full batch", LogisticRegression(data.n_x), full),
        ("network", network, small),
    ):
        given: dict[str, Any] = {"learning_rates": [0.01, 0.003, 0.001], "l2s": [0.0, 1.0]}
        here, there = (sweep(model, data, Y, backend, settings, **given) for backend in (gpu, cpu))
        costs = (
            [cost for run in done.runs for cost in run.history.costs] for done in (here, there)
        )  # fmt: skip
        rows.append(row(f"sweep, {name}: costs", apart(*costs), COSTS["float32"]))
    return rows


def streaming(gpu: Backend) -> list[Row]:
    """Data that does not lie on the device as a whole: the same as of data that does."""
    rows = []
    data, Y = pictures(EXAMPLES, 3)
    model = Network(data.n_x, 3, "softmax", (Layer.parse("16:relu"),))
    settings = Settings(epochs=2, batch_size=64)
    with chunks_of(data.examples.nbytes // 4):
        here, there = (
            fit(model, data, Y, gpu, replace(settings, resident_bytes=size)).history.costs
            for size in (0, None)
        )
        rows.append(row("streamed batches: costs", apart(here, there), 1e-6))
        regression = SoftmaxRegression(data.n_x, 3)
        passed = [
            descend(
                regression, data, Y, gpu,
                iterations=STEPS, learning_rate=0.01, method="one-pass", resident_bytes=size,
            ).costs
            for size in (0, None)
        ]  # fmt: skip
        rows.append(row("streamed passes: costs", apart(*passed), 1e-6))
    return rows


@contextmanager
def chunks_of(size: int) -> Iterator[None]:
    """Let data stream in chunks of so many bytes."""
    from xpnet.data import batches
    from xpnet.linear import fused

    before = batches.CHUNK_BYTES
    batches.CHUNK_BYTES = fused.CHUNK_BYTES = size
    try:
        yield
    finally:
        batches.CHUNK_BYTES = fused.CHUNK_BYTES = before


def scoring(gpu: Backend) -> list[Row]:
    """Scored examples: the same labels, and the same bits however they are cut into blocks."""
    cpu, rows = select("cpu"), []
    data, Y = pictures(3 * EXAMPLES, 5)
    model = SoftmaxRegression(data.n_x, 5)
    trained = descend(model, data, Y, cpu, iterations=STEPS, learning_rate=0.01)
    parameters = dict(trained.parameters.views)
    here, there = (Scorer(model, parameters, data.standardizer, backend) for backend in (gpu, cpu))
    ours, theirs = here(data.examples), there(data.examples)
    rows.append(row("scores", float(np.max(np.abs(ours - theirs))), 1e-5))
    rows.append(row("scores: labels that differ", int(np.sum(ours.argmax(0) != theirs.argmax(0))), 0))
    size = data.m // 4 + 1
    cut = [here(data.examples[start : start + size], start) for start in range(0, data.m, size)]
    rows.append(row("scores in parts: bits that differ", int(np.sum(np.concatenate(cut, axis=1) != ours)), 0))
    return rows


def determinism(gpu: Backend) -> list[Row]:
    """The same twice gives the same bits."""
    data, Y = pictures(EXAMPLES, 4)
    two = (Y > 1).astype(np.int64)
    network = Network(data.n_x, 4, "softmax", (Layer.parse("32:relu"),))
    settings = Settings(epochs=2, batch_size=64, dropout=0.1)
    given: dict[str, Any] = {"iterations": STEPS, "learning_rate": 0.01, "method": "one-pass"}
    jobs: dict[str, Callable[[], Any]] = {
        "logistic, one pass": lambda: descend(LogisticRegression(data.n_x), data, two, gpu, **given),
        "softmax, two passes": lambda: descend(SoftmaxRegression(data.n_x, 4), data, Y, gpu, **given),
        "network, adam": lambda: fit(network, data, Y, gpu, settings),
    }
    rows = []
    for name, job in jobs.items():
        first, second = (gpu.fetch(job().parameters.buffer) for _ in range(2))
        rows.append(row(f"{name}, twice: bits that differ", int(np.sum(first != second)), 0))
    return rows


def crossings(gpu: Backend) -> list[Row]:
    """Nothing in a step crosses between host and device."""
    data, Y = pictures(300, 4)
    network = Network(data.n_x, 4, "softmax", (Layer.parse("32:relu"),))
    training = Training(network, data, Y, gpu, Settings(dropout=0.1, clip=1.0, class_weight="balanced"))
    indices, rows = gpu.send(np.arange(64)), []
    with gpu.activate():
        problem = LinearObjective.of(SoftmaxRegression(data.n_x, 4), data, Y, gpu)
        steps: dict[str, Callable[[], Any]] = {
            "network": lambda: training.step(training.batches.take(indices), 0.001, 0)
        }
        for method in ("one-pass", "span"):
            stepper = make_stepper(problem, method, problem.runs((0.01,), (0.1,)), [None])
            steps[f"softmax, {method}"] = partial(stepper.steps, problem.zeros(1, 1))
        for name, step in steps.items():
            step()
            before = gpu.crossings.total
            step()
            rows.append(row(f"crossings in a step: {name}", gpu.crossings.total - before, 0))
    return rows


def passes_of(gpu: Backend) -> Any:
    """Return xpnet.kernels.cuda_passes as the backend's kernels use it, or None where there are none."""
    found = kernels.modules(kernels.library_name(gpu.xp))
    return found[0].cuda_passes if found else None


def sums(gpu: Backend) -> list[Row]:
    """The passes over raw bytes, at the sizes of real images, beside float64."""
    rows = []
    portable = linear_loss_and_gradient.__wrapped__  # type: ignore[attr-defined]
    for name, m, n_x, runs, n_out in (
        ("one pass, 64 x 64 x 3", 3000, 12288, 1, 1),
        ("one pass, 28 x 28", 3001, 784, 1, 1),
        ("one pass, 33 x 33 x 3", 501, 3267, 1, 1),
        ("two passes, 10 classes", 1001, 3072, 1, 10),
        ("two passes, 32 runs", 1001, 3072, 32, 1),
        ("two passes, 128 x 128 x 3", 501, 49152, 1, 1),
    ):
        rng = np.random.default_rng(0)
        examples = rng.integers(0, 256, (m, n_x), dtype=np.uint8)
        classes = rng.integers(0, max(2, n_out), (1, m))
        Y = (classes if n_out == 1 else np.arange(n_out)[:, None] == classes).astype(np.float32)
        W = (rng.standard_normal((runs * n_out, n_x)) / 255 / n_x**0.5).astype(np.float32)
        b = np.zeros((runs * n_out, 1), np.float32)
        residual = RESIDUALS["sigmoid" if n_out == 1 else "softmax"]
        sent = [gpu.send(array) for array in (examples, Y, W, b)]
        ways = {name: partial(linear_loss_and_gradient, center=None, residual=residual, rows=1024)}
        passes = passes_of(gpu)
        if runs * n_out > 1 and passes is not None:
            ways[f"{name}, tensor cores"] = partial(passes.two_passes, residual=residual, tensor=True)
        want = portable(
            examples, Y.astype("f8"), None, W.astype("f8"), b.astype("f8"),
            center=None, residual=residual, rows=256,
        )  # fmt: skip
        for how, way in ways.items():
            with gpu.activate():
                got = way(*sent[:2], None, *sent[2:])
            worst = max(
                float(np.max(np.abs(gpu.fetch(ours) - theirs)) / np.max(np.abs(theirs)))
                for ours, theirs in zip(got, want, strict=True)
            )
            rows.append(row(f"{how}: sums", worst, 2e-5))
    return rows


CHECKS: dict[str, Callable[[Backend], list[Row]]] = {
    "sums": sums,
    "regressions": regressions,
    "networks": networks,
    "graphs": graphs,
    "precisions": precisions,
    "sweeps": sweeps,
    "streaming": streaming,
    "scoring": scoring,
    "determinism": determinism,
    "crossings": crossings,
}
"""All there are, by name."""
