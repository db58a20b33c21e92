"""Checks that a GPU gives the same costs and predictions as the CPU, and the same bits each time.

`scripts/gpu_check.py` runs them. Each check is a function of a backend: the tests run them without a GPU.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from xpnet import kernels
from xpnet.backend import Backend, select
from xpnet.data import ColumnMatrix, DeviceMatrix
from xpnet.io import Scorer
from xpnet.linear import RESIDUALS, LinearObjective, descend, linear_loss_and_gradient, make_stepper, minimize
from xpnet.nn import OPTIMIZERS, Layer, LogisticRegression, Method, Network, Settings, SoftmaxRegression
from xpnet.training import Trainer, fit, sweep

COSTS = {"float32": 1e-5, "float64": 1e-9}
"""By dtype: the largest relative difference between costs on the CPU and on the GPU that is allowed."""

Row = dict[str, Any]
"""One result: what was checked, the largest difference, how much is allowed, and if it is not more."""

EXAMPLES, STEPS = 900, 60
"""Examples and iterations of most checks. The tests, which run without a GPU, use fewer."""


def pictures(m: int, n_classes: int, n_x: int = 768, seed: int = 0) -> tuple[ColumnMatrix, np.ndarray]:
    """Return random images whose pixels depend on their class, standardized by channel, and labels (1, m)."""
    rng = np.random.default_rng(seed)
    Y = rng.integers(0, n_classes, (1, m))
    examples = rng.normal(110.0, 25.0, (m, n_x))
    examples[np.arange(n_x)[None] % n_classes == Y.T] += 20.0
    X = examples.clip(0, 255).astype(np.uint8).T
    return ColumnMatrix.of(X, "channel", channels=3), Y


def row(check: str, worst: float, allowed: float) -> Row:
    """Return one result. NaN is never allowed."""
    return {"check": check, "worst": float(worst), "allowed": allowed, "ok": bool(worst <= allowed)}


def difference(here: Any, there: Any) -> float:
    """Return the largest relative difference between two lists of costs."""
    one, other = np.asarray(here, np.float64), np.asarray(there, np.float64)
    if one.shape != other.shape:
        return np.inf
    return float(np.max(np.abs(one - other) / np.maximum(np.abs(other), 1e-30)))


def labels(model: Network, parameters: Any, data: ColumnMatrix, backend: Backend) -> np.ndarray:
    """Return the predicted class of each example, (m,), computed on the device of the parameters."""
    host = {name: backend.fetch(view) for name, view in parameters.views.items()}
    A = Scorer(model, host, data.standardizer, backend)(data.examples)
    return np.argmax(A, axis=0) if model.n_out > 1 else (A[0] > 0.5).astype(np.int64)


def differing(model: Network, gpu: tuple[Any, Backend], cpu: tuple[Any, Backend], data: ColumnMatrix) -> int:
    """Return how many predicted labels differ between two trained models, each given with its backend."""
    return int(np.sum(labels(model, gpu[0], data, gpu[1]) != labels(model, cpu[0], data, cpu[1])))


def regressions(gpu: Backend) -> list[Row]:
    """Full-batch gradient descent by each method, and L-BFGS: with two classes and with five."""
    cpu, rows = select("cpu"), []
    for name, n_classes, n_x in (("logistic", 2, 768), ("softmax", 5, 768), ("logistic, odd n_x", 2, 75)):
        data, Y = pictures(EXAMPLES, n_classes, n_x)
        model = LogisticRegression(n_x) if n_classes == 2 else SoftmaxRegression(n_x, n_classes)
        few = ColumnMatrix(data.examples[:60], data.standardizer), Y[:, :60]
        for dtype, allowed in COSTS.items():
            given: dict[str, Any] = {"iterations": STEPS, "learning_rate": 0.01, "l2": 1.0, "dtype": dtype}
            for method in ("autodiff", "fused", "gram"):
                part = few if method == "gram" and n_x > 60 else (data, Y)
                here, there = (
                    descend(model, *part, backend, method=method, **given) for backend in (gpu, cpu)
                )
                how = f"{name}, {method}"
                rows.append(row(f"{how}, {dtype}: costs", difference(here.costs, there.costs), allowed))
                if dtype == "float32":
                    pairs = (here.parameters, gpu), (there.parameters, cpu)
                    rows.append(row(f"{how}: labels that differ", differing(model, *pairs, data), 0))
        given = {"iterations": STEPS, "l2": 1.0, "class_weight": "balanced", "dtype": "float64"}
        here, there = (minimize(model, data, Y, backend, **given) for backend in (gpu, cpu))
        rows.append(row(f"{name}, L-BFGS: last cost", difference(here.costs[-1], there.costs[-1]), 1e-6))
    return rows


def networks(gpu: Backend) -> list[Row]:
    """Networks trained in batches, with each optimizer."""
    cpu, rows = select("cpu"), []
    data, Y = pictures(EXAMPLES, 4)
    held = pictures(200, 4, seed=1)
    model = Network(data.n_x, 4, "softmax", (Layer.parse("32:relu"), Layer.parse("8:tanh+8:sigmoid")))
    shared = Settings(epochs=3, batch_size=64, learning_rate=0.002, l2=0.1, clip=5.0)
    for name, optimizer in OPTIMIZERS.items():
        for dtype, allowed in COSTS.items():
            settings = replace(shared, optimizer=optimizer, dtype=dtype)
            here, there = (fit(model, data, Y, backend, settings, held) for backend in (gpu, cpu))
            costs = difference(*([*each.history.costs, *each.history.criterion] for each in (here, there)))
            rows.append(row(f"network, {name}, {dtype}: costs", costs, allowed))
            if dtype == "float32":
                pairs = (here.parameters, gpu), (there.parameters, cpu)
                rows.append(row(f"network, {name}: labels that differ", differing(model, *pairs, data), 0))
    return rows


def cuda_graphs(gpu: Backend) -> list[Row]:
    """Steps launched as a CUDA graph, compared with the same steps without it."""
    rows = []
    data, Y = pictures(EXAMPLES, 4)
    model = Network(data.n_x, 4, "softmax", (Layer.parse("32:relu"), Layer.parse("16:tanh")))
    shared = Settings(epochs=3, batch_size=64, learning_rate=0.002, l2=0.1, clip=5.0)
    for name, optimizer in OPTIMIZERS.items():
        for dtype, allowed in COSTS.items():
            settings = replace(shared, optimizer=optimizer, dtype=dtype)
            here, there = (
                fit(model, data, Y, gpu, replace(settings, cuda_graph=graph)).costs for graph in (True, False)
            )
            rows.append(row(f"CUDA graph, {name}, {dtype}: costs", difference(here, there), allowed))
    return rows


def precisions(gpu: Backend) -> list[Row]:
    """Matrix products in lower precision: nearly the same costs."""
    data, Y = pictures(EXAMPLES, 4)
    model = Network(data.n_x, 4, "softmax", (Layer.parse("32:relu"),))
    settings = Settings(epochs=2, batch_size=64, learning_rate=0.002)
    exact = fit(model, data, Y, gpu, settings).costs
    rows = []
    for graph in (False, True):
        costs = fit(model, data, Y, gpu, replace(settings, precision="tf32", cuda_graph=graph)).costs
        rows.append(row(f"tf32{', CUDA graph' if graph else ''}: costs", difference(costs, exact), 5e-3))
    return rows


def sweeps(gpu: Backend) -> list[Row]:
    """Several trainings at once."""
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
        costs = ([cost for run in done.runs for cost in run.history.costs] for done in (here, there))
        rows.append(row(f"sweep, {name}: costs", difference(*costs), COSTS["float32"]))
    return rows


def streaming(gpu: Backend) -> list[Row]:
    """Data that streams through the device: the same costs as with data that stays there."""
    rows = []
    data, Y = pictures(EXAMPLES, 3)
    model = Network(data.n_x, 3, "softmax", (Layer.parse("16:relu"),))
    settings = Settings(epochs=2, batch_size=64)
    regression = SoftmaxRegression(data.n_x, 3)
    both = [DeviceMatrix(data, gpu, size, chunk_bytes=data.examples.nbytes // 4) for size in (0, None)]
    here, there = (fit(model, each, Y, gpu, settings).costs for each in both)
    rows.append(row("streamed batches: costs", difference(here, there), 1e-6))
    here, there = (
        descend(regression, each, Y, gpu, iterations=STEPS, learning_rate=0.01, method="fused").costs
        for each in both
    )
    rows.append(row("streamed passes: costs", difference(here, there), 1e-6))
    return rows


def scoring(gpu: Backend) -> list[Row]:
    """Scoring: the same labels, and the same bits for any division of the examples into blocks."""
    cpu, rows = select("cpu"), []
    data, Y = pictures(3 * EXAMPLES, 5)
    model = SoftmaxRegression(data.n_x, 5)
    trained = descend(model, data, Y, cpu, iterations=STEPS, learning_rate=0.01)
    parameters = dict(trained.parameters.views)
    here, there = (Scorer(model, parameters, data.standardizer, backend) for backend in (gpu, cpu))
    ours, theirs = here(data.examples), there(data.examples)
    rows.append(row("probabilities", float(np.max(np.abs(ours - theirs))), 1e-5))
    rows.append(row("probabilities: labels that differ", int(np.sum(ours.argmax(0) != theirs.argmax(0))), 0))
    size = data.m // 4 + 1
    cut = [here(data.examples[start : start + size], start) for start in range(0, data.m, size)]
    rows.append(
        row(
            "probabilities in parts: numbers that differ", int(np.sum(np.concatenate(cut, axis=1) != ours)), 0
        )
    )
    return rows


def determinism(gpu: Backend) -> list[Row]:
    """The same training twice gives the same bits."""
    data, Y = pictures(EXAMPLES, 4)
    two = (Y > 1).astype(np.int64)
    network = Network(data.n_x, 4, "softmax", (Layer.parse("32:relu"),))
    settings = Settings(epochs=2, batch_size=64, dropout=0.1)
    given: dict[str, Any] = {"iterations": STEPS, "learning_rate": 0.01, "method": "fused"}
    trainings: dict[str, Callable[[], Any]] = {
        "logistic, one pass": lambda: descend(LogisticRegression(data.n_x), data, two, gpu, **given),
        "softmax, two passes": lambda: descend(SoftmaxRegression(data.n_x, 4), data, Y, gpu, **given),
        "network, adam": lambda: fit(network, data, Y, gpu, settings),
    }
    rows = []
    for name, train in trainings.items():
        first, second = (gpu.fetch(train().parameters.buffer) for _ in range(2))
        rows.append(row(f"{name}, twice: numbers that differ", int(np.sum(first != second)), 0))
    return rows


def crossings(gpu: Backend) -> list[Row]:
    """A step moves no data between host and device."""
    data, Y = pictures(300, 4)
    network = Network(data.n_x, 4, "softmax", (Layer.parse("32:relu"),))
    trainer = Trainer(network, data, Y, gpu, Settings(dropout=0.1, clip=1.0, class_weight="balanced"))
    indices, rows = gpu.send(np.arange(64)), []
    with gpu.activate():
        objective = LinearObjective.of(SoftmaxRegression(data.n_x, 4), data, Y, gpu)
        steps: dict[str, Callable[[], Any]] = {
            "network": lambda: trainer.step(trainer.batches.take(indices), 0.001, 0)
        }
        for method in (Method.FUSED, Method.GRAM):
            stepper = make_stepper(objective, method, objective.runs((0.01,), (0.1,)), [None])
            steps[f"softmax, {method}"] = partial(stepper.steps, objective.zeros(1, 1))
        for name, step in steps.items():
            step()
            before = gpu.crossings.total
            step()
            rows.append(row(f"crossings in a step: {name}", gpu.crossings.total - before, 0))
    return rows


def passes_of(gpu: Backend) -> Any:
    """Return the module xpnet.kernels.cuda_passes of the backend; None if the backend has no kernels."""
    found = kernels.modules(kernels.library_name(gpu.xp))
    return found[0].cuda_passes if found else None


def sums(gpu: Backend) -> list[Row]:
    """Losses and gradients over raw bytes, at the sizes of real images, compared with float64."""
    rows = []
    portable = linear_loss_and_gradient.__wrapped__  # type: ignore[attr-defined]
    for name, m, n_x, runs, n_out in (
        ("one pass, 64 x 64 x 3", 3000, 12288, 1, 1),
        ("one pass, 28 x 28", 3001, 784, 1, 1),
        ("in blocks, 33 x 33 x 3", 501, 3267, 1, 1),
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
        with gpu.activate():
            if runs * n_out == 1 and passes is not None and passes.handles(sent[0]):
                ways[f"{name}, read twice"] = passes.two_passes
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
    "graphs": cuda_graphs,
    "precisions": precisions,
    "sweeps": sweeps,
    "streaming": streaming,
    "scoring": scoring,
    "determinism": determinism,
    "crossings": crossings,
}
"""All checks, by name."""
