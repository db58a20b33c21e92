"""Differentiable functions: arrays in, array out; nodes in, node out."""

from __future__ import annotations

import functools
import inspect
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from xpnet import kernels
from xpnet.arrays import Array, Namespace, float_arrays, namespace
from xpnet.errors import GraphError
from xpnet.graph.node import Node
from xpnet.graph.signature import Signature

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Pullback: TypeAlias = Callable[..., tuple[Any, ...]]

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
