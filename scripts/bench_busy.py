"""Measure trainings and scoring on a quiet machine, and on one whose cores other programs hold.

    python scripts/bench_busy.py [--json FILE] [--repeat N] [--only PART ...]

A busy core is one process that never waits; there are as many as cores, so each job gets half of the
machine at best. Times are medians. Run it on a machine that does nothing else. scikit-learn is beside
xpnet where it is installed.
"""

import atexit
import os
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from bench_pipeline import RECIPES, SIZES, model_for, photos
from benching import Parts, run

from xpnet.backend import select
from xpnet.data import ColumnMatrix, fit_standardizer
from xpnet.io import Scorer
from xpnet.linear import descend, minimize
from xpnet.nn import Layer, LogisticRegression, Network, Settings, SoftmaxRegression, initialize
from xpnet.processors import cores
from xpnet.training import fit

CPU = select("cpu")


def pictures(m: int, n_x: int, n_classes: int = 10) -> tuple[ColumnMatrix, np.ndarray]:
    """Return random bytes, and labels (1, m) that depend on some of them."""
    examples = np.random.default_rng(0).integers(0, 256, (m, n_x), dtype=np.uint8)
    Y = (np.argsort(np.argsort(examples[:, :8].sum(axis=1))) * n_classes // m)[None]
    return ColumnMatrix(examples, fit_standardizer([], "unit")), Y


def network(
    m: int, n_x: int, hidden: str, n_classes: int, batch: int | None, epochs: int
) -> Callable[[], Any]:
    """Return a function that trains a network."""
    data, Y = pictures(m, n_x, n_classes)
    layers = tuple(Layer.parse(word) for word in hidden.split(","))
    output = "softmax" if n_classes > 2 else "sigmoid"
    model = Network(n_x, n_classes if n_classes > 2 else 1, output, layers)
    settings = Settings(epochs=epochs, batch_size=batch, learning_rate=1e-4)
    return lambda: fit(model, data, Y, CPU, settings)


def linear(kind: str) -> Callable[[], Any]:
    """Return a function that trains logistic regression by descent, or softmax regression by L-BFGS."""
    if kind == "descent":
        data, Y = pictures(4000, 12288, 2)
        return lambda: descend(
            LogisticRegression(12288), data, Y, CPU, iterations=20, learning_rate=1e-3, method="fused"
        )
    many, labels = pictures(6000, 3072)
    return lambda: minimize(SoftmaxRegression(3072, 10), many, labels, CPU, iterations=30)


def scoring() -> Callable[[], Any]:
    """Return a function that predicts for examples in memory by a network."""
    data, _ = pictures(10_000, 12_288)
    model = Network(12_288, 10, "softmax", (Layer.parse("512:relu"),))
    score = Scorer(model, initialize(model, CPU).views, data.standardizer, CPU)
    return lambda: score(data.examples)


def predicting() -> Callable[[], Any]:
    """Return a function that runs `xpnet predict` on 3,000 photos, with a worker for each core."""
    kept = ExitStack()
    folder = kept.enter_context(photos(SIZES["400 x 534"], 3000))
    made = kept.enter_context(tempfile.TemporaryDirectory())
    atexit.register(kept.close)
    model = model_for(Path(made), RECIPES["pillow"])
    command = [sys.executable, "-m", "xpnet", "predict", "-q", model, folder, "-o", f"{made}/rows.csv"]
    return lambda: subprocess.run(command, check=True)  # noqa: S603  (our own program)


def peer() -> Callable[[], Any]:
    """Return a function that trains the first network by scikit-learn."""
    from sklearn.neural_network import MLPClassifier

    data, Y = pictures(20_000, 784)
    X = data.examples.astype(np.float32) / 255

    def train() -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            MLPClassifier((64,), batch_size=64, max_iter=3, learning_rate_init=1e-4).fit(X, Y[0])

    return train


JOBS: dict[str, Callable[[], Callable[[], Any]]] = {
    "network 784-64-10, batch 64": lambda: network(20_000, 784, "64:relu", 10, 64, 3),
    "network 784-512-256-10, batch 256": lambda: network(10_000, 784, "512:relu,256:relu", 10, 256, 2),
    "network 12288-20-7-5-1, all examples": lambda: network(
        2000, 12288, "20:relu,7:relu,5:relu", 2, None, 30
    ),
    "logistic regression, descent": lambda: linear("descent"),
    "softmax regression, L-BFGS": lambda: linear("L-BFGS"),
    "scoring of 10,000 examples, network 12288-512-10": scoring,
    "`xpnet predict`, 3,000 photos": predicting,
}


@contextmanager
def held_cores() -> Iterator[None]:
    """Hold each core by a process that never waits."""
    held = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(cores())]
    try:
        time.sleep(0.5)
        yield
    finally:
        for process in held:
            process.kill()
            process.wait()


def seconds(train: Callable[[], Any], repeat: int) -> float:
    """Return the median time of a job."""
    times = []
    for _ in range(repeat):
        start = time.perf_counter()
        train()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def jobs_of_each(repeat: int) -> list[dict[str, Any]]:
    """Measure each job on quiet and on held cores."""
    jobs = dict(JOBS)
    with suppress(ImportError):
        peer_job = peer()
        jobs["scikit-learn, network 784-64-10, batch 64"] = lambda: peer_job
    rows = []
    for name, make in jobs.items():
        train = make()
        train()
        quiet = seconds(train, repeat)
        with held_cores():
            busy = seconds(train, repeat)
        rows.append({"job": name, "quiet, s": quiet, "busy, s": busy, "busy / quiet": busy / quiet})
    return rows


def main() -> None:
    """Measure, print and write what the command line asks for."""
    parts: Parts = {"busy": (f"Jobs on {os.cpu_count()} cores, quiet and held by others", jobs_of_each)}
    run(__doc__, parts)


if __name__ == "__main__":
    main()
