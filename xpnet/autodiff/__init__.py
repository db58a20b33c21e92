"""The computation graph: nodes, the primitives that make them, and reverse-mode gradients.

Forward propagation records the graph; `gradients` walks it backward.
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
