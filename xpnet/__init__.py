"""xpnet: one `xp` for NumPy and CuPy, differentiable primitives and a computation graph over it.

import numpy as np
from xpnet import Node, functional as F, gradients, select

backend = select("auto")  # a GPU that works, else the CPU
X = backend.send(pixels, dtype="float32")
w = Node(backend.send(np.zeros((12288, 1), "float32")), "w")
b = Node(backend.send(np.zeros((1, 1), "float32")), "b")
J = F.mean(F.logistic_loss(F.affine(w.T, X, b), Y))
dw, db = gradients(J, [w, b])
"""

from xpnet import functional
from xpnet.backend import Backend, select
from xpnet.errors import ArrayTypeError, DeviceError, DtypeError, GraphError, ShapeError, XpnetError
from xpnet.graph import Node, Primitive, draw, gradients, primitive

__version__ = "0.1.0"

__all__ = [
    "ArrayTypeError",
    "Backend",
    "DeviceError",
    "DtypeError",
    "GraphError",
    "Node",
    "Primitive",
    "ShapeError",
    "XpnetError",
    "draw",
    "functional",
    "gradients",
    "primitive",
    "select",
]
