"""Decode one image into one column of bytes. Training and prediction use this same function.

Unusual images are decoded like this:

- Animations and files of several pages: the first frame.
- Pixels of 16 bits: the upper 8 bits.
- Transparent pixels: blended with a white background.
- CMYK and other colour spaces: converted to RGB.
- EXIF orientation: applied, so that the image is upright.
- Floating-point pixels: refused, because their range is unknown.
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

MAX_FILE_BYTES = 1 << 30
"""The largest file that is read, in bytes."""

MAX_PIXELS = 178_956_970
"""The largest image that is decoded, in pixels. It is Pillow's own limit: a small file can claim any size."""

POSTSCRIPT_SIGNATURES = (b"%!PS", b"\xc5\xd0\xd3\xc6")
"""The first bytes of PostScript files. Pillow would run Ghostscript to decode them."""

ORIENTATION_TAG = 0x0112
"""The number of EXIF's orientation tag."""

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


def decode_image(path: str, recipe: Recipe) -> np.ndarray:
    """Return the image as an array (n_x,) uint8. Arguments and errors are those of `decode_to_bytes`."""
    import numpy as np

    with ignore_pillow_warnings():
        return np.frombuffer(decode_to_bytes(path, recipe), np.uint8)


def ignore_pillow_warnings() -> AbstractContextManager[Any]:
    """Return a context in which Pillow does not warn about odd metadata. Errors are still raised.

    Enter it once for many images: entering it for each image would take 3 % of the decoding time.
    """
    return warnings.catch_warnings(action="ignore")


def decode_to_bytes(path: str, recipe: Recipe) -> bytes:
    """Return the image in a file as n_x bytes: rows from top to bottom, channels varying fastest.

    Call it inside `ignore_pillow_warnings()`.

    Args:
        path: the file.
        recipe: the size, the resize mode and the colour mode.

    Raises:
        ImageError: the file cannot be read or is not a valid image. The message does not name the path.
    """
    content = _read(path)
    try:
        return _decode(content, recipe)
    except ImageError:
        raise
    except UnidentifiedImageError:
        msg = "not an image, or of an unknown format"
        raise ImageError(msg) from None
    except Image.DecompressionBombError:
        msg = f"image of more than {MAX_PIXELS} pixels"
        raise ImageError(msg) from None
    except MemoryError:
        msg = "does not fit into memory"
        raise ImageError(msg) from None
    except Exception as error:
        # On damaged files decoders raise many types: OSError, SyntaxError, struct.error, IndexError, ...
        reason = " ".join(str(error).split()) or type(error).__name__
        msg = f"damaged or truncated image: {reason}"
        raise ImageError(msg) from None


def _read(path: str) -> bytes:
    try:
        status = os.stat(path)
        if stat.S_ISDIR(status.st_mode):
            os.scandir(path).close()  # a folder found in a folder: the reason may be that it cannot be listed
        _require_readable(status)
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        msg = f"cannot be read: {error.strerror or error}"
        raise ImageError(msg) from None
    except ImageError:
        raise
    except ValueError as error:  # the path contains a NUL character
        msg = f"cannot be read: {error}"
        raise ImageError(msg) from None


def _require_readable(status: os.stat_result) -> None:
    """Raise `ImageError` unless it is a regular file of a possible size: reading a pipe might never end."""
    if not stat.S_ISREG(status.st_mode):
        msg = "is a directory" if stat.S_ISDIR(status.st_mode) else "is not a regular file"
        raise ImageError(msg)
    if not status.st_size:
        msg = "file is empty"
        raise ImageError(msg)
    if status.st_size > MAX_FILE_BYTES:
        msg = f"file of {status.st_size} bytes, expected at most {MAX_FILE_BYTES}"
        raise ImageError(msg)


