"""Measure linear probes of embeddings, compared with scikit-learn.

    python scripts/bench_probe.py [--examples M] [--features N] [--classes K] [--repeat R] [--json FILE]

Embeddings are drawn: each class has several clusters of its own width, the deviations of the directions
fall as those of real embeddings do, and 64 directions tell the classes apart. All is float32.

What is compared runs in the same process, in turn, on the same examples; times are medians and include the
standardization. Accuracy and log loss are on 10,000 other examples of the same clusters.
"""

import argparse
import json
import resource
import statistics
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from benching import machine, table

import xpnet
from xpnet.backend import select
from xpnet.data import ColumnMatrix
from xpnet.linear import minimize
from xpnet.nn import SoftmaxRegression

CLUSTERS = 4
"""Clusters of each class."""

DIRECTIONS = 64
"""Directions in which the clusters differ."""

DECAY = 0.6
"""The deviation in direction i is (1 + i) to the power of minus this."""

NEW_EXAMPLES = 10_000
"""Examples that nothing is trained on."""

BLOCK = 8192
"""Examples that are drawn at a time."""

Probabilities = Callable[[np.ndarray], np.ndarray]
"""Returns (m, classes) for examples (m, n_x)."""


def embeddings(m: int, n_x: int, classes: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return examples (m, n_x) float32 and their classes (m,)."""
    rng = np.random.default_rng(seed)
    deviations = (1 + np.arange(n_x, dtype=np.float32)) ** -DECAY
    rotation = np.linalg.qr(rng.standard_normal((n_x, n_x), dtype=np.float32))[0]
    centers = rng.standard_normal((classes, 1, n_x)) + rng.standard_normal((classes, CLUSTERS, n_x))
    centers = (0.42 * centers * (np.arange(n_x) < DIRECTIONS)).astype(np.float32)
    widths = rng.uniform(0.7, 1.3, (classes, n_x)).astype(np.float32)
    offset = rng.standard_normal(n_x, dtype=np.float32)
    labels, clusters = rng.integers(0, classes, m), rng.integers(0, CLUSTERS, m)
    X = np.empty((m, n_x), np.float32)
    for start in range(0, m, BLOCK):
        part = slice(start, start + BLOCK)
        y = labels[part]
        drawn = rng.standard_normal((len(y), n_x), dtype=np.float32) * widths[y] + centers[y, clusters[part]]
        X[part] = (drawn * deviations) @ rotation + offset
    return X, labels


def ours(X: np.ndarray, y: np.ndarray, **plan: Any) -> Probabilities:
    """Train as `xpnet train` does."""
    model = xpnet.train(X.T, y, device="cpu", **plan)
    return lambda new: model.predict_proba(new.T, device="cpu").T


def minimum(X: np.ndarray, y: np.ndarray) -> Probabilities:
    """Find the same minimum as scikit-learn, by L-BFGS."""
    data = ColumnMatrix.of(X.T, "feature")
    names = tuple(map(str, np.unique(y).tolist()))
    result = minimize(SoftmaxRegression(X.shape[1], len(names)), data, y[None], select("cpu"), l2=1.0)
    model = {name: np.asarray(view) for name, view in result.parameters.views.items()}

    def probabilities(new: np.ndarray) -> np.ndarray:
        Z = model["W1"] @ data.standardizer.apply(new.T) + model["b1"]
        e = np.exp(Z - Z.max(axis=0))
        return (e / e.sum(axis=0)).T

    return probabilities


def scikit_learn(X: np.ndarray, y: np.ndarray) -> Probabilities:
    """Standardize, and train LogisticRegression with its defaults, but with enough iterations."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)).fit(X, y)
    return model.predict_proba


def measured(
    train: Callable[[np.ndarray, np.ndarray], Probabilities], m: int, X: np.ndarray, y: np.ndarray
) -> dict[str, float]:
    """Return the seconds of a training on the first m examples, and its metrics on the others."""
    began = time.perf_counter()
    probabilities = train(X[:m], y[:m])
    seconds = time.perf_counter() - began
    P, labels = probabilities(X[m:]), y[m:]
    right = np.maximum(P[np.arange(len(labels)), labels], np.finfo(np.float32).tiny)
    return {
        "seconds": seconds,
        "accuracy, %": 100 * float(np.mean(P.argmax(axis=1) == labels)),
        "log loss": float(-np.mean(np.log(right))),
    }


def run() -> int:
    """Measure what the command line asks for, print a table, and write JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--examples", type=int, default=100_000, help="examples to train on")
    parser.add_argument("--features", type=int, default=768, help="features of each")
    parser.add_argument("--classes", type=int, default=10, help="classes")
    parser.add_argument("--repeat", type=int, default=3, help="how often each is measured")
    parser.add_argument("--json", type=Path, help="file for the results")
    given = parser.parse_args()
    X, y = embeddings(given.examples + NEW_EXAMPLES, given.features, given.classes)
    held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    jobs: dict[str, Callable[[np.ndarray, np.ndarray], Probabilities]] = {
        "xpnet train": ours,
        "xpnet train --optimizer ridge": lambda X, y: ours(X, y, optimizer="ridge"),
        "xpnet, L-BFGS": minimum,
        "scikit-learn, LogisticRegression": scikit_learn,
    }
    found: dict[str, list[dict[str, float]]] = {name: [] for name in jobs}
    memory: dict[str, float] = {}
    for _ in range(given.repeat):
        for name, train in jobs.items():
            found[name].append(measured(train, given.examples, X, y))
            more = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - held
            memory.setdefault(name, more / 1024)  # the most so far: the first job is measured exactly
    slowest = statistics.median(each["seconds"] for each in found["scikit-learn, LogisticRegression"])
    rows: list[dict[str, Any]] = []
    for name, results in found.items():
        seconds = statistics.median(each["seconds"] for each in results)
        rows.append({"job": name} | results[0] | {"seconds": seconds, "faster": slowest / seconds})
    title = f"Linear probes: {given.examples} x {given.features} float32, {given.classes} classes"
    table(title, rows)
    print(f"\nMemory beside the examples ({X.nbytes >> 20} MB): xpnet train {memory['xpnet train']:.0f} MB")
    if given.json:
        packages = {name: version(name) for name in ("scikit-learn",)}
        report = {"machine": machine() | packages, "options": {
            name: value for name, value in vars(given).items() if name != "json"
        }, "probes": rows, "memory_mb": memory["xpnet train"]}  # fmt: skip
        given.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(run())
