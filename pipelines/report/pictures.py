"""Small pictures in base 64, which a page can contain: thumbnails of images, and weights."""

from __future__ import annotations

import base64
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from ..images import Recipe, decode_all, is_remote

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ..images import Decoders

LARGEST_SIDE = 128
"""The longer side of a picture in pixels, at most."""

SIDES = ((1500, LARGEST_SIDE), (4000, 96))
"""The longer side of thumbnails in pixels, for up to so many of them: (count, side)."""

SMALLEST_SIDE = 80
"""The longer side of thumbnails in pixels if there are more, which keeps the page small."""

JPEG_QUALITY = 72
"""Quality of thumbnails: small files in which one still sees what the image shows."""

NEGATIVE, ZERO, POSITIVE = (178, 78, 18), (244, 244, 244), (18, 92, 168)
"""Colors (RGB) of negative, zero and positive weights, which the color-blind can tell apart."""


def side_for(count: int) -> int:
    """Return the longer side of thumbnails in pixels, if there are `count` of them."""
    return next((side for most, side in SIDES if count <= most), SMALLEST_SIDE)


ON_SERVER = "it lies on a server, and a report asks servers only if --images names one"
"""Why there is no thumbnail: a file of predictions may come from others, and must not cause requests."""


def thumbnails(
    paths: Sequence[str], side: int, workers: Decoders, *, from_servers: bool = False
) -> Iterator[tuple[str, str]]:
    """Yield for each path its thumbnail (JPEG in base 64) and the reason why there is none; one is empty.

    Images are decoded as for a prediction: with the orientation that EXIF says, and with the same errors.

    Args:
        paths: of the images.
        side: pixels of the longer side.
        workers: processes that decode.
        from_servers: whether servers are asked for images that lie there.
    """
    recipe = Recipe(side, side, "pad")
    wanted = [path for path in paths if from_servers or not is_remote(path)]
    made = (
        ("", error) if error else (jpeg(_without_padding(column.reshape(recipe.shape))), "")
        for decoded in decode_all(wanted, recipe, workers)
        for column, error in zip(decoded.columns, decoded.errors, strict=True)
    )
    for path in paths:
        yield next(made) if from_servers or not is_remote(path) else ("", ON_SERVER)


def _without_padding(pixels: np.ndarray) -> np.ndarray:
    """Return pixels (height, width, 3) without black rows and columns at the edges."""
    is_set = pixels.max(axis=2) > 0
    rows, columns = np.flatnonzero(is_set.any(axis=1)), np.flatnonzero(is_set.any(axis=0))
    if not rows.size:
        return pixels
    return pixels[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def jpeg(pixels: np.ndarray) -> str:
    """Return an image (height, width, 1 or 3) uint8 as JPEG in base 64, scaled down to `LARGEST_SIDE`."""
    image = Image.fromarray(pixels if pixels.shape[2] == 3 else pixels[:, :, 0])
    image.thumbnail((LARGEST_SIDE, LARGEST_SIDE), Image.Resampling.BILINEAR)
    return _base64(image, "JPEG", quality=JPEG_QUALITY)


def weights_png(weights: np.ndarray, limit: float) -> str:
    """Return weights (height, width, 1 or 3) as PNG in base 64, scaled down to `LARGEST_SIDE`.

    With three channels, each weight changes its own color, and 0 is gray. With one channel, negative weights
    are orange, 0 is white, and positive weights are blue.

    Args:
        weights: of one unit, finite.
        limit: the absolute value from which on a color is full, more than 0.
    """
    shares = np.clip(weights / limit, -1, 1)
    if weights.shape[2] == 3:
        pixels = 128 + 127 * shares
    else:
        negative, zero, positive = (np.asarray(c, np.float64) for c in (NEGATIVE, ZERO, POSITIVE))
        pixels = zero + np.where(shares < 0, -shares * (negative - zero), shares * (positive - zero))
    image = Image.fromarray(np.round(pixels).astype(np.uint8))
    image.thumbnail((LARGEST_SIDE, LARGEST_SIDE), Image.Resampling.BOX)
    return _base64(image, "PNG")


def _base64(image: Image.Image, file_format: str, **options: int) -> str:
    file = BytesIO()
    image.save(file, file_format, optimize=True, **options)
    return base64.b64encode(file.getvalue()).decode("ascii")
