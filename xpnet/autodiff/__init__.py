"""Automatic differentiation: the computation graph, the primitives that build it, and gradients.

Forward propagation records the graph. `gradients` goes through it backward.
"""

from typing import TYPE_CHECKING

from xpnet.lazy import lazy_door

if TYPE_CHECKING:
    from xpnet.autodiff.drawing import draw as draw
    from xpnet.autodiff.graph import Node as Node
    from xpnet.autodiff.graph import Primitive as Primitive
    from xpnet.autodiff.graph import add as add
    from xpnet.autodiff.graph import divide as divide
    from xpnet.autodiff.graph import matmul as matmul
    from xpnet.autodiff.graph import multiply as multiply
    from xpnet.autodiff.graph import negative as negative
    from xpnet.autodiff.graph import power as power
    from xpnet.autodiff.graph import primitive as primitive
    from xpnet.autodiff.graph import subtract as subtract
    from xpnet.autodiff.graph import transpose as transpose
    from xpnet.autodiff.reverse import ancestors as ancestors
    from xpnet.autodiff.reverse import gradients as gradients

__getattr__, __dir__, __all__ = lazy_door(
    __name__,
    {
        "drawing": "draw",
        "graph": "Node Primitive add divide matmul multiply negative power primitive subtract transpose",
        "reverse": "ancestors gradients",
    },
)
