"""What can go wrong between files and arrays; `xpnet.errors` has the rest."""

from xpnet.errors import XpnetError


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
