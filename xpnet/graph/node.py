"""One value in the computation graph."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn, final

import numpy as np

from xpnet.errors import ArrayTypeError
from xpnet.shapes import require_floats

if TYPE_CHECKING:
    from collections.abc import Mapping

    from xpnet.arrays import Array
    from xpnet.graph.primitives import Primitive


@final
class Node:
    """A value that remembers how it was computed.

    Arithmetic on nodes (`+ - * / ** @`, with nodes, arrays or Python numbers on the other side) and every
    primitive called with a node make new nodes. An array that is not a node is a constant: nothing is ever
    derived with respect to it, and no work is done for it.

    Attributes:
        value: the array, real floating, of any shape but rank 1. A Python number becomes float64.
        name: what drawings and errors call it, or None.
        primitive: what computed it; None for a node made from a value.
        inputs: the arguments `primitive` was called with: nodes, arrays, Python numbers.
        options: its keyword arguments.
        depth: 0 for a node made from a value, else one more than the deepest input.

    Raises:
        ShapeError: `value` has rank 1.
        DtypeError: `value` does not hold floats.
        ArrayTypeError: `value` is not an array.
    """

    # So that NumPy and CuPy leave array * node to Node.__rmul__.
    __array_ufunc__ = None
    __array_priority__ = 1000.0
    __slots__ = ("__weakref__", "depth", "inputs", "name", "options", "primitive", "value")

    def __init__(self, value: Array, name: str | None = None) -> None:
        if name is not None and not isinstance(name, str):
            msg = f"Node: name is a {type(name).__name__}, expected text"
            raise ArrayTypeError(msg)
        if isinstance(value, np.generic):
            value = np.asarray(value)
        self.value = require_floats("Node", name or "value", value)
        self.name = name
        self.primitive: Primitive | None = None
        self.inputs: tuple[Any, ...] = ()
        self.options: Mapping[str, Any] = {}
        self.depth = 0

    @classmethod
    def computed(
        cls, value: Array, primitive: Primitive, inputs: tuple[Any, ...], options: Mapping[str, Any]
    ) -> Node:
        """Return the node of a value that `primitive` computed from `inputs`."""
        node = object.__new__(cls)
        node.value = value
        node.name = None
        node.primitive = primitive
        node.inputs = inputs
        node.options = options
        node.depth = 1 + max(parent.depth for parent in inputs if isinstance(parent, Node))
        return node

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the value."""
        return tuple(self.value.shape)

    @property
    def dtype(self) -> Any:
        """Dtype of the value."""
        return self.value.dtype

    @property
    def T(self) -> Node:  # noqa: N802  (the arrays' own word)
        """The transpose of a matrix."""
        return transpose.record((self,))

    def __repr__(self) -> str:
        made_by = f" by {self.primitive.__name__}" if self.primitive else ""
        return f"<Node {self.name or ''}{self.shape} {self.dtype}{made_by}>"

    def _refuse(self, *_: Any, **__: Any) -> NoReturn:
        msg = "a Node is no array and no number: compute with xpnet's functions, or use node.value"
        raise TypeError(msg)

    # Reading the value here would stall a device; not reading it would make every `if node:` true, and NumPy
    # would wrap nodes in arrays of objects.
    __bool__ = __float__ = __int__ = __array__ = __array_function__ = _refuse

    def _refuse_in_place(self, _: Any) -> NoReturn:
        msg = "a Node's value does not change: make a new node, w = Node(w.value - learning_rate * dw)"
        raise TypeError(msg)

    __iadd__ = __isub__ = __imul__ = __itruediv__ = __imatmul__ = __ipow__ = _refuse_in_place

    def __add__(self, other: Any) -> Node:
        return add.record((self, other))

    def __radd__(self, other: Any) -> Node:
        return add.record((other, self))

    def __sub__(self, other: Any) -> Node:
        return subtract.record((self, other))

    def __rsub__(self, other: Any) -> Node:
        return subtract.record((other, self))

    def __mul__(self, other: Any) -> Node:
        return multiply.record((self, other))

    def __rmul__(self, other: Any) -> Node:
        return multiply.record((other, self))

    def __truediv__(self, other: Any) -> Node:
        return divide.record((self, other))

    def __rtruediv__(self, other: Any) -> Node:
        return divide.record((other, self))

    def __matmul__(self, other: Any) -> Node:
        return matmul.record((self, other))

    def __rmatmul__(self, other: Any) -> Node:
        return matmul.record((other, self))

    def __pow__(self, exponent: float) -> Node:
        node: Node = power(self, exponent=exponent)
        return node

    def __neg__(self) -> Node:
        return negative.record((self,))


# Operators are primitives, and primitives make nodes: one of the two has to be imported last.
from xpnet.graph.arithmetic import (  # noqa: E402
    add,
    divide,
    matmul,
    multiply,
    negative,
    power,
    subtract,
    transpose,
)
