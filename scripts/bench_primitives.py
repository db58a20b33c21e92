"""Measure what a primitive costs: overhead on one element, speed on ten million, each kernel's gain.

    python scripts/bench_primitives.py [--json FILE]

Peers run beside in the same process, in turn; medians. Needs SciPy.
"""

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy
import scipy.special
from benching import machine, medians, table

from xpnet import functional as F
from xpnet import kernels
from xpnet.autodiff import Primitive

if TYPE_CHECKING:
    from collections.abc import Callable

SHAPE = (1000, 10000)


def overhead() -> list[dict[str, Any]]:
    """Compare each primitive on one element with the bare NumPy expression."""
    z, y, w = np.full((1, 1), 0.5), np.ones((1, 1), dtype=int), np.ones((1, 1))
    pairs: dict[str, tuple[Callable[[], Any], Callable[[], Any]]] = {
        "tanh": (lambda: F.tanh(z), lambda: np.tanh(z)),
        "exp": (lambda: F.exp(z), lambda: np.exp(z)),
        "sigmoid": (lambda: F.sigmoid(z), lambda: 1.0 / (1.0 + np.exp(-z))),
        "relu": (lambda: F.relu(z), lambda: np.maximum(z, 0.0)),
        "softmax": (lambda: F.softmax(z), lambda: _softmax(z)),
        "add": (lambda: F.add(z, w), lambda: z + w),
        "matmul": (lambda: F.matmul(w, z), lambda: w @ z),
        "affine": (lambda: F.affine(w, z, w), lambda: w @ z + w),
        "sum": (lambda: F.sum(z), lambda: np.sum(z)),
        "logistic_loss": (
            lambda: F.logistic_loss(z, y),
            lambda: np.maximum(z, 0.0) - z * y + np.log1p(np.exp(-np.abs(z))),
        ),
    }
    rows = []
    for name, (ours, bare) in pairs.items():
        measured = medians({"ours": ours, "bare": bare}, repeat=21, number=5000)
        rows.append(
            {
                "primitive": name,
                "xpnet_us": measured["ours"] * 1e6,
                "numpy_us": measured["bare"] * 1e6,
                "overhead_us": (measured["ours"] - measured["bare"]) * 1e6,
            }
        )
    return rows


def _softmax(z: np.ndarray) -> np.ndarray:
    e = np.exp(z - np.max(z, axis=0, keepdims=True))
    return e / np.sum(e, axis=0, keepdims=True)


def against_scipy() -> list[dict[str, Any]]:
    """Compare sigmoid and softmax with SciPy's on ten million float32."""
    z = 4 * np.random.default_rng(0).standard_normal(SHAPE, dtype=np.float32)
    columns = np.asfortranarray(z)
    pairs: dict[str, tuple[Callable[[], Any], Callable[[], Any]]] = {
        "sigmoid": (lambda: F.sigmoid(z), lambda: scipy.special.expit(z)),
        "softmax, axis 0": (lambda: F.softmax(z), lambda: scipy.special.softmax(z, axis=0)),
        "softmax, axis 1": (lambda: F.softmax(z, axis=1), lambda: scipy.special.softmax(z, axis=1)),
        "softmax, axis 0, column-major": (
            lambda: F.softmax(columns),
            lambda: scipy.special.softmax(columns, axis=0),
        ),
    }
    rows = []
    for name, (ours, peer) in pairs.items():
        measured = medians({"ours": ours, "scipy": peer}, repeat=9)
        rows.append(
            {
                "case": name,
                "xpnet_ms": measured["ours"] * 1e3,
                "scipy_ms": measured["scipy"] * 1e3,
                "ratio": measured["scipy"] / measured["ours"],
            }
        )
    return rows


def kernel_gains() -> list[dict[str, Any]]:
    """Compare each kernel for NumPy with the portable function it stands for."""
    generator = np.random.default_rng(0)
    rows = []
    for name, arguments, shape in _kernel_arguments(generator):
        primitive = getattr(F, name.removesuffix("_pullback"))
        portable = primitive.pullback if name.endswith("_pullback") else primitive.function
        kernel = kernels.find(portable, "numpy")
        if kernel is None:
            continue
        measured = medians(
            {
                "kernel": lambda k=kernel, a=arguments: k(*a),
                "portable": lambda p=portable, a=arguments: p(*a),
            },
            repeat=9,
            number=max(1, 1_000_000 // arguments[0].size),
        )
        rows.append(
            {
                "kernel": name,
                "shape": shape,
                "kernel_us": measured["kernel"] * 1e6,
                "portable_us": measured["portable"] * 1e6,
                "ratio": measured["portable"] / measured["kernel"],
            }
        )
    return rows


def _kernel_arguments(generator: np.random.Generator) -> list[tuple[str, tuple[Any, ...], str]]:
    """Return kernel names with arguments: a small layer's batch and a large matrix."""
    listed = []
    names = [n for n, v in vars(F).items() if isinstance(v, Primitive)]
    for rows, m in [(10, 256), (512, 256), SHAPE]:
        z = generator.standard_normal((rows, m), dtype=np.float32)
        labels = generator.integers(0, rows, (1, m))
        w, x, b = (generator.standard_normal(s, dtype=np.float32) for s in [(rows, 64), (64, m), (rows, 1)])
        forward = {
            "affine": (w, x, b),
            "logistic_loss": (z, (z > 0).astype(np.uint8)),
            "softmax_cross_entropy": (z, labels),
        }
        for name in names:
            arguments = forward.get(name, (z,))
            listed.append((name, arguments, f"{rows}x{m}"))
            backward = (np.ones_like(z[:1] if name == "softmax_cross_entropy" else z), z, *arguments)
            listed.append((f"{name}_pullback", backward, f"{rows}x{m}"))
    return listed


def main() -> None:
    """Run all three and print them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, help="also write the results there")
    options = parser.parse_args()
    results: dict[str, Any] = {
        "machine": machine() | {"scipy": scipy.__version__},
        "overhead": overhead(),
        "against_scipy": against_scipy(),
        "kernels": kernel_gains(),
    }
    print(", ".join(f"{name} {value}" for name, value in results["machine"].items()))
    table("Overhead of a primitive on one element, microseconds", results["overhead"])
    table(
        f"{SHAPE[0]}x{SHAPE[1]} float32, milliseconds; ratio above 1: faster than SciPy",
        results["against_scipy"],
    )
    table("Kernels for NumPy; ratio above 1: faster than the portable function", results["kernels"])
    if options.json:
        options.json.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
