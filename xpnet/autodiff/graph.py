"""The computation graph: nodes, the primitives that make them, and arithmetic on them.

A primitive is a differentiable function: arrays in, array out; nodes in, node out. A node remembers the primitive
and the inputs it was computed from.
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


_NO_OPTIONS: Mapping[str, Any] = MappingProxyType({})


def primitive(
    pullback: Pullback, *, constants: tuple[str, ...] = (), numbers: bool = False
) -> Callable[[Callable[..., Array]], Primitive]:
    """Make a differentiable function of a portable one.

        def swish_pullback(grad, a, z):
            s = sigmoid(z)
            return (grad * (s + a * (1 - s)),)

        @primitive(swish_pullback)
        def swish(z):
            return z * sigmoid(z)

    Positional parameters are arrays; options are keyword-only. Given arrays, the function returns an array of
    the same library and device; given at least one `Node`, a node.

    Args:
        pullback: `pullback(grad, value, *arrays, **options)` returns a tuple with one entry for each array:
            the gradient with respect to it, of its shape; or a function that computes it, called only if it
            is wanted; or None. Such a function has no parameter, or one: an array to write the gradient to
            and to return, or None. It must not refer to nodes.
        constants: parameters that have no gradient, such as labels. They may hold integers, and may not be
            nodes.
        numbers: whether Python numbers may stand for some of the arrays.
    """

    def decorate(function: Callable[..., Array]) -> Primitive:
        return Primitive(function, pullback, frozenset(constants), numbers)

    return decorate


class Primitive:
    """What `primitive` makes; call it like the function it was made of.

    Raises, when called:
        ShapeError: an array has rank 1, or shapes do not fit.
        DtypeError: an array other than a constant does not hold floats.
        ArrayTypeError: an argument is not an array, or they are of different libraries.
        GraphError: a node stands where a constant belongs.
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
            msg = f"{name}: the pullback must be a function with a name of its own, such as {name}_pullback"
            raise GraphError(msg)
        self._kernels: dict[tuple[str, str], Callable[..., Any]] = {}
        self._forward: dict[Namespace, Callable[..., Array]] = {}
        self._backward: dict[Namespace, Pullback] = {}

    def __reduce__(self) -> str:
        return self.__name__  # pickled and copied by reference, like the function it was made of

    def __repr__(self) -> str:
        return f"<primitive {self.signature}>"

    def __call__(self, *args: Any, **options: Any) -> Any:
        """Compute: arrays in, array out; nodes in, node out."""
        if options:
            args, options = self.signature.bind(args, options)
        # The short way, for float matrices of one library; whatever it does not know goes the long way.
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
        """Return what the pullback returns for `grad`, the gradient of a node this primitive made."""
        arrays = [a.value if type(a) is Node else a for a in node.inputs]
        return self.pull_arrays(grad, node.value, *arrays, **node.options)

    def pull_arrays(self, grad: Array, value: Array, *arrays: Any, **options: Any) -> tuple[Any, ...]:
        """Return what the pullback, or its kernel, returns for a value computed from `arrays`."""
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
        """Register a faster text of this function, or of its pullback, for one array library.

        The kernel has the name and the parameters of what it stands for, and may return `NotImplemented`
        for arguments it does not handle.

            @swish.kernel("cupy")
            def swish(z): ...

        Args:
            library: the array library's name, such as "numpy" or "cupy".

        Returns:
            A decorator, whose result is what the kernel stands for: this primitive, or its pullback.

        Raises:
            GraphError: the name or the parameters differ, or `library` is no name.
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
                # The name the kernel was defined under goes on meaning what it stands for.
                return self if portable is self.function else portable
            msg = (
                f"a kernel of {self.__name__} must be named {self.__name__} or {self.pullback.__name__}, "
                f"got {kernel.__name__}"
            )
            raise GraphError(msg)

        return register

    def _resolve(self, portable: Callable[..., Any], xp: Namespace) -> Callable[..., Any]:
        """Return the kernel for `portable` on the library `xp`, or `portable` itself."""
        if xp is None:
            return portable  # which then says what is missing
        library = kernels.library_name(xp)
        kernel = self._kernels.get((library, portable.__name__)) or kernels.find(portable, library)
        return kernel or portable

    def record(self, args: tuple[Any, ...], options: Mapping[str, Any] = _NO_OPTIONS) -> Node:
        """Return the node of this function of `args`, at least one of which is a node."""
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
        # NumPy turns 0-d results into scalars, which would later pass for Python numbers.
        return np.asarray(value) if isinstance(value, np.generic) else value


def sum_to(grad: Array, array: Array) -> Array:
    """Sum `grad` over the axes along which `array` was broadcast; return the shape of `array`."""
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
    """`x + y` with broadcasting. Shapes: any that broadcast; Python numbers too."""
    require_broadcastable("add", x, y)
    return x + y


def _subtract_pullback(grad: Array, difference: Array, x: Array, y: Array) -> tuple[Any, ...]:
    del difference
    return lambda: sum_to(grad, x), lambda: sum_to(-grad, y)


@primitive(_subtract_pullback, numbers=True)
def subtract(x: Array, y: Array) -> Array:
    """`x - y` with broadcasting. Shapes: any that broadcast; Python numbers too."""
    require_broadcastable("subtract", x, y)
    return x - y


def _multiply_pullback(grad: Array, product: Array, x: Array, y: Array) -> tuple[Any, ...]:
    del product
    return lambda: sum_to(grad * y, x), lambda: sum_to(grad * x, y)


@primitive(_multiply_pullback, numbers=True)
def multiply(x: Array, y: Array) -> Array:
    """Elementwise `x * y` with broadcasting. Shapes: any that broadcast; Python numbers too."""
    require_broadcastable("multiply", x, y)
    return x * y


def _divide_pullback(grad: Array, quotient: Array, x: Array, y: Array) -> tuple[Any, ...]:
    return lambda: sum_to(grad / y, x), lambda: sum_to(-grad * quotient / y, y)


@primitive(_divide_pullback, numbers=True)
def divide(x: Array, y: Array) -> Array:
    """Elementwise `x / y` with broadcasting. Shapes: any that broadcast; Python numbers too."""
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
    # x ** 0 is 1 everywhere, also at 0, where 0 * x ** -1 is not a number.
    return (grad * (exponent * x ** (exponent - 1)) if exponent else grad * 0.0,)


@primitive(_power_pullback)
def power(x: Array, *, exponent: float) -> Array:
    """`x ** exponent`, elementwise. x: any shape; exponent: a Python number, a constant.

    Raises:
        ArrayTypeError: `exponent` is not a number.
    """
    require_number("power", "exponent", exponent)
    return x**exponent


def _matmul_pullback(grad: Array, product: Array, x: Array, y: Array) -> tuple[Any, ...]:
    del product
    return lambda: grad @ y.T, lambda: x.T @ grad


@primitive(_matmul_pullback)
def matmul(x: Array, y: Array) -> Array:
    """Matrix product. x: (n, k), y: (k, m); returns (n, m)."""
    require_inner("matmul", "x", x, "y", y)
    return x @ y


def _transpose_pullback(grad: Array, transposed: Array, x: Array) -> tuple[Any, ...]:
    del transposed, x
    return (grad.T,)


@primitive(_transpose_pullback)
def transpose(x: Array) -> Array:
    """Transpose, a view where the library has views. x: (n, m); returns (m, n)."""
    require_matrix("transpose", "x", x)
    return x.T
