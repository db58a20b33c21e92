"""The signature of a primitive, and the check of the arguments it is called with.

Arrays are positional parameters, options are keyword-only.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from xpnet.arrays import (
    Namespace,
    namespace,
    refuse_other_than_floats,
    refuse_other_than_numbers,
    refuse_rank_1,
    require_floats,
)
from xpnet.errors import ArrayTypeError, GraphError
from xpnet.kernels import library_name

if TYPE_CHECKING:
    from collections.abc import Callable

_NUMBERS = frozenset({int, float})
"""The types of Python numbers. Not bool: True is not meant as the number 1."""


@dataclass(frozen=True)
class Signature:
    """The parameters of a primitive.

    Attributes:
        name: name of the primitive.
        parameters: the parameters of its function.
        arrays: names of the positional parameters.
        options: names of the keyword-only parameters.
        is_constant: for each array, whether it is a constant: it has no gradient, and may hold integers.
        numbers: whether some of the arrays may be Python numbers.
    """

    name: str
    parameters: inspect.Signature
    arrays: tuple[str, ...]
    options: frozenset[str]
    is_constant: tuple[bool, ...]
    numbers: bool

    @classmethod
    def of(cls, function: Callable[..., Any], constants: frozenset[str], numbers: bool) -> Signature:
        """Read the signature of a function.

        Raises:
            GraphError: the function has *args or **kwargs, or a constant is not one of its arrays.
        """
        name, signature = function.__name__, inspect.signature(function)
        parameters = signature.parameters.values()
        arrays = tuple(p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD)
        options = frozenset(p.name for p in parameters if p.kind is p.KEYWORD_ONLY)
        if len(arrays) + len(options) != len(parameters):
            msg = f"{name}{signature}: parameters must be positional arrays or keyword-only options"
            raise GraphError(msg)
        unknown = constants.difference(arrays)
        if unknown:
            names = ", ".join(sorted(unknown))
            msg = f"{name}{signature}: constants names {names}, which is not one of its arrays"
            raise GraphError(msg)
        return cls(name, signature, arrays, options, tuple(a in constants for a in arrays), numbers)

    def __str__(self) -> str:
        return f"{self.name}{self.parameters}"

    def bind(self, args: tuple[Any, ...], options: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return arrays and options: arrays given by keyword become positional, NumPy scalars Python numbers.

        Raises:
            TypeError: an argument has an unknown name, is missing, or is given twice.
        """
        if not self.options.issuperset(options):
            unknown = [name for name in options if name not in self.parameters.parameters]
            if unknown:
                msg = f"{self} has no parameter {unknown[0]!r}"
                raise TypeError(msg)
            try:
                bound = self.parameters.bind(*args, **options)
            except TypeError as error:
                msg = f"{self.name}: {error}"
                raise TypeError(msg) from None
            args, options = bound.args, bound.kwargs
        # A NumPy float64 scalar as an option would turn float32 arrays into float64.
        return args, {k: _python_number(v) if isinstance(v, np.number) else v for k, v in options.items()}

    def check(self, args: tuple[Any, ...]) -> tuple[Namespace, tuple[Any, ...]]:
        """Check arguments; return their library and the arguments, with scalars as arrays or Python numbers.

        Raises: the errors of `Primitive`.
        """
        xp: Namespace = None
        scalars = False
        for index, arg in enumerate(args):
            if type(arg) in _NUMBERS:
                scalars = True
                continue
            parameter = self._array(index)
            found = namespace(arg, f"{self.name}: {parameter}: ")
            if arg.ndim == 1:
                refuse_rank_1(self.name, parameter, arg)
            if isinstance(arg, np.generic):
                refuse_other_than_numbers(self.name, parameter, arg)
                scalars = True
                continue
            refuse = refuse_other_than_numbers if self.is_constant[index] else refuse_other_than_floats
            refuse(self.name, parameter, arg)
            if found is not xp:
                if xp is not None:
                    raise self._mixed(xp, found)
                xp = found
        return (xp, args) if not scalars else self._with_scalars(xp, args)

    def refuse_constants(self, are_nodes: tuple[bool, ...]) -> None:
        """Raise `GraphError` if a constant is a node. are_nodes: for each argument, whether it is a node."""
        for is_node, is_constant, name in zip(are_nodes, self.is_constant, self.arrays, strict=False):
            if is_node and is_constant:
                msg = f"{self.name}: {name} is a constant and has no gradient: pass node.value"
                raise GraphError(msg)

    def _with_scalars(self, xp: Namespace, args: tuple[Any, ...]) -> tuple[Namespace, tuple[Any, ...]]:
        """Return the library and the arguments, with scalars as arrays or Python numbers."""
        if xp is None:
            # All arguments are numbers. A Python number becomes a float64 array of shape (), a NumPy scalar
            # one of its own dtype.
            return np, tuple(
                require_floats(self.name, self._array(i), np.asarray(a) if isinstance(a, np.generic) else a)
                for i, a in enumerate(args)
            )
        if not self.numbers:
            index = next(i for i, a in enumerate(args) if type(a) in _NUMBERS or isinstance(a, np.generic))
            msg = f"{self.name}: {self._array(index)} is the number {args[index]!r}, expected an array"
            raise ArrayTypeError(msg)
        # Next to float32 arrays, a NumPy float64 scalar would give float64. A Python number gives float32.
        return xp, tuple(_python_number(a) if isinstance(a, np.generic) else a for a in args)

    def _array(self, index: int) -> str:
        """Return the name of the array at a position."""
        if index < len(self.arrays):
            return self.arrays[index]
        msg = f"{self}: more positional arguments than arrays; give options by name"
        raise TypeError(msg)

    def _mixed(self, first: Namespace, second: Namespace) -> ArrayTypeError:
        """Return the error for arguments of two libraries."""
        names = f"{library_name(first)} and {library_name(second)}"
        return ArrayTypeError(
            f"{self.name}: the arguments are arrays of {names}, expected one library: "
            "convert one of them with backend.send(...) or backend.fetch(...)"
        )


def _python_number(scalar: Any) -> float:
    return float(scalar) if scalar.dtype.kind == "f" else int(scalar)
