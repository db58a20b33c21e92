"""Measure primitives: overhead on one element, speed on ten million, and how much faster the kernels are.

    python scripts/bench_primitives.py [--json FILE] [--repeat N] [--only PART ...]

Functions that are compared run in the same process, in turn; times are medians. Needs SciPy.
"""

from typing import TYPE_CHECKING, Any

import numpy as np
import scipy
import scipy.special
from benching import Parts, medians, run

from xpnet import functional as F
from xpnet import kernels
from xpnet.autodiff import Primitive

if TYPE_CHECKING:
    from collections.abc import Callable

SHAPE = (1000, 10000)
"""Shape of the large matrices."""


def overhead(repeat: int) -> list[dict[str, Any]]:
    """Compare primitives with the same expressions of NumPy, on one element."""
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
        measured = medians({"ours": ours, "bare": bare}, repeat=4 * repeat + 1, number=5000)
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


def against_scipy(repeat: int) -> list[dict[str, Any]]:
    """Compare sigmoid and softmax with SciPy, on ten million float32."""
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
        measured = medians({"ours": ours, "scipy": peer}, repeat=2 * repeat - 1)
        rows.append(
            {
                "case": name,
                "xpnet_ms": measured["ours"] * 1e3,
                "scipy_ms": measured["scipy"] * 1e3,
                "ratio": measured["scipy"] / measured["ours"],
            }
        )
    return rows


def kernel_gains(repeat: int) -> list[dict[str, Any]]:
    """Compare the kernels for NumPy with the portable functions."""
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
            repeat=2 * repeat - 1,
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
    """Return names of functions, arguments and their shape: for small batches, and for large matrices."""
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


PARTS: Parts = {
    "overhead": ("Overhead of a primitive on one element, microseconds", overhead),
    "against_scipy": ("1000 x 10000 float32, milliseconds; ratio above 1: faster than SciPy", against_scipy),
    "kernels": ("Kernels for NumPy; ratio above 1: faster than the portable function", kernel_gains),
}


if __name__ == "__main__":
    run(__doc__, PARTS, ["scipy"])
