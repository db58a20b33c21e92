"""Decoded images, against colours that are known and what Pillow says of EXIF's orientation."""

import importlib.util
import os
import struct
import sys
import threading
import zlib
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps, features

from xpnet.errors import ImageError
from xpnet.pipelines.images import decode
from xpnet.pipelines.images.decode import codec_versions, decode_image
from xpnet.pipelines.images.recipe import DECODERS, RESIZE_MODES, Recipe

ORIENTATION = 0x0112

INSTALLED = [name for name in DECODERS if name == "pillow" or importlib.util.find_spec(name)]


@pytest.fixture(params=["pillow", "simplejpeg"])
def decoder(request: pytest.FixtureRequest) -> str:
    if request.param != "pillow":
        pytest.importorskip(request.param)
    return str(request.param)


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for tests of many examples, which write over each other's file."""
    return tmp_path_factory.mktemp("images")


def smooth(width: int, height: int) -> np.ndarray:
    """Return a picture (height, width, 3) without a symmetry: red grows rightwards, green downwards."""
    y, x = np.mgrid[:height, :width]
    red, green = 20 + 200 * x / width, 250 - 190 * y / height
    blue = 60 + 150 * (x / width) * (y / height) ** 2
    return np.stack([red, green, blue], axis=-1).round().astype(np.uint8)


def encoded(image: Image.Image | np.ndarray, suffix: str = "PNG", **options: Any) -> bytes:
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


def lying(upright: np.ndarray, orientation: int) -> np.ndarray:
    """Return the rows that a file of that orientation stores: EXIF 2.3 names what its row 0 and column 0 show."""
    flips: dict[int, np.ndarray] = {
        1: upright,  # top, left
        2: upright[:, ::-1],  # top, right
        3: upright[::-1, ::-1],  # bottom, right
        4: upright[::-1],  # bottom, left
        5: upright.swapaxes(0, 1),  # left, top
        6: upright[:, ::-1].swapaxes(0, 1),  # right, top
        7: upright[::-1, ::-1].swapaxes(0, 1),  # right, bottom
        8: upright[::-1].swapaxes(0, 1),  # left, bottom
    }
    return np.ascontiguousarray(flips[orientation])


def exif(orientation: int) -> bytes:
    tags = Image.Exif()
    tags[ORIENTATION] = orientation
    return tags.tobytes()


def segment(marker: int, content: bytes) -> bytes:
    """Return a segment of a JPEG."""
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


