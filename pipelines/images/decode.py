"""Decode one image into one column of bytes: the same function for training and scoring.

What becomes of unusual images: of several frames the first is taken; 16-bit pixels keep their upper 8 bits;
transparent pixels are laid over white; CMYK and others become RGB; EXIF's orientation is applied.
Floating-point pixels have no natural range and are refused.
"""

from __future__ import annotations

import os
import stat
import warnings
from io import BytesIO
from typing import TYPE_CHECKING, Any

from PIL import Image, ImageOps, UnidentifiedImageError, features

from xpnet.errors import ImageError

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    import numpy as np

    from .recipe import Recipe

MOST_BYTES = 1 << 30
"""The largest file that is read."""

MOST_PIXELS = 178_956_970
"""The largest image that is decoded, which is Pillow's own limit: a small file may claim to be far larger."""

POSTSCRIPT = (b"%!PS", b"\xc5\xd0\xd3\xc6")
"""How PostScript begins, for which Pillow would start Ghostscript."""

ORIENTATION = 0x0112
"""EXIF's tag of the orientation."""

TRANSPOSE = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What undoes each orientation (EXIF 2.3, tag 274)."""


def decode_image(path: str, recipe: Recipe) -> np.ndarray:
    """Return what `pixels` does as an array (n_x,) uint8."""
    import numpy as np

    with quiet():
        return np.frombuffer(pixels(path, recipe), np.uint8)


def quiet() -> AbstractContextManager[Any]:
    """Return a context without Pillow's warnings of odd metadata: what matters raises.

    Entering it for each image would take a thirtieth of the time.
    """
    return warnings.catch_warnings(action="ignore")


def pixels(path: str, recipe: Recipe) -> bytes:
    """Return the image in a file as n_x bytes: rows of pixels from the top, channels fastest.

    Call it `quiet`.

    Args:
        path: of the file.
        recipe: size, resize mode and colours.

    Raises:
        ImageError: the file cannot be read, or is no image that can be decoded. The message is the reason.
    """
    content = _read(path)
    try:
        return _decoded(content, recipe)
    except ImageError:
        raise
    except UnidentifiedImageError:
        msg = "not an image, or of an unknown format"
        raise ImageError(msg) from None
    except Image.DecompressionBombError:
        msg = f"image of more than {MOST_PIXELS} pixels"
        raise ImageError(msg) from None
    except MemoryError:
        msg = "does not fit into memory"
        raise ImageError(msg) from None
    except Exception as error:
        # Decoders raise nearly anything on damaged files: OSError, SyntaxError, struct.error, IndexError, ...
        reason = " ".join(str(error).split()) or type(error).__name__
        msg = f"damaged or truncated image: {reason}"
        raise ImageError(msg) from None


def _read(path: str) -> bytes:
    try:
        _refuse_others(os.stat(path))
        with open(path, "rb") as file:
            content = file.read()
    except OSError as error:
        msg = f"cannot be read: {error.strerror or error}"
        raise ImageError(msg) from None
    except ImageError:
        raise
    except ValueError as error:  # a NUL in the path
        msg = f"cannot be read: {error}"
        raise ImageError(msg) from None
    return content


def _refuse_others(status: os.stat_result) -> None:
    """Raise `ImageError` for what is not to be opened: pipes and devices may have no end."""
    if not stat.S_ISREG(status.st_mode):
        msg = "is a directory" if stat.S_ISDIR(status.st_mode) else "is not a regular file"
        raise ImageError(msg)
    if not status.st_size:
        msg = "file is empty"
        raise ImageError(msg)
    if status.st_size > MOST_BYTES:
        msg = f"file of {status.st_size} bytes, expected at most {MOST_BYTES}"
        raise ImageError(msg)


def _decoded(content: bytes, recipe: Recipe) -> bytes:
    if content.startswith(POSTSCRIPT):
        msg = "PostScript, which is a program and not decoded"
        raise ImageError(msg)
    with Image.open(BytesIO(content)) as opened:
        _refuse_huge(*opened.size)
        image, orientation = _first_frame(opened, content, recipe)
    if orientation in TRANSPOSE:
        image = image.transpose(TRANSPOSE[orientation])
    return _resized(image, recipe).tobytes()


def _first_frame(opened: Image.Image, content: bytes, recipe: Recipe) -> tuple[Image.Image, int]:
    """Return the picture, a JPEG perhaps scaled down already, and the orientation it lies in."""
    mode = "RGB" if recipe.color_mode == "rgb" else "L"
    if opened.format not in ("JPEG", "MPO"):
        # Loaded before the orientation is read: in TIFFs Pillow applies it then, and removes it.
        return _converted(opened, mode), _orientation(opened)
    orientation = _orientation(opened)
    # libjpeg decodes at a fraction of the size for less: the smallest that is large enough.
    least = (recipe.height, recipe.width) if orientation >= 5 else (recipe.width, recipe.height)
    if recipe.decoder == "simplejpeg" and opened.mode in ("RGB", "L"):
        fast = _by_simplejpeg(content, mode, least)
        if fast is not None:
            return fast, orientation
    opened.draft(mode, least)
    return _converted(opened, mode), orientation


def _by_simplejpeg(content: bytes, mode: str, least: tuple[int, int]) -> Image.Image | None:
    """Return a JPEG as decoded by simplejpeg, or None: Pillow says whether it can be used, and why not."""
    import simplejpeg

    try:
        pixels = simplejpeg.decode_jpeg(
            content,
            "RGB" if mode == "RGB" else "GRAY",
            fastdct=False,
            fastupsample=False,
            min_width=least[0],
            min_height=least[1],
        )
    except ValueError:
        return None
    return Image.fromarray(pixels if mode == "RGB" else pixels[:, :, 0])


def _refuse_huge(width: int, height: int) -> None:
    if width * height > MOST_PIXELS:
        msg = f"image of {width} x {height} pixels, expected at most {MOST_PIXELS} in all"
        raise ImageError(msg)


def _orientation(image: Image.Image) -> int:
    """Return EXIF's orientation, 1 if there is none or if its data is damaged."""
    try:
        return int(image.getexif().get(ORIENTATION, 1))
    except Exception:
        return 1


