"""The recipe: how an image becomes a column. It travels from the data to the model to the scores."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from xpnet.errors import DataError, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

RESIZE_MODES = ("stretch", "pad", "crop")
COLOR_MODES = ("rgb", "grayscale")
DECODERS = ("pillow", "simplejpeg")
LARGEST_SIDE = 4096


@dataclass(frozen=True)
class Recipe:
    """How an image becomes a column of bytes.

    Attributes:
        height: of the decoded image, in pixels.
        width: the same.
        resize_mode: "stretch" to the size, "pad" with black to keep the proportions, or "crop" the middle.
        color_mode: "rgb", three channels, or "grayscale", one.
        decoder: what decodes JPEGs; another one may give slightly other pixels. "simplejpeg" is an extra.

    Raises:
        UsageError: a value that is not possible.
    """

    height: int = 64
    width: int = 64
    resize_mode: str = "stretch"
    color_mode: str = "rgb"
    decoder: str = "pillow"

    def __post_init__(self) -> None:
        for name, value, possible in (
            ("resize_mode", self.resize_mode, RESIZE_MODES),
            ("color_mode", self.color_mode, COLOR_MODES),
            ("decoder", self.decoder, DECODERS),
        ):
            if value not in possible:
                msg = f"{name} is {value!r}, expected one of {', '.join(possible)}"
                raise UsageError(msg)
        for name, side in {"height": self.height, "width": self.width}.items():
            if type(side) is not int or not 1 <= side <= LARGEST_SIDE:
                msg = f"image size: {name} is {side!r}, expected 1 to {LARGEST_SIDE} pixels"
                raise UsageError(msg)

    @property
    def channels(self) -> int:
        """Numbers of a pixel."""
        return 3 if self.color_mode == "rgb" else 1

    @property
    def n_x(self) -> int:
        """Features: bytes of a column."""
        return self.height * self.width * self.channels

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape of a decoded image: height, width, channels."""
        return self.height, self.width, self.channels

    def to_dict(self) -> dict[str, Any]:
        """Return the recipe as plain data, for a file."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Recipe:
        """Undo `to_dict`.

        Raises:
            DataError: the data is no recipe of this version.
        """
        try:
            return cls(**data)
        except (TypeError, UsageError) as error:
            msg = f"not a recipe that this version knows: {error}"
            raise DataError(msg) from error

    @classmethod
    def asked(
        cls, size: str | None, resize_mode: str | None, color_mode: str | None, decoder: str | None
    ) -> Recipe | None:
        """Return the recipe that options ask for, or None if none of them is given.

        Raises:
            UsageError: a size or word that is not possible.
        """
        words = {"resize_mode": resize_mode, "color_mode": color_mode, "decoder": decoder}
        given: Any = {name: word for name, word in words.items() if word is not None}
        if size is not None:
            given["height"], given["width"] = parse_size(size)
        return cls(**given) if given else None

    def require_decoder(self) -> None:
        """Raise `UsageError` if the decoder is not installed: another one is never taken in its place."""
        if self.decoder != "pillow" and find_spec(self.decoder) is None:
            msg = f"images are to be decoded by {self.decoder}, which is missing: pip install 'xpnet[fast]'"
            raise UsageError(msg)


def parse_size(text: str) -> tuple[int, int]:
    """Return (height, width) of "64", or of "64x48", which is width x height as in the names of screens.

    Raises:
        UsageError: the text is no size.
    """
    found = re.fullmatch(r"([0-9]{1,5})(?:x([0-9]{1,5}))?", text.strip().lower())
    if not found:
        msg = f"image size is {text!r}, expected pixels as in 64, or WIDTHxHEIGHT as in 64x48"
        raise UsageError(msg)
    width = int(found[1])
    return int(found[2] or width), width
