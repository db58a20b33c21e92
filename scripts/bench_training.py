"""Measure training, compared with PyTorch, with scikit-learn, and with the limits of the machine.

    python scripts/bench_training.py [--json FILE] [--repeat N] [--only PART ...]

Functions that are compared run in the same process, in turn; times are medians. Needs PyTorch and
scikit-learn. Random images replace the cat images of the course: the times do not depend on the pixels.
"""

import subprocess
import sys
import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from benching import Parts, medians, run

from xpnet.backend import select
from xpnet.data import ColumnMatrix, fit_standardizer
from xpnet.linear import LinearObjective, descend, make_stepper, minimize, run_descent
from xpnet.nn import (
    OPTIMIZERS,
    Layer,
    LogisticRegression,
    Method,
    Network,
    Settings,
    SoftmaxRegression,
    initialize,
)
from xpnet.training import fit

CPU = select("cpu")
FEATURES = 12288
"""Features of an image of 64 x 64 pixels with 3 channels."""


def pictures(m: int, n_x: int = FEATURES, n_classes: int = 2) -> tuple[ColumnMatrix, np.ndarray]:
    """Return random bytes, and labels (1, m) that depend on some of them."""
    examples = np.random.default_rng(0).integers(0, 256, (m, n_x), dtype=np.uint8)
    Y = (np.argsort(np.argsort(examples[:, :8].sum(axis=1))) * n_classes // m)[None]
    return ColumnMatrix(examples, fit_standardizer([], "unit")), Y


def course(repeat: int) -> list[dict[str, Any]]:
    """The exercise of the course: 209 images, 2000 iterations of full-batch gradient descent."""
    import torch

    data, Y = pictures(209)
    X64 = (data.examples / 255).T

    def course_code() -> None:
        w, b = np.zeros((FEATURES, 1)), 0.0
        for _ in range(2000):
            A = 1 / (1 + np.exp(-(w.T @ X64 + b)))
            np.mean(-(Y * np.log(A) + (1 - Y) * np.log(1 - A)))
            w = w - 0.005 * (X64 @ (A - Y).T) / 209
            b = b - 0.005 * np.sum(A - Y) / 209

    X32, Y32 = torch.from_numpy(X64.T.astype("f4")), torch.from_numpy(Y.T.astype("f4"))

    def pytorch() -> None:
        layer = torch.nn.Linear(FEATURES, 1)
        optimizer = torch.optim.SGD(layer.parameters(), lr=0.005)
        loss = torch.nn.BCEWithLogitsLoss()
        for _ in range(2000):
            optimizer.zero_grad()
            loss(layer(X32), Y32).backward()
            optimizer.step()

    def ours(dtype: str) -> Callable[[], Any]:
        return lambda: descend(
            LogisticRegression(FEATURES), data, Y, CPU, iterations=2000, learning_rate=0.005, dtype=dtype
        )

    seconds = medians(
        {
            "NumPy float64, as in the course": course_code,
            "PyTorch float32": pytorch,
            "xpnet float64, Gram matrix": ours("float64"),
            "xpnet float32, Gram matrix": ours("float32"),
        },
        repeat,
    )
    return _rows(seconds, "s", 1, "xpnet float64, Gram matrix")


def one_step(repeat: int) -> list[dict[str, Any]]:
    """One full-batch step of logistic regression on 12288 x 20000 bytes."""
    import torch

    data, Y = pictures(20000)
    X = torch.from_numpy(data.examples.astype("f4") / 255)
    Y32 = torch.from_numpy(Y.T.astype("f4"))
    layer = torch.nn.Linear(FEATURES, 1)
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.005)
    loss = torch.nn.BCEWithLogitsLoss()

    def pytorch() -> None:
        optimizer.zero_grad()
        loss(layer(X), Y32).backward()
        optimizer.step()

    objective = LinearObjective.of(LogisticRegression(FEATURES), data, Y, CPU)
    stepper = make_stepper(objective, Method.FUSED, objective.runs([0.005], [0.0]), [None])
    costs = objective.zeros(1, 1)
    seconds = medians(
        {"PyTorch float32": pytorch, "xpnet, one pass over bytes": lambda: stepper.steps(costs)}, repeat * 3
    )
    return _rows(seconds, "ms", 1e3, "xpnet, one pass over bytes")