def _converted(image: Image.Image, mode: str) -> Image.Image:
    """Return the first frame with 8-bit pixels of that mode, fully decoded."""
    image.load()
    if image.mode == "F":
        msg = "floating-point pixels have no natural range: save the image with 8 or 16 bits"
        raise ImageError(msg)
    if image.mode.startswith("I"):  # I;16, I;16B, I: 16 bits, of which Pillow would cut the upper ones
        import numpy as np

        wide = np.clip(np.asarray(image).astype(np.int64), 0, 65535)
        image = Image.fromarray((wide >> 8).astype(np.uint8))
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, (255, 255, 255, 255))
        image = Image.alpha_composite(white, image)
    return image if image.mode == mode else image.convert(mode)


def _resized(image: Image.Image, recipe: Recipe) -> Image.Image:
    size = (recipe.width, recipe.height)
    if recipe.resize_mode == "crop":
        return ImageOps.fit(image, size, Image.Resampling.BILINEAR)
    if recipe.resize_mode == "stretch":
        return image if image.size == size else image.resize(size, Image.Resampling.BILINEAR)
    # Not by ImageOps.pad, in which very thin images vanish.
    scale = min(recipe.width / image.width, recipe.height / image.height)
    inner = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    padded = Image.new(image.mode, size)
    corner = (recipe.width - inner[0]) // 2, (recipe.height - inner[1]) // 2
    padded.paste(image.resize(inner, Image.Resampling.BILINEAR), corner)
    return padded


def codecs() -> dict[str, str]:
    """Return the version of each of Pillow's decoders that are libraries of their own; empty if missing."""
    names = {"JPEG": "libjpeg_turbo", "PNG": "zlib", "WebP": "webp", "AVIF": "avif", "TIFF": "libtiff"}
    return {name: str(features.version(library) or "") for name, library in names.items()}
