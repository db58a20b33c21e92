"""The computation graph: nodes, the primitives that make them, and reverse-mode gradients."""

from xpnet.graph.node import Node
from xpnet.graph.primitive import Primitive, primitive
from xpnet.graph.gradients import gradients
from xpnet.graph.drawing import draw

__all__ = ["Node", "Primitive", "draw", "gradients", "primitive"]
