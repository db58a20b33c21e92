"""The computation graph: its nodes, the primitives that compute them, and arithmetic on nodes.

A primitive is a differentiable function. Called with arrays, it returns an array. Called with a node, it
returns a new node, which remembers the primitive and its inputs: so the nodes form a graph. The operators of
nodes (`+ - * / ** @`) are primitives too. They are defined at the end of this file.
"""

from __future__ import annotations

import functools
import inspect
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias, final

import numpy as np

from xpnet import kernels
from xpnet.arrays import (
    Array,
    Namespace,
    float_arrays,
    namespace,
    require_broadcastable,
    require_floats,
    require_inner,
    require_matrix,
    require_number,
)
from xpnet.autodiff.signature import Signature
from xpnet.errors import ArrayTypeError, GraphError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Pullback: TypeAlias = Callable[..., tuple[Any, ...]]


@final
class Node:
    """A value that remembers how it was computed.

    Arithmetic on a node (`+ - * / ** @`, with a node, an array or a Python number) gives a new node. So does
    every primitive called with a node. An array that is not in a node is a constant: it has no gradient, and
    none is computed for it.

    Attributes:
        value: the array, of real floating-point numbers, of any rank except 1. A Python number becomes
            float64.
        name: its name in drawings and error messages, or None.
        primitive: the primitive that computed it; None for a node made from a value.
        inputs: the arguments that `primitive` was called with: nodes, arrays and Python numbers.
        options: the keyword arguments that `primitive` was called with.
        depth: 0 for a node made from a value; otherwise one more than the largest depth of its inputs.

    Raises:
        ShapeError: `value` has rank 1.
        DtypeError: `value` does not hold floats.
        ArrayTypeError: `value` is not an array.
    """

    # With these, NumPy and CuPy let Node.__rmul__ compute array * node.
    __array_ufunc__ = None
    __array_priority__ = 1000.0
    __slots__ = ("__weakref__", "depth", "inputs", "name", "options", "primitive", "value")

    def __init__(self, value: Array, name: str | None = None) -> None:
        if name is not None and not isinstance(name, str):
            msg = f"Node: name is of type {type(name).__name__}, expected str"
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
        """Return the node for a value that `primitive` has computed from `inputs`."""
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
    def T(self) -> Node:  # noqa: N802  (as arrays call it)
        """The transpose, as a new node. Only for matrices."""
        return transpose.record((self,))

    def __repr__(self) -> str:
        made_by = f" by {self.primitive.__name__}" if self.primitive else ""
        return f"<Node {self.name or ''}{self.shape} {self.dtype}{made_by}>"

    def _refuse(self, *_: Any, **__: Any) -> NoReturn:
        msg = "a Node is not an array and not a number: use xpnet's functions, or node.value for its array"
        raise TypeError(msg)

    # To convert a node to a number would wait for the device. Without these methods, `if node:` would always
    # be true, and NumPy would make arrays of objects from nodes.
    __bool__ = __float__ = __int__ = __array__ = __array_function__ = _refuse

    def _refuse_in_place(self, _: Any) -> NoReturn:
        msg = "the value of a Node cannot be changed: make a new node, w = Node(w.value - learning_rate * dw)"
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


_NO_OPTIONS: Mapping[str, Any] = MappingProxyType({})


def primitive(
    pullback: Pullback, *, constants: tuple[str, ...] = (), numbers: bool = False
) -> Callable[[Callable[..., Array]], Primitive]:
    """Make a differentiable function from a function of arrays.

        def swish_pullback(grad, a, z):
            s = sigmoid(z)
            return (grad * (s + a * (1 - s)),)

        @primitive(swish_pullback)
        def swish(z):
            return z * sigmoid(z)

    Its positional parameters are arrays, and its options are keyword-only. Called with arrays, it returns an
    array of the same library on the same device. Called with at least one `Node`, it returns a node.

    Args:
        pullback: computes the gradients: `pullback(grad, value, *arrays, **options)` returns a tuple with one
            entry for each array. An entry is the gradient with respect to that array, in its shape; or a
            function that returns the gradient, which is called only if the gradient is needed; or None if
            there is none. The function may have one parameter: an array to write the gradient to, and to
            return, or None. It must not refer to nodes.
        constants: names of parameters that have no gradient, such as labels. They may hold integers, and must
            not be nodes.
        numbers: whether some of the arrays may be Python numbers.
    """

    def decorate(function: Callable[..., Array]) -> Primitive:
        return Primitive(function, pullback, frozenset(constants), numbers)

    return decorate


