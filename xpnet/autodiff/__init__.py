"""Automatic differentiation: the computation graph, the primitives that build it, and gradients.

Forward propagation records the graph. `gradients` goes through it backward.
"""

from xpnet.autodiff.drawing import draw
from xpnet.autodiff.graph import (
    Node,
    Primitive,
    add,
    divide,
    matmul,
    multiply,
    negative,
    power,
    primitive,
    subtract,
    transpose,
)
from xpnet.autodiff.reverse import ancestors, gradients

__all__ = [
    "Node",
    "Primitive",
    "add",
    "ancestors",
    "divide",
    "draw",
    "gradients",
    "matmul",
    "multiply",
    "negative",
    "power",
    "primitive",
    "subtract",
    "transpose",
]
