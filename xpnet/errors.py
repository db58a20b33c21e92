"""The exceptions that xpnet raises. `except XpnetError` catches all of them.

Each is also one of Python's own kinds of error: a `ShapeError`, for example, is a `ValueError`.
"""

from typing import Any


class XpnetError(Exception):
    """Base class of all errors that xpnet raises."""


class ShapeError(XpnetError, ValueError):
    """An array has a wrong shape or rank, or a label is out of range."""


class DtypeError(XpnetError, TypeError):
    """An array holds a wrong type of number: for example integers where floats are expected."""


class ArrayTypeError(XpnetError, TypeError):
    """An argument is not an array, or the arguments are arrays of different libraries."""


class GraphError(XpnetError, ValueError):
    """A computation graph, or a primitive, is used or defined in a wrong way."""


class ConfigurationError(XpnetError, ValueError):
    """A setting of a model or of a training is not valid."""


class ModelFileError(XpnetError, ValueError):
    """A model file or a checkpoint cannot be read or written, is damaged, or is not what was expected."""


class CheckpointError(ModelFileError):
    """A training cannot resume from a checkpoint.

    Attributes:
        is_intact: whether the file is a checkpoint that another training can use. If not, it is damaged, or
            another kind of file.
    """

    def __init__(self, message: str, *, is_intact: bool) -> None:
        super().__init__(message)
        self.is_intact = is_intact

    def __reduce__(self) -> tuple[Any, ...]:
        return _checkpoint_error, (str(self), self.is_intact)


def _checkpoint_error(message: str, is_intact: bool) -> CheckpointError:
    return CheckpointError(message, is_intact=is_intact)


class DivergenceError(XpnetError, ArithmeticError):
    """The cost became NaN or infinite during training.

    Attributes:
        step: the first step with such a cost, counted from 1.
    """

    def __init__(self, message: str, *, step: int) -> None:
        super().__init__(message)
        self.step = step

    def __reduce__(self) -> tuple[Any, ...]:
        return _divergence_error, (str(self), self.step)


def _divergence_error(message: str, step: int) -> DivergenceError:
    return DivergenceError(message, step=step)


class ImageError(XpnetError, ValueError):
    """An image cannot be decoded. The message gives the reason, without the path of the image."""


class DataError(XpnetError, ValueError):
    """A folder or a file of examples cannot be read, or has other contents than expected."""


class NoInputError(XpnetError, ValueError):
    """None of the inputs can be used."""


class UsageError(XpnetError, ValueError):
    """Options contradict each other, or do not fit the data."""


class OutputError(XpnetError, OSError):
    """An output cannot be written, or an unfinished output cannot be resumed."""


class WorkerError(XpnetError, RuntimeError):
    """The processes that decode images cannot be started, or a cluster cannot be used."""


class DeviceError(XpnetError, RuntimeError):
    """A device cannot be used.

    Attributes:
        reason: why, in words.
        problem: the cause as a short fixed word, such as `"no-driver"`, for programs to compare with.
        remedy: what to do about it, in words; "" if there is nothing to add. The message is the reason and
            the remedy.
    """

    def __init__(self, reason: str, *, problem: str, remedy: str = "") -> None:
        super().__init__(f"{reason}: {remedy}" if remedy else reason)
        self.reason, self.problem, self.remedy = reason, problem, remedy

    def __reduce__(self) -> tuple[Any, ...]:
        return _device_error, (self.reason, self.problem, self.remedy)


def _device_error(reason: str, problem: str, remedy: str) -> DeviceError:
    # Exceptions are pickled with positional arguments only: this function takes all of them as such.
    return DeviceError(reason, problem=problem, remedy=remedy)
