"""Small pictures, as text that a page can hold: thumbnails and weights."""

from __future__ import annotations

import base64
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from ..images import Recipe, decode_all

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

SIDES = ((1500, 128), (4000, 96))
"""The side of thumbnails, in pixels, of up to so many; of more of them"""

SMALLEST = 80
"""this, so that a page of many is not much larger than one of few."""

QUALITY = 72
"""Of a JPEG: small, and good enough to tell what is to be seen."""

LOW, ZERO, HIGH = (178, 78, 18), (244, 244, 244), (18, 92, 168)
"""Colours of negative, no and positive weight, which the colour-blind can tell apart."""


def side_for(count: int) -> int:
    """Return the side of thumbnails, in pixels, for so many of them."""
    return next((side for most, side in SIDES if count <= most), SMALLEST)


def thumbnails(paths: Sequence[str], side: int, workers: int) -> Iterator[tuple[str, str]]:
    """Yield for each path a thumbnail and an empty text, or an empty text and the reason why there is none.

    They are decoded as all images are, so EXIF's orientation is applied, and what is no image is refused.

    Args:
        paths: of the images.
        side: pixels of the longer side.
        workers: processes that decode.
    """
    recipe = Recipe(side, side, "pad")
    for decoded in decode_all(paths, recipe, workers):
        for column, error in zip(decoded.columns, decoded.errors, strict=True):
            yield ("", error) if error else (jpeg(_unpadded(column.reshape(recipe.shape))), "")


def _unpadded(pixels: np.ndarray) -> np.ndarray:
    """Return a picture (height, width, 3) without the black around it that made it a square."""
    inked = pixels.max(axis=2) > 0
    rows, columns = np.flatnonzero(inked.any(axis=1)), np.flatnonzero(inked.any(axis=0))
    if not rows.size:
        return pixels
    return pixels[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def jpeg(pixels: np.ndarray, most: int = SIDES[0][1]) -> str:
    """Return a picture (height, width, 1 or 3) of bytes as JPEG in base 64, scaled down to `most` pixels."""
    image = Image.fromarray(pixels if pixels.shape[2] == 3 else pixels[:, :, 0])
    image.thumbnail((most, most), Image.Resampling.BILINEAR)
    file = BytesIO()
    image.save(file, "JPEG", quality=QUALITY, optimize=True)
    return base64.b64encode(file.getvalue()).decode("ascii")


def weights_png(weights: np.ndarray, limit: float, most: int = SIDES[0][1]) -> str:
    """Return weights (height, width, 1 or 3) as PNG in base 64.

    Of three channels, each weight changes its colour, from grey for 0; of one, orange to white to blue.

    Args:
        weights: of one unit, finite.
        limit: absolute value from which a colour is full, more than 0.
        most: pixels of the longer side.
    """
    shares = np.clip(weights / limit, -1, 1)
    if weights.shape[2] == 3:
        pixels = 128 + 127 * shares
    else:
        low, zero, high = (np.asarray(colour, np.float64) for colour in (LOW, ZERO, HIGH))
        pixels = zero + np.where(shares < 0, -shares * (low - zero), shares * (high - zero))
    image = Image.fromarray(np.round(pixels).astype(np.uint8))
    image.thumbnail((most, most), Image.Resampling.BOX)
    file = BytesIO()
    image.save(file, "PNG", optimize=True)
    return base64.b64encode(file.getvalue()).decode("ascii")
