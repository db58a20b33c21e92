"""Every exception xpnet raises on purpose."""

from typing import Any


class XpnetError(Exception):
    """Base of the errors below: catch it once, at the edge of a program."""


class ShapeError(XpnetError, ValueError):
    """Shapes do not fit: a rank-1 array, an inner dimension, labels of a wrong shape or range."""


class DtypeError(XpnetError, TypeError):
    """An array holds the wrong kind of numbers: raw uint8 pixels where floats belong, say."""


class ArrayTypeError(XpnetError, TypeError):
    """Not an array xpnet can compute with, or arrays of two libraries in one call."""


class GraphError(XpnetError, ValueError):
    """A computation graph is asked for something it does not hold, or a pullback breaks its contract."""


class ConfigurationError(XpnetError, ValueError):
    """A setting of a model or of training is not one of those that are possible."""


class ModelFileError(XpnetError, ValueError):
    """A file of weights cannot be read or written, is damaged, or is not what was expected."""


class DivergenceError(XpnetError, ArithmeticError):
    """The cost became NaN or infinite during training.

    Attributes:
        step: the first step whose cost it was, counted from 1.
    """

    def __init__(self, message: str, *, step: int) -> None:
        super().__init__(message)
        self.step = step

    def __reduce__(self) -> tuple[Any, ...]:
        return _divergence_error, (str(self), self.step)


def _divergence_error(message: str, step: int) -> DivergenceError:
    return DivergenceError(message, step=step)


class ImageError(XpnetError, ValueError):
    """One input is no image that can be decoded; the message is the reason, without the path."""


class DataError(XpnetError, ValueError):
    """A folder or file of examples cannot be read, or is not what was expected."""


class NoInputError(XpnetError, ValueError):
    """Nothing among the inputs can be used."""


class UsageError(XpnetError, ValueError):
    """Options that contradict each other or the data."""


class OutputError(XpnetError, OSError):
    """A result cannot be written, or a partial one cannot be resumed."""


class DeviceError(XpnetError, RuntimeError):
    """A device cannot be used.

    Attributes:
        problem: which of the known causes it is, as a short stable word such as `"no-driver"`.
    """

    def __init__(self, message: str, *, problem: str) -> None:
        super().__init__(message)
        self.problem = problem

    def __reduce__(self) -> tuple[Any, ...]:
        return _device_error, (str(self), self.problem)


def _device_error(message: str, problem: str) -> DeviceError:
    # A keyword argument is not among those by which exceptions are pickled.
    return DeviceError(message, problem=problem)
