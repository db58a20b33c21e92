"""The same six computations, each as a loop, vectorized, and in place: what `xpnet bench` measures."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from xpnet import functional as F
from xpnet.arrays import Array, Namespace
from xpnet.autodiff import Node, gradients


@dataclass(frozen=True)
class Operation:
    """One computation, written four times.

    Attributes:
        name: what it computes.
        size: of its arguments, in words.
        arguments: NumPy arrays.
        loop: on the arguments as nested lists; one step of the computation for each step of a loop.
        vectorized: on the arrays of any library, given as first argument `xp`.
        in_place: on NumPy arrays and buffers it was given, without making an array.
        buffers: makes those buffers.
    """

    name: str
    size: str
    arguments: tuple[np.ndarray, ...]
    loop: Callable[..., Any]
    vectorized: Callable[..., Array]
    in_place: Callable[..., Any]
    buffers: Callable[[], tuple[np.ndarray, ...]]


def operations(scale: float = 1.0) -> list[Operation]:
    """Return the six computations, with a million multiplications or exponentials each times `scale`."""
    generator = np.random.default_rng(0)
    n = max(2, round(1_000_000 * scale))
    side = max(2, math.isqrt(n))
    features, m = max(2, side // 10), max(2, 10 * side)
    foods = max(2, n // 3)
    row, column = generator.standard_normal((1, n)), generator.standard_normal((n, 1))
    matrix, vector = generator.standard_normal((side, side)), generator.standard_normal((side, 1))
    calories = generator.uniform(0.0, 150.0, (3, foods))
    w, X = generator.standard_normal((features, 1)), generator.standard_normal((features, m))
    b, Y = np.zeros((1, 1)), (generator.uniform(size=(1, m)) < 0.5).astype(np.float64)
    return [
        Operation(
            name="dot product",
            size=f"{n}",
            arguments=(row, column),
            loop=_dot_loop,
            vectorized=lambda _, x, y: x @ y,
            in_place=lambda x, y, out: np.matmul(x, y, out=out),
            buffers=lambda: (np.empty((1, 1)),),
        ),
        Operation(
            name="matrix-vector product",
            size=f"{side}x{side}",
            arguments=(matrix, vector),
            loop=_matvec_loop,
            vectorized=lambda _, A, v: A @ v,
            in_place=lambda A, v, out: np.matmul(A, v, out=out),
            buffers=lambda: (np.empty((side, 1)),),
        ),
        Operation(
            name="exp",
            size=f"{n}",
            arguments=(row,),
            loop=lambda x: [[math.exp(value) for value in x[0]]],
            vectorized=lambda xp, x: xp.exp(x),
            in_place=lambda x, out: np.exp(x, out=out),
            buffers=lambda: (np.empty((1, n)),),
        ),
        Operation(
            name="sigmoid",
            size=f"{n}",
            arguments=(row,),
            loop=_sigmoid_loop,
            vectorized=lambda xp, z: 1.0 / (1.0 + xp.exp(-z)),
            in_place=_sigmoid_in_place,
            buffers=lambda: (np.empty((1, n)),),
        ),
        Operation(
            name="calories, in percent",
            size=f"3x{foods}",
            arguments=(calories,),
            loop=_percent_loop,
            vectorized=lambda xp, A: 100.0 * A / xp.sum(A, axis=0, keepdims=True),
            in_place=_percent_in_place,
            buffers=lambda: (np.empty((3, foods)), np.empty((1, foods))),
        ),
        Operation(
            name="logistic gradient",
            size=f"{features}x{m}",
            arguments=(w, b, X, Y),
            loop=_gradient_loop,
            vectorized=_gradient,
            in_place=_gradient_in_place,
            buffers=lambda: (np.empty((1, m)), np.empty((features + 1, 1))),
        ),
    ]


def _dot_loop(x: list[list[float]], y: list[list[float]]) -> list[list[float]]:
    total = 0.0
    (row,) = x
    for i in range(len(row)):
        total += row[i] * y[i][0]
    return [[total]]


def _matvec_loop(A: list[list[float]], v: list[list[float]]) -> list[list[float]]:
    u = []
    for row in A:
        total = 0.0
        for j in range(len(row)):
            total += row[j] * v[j][0]
        u.append([total])
    return u


def _sigmoid_loop(z: list[list[float]]) -> list[list[float]]:
    return [[1.0 / (1.0 + math.exp(-value)) for value in z[0]]]


def _sigmoid_in_place(z: np.ndarray, out: np.ndarray) -> Any:
    np.negative(z, out=out)
    np.exp(out, out=out)
    np.add(out, 1.0, out=out)
    return np.reciprocal(out, out=out)


def _percent_loop(A: list[list[float]]) -> list[list[float]]:
    percent: list[list[float]] = [[], [], []]
    for j in range(len(A[0])):
        total = A[0][j] + A[1][j] + A[2][j]
        for i in range(3):
            percent[i].append(100.0 * A[i][j] / total)
    return percent


def _percent_in_place(A: np.ndarray, out: np.ndarray, total: np.ndarray) -> Any:
    np.sum(A, axis=0, keepdims=True, out=total)
    np.divide(100.0, total, out=total)
    return np.multiply(A, total, out=out)


def _gradient_loop(
    w: list[list[float]], b: list[list[float]], X: list[list[float]], Y: list[list[float]]
) -> list[list[float]]:
    """Return dw and db, below each other, one example and one feature at a time."""
    m = len(Y[0])
    dw, db = [0.0] * len(w), 0.0
    for j in range(m):
        z = b[0][0]
        for i in range(len(w)):
            z += w[i][0] * X[i][j]
        dz = 1.0 / (1.0 + math.exp(-z)) - Y[0][j]
        for i in range(len(w)):
            dw[i] += X[i][j] * dz
        db += dz
    return [*([d / m] for d in dw), [db / m]]


def _gradient(xp: Namespace, w: Array, b: Array, X: Array, Y: Array) -> Array:
    """Return dw and db, below each other, from the computation graph."""
    nodes = [Node(w), Node(b)]
    cost = F.mean(F.logistic_loss(F.affine(nodes[0].T, X, nodes[1]), Y))
    return xp.concatenate(gradients(cost, nodes))


def _gradient_in_place(
    w: np.ndarray, b: np.ndarray, X: np.ndarray, Y: np.ndarray, dZ: np.ndarray, out: np.ndarray
) -> Any:
    np.matmul(w.T, X, out=dZ)
    np.add(dZ, b, out=dZ)
    _sigmoid_in_place(dZ, out=dZ)
    np.subtract(dZ, Y, out=dZ)
    np.matmul(X, dZ.T, out=out[:-1])
    np.sum(dZ, axis=1, keepdims=True, out=out[-1:])
    return np.divide(out, Y.shape[1], out=out)
