"""Decoding of all kinds of pixels: palettes, transparency, CMYK, 16 bits, grayscale, frames."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from image_files import decoded, difference, encoded, reason, smooth
from PIL import Image


@pytest.mark.parametrize(
    ("mode", "color", "want"),
    [
        ("1", 0, (0, 0, 0)),
        ("1", 1, (255, 255, 255)),
        ("L", 77, (77, 77, 77)),
        ("LA", (100, 255), (100, 100, 100)),
        ("LA", (100, 51), (224, 224, 224)),
        ("LA", (100, 0), (255, 255, 255)),
        ("RGB", (1, 20, 250), (1, 20, 250)),
        ("RGBA", (1, 20, 250, 255), (1, 20, 250)),
        ("RGBA", (0, 100, 255, 51), (204, 224, 255)),
        ("RGBA", (1, 20, 250, 0), (255, 255, 255)),
    ],
)
def test_a_color_in_a_png(tmp_path: Path, mode: str, color: Any, want: tuple[int, ...], decoder: str) -> None:
    content = encoded(Image.new(mode, (9, 7), color))
    for height, width in ((7, 9), (4, 4), (20, 30)):
        got = decoded(tmp_path, content, height=height, width=width, decoder=decoder)
        np.testing.assert_allclose(got, np.full((height, width, 3), want), atol=int("A" in mode))


@pytest.mark.parametrize("suffix", ["PNG", "GIF", "TIFF"])
def test_a_palette_is_looked_up(tmp_path: Path, suffix: str) -> None:
    image = Image.new("P", (4, 4), 1)
    image.putpalette([255, 0, 0, 10, 200, 30])
    got = decoded(tmp_path, encoded(image, suffix), height=4, width=4)
    np.testing.assert_array_equal(got, np.full((4, 4, 3), (10, 200, 30)))


@pytest.mark.parametrize("suffix", ["PNG", "GIF"])
def test_a_transparent_color_of_a_palette_is_white(tmp_path: Path, suffix: str) -> None:
    image = Image.new("P", (4, 4), 0)
    image.putpalette([255, 0, 0, 10, 200, 30])
    image.paste(1, (2, 0, 4, 4))
    got = decoded(tmp_path, encoded(image, suffix, transparency=0), height=4, width=4)
    np.testing.assert_array_equal(got[:, :2], 255)
    np.testing.assert_array_equal(got[:, 2:], np.full((4, 2, 3), (10, 200, 30)))


@pytest.mark.parametrize(("mode", "color"), [("1", 0), ("L", 100), ("RGB", (1, 2, 3))])
def test_a_transparent_color_without_an_alpha_channel_is_white(tmp_path: Path, mode: str, color: Any) -> None:
    content = encoded(Image.new(mode, (4, 4), color), transparency=color)
    np.testing.assert_array_equal(decoded(tmp_path, content, height=4, width=4), 255)


@pytest.mark.parametrize("suffix", ["JPEG", "TIFF"])
def test_cmyk(tmp_path: Path, suffix: str, decoder: str) -> None:
    """Red is (255 - C) (255 - K) / 255, and so on."""
    content = encoded(Image.new("CMYK", (16, 16), (0, 100, 200, 50)), suffix)
    got = decoded(tmp_path, content, height=4, width=4, decoder=decoder)
    np.testing.assert_allclose(got, np.full((4, 4, 3), (205, 125, 44)), atol=2)


def test_ycbcr(tmp_path: Path, decoder: str) -> None:
    """JFIF: red is Y + 1.402 (Cr - 128), and so on."""
    content = encoded(Image.new("YCbCr", (16, 16), (200, 100, 150)), "JPEG")
    got = decoded(tmp_path, content, height=16, width=16, decoder=decoder)
    np.testing.assert_allclose(got, np.full((16, 16, 3), (231, 194, 150)), atol=2)


@pytest.mark.parametrize(
    ("dtype", "suffix"), [("<u2", "PNG"), ("<u2", "TIFF"), (">u2", "TIFF"), ("i4", "PPM")]
)
def test_of_16_bits_the_upper_8_are_kept(tmp_path: Path, dtype: str, suffix: str) -> None:
    ramp = np.tile(np.arange(256) * 256 + 255, (2, 1)).astype(dtype)
    got = decoded(tmp_path, encoded(ramp, suffix), height=2, width=256)
    np.testing.assert_array_equal(got, np.tile(np.arange(256)[:, np.newaxis], (2, 1, 3)))
    got = decoded(tmp_path, encoded(ramp, suffix), height=2, width=256, color_mode="grayscale")
    np.testing.assert_array_equal(got, np.tile(np.arange(256)[:, np.newaxis], (2, 1, 1)))


def test_integers_of_unknown_range_are_refused(tmp_path: Path) -> None:
    pixels = np.array([[0, 2**31 - 1]], np.int32)
    (tmp_path / "x.tif").write_bytes(encoded(pixels, "TIFF"))
    assert "no natural range" in reason(tmp_path / "x.tif")


def test_floating_point_pixels_are_refused(tmp_path: Path) -> None:
    (tmp_path / "x.tif").write_bytes(encoded(Image.new("F", (4, 4), 0.5), "TIFF"))
    assert "floating-point pixels have no natural range" in reason(tmp_path / "x.tif")


@pytest.mark.parametrize("suffix", ["GIF", "TIFF", "PNG"])
def test_the_first_frame_is_taken(tmp_path: Path, suffix: str) -> None:
    red, blue = Image.new("RGB", (4, 4), (255, 0, 0)), Image.new("RGB", (4, 4), (0, 0, 255))
    content = encoded(red, suffix, save_all=True, append_images=[blue, blue])
    got = decoded(tmp_path, content, height=4, width=4)
    np.testing.assert_array_equal(got, np.full((4, 4, 3), (255, 0, 0)))


@pytest.mark.parametrize(("color", "want"), [((255, 0, 0), 76), ((0, 255, 0), 150), ((0, 0, 255), 29)])
@pytest.mark.parametrize("suffix", ["PNG", "JPEG"])
def test_gray_is_the_luma(
    tmp_path: Path, suffix: str, color: tuple[int, ...], want: int, decoder: str
) -> None:
    """ITU-R 601: 0.299 red, 0.587 green, 0.114 blue."""
    content = encoded(Image.new("RGB", (16, 16), color), suffix)
    got = decoded(tmp_path, content, height=6, width=6, color_mode="grayscale", decoder=decoder)
    np.testing.assert_allclose(got, np.full((6, 6, 1), want), atol=1)


def test_a_gray_jpeg_has_three_equal_channels(tmp_path: Path, decoder: str) -> None:
    content = encoded(smooth(32, 32)[:, :, 0], "JPEG", quality=95)
    got = decoded(tmp_path, content, height=32, width=32, decoder=decoder)
    np.testing.assert_array_equal(got, got[:, :, :1].repeat(3, axis=2))
    assert difference(got[:, :, 0], smooth(32, 32)[:, :, 0]) < 1
