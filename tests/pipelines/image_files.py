"""Image files for the tests of decoding, and functions that decode them."""

import importlib.util
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from xpnet.errors import ImageError
from xpnet.pipelines.images.decode import decode_image
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