class Primitive:
    """A differentiable function. The decorator `primitive` makes one. It is called like the function itself.

    Raises, when it is called:
        ShapeError: an array has rank 1, or the shapes do not fit.
        DtypeError: an array that is not a constant does not hold floats.
        ArrayTypeError: an argument is not an array, or the arrays are of different libraries.
        GraphError: a node is given for a constant.
    """

    __name__: str

    def __init__(
        self, function: Callable[..., Array], pullback: Pullback, constants: frozenset[str], numbers: bool
    ) -> None:
        functools.update_wrapper(self, function)
        self.function = function
        self.pullback = pullback
        self.signature = Signature.of(function, constants, numbers)
        if getattr(pullback, "__name__", self.__name__) == self.__name__:
            name = self.__name__
            msg = f"{name}: the pullback must be a function with a different name, such as {name}_pullback"
            raise GraphError(msg)
        self._kernels: dict[tuple[str, str], Callable[..., Any]] = {}
        self._forward: dict[Namespace, Callable[..., Array]] = {}
        self._backward: dict[Namespace, Pullback] = {}

    def __reduce__(self) -> str:
        return self.__name__  # pickled and copied by reference, as functions are

    def __repr__(self) -> str:
        return f"<primitive {self.signature}>"

    def __call__(self, *args: Any, **options: Any) -> Any:
        """Compute the function. Returns a node if one of the arguments is a node, otherwise an array."""
        if options:
            args, options = self.signature.bind(args, options)
        # A quick check for the usual case: matrices of floats, all of one library. For anything else the loop
        # breaks, and the complete check follows.
        xp: Namespace = None
        for arg in args:
            known = float_arrays.get(type(arg))
            if known is None or arg.ndim < 2 or arg.dtype not in known[1]:
                break
            if known[0] is not xp:
                if xp is not None:
                    break
                xp = known[0]
        else:
            return self._compute(xp, args, options)
        for arg in args:
            if type(arg) is Node:
                return self.record(args, options)
        return self._compute(*self.signature.check(args), options)

    def pull(self, grad: Array, node: Node) -> tuple[Any, ...]:
        """Return the result of the pullback for a node of this primitive. grad: the gradient of the node."""
        arrays = [a.value if type(a) is Node else a for a in node.inputs]
        return self.pull_arrays(grad, node.value, *arrays, **node.options)

    def pull_arrays(self, grad: Array, value: Array, *arrays: Any, **options: Any) -> tuple[Any, ...]:
        """Return the result of the pullback, or of its kernel, for a value computed from `arrays`."""
        xp = namespace(value)
        backward = self._backward.get(xp)
        if backward is None:
            backward = self._backward[xp] = self._resolve(self.pullback, xp)
        pulled = backward(grad, value, *arrays, **options)
        if pulled is NotImplemented:
            pulled = self.pullback(grad, value, *arrays, **options)
        if not isinstance(pulled, tuple) or len(pulled) != len(arrays):
            got = f"{len(pulled)} gradients" if isinstance(pulled, tuple) else f"a {type(pulled).__name__}"
            msg = (
                f"{self.pullback.__name__} returned {got}, expected a tuple of {len(arrays)}: "
                f"one for each of {', '.join(self.signature.arrays)}"
            )
            raise GraphError(msg)
        return pulled

    def kernel(self, library: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """Register a faster implementation of this function, or of its pullback, for one array library.

        The kernel must have the same name and the same parameters as the function that it replaces. It may
        return `NotImplemented` for arguments that it does not handle.

            @swish.kernel("cupy")
            def swish(z): ...

        Args:
            library: the name of the array library, such as "numpy" or "cupy".

        Returns:
            A decorator. It returns what the kernel replaces, this primitive or its pullback: so the name
            `swish` above still means the primitive.

        Raises:
            GraphError: the name or the parameters differ, or `library` is not a string.
        """
        if not isinstance(library, str):
            msg = f"kernel: library is {library!r}, expected a name such as 'numpy' or 'cupy'"
            raise GraphError(msg)

        def register(kernel: Callable[..., Any]) -> Callable[..., Any]:
            for portable in (self.function, self.pullback):
                if kernel.__name__ != portable.__name__:
                    continue
                expected, got = inspect.signature(portable), inspect.signature(kernel)
                if list(expected.parameters) != list(got.parameters):
                    msg = f"kernel {kernel.__name__} takes {got}, expected {expected}"
                    raise GraphError(msg)
                self._kernels[library, kernel.__name__] = kernel
                self._forward.clear()
                self._backward.clear()
                return self if portable is self.function else portable
            msg = (
                f"a kernel of {self.__name__} must be named {self.__name__} or {self.pullback.__name__}, "
                f"got {kernel.__name__}"
            )
            raise GraphError(msg)

        return register

    def _resolve(self, portable: Callable[..., Any], xp: Namespace) -> Callable[..., Any]:
        """Return the kernel of a function for the library `xp`; if there is none, the function itself."""
        if xp is None:
            return portable  # there are no arguments: it will raise the error
        library = kernels.library_name(xp)
        kernel = self._kernels.get((library, portable.__name__)) or kernels.find(portable, library)
        return kernel or portable

    def record(self, args: tuple[Any, ...], options: Mapping[str, Any] = _NO_OPTIONS) -> Node:
        """Compute the function, and return a node. At least one of `args` has to be a node."""
        self.signature.refuse_constants(tuple([type(a) is Node for a in args]))
        xp, arrays = self.signature.check(tuple([a.value if type(a) is Node else a for a in args]))
        inputs = tuple([a if type(a) is Node else array for a, array in zip(args, arrays, strict=True)])
        value = self._compute(xp, arrays, options)
        if not hasattr(value, "ndim") or value.ndim == 1:
            got = f"shape {tuple(value.shape)}" if hasattr(value, "ndim") else f"a {type(value).__name__}"
            msg = f"{self.__name__} returned {got}, expected an array that keeps the rank, (n, 1) or (1, m)"
            raise GraphError(msg)
        return Node.computed(value, self, inputs, options)

    def _compute(self, xp: Namespace, arrays: tuple[Any, ...], options: Mapping[str, Any]) -> Array:
        forward = self._forward.get(xp)
        if forward is None:
            forward = self._forward[xp] = self._resolve(self.function, xp)
        value = forward(*arrays, **options)
        if value is NotImplemented:
            value = self.function(*arrays, **options)
        # NumPy returns scalars for rank 0. They would later be taken for Python numbers.
        return np.asarray(value) if isinstance(value, np.generic) else value


def sum_to(grad: Array, array: Array) -> Array:
    """Return `grad` summed over the axes along which `array` was broadcast; it has the shape of `array`."""
    if grad.shape == array.shape:
        return grad
    xp = namespace(grad)
    added = grad.ndim - array.ndim
    stretched = tuple(
        axis for axis, size in enumerate(grad.shape) if axis < added or array.shape[axis - added] != size
    )
    return xp.reshape(xp.sum(grad, axis=stretched, keepdims=True), array.shape)


def _add_pullback(grad: Array, total: Array, x: Array, y: Array) -> tuple[Any, ...]:
    del total
    return lambda: sum_to(grad, x), lambda: sum_to(grad, y)


@primitive(_add_pullback, numbers=True)
def add(x: Array, y: Array) -> Array:
    """`x + y`, elementwise. x, y: arrays whose shapes can be broadcast; one may be a Python number."""
    require_broadcastable("add", x, y)
    return x + y


def _subtract_pullback(grad: Array, difference: Array, x: Array, y: Array) -> tuple[Any, ...]:
    del difference
    return lambda: sum_to(grad, x), lambda: sum_to(-grad, y)


@primitive(_subtract_pullback, numbers=True)
def subtract(x: Array, y: Array) -> Array:
    """`x - y`, elementwise. x, y: arrays whose shapes can be broadcast; one may be a Python number."""
    require_broadcastable("subtract", x, y)
    return x - y


def _multiply_pullback(grad: Array, product: Array, x: Array, y: Array) -> tuple[Any, ...]:
    del product
    return lambda: sum_to(grad * y, x), lambda: sum_to(grad * x, y)


@primitive(_multiply_pullback, numbers=True)
def multiply(x: Array, y: Array) -> Array:
    """`x * y`, elementwise. x, y: arrays whose shapes can be broadcast; one may be a Python number."""
    require_broadcastable("multiply", x, y)
    return x * y


def _divide_pullback(grad: Array, quotient: Array, x: Array, y: Array) -> tuple[Any, ...]:
    return lambda: sum_to(grad / y, x), lambda: sum_to(-grad * quotient / y, y)


@primitive(_divide_pullback, numbers=True)
def divide(x: Array, y: Array) -> Array:
    """`x / y`, elementwise. x, y: arrays whose shapes can be broadcast; one may be a Python number."""
    require_broadcastable("divide", x, y)
    return x / y


def _negative_pullback(grad: Array, opposite: Array, x: Array) -> tuple[Any, ...]:
    del opposite, x
    return (-grad,)


@primitive(_negative_pullback)
def negative(x: Array) -> Array:
    """`-x`, elementwise. x: any shape."""
    return -x


def _power_pullback(grad: Array, value: Array, x: Array, *, exponent: float) -> tuple[Any, ...]:
    del value
    # The derivative of x ** 0 is 0. At x = 0 the formula 0 * x ** -1 would give NaN.
    return (grad * (exponent * x ** (exponent - 1)) if exponent else grad * 0.0,)


@primitive(_power_pullback)
def power(x: Array, *, exponent: float) -> Array:
    """`x ** exponent`, elementwise. x: any shape. exponent: a Python number, which has no gradient.

    Raises:
        ArrayTypeError: `exponent` is not a number.
    """
    require_number("power", "exponent", exponent)
    return x**exponent


def matmul_pullback(grad: Array, z: Array, x: Array, y: Array) -> tuple[Any, ...]:
    """Gradients of `matmul`: grad y^T and x^T grad."""
    del z
    return lambda: grad @ y.T, lambda: x.T @ grad


@primitive(matmul_pullback)
def matmul(x: Array, y: Array) -> Array:
    """Matrix product x @ y, (n, m). x: (n, k), y: (k, m)."""
    require_inner("matmul", "x", x, "y", y)
    return x @ y


def _transpose_pullback(grad: Array, transposed: Array, x: Array) -> tuple[Any, ...]:
    del transposed, x
    return (grad.T,)


@primitive(_transpose_pullback)
def transpose(x: Array) -> Array:
    """Transpose, (m, n); a view if the library has views. x: (n, m)."""
    require_matrix("transpose", "x", x)
    return x.T
