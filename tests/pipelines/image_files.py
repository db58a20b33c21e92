"""Image files for the tests of decoding, and functions that decode them."""

import importlib.util
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from xpnet.errors import ImageError
from xpnet.pipelines.images import Workers, decode_all, decode_many
from xpnet.pipelines.images.decode import decode_to_bytes, usual_pillow
from xpnet.pipelines.images.recipe import DECODERS, Recipe

ORIENTATION_TAG = 0x0112

INSTALLED = [name for name in DECODERS if name == "pillow" or importlib.util.find_spec(name)]
"""The decoders that are installed here."""


def smooth(width: int, height: int) -> np.ndarray:
    """Return a picture (height, width, 3) without a symmetry: red grows rightwards, green downwards."""
    y, x = np.mgrid[:height, :width]
    red, green = 20 + 200 * x / width, 250 - 190 * y / height
    blue = 60 + 150 * (x / width) * (y / height) ** 2
    return np.stack([red, green, blue], axis=-1).round().astype(np.uint8)


def encoded(image: Image.Image | np.ndarray, suffix: str = "PNG", **options: Any) -> bytes:
    """Return an image as the bytes of a file of the format `suffix`."""
    image = Image.fromarray(image) if isinstance(image, np.ndarray) else image
    file = BytesIO()
    image.save(file, suffix, **({"compress_level": 1} if suffix == "PNG" else {}), **options)
    return file.getvalue()


def decode_image(path: str, recipe: Recipe) -> np.ndarray:
    """Return the image as an array (n_x,) uint8."""
    with usual_pillow():
        return np.frombuffer(decode_to_bytes(path, recipe)[0], np.uint8)


def decoded(folder: Path, content: bytes, **options: Any) -> np.ndarray:
    """Return what decoding a file of that content gives, as (height, width, channels)."""
    path = folder / "picture.jpg"
    path.write_bytes(content)
    recipe = Recipe(**options)
    return decode_image(str(path), recipe).reshape(recipe.shape)


def reason(path: Path | str, **options: Any) -> str:
    """Return why a path cannot be decoded."""
    with pytest.raises(ImageError) as caught:
        decode_image(str(path), Recipe(**options))
    assert str(caught.value)
    assert str(path) not in str(caught.value)
    return str(caught.value)


def difference(a: np.ndarray, b: np.ndarray) -> float:
    """Return the mean absolute difference."""
    return float(np.abs(a.astype(float) - b).mean())


def exif(orientation: int) -> bytes:
    """Return EXIF data with an orientation."""
    tags = Image.Exif()
    tags[ORIENTATION_TAG] = orientation
    return tags.tobytes()


def decoded_colors(given: list[str], count: int = 2, size: int = 3) -> list[int | str]:
    """Decode images; return the color of each, or its error."""
    found: list[int | str] = []
    with Workers(count) as decoders:
        for part in decode_all(given, Recipe(2, 3), decoders, size):
            found += [error or int(row[0]) for error, row in zip(part.errors, part.columns, strict=True)]
    return found


def decode_in_two(paths: list[str]) -> list[int | str]:
    """Decode images in two workers, which start at once. A module that other processes can import has it."""
    decode_many.ALONE_SECONDS = -1.0
    return decoded_colors(paths)