def memory() -> list[dict[str, Any]]:
    """Peak memory of processes that compute this step, less that of ones that only import. Linux only."""
    code = {
        "PyTorch float32": """
import torch
if WORK:
    X = torch.rand(20000, 12288); Y = torch.rand(20000, 1).round()
    layer = torch.nn.Linear(12288, 1); optimizer = torch.optim.SGD(layer.parameters(), lr=0.005)
    for _ in range(2):
        optimizer.zero_grad(); torch.nn.BCEWithLogitsLoss()(layer(X), Y).backward(); optimizer.step()
""",
        "xpnet, one pass over bytes": """
import numpy as np
from xpnet.backend import select
from xpnet.data import ColumnMatrix
from xpnet.linear import descend
from xpnet.nn import LogisticRegression
if WORK:
    examples = np.random.default_rng(0).integers(0, 256, (20000, 12288), dtype=np.uint8)
    Y = (np.arange(20000) % 2)[None]
    descend(LogisticRegression(12288), ColumnMatrix(examples), Y, select("cpu"), iterations=2,
            learning_rate=1e-6)
""",
    }
    megabytes = {}
    for name, text in code.items():
        peaks = []
        for work in (False, True):
            # ru_maxrss would include the memory of the parent process.
            script = f"WORK = {work}\n{text}\n"
            script += "print(open('/proc/self/status').read().partition('VmHWM:')[2].split()[0])"
            done = subprocess.run(  # noqa: S603  (the code above)
                [sys.executable, "-c", script], capture_output=True, text=True, check=True
            )
            peaks.append(int(done.stdout) / 1024)
        megabytes[name] = peaks[1] - peaks[0]
    return _rows(megabytes, "MB", 1, "xpnet, one pass over bytes")


