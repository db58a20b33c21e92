"""What a primitive takes: arrays by position, options by name; and the refusal of everything else."""

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


@dataclass(frozen=True)
class Signature:
    """The parameters of a primitive.

    Attributes:
        name: of the primitive.
        parameters: as Python tells them.
        arrays: names of the positional parameters.
        options: names of the keyword-only parameters.
        is_constant: for each array, whether it has no gradient and may hold integers.
        numbers: whether Python numbers may stand for some of the arrays.
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
            GraphError: the function takes *args or **kwargs, or a constant is none of its arrays.
        """
        name, signature = function.__name__, inspect.signature(function)
        parameters = signature.parameters.values()
        arrays = tuple(p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD)
        options = frozenset(p.name for p in parameters if p.kind is p.KEYWORD_ONLY)
        if len(arrays) + len(options) != len(parameters):
            msg = f"{name}{signature}: parameters must be arrays, by position, or keyword-only options"
            raise GraphError(msg)
        unknown = constants.difference(arrays)
        if unknown:
            msg = f"{name}{signature}: constants names {', '.join(sorted(unknown))}, which is no array of it"
            raise GraphError(msg)
        return cls(name, signature, arrays, options, tuple(a in constants for a in arrays), numbers)

    def __str__(self) -> str:
        return f"{self.name}{self.parameters}"

    def bind(self, args: tuple[Any, ...], options: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Move arrays passed by keyword to their positions; make NumPy scalars Python numbers.

        Raises:
            TypeError: an unknown name, or a missing or doubled argument.
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
        # A NumPy float64 scalar among the options would turn float32 arrays into float64.
        return args, {k: _python_number(v) if isinstance(v, np.number) else v for k, v in options.items()}

    def check(self, args: tuple[Any, ...]) -> tuple[Namespace, tuple[Any, ...]]:
        """Return the library of the arguments, and them with scalars made arrays or Python numbers.

        Raises: as `Primitive`.
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
        """Raise `GraphError` if a node stands where a constant belongs."""
        for is_node, is_constant, name in zip(are_nodes, self.is_constant, self.arrays, strict=False):
            if is_node and is_constant:
                msg = f"{self.name}: {name} is a constant and has no gradient: pass node.value"
                raise GraphError(msg)

    def _with_scalars(self, xp: Namespace, args: tuple[Any, ...]) -> tuple[Namespace, tuple[Any, ...]]:
        if xp is None:
            # Numbers only: a Python number is a float64 array of rank 0, a NumPy scalar one of its own dtype.
            return np, tuple(
                require_floats(self.name, self._array(i), np.asarray(a) if isinstance(a, np.generic) else a)
                for i, a in enumerate(args)
            )
        if not self.numbers:
            index = next(i for i, a in enumerate(args) if type(a) in _NUMBERS or isinstance(a, np.generic))
            msg = f"{self.name}: {self._array(index)} is the number {args[index]!r}, expected an array"
            raise ArrayTypeError(msg)
        # A NumPy scalar keeps its width among arrays (float64 would win); a Python number takes theirs.
        return xp, tuple(_python_number(a) if isinstance(a, np.generic) else a for a in args)

    def _array(self, index: int) -> str:
        if index < len(self.arrays):
            return self.arrays[index]
        msg = f"{self}: more arguments than arrays; options go by name"
        raise TypeError(msg)

    def _mixed(self, first: Namespace, second: Namespace) -> ArrayTypeError:
        names = f"{library_name(first)} and {library_name(second)}"
        return ArrayTypeError(
            f"{self.name}: the arguments are arrays of {names}, expected one library: "
            "bring them together with backend.send(...) or backend.fetch(...)"
        )


def _python_number(scalar: Any) -> float:
    return float(scalar) if scalar.dtype.kind == "f" else int(scalar)