def png(width: int, height: int) -> bytes:
    """Return a PNG that claims a size, and has almost no pixels."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    parts = {b"IHDR": header, b"IDAT": zlib.compress(bytes(99)), b"IEND": b""}
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(name, content) for name, content in parts.items())


# Shape and order


@pytest.mark.parametrize("suffix", ["PNG", "JPEG", "GIF", "BMP", "TIFF"])
@pytest.mark.parametrize("mode", RESIZE_MODES)
@pytest.mark.parametrize("color", ["rgb", "grayscale"])
def test_every_result_is_a_column_of_bytes(
    tmp_path: Path, suffix: str, mode: str, color: str, decoder: str
) -> None:
    path = tmp_path / "x"
    path.write_bytes(encoded(smooth(37, 23), suffix))
    for height, width in ((23, 37), (8, 8), (5, 50), (64, 3)):
        recipe = Recipe(height, width, mode, color, decoder)
        column = decode_image(str(path), recipe)
        assert column.dtype == np.uint8
        assert column.shape == (recipe.n_x,)
        assert column.flags.c_contiguous


def test_rows_from_the_top_and_channels_fastest(tmp_path: Path) -> None:
    pixels = np.arange(18, dtype=np.uint8).reshape(2, 3, 3)
    path = tmp_path / "x.png"
    path.write_bytes(encoded(pixels))
    assert decode_image(str(path), Recipe(2, 3)).tolist() == list(range(18))


@pytest.mark.parametrize("mode", RESIZE_MODES)
@pytest.mark.parametrize("suffix", ["PNG", "JPEG"])
def test_one_pixel_fills_the_image(tmp_path: Path, mode: str, suffix: str, decoder: str) -> None:
    content = encoded(Image.new("RGB", (1, 1), (10, 200, 90)), suffix)
    got = decoded(tmp_path, content, height=5, width=5, resize_mode=mode, decoder=decoder)
    np.testing.assert_allclose(got, np.full((5, 5, 3), (10, 200, 90)), atol=0 if suffix == "PNG" else 2)


@pytest.mark.parametrize("mode", RESIZE_MODES)
@pytest.mark.parametrize("size", [(900, 1), (1, 900)])
def test_a_line_can_be_resized(tmp_path: Path, mode: str, size: tuple[int, int], decoder: str) -> None:
    content = encoded(Image.new("RGB", size, (255, 255, 255)), "JPEG")
    got = decoded(tmp_path, content, height=8, width=8, resize_mode=mode, decoder=decoder)
    assert got.max() == 255
    assert (got.min() == 0) == (mode == "pad")


# Modes of pixels


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
    ("dtype", "suffix"), [("<u2", "PNG"), ("<u2", "TIFF"), (">u2", "TIFF"), ("i4", "TIFF")]
)
def test_of_16_bits_the_upper_8_are_kept(tmp_path: Path, dtype: str, suffix: str) -> None:
    ramp = np.tile(np.arange(256) * 256 + 255, (2, 1)).astype(dtype)
    got = decoded(tmp_path, encoded(ramp, suffix), height=2, width=256)
    np.testing.assert_array_equal(got, np.tile(np.arange(256)[:, np.newaxis], (2, 1, 3)))
    got = decoded(tmp_path, encoded(ramp, suffix), height=2, width=256, color_mode="grayscale")
    np.testing.assert_array_equal(got, np.tile(np.arange(256)[:, np.newaxis], (2, 1, 1)))


def test_wide_integers_do_not_wrap(tmp_path: Path) -> None:
    pixels = np.array([[-5, 0, 65535, 65536, 2**31 - 1]], np.int32)
    got = decoded(tmp_path, encoded(pixels, "TIFF"), height=1, width=5, color_mode="grayscale")
    assert got.ravel().tolist() == [0, 0, 255, 255, 255]


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


# Geometry


def test_crop_takes_the_middle(tmp_path: Path) -> None:
    pixels = np.zeros((10, 30, 3), np.uint8)
    pixels[:, 10:20] = (9, 80, 200)
    got = decoded(tmp_path, encoded(pixels), height=10, width=10, resize_mode="crop")
    np.testing.assert_array_equal(got, np.full((10, 10, 3), (9, 80, 200)))
    got = decoded(tmp_path, encoded(pixels.swapaxes(0, 1)), height=10, width=10, resize_mode="crop")
    np.testing.assert_array_equal(got, np.full((10, 10, 3), (9, 80, 200)))


def test_crop_of_a_scaled_jpeg_takes_the_middle(tmp_path: Path, decoder: str) -> None:
    pixels = np.zeros((320, 960, 3), np.uint8)
    pixels[:, 320:640] = (9, 80, 200)
    content = encoded(pixels, "JPEG", quality=95)
    got = decoded(tmp_path, content, height=32, width=32, resize_mode="crop", decoder=decoder)
    np.testing.assert_allclose(got[:, 2:-2], np.full((32, 28, 3), (9, 80, 200)), atol=4)


def test_pad_is_black_and_keeps_the_proportions(tmp_path: Path) -> None:
    content = encoded(Image.new("RGB", (20, 10), (255, 255, 255)))
    got = decoded(tmp_path, content, height=20, width=20, resize_mode="pad")
    want = np.zeros((20, 20, 3))
    want[5:15] = 255
    np.testing.assert_array_equal(got, want)
    got = decoded(tmp_path, content, height=5, width=20, resize_mode="pad", color_mode="grayscale")
    want = np.zeros((5, 20, 1))
    want[:, 5:15] = 255
    np.testing.assert_array_equal(got, want)


def test_stretch_keeps_all(tmp_path: Path) -> None:
    pixels = np.zeros((10, 30, 3), np.uint8)
    pixels[:, 15:] = 255
    got = decoded(tmp_path, encoded(pixels), height=40, width=10, resize_mode="stretch")
    np.testing.assert_array_equal(got[:, :4], 0)
    np.testing.assert_array_equal(got[:, 6:], 255)


# EXIF's orientation


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("mode", RESIZE_MODES)
def test_all_orientations_show_the_same_picture(
    tmp_path: Path, orientation: int, mode: str, decoder: str
) -> None:
    upright = smooth(64, 48)
    upright[4:12, 4:28] = (250, 10, 30)
    content = encoded(lying(upright, orientation), exif=exif(orientation))
    with Image.open(BytesIO(content)) as image:
        np.testing.assert_array_equal(np.asarray(ImageOps.exif_transpose(image)), upright)
    for height, width in ((48, 64), (32, 32), (20, 45), (90, 30)):
        options: dict[str, Any] = {"height": height, "width": width, "resize_mode": mode, "decoder": decoder}
        want = decoded(tmp_path, encoded(upright), **options)
        np.testing.assert_array_equal(decoded(tmp_path, content, **options), want)
        if (height, width) == (48, 64):
            np.testing.assert_array_equal(want, upright)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("mode", RESIZE_MODES)
def test_all_orientations_of_a_jpeg_show_the_same_picture(
    tmp_path: Path, orientation: int, mode: str, decoder: str
) -> None:
    upright = smooth(256, 192)
    content = encoded(lying(upright, orientation), "JPEG", quality=95, exif=exif(orientation))
    for height, width in ((192, 256), (32, 32), (20, 45), (90, 30)):
        options: dict[str, Any] = {"height": height, "width": width, "resize_mode": mode, "decoder": decoder}
        want = decoded(tmp_path, encoded(upright), **options)
        assert difference(decoded(tmp_path, content, **options), want) < 1.5


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(
    ("suffix", "options"),
    [("TIFF", {}), ("TIFF", {"compression": "tiff_lzw"}), ("WEBP", {"lossless": True})],
    ids=["tiff", "compressed tiff", "webp"],
)
def test_orientation_of_other_formats(
    tmp_path: Path, orientation: int, suffix: str, options: dict[str, Any]
) -> None:
    if suffix == "WEBP" and not features.check("webp"):
        pytest.skip("this Pillow has no WebP")
    upright = smooth(48, 32)
    content = encoded(lying(upright, orientation), suffix, exif=exif(orientation), **options)
    np.testing.assert_array_equal(decoded(tmp_path, content, height=32, width=48), upright)


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_an_orientation_that_does_not_exist_is_ignored(
    tmp_path: Path, orientation: int, decoder: str
) -> None:
    content = encoded(smooth(64, 48), "JPEG", quality=95, exif=exif(orientation))
    assert difference(decoded(tmp_path, content, height=48, width=64, decoder=decoder), smooth(64, 48)) < 1


@pytest.mark.parametrize(
    "tags",
    [
        b"",
        b"garbage",
        b"II*\0\xff\xff\xff\xff",
        b"MM\0*\0\0\0\x08\xff\xff",
        b"II*\0\x08\0\0\0\x01\0\x12\x01\x02\0\xff\xff\xff\xff\xff\xff\xff\xff",  # a text that ends elsewhere
    ],
)
@pytest.mark.parametrize("suffix", ["JPEG", "PNG"])
def test_malformed_exif_is_ignored(tmp_path: Path, tags: bytes, suffix: str, decoder: str) -> None:
    upright = smooth(64, 48)
    content = encoded(upright, suffix, exif=b"Exif\0\0" + tags)
    got = decoded(tmp_path, content, height=48, width=64, decoder=decoder)
    assert difference(got, upright) < 1.5


BIG = b"".join(segment(0xE2, b"ICC_PROFILE\0" + bytes([i, 2]) + bytes(60_000)) for i in (1, 2))
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (segment(0xE1, exif(6)), b""),
        (BIG + segment(0xE1, exif(6)), b""),
        (segment(0xFE, b"has Exif\0\0 below") + segment(0xE1, exif(6)), b""),
        (segment(0xFE, exif(6)), b""),
        (b"", segment(0xE1, exif(6))),
        (segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + XMP), b""),
    ],
    ids=[
        "at the start",
        "behind a profile",
        "behind a comment",
        "in a comment",
        "behind the image",
        "as xmp",
    ],
)
def test_the_decoders_find_the_same_orientation(tmp_path: Path, before: bytes, after: bytes) -> None:
    pytest.importorskip("simplejpeg")
    jpeg = encoded(smooth(64, 48), "JPEG", quality=95)
    start = 20  # of SOI and JFIF's segment
    content = jpeg[:start] + before + jpeg[start:] + after
    one = decoded(tmp_path, content, height=64, width=48, decoder="pillow")
    other = decoded(tmp_path, content, height=64, width=48, decoder="simplejpeg")
    assert difference(one, other) < 1.5


# Scaled decoding of JPEGs


def size_before_resizing(path: Path, recipe: Recipe) -> tuple[int, int]:
    """Return the width and height at which an image is decoded, turned upright."""
    sizes: list[tuple[int, int]] = []
    resized = decode._resize

    def noting(image: Image.Image, recipe: Recipe) -> Image.Image:
        sizes.append(image.size)
        return resized(image, recipe)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decode, "_resize", noting)
        decode_image(str(path), recipe)
    [size] = sizes
    return size


@pytest.mark.parametrize("mode", RESIZE_MODES)
@pytest.mark.parametrize("color", ["rgb", "grayscale"])
@pytest.mark.parametrize("target", [(64, 64), (20, 33), (100, 40), (120, 150)])
def test_scaled_decoding_is_close_to_full_decoding(
    tmp_path: Path, mode: str, color: str, target: tuple[int, int], decoder: str
) -> None:
    content = encoded(smooth(640, 480), "JPEG", quality=95)
    options: dict[str, Any] = {
        "height": target[0],
        "width": target[1],
        "resize_mode": mode,
        "color_mode": color,
    }
    with Image.open(BytesIO(content)) as image:
        full = decoded(tmp_path, encoded(image.convert("RGB")), **options)
    got = decoded(tmp_path, content, decoder=decoder, **options)
    assert difference(got, full) < 1


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 300),
    st.integers(1, 300),
    st.integers(1, 90),
    st.integers(1, 90),
    st.sampled_from(RESIZE_MODES),
    st.sampled_from([1, 5, 6, 8]),
)
def test_nothing_is_enlarged_that_was_scaled_down(
    scratch: Path, width: int, height: int, target_width: int, target_height: int, mode: str, orientation: int
) -> None:
    path = scratch / "x.jpg"
    path.write_bytes(encoded(Image.new("RGB", (width, height)), "JPEG", exif=exif(orientation)))
    source = (height, width) if orientation >= 5 else (width, height)
    for name in INSTALLED:
        size = size_before_resizing(path, Recipe(target_height, target_width, mode, decoder=name))
        assert size[0] >= min(source[0], target_width)
        assert size[1] >= min(source[1], target_height)


def test_large_jpegs_are_scaled_down_while_decoding(tmp_path: Path, decoder: str) -> None:
    path = tmp_path / "x.jpg"
    path.write_bytes(encoded(smooth(512, 512), "JPEG"))
    assert size_before_resizing(path, Recipe(64, 64, decoder=decoder)) == (64, 64)
    assert size_before_resizing(path, Recipe(256, 100, decoder=decoder)) == (256, 256)


@pytest.mark.parametrize("scale", [2, 4, 8])
@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:0"])
@pytest.mark.parametrize("color", ["rgb", "grayscale"])
def test_the_decoders_agree_on_pixels(tmp_path: Path, scale: int, subsampling: str, color: str) -> None:
    pytest.importorskip("simplejpeg")
    noise = np.random.default_rng(0).integers(0, 40, (40 * scale, 56 * scale, 3))
    content = encoded(
        (smooth(56 * scale, 40 * scale) // 2 + noise).astype(np.uint8), "JPEG", subsampling=subsampling
    )
    one = decoded(tmp_path, content, height=40, width=56, color_mode=color)
    other = decoded(tmp_path, content, height=40, width=56, color_mode=color, decoder="simplejpeg")
    assert difference(one, other) < 1


# Failures


@pytest.mark.parametrize(
    ("content", "want"),
    [
        (b"", "file is empty"),
        (b"not a picture, but a text\n" * 20, "not an image, or of an unknown format"),
        (encoded(smooth(64, 48), "JPEG")[:-100], "damaged or truncated image: image file is truncated"),
        (encoded(smooth(64, 48), "JPEG")[:30], "damaged or truncated image|not an image"),
        (encoded(smooth(64, 48))[:-100], "damaged or truncated image: image file is truncated"),
        (encoded(smooth(64, 48))[:20], "damaged or truncated image|not an image"),
        (b"\xff\xd8\xff", "damaged or truncated image|not an image"),
        (b"\x89PNG\r\n\x1a\n", "damaged or truncated image|not an image"),
    ],
    ids=["empty", "text", "jpeg", "jpeg's head", "png", "png's head", "jpeg's sign", "png's sign"],
)
def test_files_that_are_no_whole_image(tmp_path: Path, content: bytes, want: str, decoder: str) -> None:
    path = tmp_path / "x.jpg"
    path.write_bytes(content)
    assert any(reason(path, decoder=decoder).startswith(part) for part in want.split("|"))


def test_a_folder(tmp_path: Path, decoder: str) -> None:
    (tmp_path / "x.jpg").mkdir()
    assert reason(tmp_path / "x.jpg", decoder=decoder) == "is a directory"


def test_a_missing_file(tmp_path: Path, decoder: str) -> None:
    assert reason(tmp_path / "x.jpg", decoder=decoder) == "cannot be read: No such file or directory"


def test_a_link_to_nothing(tmp_path: Path) -> None:
    (tmp_path / "x.jpg").symlink_to("gone.jpg")
    assert reason(tmp_path / "x.jpg") == "cannot be read: No such file or directory"


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root can read everything")
def test_a_file_that_may_not_be_read(tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    path.write_bytes(encoded(smooth(4, 4)))
    path.chmod(0)
    assert reason(path) == "cannot be read: Permission denied"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no FIFOs here")
def test_a_fifo_is_not_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "x.jpg"
    os.mkfifo(path)
    reasons: list[str] = []
    thread = threading.Thread(target=lambda: reasons.append(reason(path)), daemon=True)
    thread.start()
    thread.join(10)
    assert reasons == ["is not a regular file"]


def test_too_little_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(image: Image.Image, recipe: Recipe) -> Image.Image:
        raise MemoryError

    monkeypatch.setattr(decode, "_resize", full)
    (tmp_path / "x.png").write_bytes(encoded(smooth(4, 4)))
    assert reason(tmp_path / "x.png") == "does not fit into memory"


def test_a_nul_in_the_path() -> None:
    assert reason("a\0b.jpg").startswith("cannot be read: ")


def test_files_above_the_limit_of_bytes(
    tmp_path: Path, decoder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.jpg"
    content = encoded(smooth(64, 48), "JPEG")
    path.write_bytes(content)
    monkeypatch.setattr(decode, "MAX_FILE_BYTES", len(content))
    decode_image(str(path), Recipe(decoder=decoder))
    monkeypatch.setattr(decode, "MAX_FILE_BYTES", len(content) - 1)
    assert (
        reason(path, decoder=decoder) == f"file of {len(content)} bytes, expected at most {len(content) - 1}"
    )


@pytest.mark.parametrize("suffix", ["JPEG", "PNG"])
def test_images_above_the_limit_of_pixels(
    tmp_path: Path, suffix: str, decoder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.jpg"
    path.write_bytes(encoded(smooth(64, 48), suffix))
    monkeypatch.setattr(decode, "MAX_PIXELS", 64 * 48)
    decode_image(str(path), Recipe(decoder=decoder))
    monkeypatch.setattr(decode, "MAX_PIXELS", 64 * 48 - 1)
    assert reason(path, decoder=decoder) == "image of 64 x 48 pixels, expected at most 3071 in all"


def test_a_claim_of_many_pixels_takes_no_memory(tmp_path: Path, decoder: str) -> None:
    resource = pytest.importorskip("resource")
    path = tmp_path / "x.png"
    path.write_bytes(png(100_000, 100_000))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert "pixels" in reason(path, decoder=decoder)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown * (1 if sys.platform == "darwin" else 1024) < 1 << 26


def test_the_limit_of_pixels_is_the_one_that_is_told(tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    path.write_bytes(png(100_000, 100_000))
    assert str(decode.MAX_PIXELS) in reason(path)


def test_below_the_limit_of_pixels_there_is_no_other_limit(tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    path.write_bytes(png(13_000, 13_000))
    assert 13_000**2 < decode.MAX_PIXELS < 14_000**2
    assert "limit" not in reason(path)


SEEDS = [
    encoded(smooth(32, 24), "JPEG", exif=exif(6)),
    encoded(smooth(32, 24), "JPEG", progressive=True),
    encoded(smooth(32, 24)[:, :, 0], "JPEG"),
    encoded(smooth(32, 24), exif=exif(6)),
    encoded(Image.fromarray(smooth(32, 24)).convert("P"), transparency=3),
]


@st.composite
def mutations(draw: st.DrawFn) -> bytes:
    """Draw the content of an image with some bytes changed, cut out, put in or cut off."""
    content = bytearray(draw(st.sampled_from(SEEDS)))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(content)))
        length = draw(st.sampled_from([0, 1, 1, 1, 2, 9, len(content)]))
        content[at : at + length] = draw(st.binary(max_size=4))
    return bytes(content)


@settings(max_examples=100, deadline=None)
@given(mutations())
def test_damaged_images_are_columns_or_errors_by_both_decoders(scratch: Path, content: bytes) -> None:
    path = scratch / "fuzzed.jpg"
    path.write_bytes(content)
    assert len({fails(path, name) for name in INSTALLED}) == 1


def fails(path: Path, decoder: str) -> bool:
    recipe = Recipe(8, 8, decoder=decoder)
    try:
        column = decode_image(str(path), recipe)
    except ImageError:
        return True
    assert column.shape == (recipe.n_x,)
    return False


# Codecs


def test_codecs_of_this_pillow() -> None:
    assert set(codec_versions()) == {"JPEG", "PNG", "WebP", "AVIF", "TIFF"}
    assert codec_versions()["PNG"] == features.version("zlib")
    assert all(isinstance(version, str) for version in codec_versions().values())


def test_a_missing_codec_is_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features, "version", lambda name: None)
    assert set(codec_versions().values()) == {""}