def _decode(content: bytes, recipe: Recipe) -> bytes:
    if content.startswith(POSTSCRIPT_SIGNATURES):
        msg = "PostScript is not decoded, because it is a program: convert the file to PNG or JPEG"
        raise ImageError(msg)
    with Image.open(BytesIO(content)) as opened:
        _require_size(*opened.size)
        image, orientation = _first_frame(opened, content, recipe)
    if orientation in UPRIGHT_TRANSPOSE:
        image = image.transpose(UPRIGHT_TRANSPOSE[orientation])
    return _resize(image, recipe).tobytes()


def _first_frame(opened: Image.Image, content: bytes, recipe: Recipe) -> tuple[Image.Image, int]:
    """Return the first frame, not yet turned upright, and its orientation. A JPEG may be scaled down."""
    mode = "RGB" if recipe.color_mode == "rgb" else "L"
    if opened.format not in ("JPEG", "MPO"):
        # Load first, then read the orientation: while loading a TIFF, Pillow applies and removes the tag.
        return _convert(opened, mode), _orientation(opened)
    orientation = _orientation(opened)
    # libjpeg can decode at 1/2, 1/4 or 1/8 of the size, which is faster. Ask for the smallest size that is
    # not below the wanted one. Orientations 5 to 8 swap width and height.
    least = (recipe.height, recipe.width) if orientation >= 5 else (recipe.width, recipe.height)
    if recipe.decoder == "simplejpeg" and opened.mode in ("RGB", "L"):
        decoded = _decode_by_simplejpeg(content, mode, least)
        if decoded is not None:
            return decoded, orientation
    opened.draft(mode, least)
    return _convert(opened, mode), orientation


def _decode_by_simplejpeg(content: bytes, mode: str, least: tuple[int, int]) -> Image.Image | None:
    """Return a JPEG decoded by simplejpeg, or None if simplejpeg fails: then Pillow decides about the file.

    Args:
        content: the file's bytes.
        mode: Pillow's mode, "RGB" or "L".
        least: the smallest width and height that are large enough.
    """
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


def _require_size(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        msg = f"image of {width} x {height} pixels, expected at most {MAX_PIXELS} in all"
        raise ImageError(msg)


def _orientation(image: Image.Image) -> int:
    """Return the EXIF orientation, or 1 (upright) if there is none or the EXIF data is damaged."""
    try:
        return int(image.getexif().get(ORIENTATION_TAG, 1))
    except Exception:
        return 1


def _convert(image: Image.Image, mode: str) -> Image.Image:
    """Return the first frame, fully decoded, with 8-bit pixels in that mode ("RGB" or "L")."""
    image.load()
    if image.mode == "F":
        msg = "floating-point pixels have no natural range: save the image with 8 or 16 bits"
        raise ImageError(msg)
    if image.mode.startswith("I"):  # I;16, I;16B or I: 16 bits, which Pillow would clip to 255
        import numpy as np

        wide = np.clip(np.asarray(image).astype(np.int64), 0, 65535)
        image = Image.fromarray((wide >> 8).astype(np.uint8))
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, (255, 255, 255, 255))
        image = Image.alpha_composite(white, image)
    return image if image.mode == mode else image.convert(mode)


def _resize(image: Image.Image, recipe: Recipe) -> Image.Image:
    size = (recipe.width, recipe.height)
    if recipe.resize_mode == "crop":
        return ImageOps.fit(image, size, Image.Resampling.BILINEAR)
    if recipe.resize_mode == "stretch":
        return image if image.size == size else image.resize(size, Image.Resampling.BILINEAR)
    # ImageOps.pad is not used: it shrinks very thin images to a side of 0 pixels.
    scale = min(recipe.width / image.width, recipe.height / image.height)
    inner = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    padded = Image.new(image.mode, size)
    corner = (recipe.width - inner[0]) // 2, (recipe.height - inner[1]) // 2
    padded.paste(image.resize(inner, Image.Resampling.BILINEAR), corner)
    return padded


def codec_versions() -> dict[str, str]:
    """Return the version of the library that Pillow uses for each format, or "" if it is missing."""
    names = {"JPEG": "libjpeg_turbo", "PNG": "zlib", "WebP": "webp", "AVIF": "avif", "TIFF": "libtiff"}
    return {name: str(features.version(library) or "") for name, library in names.items()}
