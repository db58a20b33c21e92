"""One picture, saved in every format and mode, gives one column. What cannot be read right is refused."""

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from image_files import decoded, encoded, reason, smooth
from PIL import Image, ImageCms

PICTURE = Image.fromarray(smooth(64, 48))
GRAY = PICTURE.convert("L")
ALPHA = Image.fromarray(np.tile(np.arange(0, 256, 4, dtype=np.uint8), (48, 1)))
RAMP = np.arange(16) / 15


def in_mode(mode: str) -> Image.Image:
    """Return the picture in one of Pillow's modes."""
    if mode == "I;16":
        return Image.fromarray(np.asarray(GRAY).astype(np.uint16) * 257)
    if mode == "I":
        return Image.fromarray(np.asarray(GRAY).astype(np.int32) * 257)
    if mode == "LAB":
        return ImageCms.profileToProfile(  # type: ignore[return-value]
            PICTURE, ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), outputMode="LAB"
        )
    image = PICTURE.quantize(64) if mode in ("P", "PA") else GRAY if mode in ("L", "LA") else PICTURE
    image = image.convert(mode)
    if mode in ("RGBA", "LA", "PA"):
        image.putalpha(ALPHA)
    return image


def wanted(mode: str) -> np.ndarray:
    """Return the picture in that mode as 8-bit RGB over white."""
    image = PICTURE.quantize(64) if mode in ("P", "PA") else PICTURE
    image = GRAY if mode in ("L", "LA", "I;16", "I") else PICTURE.convert("1") if mode == "1" else image
    image = image.convert("RGB")
    if mode in ("RGBA", "LA", "PA"):
        image = Image.composite(image, Image.new("RGB", image.size, "white"), ALPHA)
    return np.asarray(image).astype(int)


MODES = {
    "AVIF": "1 L P RGB RGBA CMYK LA",
    "BMP": "1 L P RGB",
    "DDS": "L RGB RGBA LA",
    "GIF": "1 L P",
    "ICO": "1 L P RGB RGBA LA I;16",
    "JPEG": "L RGB CMYK YCbCr",
    "JPEG2000": "L RGB RGBA CMYK YCbCr LA I;16",
    "PCX": "1 L P RGB",
    "PNG": "1 L P RGB RGBA LA I;16",
    "PPM": "1 L RGB I;16 I",
    "QOI": "RGB RGBA",
    "SGI": "L RGB RGBA",
    "TGA": "1 L P RGB RGBA LA",
    "TIFF": "1 L P RGB RGBA CMYK LA PA RGBX I;16 LAB",
    "WEBP": "1 L P RGB RGBA CMYK YCbCr LA RGBX",
}
OPTIONS: dict[str, dict[str, Any]] = {
    "WEBP": {"lossless": True},
    "JPEG": {"quality": 95, "subsampling": 0},
    "AVIF": {"quality": 100, "subsampling": "4:4:4"},
    "ICO": {"sizes": [(64, 48)]},
}


@pytest.mark.parametrize(("suffix", "mode"), [(name, mode) for name in MODES for mode in MODES[name].split()])
def test_one_picture_saved_in_several_ways(tmp_path: Path, suffix: str, mode: str) -> None:
    Image.init()
    try:
        content = encoded(in_mode(mode), suffix, **OPTIONS.get(suffix, {}))
    except (KeyError, OSError):
        pytest.skip("this Pillow does not write it")
    away = np.abs(decoded(tmp_path, content, height=48, width=64) - wanted(mode))
    assert away.max() <= (4 if mode != "LAB" else 30)  # LAB with 8 bits is coarse where colors are strong
    assert away.mean() < 1.5


def chunk(name: bytes, content: bytes) -> bytes:
    """Return a chunk of a PNG."""
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png(bits: int, color: int, pixels: np.ndarray, transparent: bytes = b"") -> bytes:
    """Return a PNG of one row of 16 pixels."""
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", 16, 1, bits, color, 0, 0, 0))
        + (chunk(b"tRNS", transparent) if transparent else b"")
        + chunk(b"IDAT", zlib.compress(b"\0" + packed(pixels, bits, ">")))
        + chunk(b"IEND", b"")
    )


