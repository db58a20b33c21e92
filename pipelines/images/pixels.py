"""Convert pixels of any kind to 8 bits: sRGB or grayscale. What cannot be read right is refused."""

from __future__ import annotations

import functools
from io import BytesIO
from typing import TYPE_CHECKING, Any

from PIL import Image

from xpnet.errors import ImageError

from .resize import strips

if TYPE_CHECKING:
    from collections.abc import Callable

    from PIL import ImageCms

    Convert = Callable[[Image.Image], Image.Image]

FORMATS_OF_16_BITS = {"I;16": ("PNG", "TIFF", "PPM", "JPEG2000", "ICO", "ICNS", "IM"), "I": ("PNG", "PPM")}
"""For each of Pillow's modes, the formats whose pixels it reads so that 65535 is white."""

LOWER_8_BITS = "RGB;16L"
"""Pillow's name for 16-bit pixels of which the second byte is kept."""

DEPTH_TAG, COMPRESSION_TAG, PHOTOMETRIC_TAG, PLANAR_TAG, SAMPLE_FORMAT_TAG = 258, 259, 262, 284, 339
"""The numbers of TIFF's tags BitsPerSample, Compression and so on."""

UNCOMPRESSED, WHITE_IS_ZERO, SEPARATE_PLANES, UNSIGNED = 1, 0, 2, 1
"""Values of TIFF's tags Compression, PhotometricInterpretation, PlanarConfiguration and SampleFormat."""


def require_known_range(image: Image.Image) -> None:
    """Raise `ImageError` if it is unknown which values are black and white. Call it before loading."""
    if image.mode == "F":
        msg = "floating-point pixels have no natural range: save the image with 8 or 16 bits"
        raise ImageError(msg)
    if set(_tiff_tag(image, SAMPLE_FORMAT_TAG, UNSIGNED)) != {UNSIGNED}:
        msg = "signed or unusual pixels have no natural range: save the image with unsigned 8 or 16 bits"
        raise ImageError(msg)
    if image.mode.startswith("I") and image.format not in FORMATS_OF_16_BITS[image.mode[:4]]:
        msg = f"integers of this size have no natural range in {image.format}: save the image as 16-bit PNG"
        raise ImageError(msg)
    if (
        SEPARATE_PLANES in _tiff_tag(image, PLANAR_TAG, 1)
        and UNCOMPRESSED in _tiff_tag(image, COMPRESSION_TAG, UNCOMPRESSED)
        and max(_tiff_tag(image, DEPTH_TAG, 1)) > 8
    ):  # Pillow would read them wrong
        msg = "uncompressed 16-bit planes are not supported: save the image with interleaved channels"
        raise ImageError(msg)


def make_16_bit_color_transparent(image: Image.Image, content: bytes) -> None:
    """Give a 16-bit RGB PNG, in which one color is transparent, an alpha channel. Call it before loading.

    Pillow would compare the 16 bits of that color with the 8 bits that it keeps of each channel.
    """
    transparent = image.info.get("transparency")
    if image.format != "PNG" or content[24] != 16 or not isinstance(transparent, tuple):
        return
    if image.tell():
        msg = "a transparent color of 16 bits is not supported in a later frame"
        raise ImageError(msg)
    import numpy as np

    with Image.open(BytesIO(content)) as lower:
        # Read in the wrong byte order, the file gives the lower 8 bits.
        lower.tile = [tile._replace(args=LOWER_8_BITS) for tile in lower.tile]
        alpha = Image.new("L", image.size)
        for box in strips(*image.size):
            is_opaque = np.zeros((box[3] - box[1], box[2] - box[0]), bool)
            for part, shift in ((image.crop(box), 8), (lower.crop(box), 0)):
                color = np.array([channel >> shift & 255 for channel in transparent], np.uint8)
                is_opaque |= (np.asarray(part) != color).any(axis=2)
            alpha.paste(Image.fromarray(is_opaque.astype(np.uint8) * np.uint8(255)), box)
    del image.info["transparency"]
    image.putalpha(alpha)


