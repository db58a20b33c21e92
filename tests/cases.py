"""Every primitive with arguments to call it with, for the tests of all primitives."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from xpnet import functional as F
from xpnet.autodiff import Primitive, primitive
from xpnet.backend import Backend


@dataclass(frozen=True)
class Case:
    """One way to call a primitive: shapes of its random arrays, then constants, then options."""

    primitive: Primitive
    shapes: tuple[tuple[int, ...], ...]
    constants: tuple[Any, ...] = ()
    options: tuple[tuple[str, Any], ...] = ()
    prepare: Callable[[np.ndarray], np.ndarray] = lambda x: x

    def __str__(self) -> str:
        shapes = ",".join("x".join(map(str, shape)) or "()" for shape in self.shapes)
        return "-".join([self.primitive.__name__, shapes, *(f"{k}={v}" for k, v in self.options)])

    def arrays(self, backend: Backend, dtype: str = "float64", seed: int = 0) -> list[Any]:
        """Return the floating-point arguments."""
        generator = np.random.default_rng(seed)
        return [backend.send(self.prepare(generator.standard_normal(s)), dtype=dtype) for s in self.shapes]

    def sent_constants(self, backend: Backend) -> list[Any]:
        return [backend.send(constant) for constant in self.constants]

    def call(self, *arrays: Any, constants: list[Any]) -> Any:
        return self.primitive(*arrays, *constants, **dict(self.options))


def away_from_zero(x: np.ndarray) -> np.ndarray:
    """Move numbers away from 0, where some functions have no derivative."""
    return np.where(x < 0, x - 0.1, x + 0.1)


def positive(x: np.ndarray) -> np.ndarray:
    return np.abs(x) + 0.5


LABELS = np.array([[0, 2, 1, 2]])
YES_NO = np.array([[0, 1, 1, 0]])
TARGETS = np.array([[0.5, -3.0, 4.0, 2.0], [1.0, 5.0, -6.0, 0.0]])

CASES = [
    *(
        Case(primitive, ((3, 4),), prepare=prepare)
        for primitive, prepare in [
            (F.sigmoid, away_from_zero),
            (F.tanh, away_from_zero),
            (F.relu, away_from_zero),
            (F.leaky_relu, away_from_zero),
            (F.softplus, away_from_zero),
            (F.identity, away_from_zero),
            (F.softmax, away_from_zero),
            (F.log_softmax, away_from_zero),
            (F.exp, away_from_zero),
            (F.log, positive),
            (F.sum, away_from_zero),
            (F.sum_of_squares, away_from_zero),
            (F.sum_of_absolutes, away_from_zero),
            (F.mean, away_from_zero),
            (F.negative, away_from_zero),
            (F.transpose, away_from_zero),
        ]
    ),
    Case(F.leaky_relu, ((3, 4),), options=(("slope", 0.2),), prepare=away_from_zero),
    Case(F.softmax, ((3, 4),), options=(("axis", 1),)),
    Case(F.log_softmax, ((3, 4),), options=(("axis", 1),)),
    Case(F.sum, ((3, 4),), options=(("axis", 0),)),
    Case(F.sum, ((3, 4),), options=(("axis", 1),)),
    Case(F.mean, ((3, 4),), options=(("axis", 0),)),
    Case(F.mean, ((3, 4),), options=(("axis", 1),)),
    Case(F.mean, ((2, 3, 4),)),
    Case(F.power, ((3, 4),), options=(("exponent", 3),)),
    Case(F.power, ((3, 4),), options=(("exponent", 0),)),
    Case(F.power, ((3, 4),), options=(("exponent", -0.5),), prepare=positive),
    *(
        Case(primitive, shapes, prepare=positive)
        for primitive in (F.add, F.subtract, F.multiply, F.divide)
        for shapes in [
            ((3, 4), (3, 4)),
            ((3, 1), (1, 4)),
            ((3, 4), (1, 4)),
            ((), (3, 4)),
            ((2, 3, 4), (3, 1)),
        ]
    ),
    Case(F.matmul, ((3, 4), (4, 2))),
    Case(F.affine, ((2, 3), (3, 4), (2, 1))),
    *(
        Case(F.dense, ((2, 3), (3, 4), (2, 1)), options=(("activation", activation),))
        for activation in ("sigmoid", "tanh", "relu", "leaky_relu")
    ),
    Case(F.logistic_loss, ((1, 4),), (YES_NO,)),
    Case(F.softmax_cross_entropy, ((3, 4),), (LABELS,)),
    Case(F.squared_error, ((2, 4),), (TARGETS,)),
    Case(F.L1, ((2, 4),), (TARGETS,)),
    Case(F.L2, ((2, 4),), (TARGETS,)),
]

PRIMITIVES = [value for value in vars(F).values() if isinstance(value, Primitive)]
"""All public primitives."""


def make_swish() -> Primitive:
    """Return a new primitive such as users define."""

    def swish_pullback(grad: Any, a: Any, z: Any) -> tuple[Any, ...]:
        s = F.sigmoid(z)
        return (grad * (s + a * (1 - s)),)

    @primitive(swish_pullback)
    def swish(z: Any) -> Any:
        """z sigmoid(z)."""
        return z * F.sigmoid(z)

    return swish