def tiff(bits: int, photometric: int, pixels: np.ndarray, end: str = "<", **others: int) -> bytes:
    """Return a TIFF of one row of 16 pixels. Others: extra (ExtraSamples), kind (SampleFormat), planar."""
    data, channels, planes = packed(pixels, bits, end), pixels.size // 16, others.get("planar", 1)
    pieces = channels if planes == 2 else 1
    tags = {256: [16], 257: [1], 258: [bits] * channels, 259: [1], 262: [photometric], 273: [0] * pieces}
    tags |= {277: [channels], 278: [1], 279: [len(data) // pieces] * pieces, 284: [planes]}
    tags |= {338: [others["extra"]]} if "extra" in others else {}
    tags |= {339: [others["kind"]] * channels} if "kind" in others else {}
    at = 8 + 2 + 12 * len(tags) + 4
    start = at + sum(4 * len(values) for values in tags.values() if len(values) > 1)
    tags[273] = [start + k * len(data) // pieces for k in range(pieces)]
    directory, more = b"", b""
    for tag, values in tags.items():
        raw = struct.pack(f"{end}{len(values)}I", *values)
        place = raw if len(values) == 1 else struct.pack(end + "I", at + len(more))
        more += raw if len(values) > 1 else b""
        directory += struct.pack(end + "HHI", tag, 4, len(values)) + place
    mark = b"II*\0" if end == "<" else b"MM\0*"
    return mark + struct.pack(end + "IH", 8, len(tags)) + directory + bytes(4) + more + data


def packed(pixels: np.ndarray, bits: int, end: str) -> bytes:
    """Return whole numbers in so many bits each."""
    if bits >= 8 and bits != 12:
        return pixels.astype(f"{end}u{bits // 8}").tobytes()
    text = "".join(format(int(value), f"0{bits}b") for value in pixels.ravel())
    text += "0" * (-len(text) % 8)
    return bytes(int(text[i : i + 8], 2) for i in range(0, len(text), 8))


def row(folder: Path, content: bytes) -> np.ndarray:
    """Return the red of the 16 pixels of a file."""
    return decoded(folder, content, height=1, width=16)[0, :, 0].astype(int)


def levels(bits: int) -> np.ndarray:
    """Return 16 pixels from black to white, in so many bits."""
    return (RAMP * (2**bits - 1)).round().astype(int)


@pytest.mark.parametrize("end", ["<", ">"])
@pytest.mark.parametrize(("bits", "photometric"), [(1, 0), (1, 1), (4, 0), (4, 1), (8, 0), (8, 1), (16, 1)])
def test_gray_tiff_of_every_depth(tmp_path: Path, bits: int, photometric: int, end: str) -> None:
    white = 2**bits - 1
    pixels = levels(bits) if photometric else white - levels(bits)
    got = row(tmp_path, tiff(bits, photometric, pixels, end))
    np.testing.assert_allclose(got, levels(bits) / white * 255, atol=1)


@pytest.mark.parametrize(("bits", "photometric"), [(16, 0), (12, 1)])
def test_gray_tiff_of_12_bits_and_inverted(tmp_path: Path, bits: int, photometric: int) -> None:
    white = 2**bits - 1
    got = row(tmp_path, tiff(bits, photometric, levels(bits) if photometric else white - levels(bits)))
    np.testing.assert_allclose(got, RAMP * 255, atol=1)


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("extra", [0, 1, 2])
def test_alpha_in_a_tiff(tmp_path: Path, bits: int, extra: int) -> None:
    """ExtraSamples 0 is no transparency, 1 is premultiplied, 2 is not."""
    white = 2**bits - 1
    alpha = np.linspace(1, 0.2, 16)
    color = levels(bits) * alpha if extra == 1 else levels(bits)
    got = row(tmp_path, tiff(bits, 2, np.stack([color] * 3 + [alpha * white], 1).round(), extra=extra))
    np.testing.assert_allclose(got, RAMP * 255 if extra == 0 else (RAMP * alpha + 1 - alpha) * 255, atol=3)


@pytest.mark.parametrize(
    ("content", "want"),
    [
        (tiff(32, 1, levels(32)), "natural range"),
        (tiff(32, 1, levels(31), kind=2), "natural range"),
        (tiff(16, 1, levels(15), kind=2), "natural range"),
        (tiff(8, 1, levels(7), kind=2), "natural range"),
        (tiff(16, 2, np.stack([levels(16)] * 3), planar=2), "16-bit planes"),
        (tiff(32, 0, levels(32)), "not supported: unknown pixel mode"),
    ],
    ids=["u32", "s32", "s16", "s8", "planes", "inverted"],
)
def test_pixels_that_pillow_reads_wrong_are_refused(tmp_path: Path, content: bytes, want: str) -> None:
    (tmp_path / "x.tif").write_bytes(content)
    assert want in reason(tmp_path / "x.tif")


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
@pytest.mark.parametrize("index", [0, 1, 7, 15])
def test_a_transparent_gray_of_every_depth(tmp_path: Path, bits: int, index: int) -> None:
    values = levels(bits)
    got = row(tmp_path, png(bits, 0, values, struct.pack(">H", values[index])))
    want = np.where(values == values[index], 255, values / (2**bits - 1) * 255)
    np.testing.assert_allclose(got, want, atol=1)


@pytest.mark.parametrize("bits", [8, 16])
def test_a_transparent_color_of_every_depth(tmp_path: Path, bits: int) -> None:
    """All bits count: a color that differs in the last bit is not transparent."""
    near = 0x4156 if bits == 16 else 0x41
    pixels = np.array([[near, near, near], [near ^ 1, near, near]] * 8)
    got = row(tmp_path, png(bits, 2, pixels, struct.pack(">HHH", near, near, near)))
    assert got.reshape(8, 2).tolist() == [[255, 0x41 if bits == 16 else 0x40]] * 8


def swapped_profile() -> bytes:
    """Return the profile of sRGB with the primary colors of red and blue exchanged."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    at = {bytes(profile[i : i + 4]): i for i in range(132, 132 + 12 * profile[131], 12)}
    red, blue = at[b"rXYZ"], at[b"bXYZ"]
    profile[red : red + 4], profile[blue : blue + 4] = b"bXYZ", b"rXYZ"
    return bytes(profile)


@pytest.mark.parametrize("suffix", ["PNG", "JPEG", "TIFF", "WEBP"])
def test_a_color_profile_is_applied(tmp_path: Path, suffix: str, decoder: str) -> None:
    options = {"icc_profile": swapped_profile(), **OPTIONS.get(suffix, {})}
    content = encoded(Image.new("RGB", (16, 16), (250, 20, 10)), suffix, **options)
    got = decoded(tmp_path, content, height=4, width=4, decoder=decoder)
    np.testing.assert_allclose(got, np.full((4, 4, 3), (10, 20, 250)), atol=5)
    got = decoded(tmp_path, content, height=4, width=4, decoder=decoder, color_mode="grayscale")
    np.testing.assert_allclose(got, 43, atol=5)


def test_a_color_profile_keeps_the_transparency(tmp_path: Path) -> None:
    image = Image.new("RGBA", (4, 4), (255, 0, 0, 255))
    image.paste((255, 0, 0, 0), (0, 0, 2, 4))
    got = decoded(tmp_path, encoded(image, icc_profile=swapped_profile()), height=4, width=4)
    np.testing.assert_array_equal(got[:, :2], 255)
    np.testing.assert_allclose(got[:, 2:], np.full((4, 2, 3), (0, 0, 255)), atol=2)


def test_the_profile_of_srgb_changes_nothing(tmp_path: Path) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for image in (PICTURE, GRAY):
        got = decoded(tmp_path, encoded(image, icc_profile=profile), height=48, width=64)
        np.testing.assert_allclose(got, np.asarray(image.convert("RGB")), atol=1)


def test_a_profile_that_cannot_be_read_is_ignored(tmp_path: Path) -> None:
    got = decoded(tmp_path, encoded(PICTURE, icc_profile=b"no profile"), height=48, width=64)
    np.testing.assert_array_equal(got, np.asarray(PICTURE))