def network(repeat: int) -> list[dict[str, Any]]:
    """One epoch of a network 3072-512-10, with batches of 256, on 20,000 examples of bytes."""
    import torch
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier

    m, n_x, hidden, n_classes, size = 20000, 3072, 512, 10, 256
    data, Y = pictures(m, n_x, n_classes)
    model = Network(n_x, n_classes, "softmax", (Layer.parse(f"{hidden}:relu"),))
    settings = Settings(epochs=1, batch_size=size, learning_rate=0.001)
    X32, Y64 = torch.from_numpy(data.examples.astype("f4") / 255), torch.from_numpy(Y[0].astype("i8"))

    def pytorch(name: str) -> Callable[[], Any]:
        def epoch() -> None:
            net = torch.nn.Sequential(
                torch.nn.Linear(n_x, hidden), torch.nn.ReLU(), torch.nn.Linear(hidden, n_classes)
            )
            optimizer = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}[name](net.parameters(), lr=0.001)
            loss = torch.nn.CrossEntropyLoss()
            order = torch.randperm(m)
            for start in range(0, m, size):
                part = order[start : start + size]
                optimizer.zero_grad()
                loss(net(X32[part]), Y64[part]).backward()
                optimizer.step()

        return epoch

    def sklearn(name: str) -> Callable[[], Any]:
        def epoch() -> None:
            net = MLPClassifier(
                (hidden,), solver=name, batch_size=size, learning_rate_init=0.001, max_iter=1, alpha=0.0,
                momentum=0.0, nesterovs_momentum=False,
            )  # fmt: skip
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)
                net.fit(X32.numpy(), Y[0])

        return epoch

    def ours(name: str) -> Callable[[], Any]:
        return lambda: fit(model, data, Y, CPU, replace(settings, optimizer=OPTIMIZERS[name]))

    X, W = X32.numpy()[:size].T.copy(order="F"), np.ones((hidden, n_x), "f4")
    dZ = np.ones((hidden, size), "f4")

    def products() -> None:
        """The two products of the first layer in an epoch: nearly all of its arithmetic."""
        for _ in range(m // size):
            np.matmul(W, X)
            np.matmul(dZ, X.T)

    names = {"SGD": "sgd", "Adam": "adam"}
    functions = {"only the products of the first layer": products}
    for label, name in names.items():
        functions[f"xpnet {label}"] = ours(name)
        functions[f"PyTorch {label}"] = pytorch(name)
        functions[f"scikit-learn {label}"] = sklearn(name)
    seconds = medians(functions, repeat)
    flops = 4 * n_x * hidden * m + 6 * hidden * n_classes * m
    peak = 4 * n_x * hidden * size * (m // size) / seconds["only the products of the first layer"]
    rows = _rows(seconds, "s", 1, "xpnet SGD")
    for row in rows:
        row["of the product speed"] = f"{flops / seconds[row['how']] / peak:.0%}"
    return rows


def sweeps(repeat: int) -> list[dict[str, Any]]:
    """32 learning rates at once, compared with one."""
    rates = [0.001 * 1.1**i for i in range(32)]

    def steps(method: Method, m: int, count: int, iterations: int) -> Callable[[], Any]:
        data, Y = pictures(m)
        objective = LinearObjective.of(LogisticRegression(FEATURES), data, Y, CPU)

        def work() -> None:
            stepper = make_stepper(
                objective, method, objective.runs(rates[:count], [0.0] * count), [None] * count
            )
            run_descent(stepper, objective, iterations, count)
            stepper.parameters()

        return work

    few = medians({"one": steps(Method.GRAM, 209, 1, 2000), "all": steps(Method.GRAM, 209, 32, 2000)}, repeat)
    m = 20000
    W, X = np.ones((32, FEATURES), "f4"), np.ones((1024, FEATURES), "f4")
    raw = pictures(m)[0].examples
    buffer = np.empty((64, FEATURES), "f4")

    def cast() -> None:
        for start in range(0, m - 63, 64):
            np.copyto(buffer, raw[start : start + 64], casting="unsafe")

    many = medians(
        {
            "one": steps(Method.FUSED, m, 1, 1),
            "all": steps(Method.FUSED, m, 32, 1),
            "product": lambda: W @ X.T,
            "cast": cast,
        },
        repeat * 2,
    )
    peak = 2 * W.size * len(X) / many["product"]
    floor = 4 * FEATURES * m * 32 / peak + many["cast"]
    rows = []
    for job, measured, floor_of in (
        ("m = 209: 2000 iterations", few, "-"),
        ("m = 20000: one step", many, f"{many['all'] / floor:.2f}"),
    ):
        one, all_of_them = measured["one"], measured["all"]
        rows.append(
            {
                "job": job,
                "one, s": one,
                "32, s": all_of_them,
                "32 / one": all_of_them / one,
                "gain over 32 in turn": 32 * one / all_of_them,
                "of floor": floor_of,
            }
        )
    return rows


def minimum(repeat: int) -> list[dict[str, Any]]:
    """The minimum of a penalized softmax regression, by L-BFGS: 341 images, ten classes."""
    from sklearn.linear_model import LogisticRegression as Peer

    m, l2 = 341, 300.0
    rng = np.random.default_rng(0)
    Y = rng.integers(0, 10, (1, m))
    examples = rng.normal(128.0, 40.0, (m, FEATURES)) + 8.0 * rng.standard_normal((10, FEATURES))[Y[0]]
    data = ColumnMatrix(examples.clip(0, 255).astype(np.uint8), fit_standardizer([], "unit"))
    model, X = SoftmaxRegression(FEATURES, 10), data.standardized().T.astype("f4")
    zeros = initialize(model, CPU, "zeros")
    ways: dict[str, Callable[[], Any]] = {
        "xpnet, reduced": lambda: minimize(model, data, Y, CPU, l2=l2),
        # With given parameters to start from, it does not use the reduced form.
        "xpnet, over the bytes": lambda: minimize(model, data, Y, CPU, l2=l2, start=zeros),
        "scikit-learn, floats": lambda: Peer(C=1 / l2, max_iter=10_000).fit(X, Y[0]),
    }
    return _rows(medians(ways, repeat), "s", 1.0, ours="xpnet, reduced")


def growth(repeat: int) -> list[dict[str, Any]]:
    """Time for one example, for growing numbers of examples, in an epoch of a network 768-64-10."""
    model = Network(768, 10, "softmax", (Layer.parse("64:relu"),))
    functions, sizes = {}, (1000, 10000, 50000, 200000)
    for m in sizes:
        data, Y = pictures(m, 768, 10)
        settings = Settings(epochs=max(1, 50000 // m), batch_size=200)
        functions[str(m)] = lambda data=data, Y=Y, settings=settings: fit(model, data, Y, CPU, settings)
    seconds = medians(functions, repeat)
    each = {m: seconds[str(m)] / max(m, 50000) * 1e6 for m in sizes}
    middle = float(np.median(list(each.values())))
    return [{"m": m, "µs / example": cost, "of the median": cost / middle} for m, cost in each.items()]


def _rows(values: dict[str, float], unit: str, factor: float, ours: str) -> list[dict[str, Any]]:
    """Return the rows of a table: the values in a unit, and how many times ours they are."""
    return [
        {"how": name, unit: value * factor, "times ours": value / values[ours]}
        for name, value in values.items()
    ]


PARTS: Parts = {
    "course": ("The exercise of the course: 209 images of 64 x 64, 2000 iterations", course),
    "step": ("One full-batch logistic step, 12288 x 20000 bytes", one_step),
    "memory": ("Memory of that step", lambda _: memory()),
    "network": ("One epoch of 3072-512-10, batches of 256, 20,000 examples", network),
    "sweeps": ("Full-batch sweep of 32 learning rates, 12288 features", sweeps),
    "minimum": ("The minimum of softmax regression: 341 images of 64 x 64, ten classes", minimum),
    "growth": ("Time for one example, network 768-64-10", growth),
}


if __name__ == "__main__":
    run(__doc__, PARTS, ["torch", "scikit-learn"])