def converter(image: Image.Image, opened: Image.Image, content: bytes, mode: str) -> Convert | None:
    """Return the function that converts parts of an image, or None if the image already has that mode.

    Args:
        image: the decoded image. Its parts are made by `Image.crop`.
        opened: the image as Pillow opened it. It has the format and the tags.
        content: the bytes of the file.
        mode: the mode of the result, "RGB" or "L".
    """
    profile = image.info.get("icc_profile")
    if image.mode == mode and not image.has_transparency_data and not profile:
        return None
    gray_to_8_bits = _gray_to_8_bits(image, opened, content)

    def convert(part: Image.Image) -> Image.Image:
        part = gray_to_8_bits(part)
        alpha = None
        if part.has_transparency_data:
            if part.mode in ("La", "RGBa"):  # multiplied by the transparency
                part = part.convert(part.mode.upper())
            alpha = (part if "A" in part.getbands() else part.convert("RGBA")).getchannel("A")
            part.info.pop("transparency", None)
            part = part.convert({"LA": "L", "L": "L", "1": "L"}.get(part.mode, "RGB"))
        part = _to_srgb(part, profile)
        if alpha is not None:
            part = part.convert("RGBA")
            part.putalpha(alpha)
            part = Image.alpha_composite(Image.new("RGBA", part.size, (255, 255, 255, 255)), part)
        return part if part.mode == mode else part.convert(mode)

    return convert


def _gray_to_8_bits(image: Image.Image, opened: Image.Image, content: bytes) -> Convert:
    """Return the function that gives gray parts 8 bits, with the color that a PNG makes transparent."""
    transparent = image.info.get("transparency")
    is_png = opened.format == "PNG" and content[12:16] == b"IHDR"
    if image.mode == "L" and is_png and isinstance(transparent, int):
        depth = content[24]  # Pillow scales pixels of 2 and 4 bits to 0..255, but not this color
        return _with_transparent(min(transparent * 255 // (2**depth - 1), 255) if depth < 8 else transparent)
    if not image.mode.startswith("I"):
        return lambda part: part
    shift, white = 8, 0
    if opened.format == "TIFF":
        shift = max(_tiff_tag(opened, DEPTH_TAG, 16)) - 8
        if WHITE_IS_ZERO in _tiff_tag(opened, PHOTOMETRIC_TAG, 1):
            white = 255

    def convert(part: Image.Image) -> Image.Image:
        import numpy as np

        wide = np.asarray(part)
        if wide.dtype.kind == "i":
            wide = wide.clip(0, 65535)
        gray = Image.fromarray((wide >> shift).astype(np.uint8) ^ np.uint8(white))
        if isinstance(transparent, int):
            gray.putalpha(Image.fromarray(np.where(wide == transparent, 0, 255).astype(np.uint8)))
        return gray

    return convert


def _with_transparent(color: int) -> Convert:
    def convert(part: Image.Image) -> Image.Image:
        part.info["transparency"] = color
        return part

    return convert


def _to_srgb(part: Image.Image, profile: bytes | None) -> Image.Image:
    """Return the part in sRGB, as "RGB" or "L". A profile that cannot be read is ignored, as browsers do."""
    if part.mode == "LAB":
        return _apply(_lab_to_srgb(), part)
    if part.mode not in ("L", "RGB", "CMYK"):
        part = part.convert("L" if part.mode == "1" else "RGB")
    if profile:
        for source in (part.mode, "RGB") if part.mode == "L" else (part.mode,):
            transform = _profile_to_srgb(profile, source)
            if transform is not None:
                return _apply(transform, part if part.mode == source else part.convert(source))
    return part.convert("RGB") if part.mode == "CMYK" else part


def _apply(transform: ImageCms.ImageCmsTransform, part: Image.Image) -> Image.Image:
    from PIL import ImageCms  # imported only for images with a color profile: workers start faster

    converted = ImageCms.applyTransform(part, transform)
    if converted is None:
        msg = "its color profile cannot be applied"
        raise ImageError(msg)
    return converted


@functools.lru_cache(maxsize=16)
def _profile_to_srgb(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """Return the conversion to sRGB, or None if the profile is damaged or for other kinds of pixels."""
    from PIL import ImageCms

    try:
        source = ImageCms.ImageCmsProfile(BytesIO(profile))
        return ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB")
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None


@functools.cache
def _lab_to_srgb() -> ImageCms.ImageCmsTransform:
    from PIL import ImageCms

    return ImageCms.buildTransform(
        ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB"), "LAB", "RGB"
    )


def _tiff_tag(image: Image.Image, tag: int, default: int) -> tuple[int, ...]:
    """Return the values of a TIFF tag."""
    tags: Any = getattr(image, "tag_v2", {})
    values = tags.get(tag, default)
    return values if isinstance(values, tuple) else (values,)
