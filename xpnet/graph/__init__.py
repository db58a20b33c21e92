"""The computation graph: nodes, the primitives that make them, and reverse-mode gradients."""

from xpnet.graph.drawing import draw
from xpnet.graph.node import Node
from xpnet.graph.primitives import Primitive, primitive
from xpnet.graph.reverse import gradients

__all__ = ["Node", "Primitive", "draw", "gradients", "primitive"]
