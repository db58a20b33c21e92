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

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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

_HOMES = {
    "xpnet.backend": ("Backend", "select"),
    "xpnet.errors": ("ArrayTypeError", "DeviceError", "DtypeError", "GraphError", "ShapeError", "XpnetError"),
    "xpnet.graph": ("Node", "Primitive", "draw", "gradients", "primitive"),
}


def __getattr__(name: str) -> Any:
    """Load what is asked for, and no more: an error of ours is also raised where there is no NumPy yet."""
    if name == "functional":
        return importlib.import_module("xpnet.functional")
    for home, names in _HOMES.items():
        if name in names:
            value = globals()[name] = getattr(importlib.import_module(home), name)
            return value
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
