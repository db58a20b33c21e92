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

from typing import TYPE_CHECKING

from xpnet.lazy import lazy_door

if TYPE_CHECKING:
    from xpnet import functional as functional
    from xpnet.autodiff import Node as Node
    from xpnet.autodiff import Primitive as Primitive
    from xpnet.autodiff import draw as draw
    from xpnet.autodiff import gradients as gradients
    from xpnet.autodiff import primitive as primitive
    from xpnet.backend import Backend as Backend
    from xpnet.backend import select as select
    from xpnet.errors import ArrayTypeError as ArrayTypeError
    from xpnet.errors import DeviceError as DeviceError
    from xpnet.errors import DtypeError as DtypeError
    from xpnet.errors import GraphError as GraphError
    from xpnet.errors import ShapeError as ShapeError
    from xpnet.errors import XpnetError as XpnetError

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_door(
    __name__,
    {
        "autodiff": "Node Primitive draw gradients primitive",
        "backend": "Backend select",
        "errors": "ArrayTypeError DeviceError DtypeError GraphError ShapeError XpnetError",
        "functional": "",
    },
)
