"""Resize an image, a strip of rows or columns at a time.

The strips are turned upright and converted one after the other. So only the decoded image itself takes
memory for all of its pixels. The order of the two passes, along the rows and along the columns, is fixed
here. Pillow's own order differs between its versions, and with it the last bit of some bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .recipe import Recipe

    Box = tuple[int, int, int, int]
    FloatBox = tuple[float, float, float, float]

FILTER = Image.Resampling.BILINEAR
"""How pixels are combined: by their distance, and over all pixels that one new pixel covers."""

STRIP_PIXELS = 1 << 20
"""About how many pixels a strip has."""

UPRIGHT_TRANSPOSE = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""For each EXIF orientation except 1, the operation that turns the image upright (EXIF 2.3, tag 274)."""


@dataclass(frozen=True)
class Upright:
    """An image that is turned upright and converted when its parts are read.

    Attributes:
        image: the decoded image.
        orientation: its EXIF orientation. A number that EXIF does not define means upright.
        mode: the mode of the parts.
        convert: the function that gives a part this mode; None if the image already has it.
    """

    image: Image.Image
    orientation: int
    mode: str
    convert: Callable[[Image.Image], Image.Image] | None

    @property
    def size(self) -> tuple[int, int]:
        """Width and height, upright."""
        width, height = self.image.size
        return (height, width) if 5 <= self.orientation <= 8 else (width, height)

    def part(self, box: Box) -> Image.Image:
        """Return a part. The box has the left, upper, right and lower limit, upright."""
        (width, height), (left, top, right, bottom) = self.size, box
        if self.orientation in (2, 3, 6, 7):
            left, right = width - right, width - left
        if self.orientation in (3, 4, 7, 8):
            top, bottom = height - bottom, height - top
        raw = (top, left, bottom, right) if 5 <= self.orientation <= 8 else (left, top, right, bottom)
        part = self.image if raw == (0, 0, *self.image.size) else self.image.crop(raw)
        if self.orientation in UPRIGHT_TRANSPOSE:
            part = part.transpose(UPRIGHT_TRANSPOSE[self.orientation])
        return self.convert(part) if self.convert else part


def resized(image: Upright, recipe: Recipe) -> Image.Image:
    """Return the image in the size of the recipe."""
    (width, height), size = image.size, (recipe.width, recipe.height)
    if recipe.resize_mode == "stretch":
        return _resized(image, size, (0, 0, width, height))
    if recipe.resize_mode == "crop":
        return _resized(image, size, _middle(width, height, recipe.width / recipe.height))
    scale = min(recipe.width / width, recipe.height / height)
    inner = max(1, round(width * scale)), max(1, round(height * scale))
    padded = Image.new(image.mode, size)
    corner = (recipe.width - inner[0]) // 2, (recipe.height - inner[1]) // 2
    padded.paste(_resized(image, inner, (0, 0, width, height)), corner)
    return padded


def _middle(width: int, height: int, ratio: float) -> FloatBox:
    """Return the largest box in the middle of an image whose width is `ratio` times its height."""
    if width / height == ratio:
        return 0, 0, width, height
    if width / height > ratio:
        left = (width - ratio * height) / 2
        return left, 0, left + ratio * height, height
    top = (height - width / ratio) / 2
    return 0, top, width, top + width / ratio


def _resized(image: Upright, size: tuple[int, int], box: FloatBox) -> Image.Image:
    """Return a box of the image in another size: bilinear, and an average where it is made smaller."""
    (width, height), (left, top, right, bottom) = image.size, box
    if (width, height) == size and box == (0, 0, width, height):
        return image.part((0, 0, width, height))
    # This is the rule of Pillow 13. Pillow 11 and 12 take the rows first.
    columns_first = height > size[1] and height - size[1] > 2 * (width - size[0])
    between = Image.new(image.mode, (width, size[1]) if columns_first else (size[0], height))
    for strip in strips(width, height, columns_first):
        part = image.part(strip)
        if columns_first:
            short = part.resize((part.width, size[1]), FILTER, (0, top, part.width, bottom))
        else:
            short = part.resize((size[0], part.height), FILTER, (left, 0, right, part.height))
        if short.size == between.size:
            between = short
        else:
            between.paste(short, strip[:2] if columns_first else (0, strip[1]))
    rest = (left, 0, right, between.height) if columns_first else (0, top, between.width, bottom)
    return between.resize(size, FILTER, rest)


def strips(width: int, height: int, of_columns: bool = False) -> Iterator[Box]:
    """Yield the boxes of strips of columns or rows, of about `STRIP_PIXELS` pixels each."""
    length, across = (width, height) if of_columns else (height, width)
    step = max(1, STRIP_PIXELS // across)
    for start in range(0, length, step):
        end = min(length, start + step)
        yield (start, 0, end, height) if of_columns else (0, start, width, end)
