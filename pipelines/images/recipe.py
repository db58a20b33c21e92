"""The recipe: how an image becomes a column. Data files and model files store it."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, field, replace
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from xpnet.errors import DataError, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

RESIZE_MODES = ("stretch", "pad", "crop")
"""How an image of other proportions is fitted: see `Recipe`."""

COLOR_MODES = ("rgb", "grayscale")
"""Three channels per pixel, or one."""

DECODERS = ("pillow", "simplejpeg")
"""The libraries that can decode JPEG files. Pillow decodes all other formats."""

MAX_SIDE = 4096
"""The largest height or width of a decoded image, in pixels."""

MAX_FRAME = 1 << 20
"""The largest number of a frame."""


@dataclass(frozen=True)
class Recipe:
    """How an image becomes a column of bytes.

    Attributes:
        height: height of the decoded image, in pixels.
        width: width of the decoded image, in pixels.
        resize_mode: "stretch" changes the proportions; "pad" keeps them and adds black borders; "crop" keeps
            them and cuts off the borders.
        color_mode: "rgb" (three channels) or "grayscale" (one).
        decoder: the library that decodes JPEG files. Their pixels differ slightly between the libraries.
            "simplejpeg" is an optional package.
        frame: which frame or page is decoded, counted from 1. A file that has less of them is an error.
        max_pixels: the largest image that is decoded, in pixels; None for about 179 million. It is a limit,
            not a part of how an image becomes a column: it is neither stored nor compared.
        libraries: what decoded the images, as `decoding_libraries` gives it; None if that is unknown. It is
            stored, but not compared: other libraries may give the same pixels.

    Raises:
        UsageError: a value is not possible.
    """

    height: int = 64
    width: int = 64
    resize_mode: str = "stretch"
    color_mode: str = "rgb"
    decoder: str = "pillow"
    frame: int = 1
    max_pixels: int | None = field(default=None, compare=False)
    libraries: dict[str, str] | None = field(default=None, compare=False, repr=False)

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
            if type(side) is not int or not 1 <= side <= MAX_SIDE:
                msg = f"image size: {name} is {side!r}, expected 1 to {MAX_SIDE} pixels"
                raise UsageError(msg)
        if type(self.frame) is not int or not 1 <= self.frame <= MAX_FRAME:
            msg = f"frame is {self.frame!r}, expected 1 to {MAX_FRAME}"
            raise UsageError(msg)

    @property
    def channels(self) -> int:
        """Number of channels of a pixel: 3 or 1."""
        return 3 if self.color_mode == "rgb" else 1

    @property
    def n_x(self) -> int:
        """Number of features, which is the number of bytes of a column: height * width * channels."""
        return self.height * self.width * self.channels

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape of a decoded image: (height, width, channels)."""
        return self.height, self.width, self.channels

    def to_dict(self) -> dict[str, Any]:
        """Return the recipe as plain data, to be stored in a file."""
        stored = {name: value for name, value in asdict(self).items() if name != "max_pixels"}
        if self.libraries is None:
            del stored["libraries"]
        return stored

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Recipe:
        """Return the recipe that `to_dict` gave as a dictionary.

        Raises:
            DataError: the dictionary is not a recipe that this version knows.
        """
        if "max_pixels" in data:
            msg = "not a recipe that this version knows: max_pixels is not stored"
            raise DataError(msg)
        libraries = data.get("libraries", {})
        if not isinstance(libraries, dict) or not all(isinstance(each, str) for each in libraries.values()):
            msg = (
                f"not a recipe that this version knows: libraries is {libraries!r}, expected names and texts"
            )
            raise DataError(msg)
        try:
            return cls(**data)
        except (TypeError, UsageError) as error:
            msg = f"not a recipe that this version knows: {error}"
            raise DataError(msg) from error

    def reading(self, frame: int | None = None, max_pixels: int | None = None) -> Recipe:
        """Return the recipe, but for images that are read in another way. None keeps what it has.

        Args:
            frame: which frame or page is decoded.
            max_pixels: the largest image that is decoded, in pixels.

        Raises:
            UsageError: a value is not possible.
        """
        given: Any = {"frame": frame, "max_pixels": max_pixels}
        return replace(self, **{name: value for name, value in given.items() if value is not None})

    @classmethod
    def from_options(
        cls,
        size: str | None,
        resize_mode: str | None,
        color_mode: str | None,
        decoder: str | None,
        frame: int | None = None,
        max_pixels: int | None = None,
    ) -> Recipe | None:
        """Return the recipe of these command-line options, or None if none of them is given.

        Args:
            size: "64" or "64x48", as for `parse_size`. An option that is None keeps its default.
            resize_mode: one of `RESIZE_MODES`.
            color_mode: one of `COLOR_MODES`.
            decoder: one of `DECODERS`.
            frame: which frame or page is decoded.
            max_pixels: the largest image that is decoded, in pixels.

        Raises:
            UsageError: a value is not possible.
        """
        options = {
            "resize_mode": resize_mode,
            "color_mode": color_mode,
            "decoder": decoder,
            "frame": frame,
            "max_pixels": max_pixels,
        }
        given: Any = {name: value for name, value in options.items() if value is not None}
        if size is not None:
            given["height"], given["width"] = parse_size(size)
        return cls(**given) if given else None

    def difference_to(self, libraries: Mapping[str, str]) -> str:
        """Return what to tell users whose images are now decoded by these libraries; "" if nothing.

        Args:
            libraries: what decodes the images now, as `decoding_libraries` gives it.
        """
        learned = self.libraries or {}
        if learned.get("pixels", "") in ("", libraries.get("pixels", learned.get("pixels"))):
            return ""
        return (
            f"the model learned from images that were decoded by {versions_text(learned)}. Here "
            f"{versions_text(libraries)} decodes them, and gives slightly other pixels: scores may differ"
        )

    def require_decoder(self) -> None:
        """Raise `UsageError` if the decoder is not installed. No other decoder is used instead."""
        if self.decoder != "pillow" and find_spec(self.decoder) is None:
            msg = (
                f"images are to be decoded by {self.decoder}, which is not installed: "
                "pip install 'xpnet[fast]'"
            )
            raise UsageError(msg)


def versions_text(libraries: Mapping[str, str]) -> str:
    """Return the names and versions of libraries as text. libraries: as `decoding_libraries` gives it."""
    return ", ".join(f"{name} {number}" for name, number in libraries.items() if name != "pixels")


def parse_size(size: str) -> tuple[int, int]:
    """Return (height, width) of a size: "64" is a square, "64x48" is width x height.

    Raises:
        UsageError: it is not such a size.
    """
    found = re.fullmatch(r"([0-9]{1,5})(?:x([0-9]{1,5}))?", size.strip().lower())
    if not found:
        msg = f"image size is {size!r}, expected pixels as in 64, or WIDTHxHEIGHT as in 64x48"
        raise UsageError(msg)
    width = int(found[1])
    return int(found[2] or width), width
