"""Files with several frames or pages: how many there are, and which one is read."""

import struct
import time
import zlib
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from image_files import decode_image, encoded, reason, smooth
from PIL import Image, features

from xpnet.pipelines.images.decode import MAX_COUNTED_PAGES, decode_to_bytes
from xpnet.pipelines.images.recipe import Recipe

COLORS = ("red", "blue", "lime", "white")
RGB = {"red": (255, 0, 0), "blue": (0, 0, 255), "lime": (0, 255, 0), "white": (255, 255, 255)}

FORMATS = [
    "GIF",
    "TIFF",
    "PNG",
    "MPO",
    pytest.param("WEBP", marks=pytest.mark.skipif(not features.check("webp"), reason="no WebP")),
    pytest.param("AVIF", marks=pytest.mark.skipif(not features.check("avif"), reason="no AVIF")),
]


def animation(format_: str, count: int = 3, size: int = 16, **options: Any) -> bytes:
    """Return a file of so many frames, of one color each."""
    first, *others = [Image.new("RGB", (size, size), color) for color in COLORS[:count]]
    file = BytesIO()
    first.save(file, format_, save_all=True, append_images=others, **options)
    return file.getvalue()


def frames_of(path: Path, **options: Any) -> int:
    return decode_to_bytes(str(path), Recipe(4, 4, **options))[1]


@pytest.mark.parametrize("format_", FORMATS)
def test_frames_are_counted_and_picked(tmp_path: Path, format_: str) -> None:
    path = tmp_path / "file"
    path.write_bytes(animation(format_))
    assert frames_of(path) == 3
    for number, color in enumerate(COLORS[:3], start=1):
        pixels = decode_image(str(path), Recipe(4, 4, frame=number)).reshape(-1, 3)
        assert np.abs(pixels.astype(int) - RGB[color]).max() <= 8
        assert frames_of(path, frame=number) == 3
    assert reason(path, frame=4) == "has 3 frames, and --frame 4 was asked for"


@pytest.mark.parametrize("format_", ["PNG", "JPEG", "GIF", "TIFF", "BMP", "WEBP", "ICO", "PPM"])
def test_an_ordinary_picture_has_one_frame(tmp_path: Path, format_: str) -> None:
    path = tmp_path / "file"
    path.write_bytes(encoded(smooth(16, 16), format_))
    assert frames_of(path) == 1
    assert reason(path, frame=2) == "has 1 frame, and --frame 2 was asked for"


def test_the_first_frame_is_decoded_as_if_it_were_alone(tmp_path: Path) -> None:
    """Counting goes through the file: it must not change what is decoded."""
    first = smooth(40, 30)
    for format_ in ("GIF", "TIFF", "PNG"):
        (tmp_path / "one").write_bytes(encoded(first, format_))
        file = BytesIO()
        other = Image.fromarray(first[::-1].copy())
        Image.fromarray(first).save(file, format_, save_all=True, append_images=[other])
        (tmp_path / "two").write_bytes(file.getvalue())
        one, two = (decode_image(str(tmp_path / name), Recipe(8, 8)) for name in ("one", "two"))
        assert frames_of(tmp_path / "two") == 2
        assert one.tolist() == two.tolist()


@pytest.mark.parametrize("decoder", ["pillow", "simplejpeg"])
def test_a_later_picture_of_a_jpeg_is_read_at_each_size(tmp_path: Path, decoder: str) -> None:
    pytest.importorskip(decoder if decoder != "pillow" else "PIL")
    path = tmp_path / "stereo.mpo"
    path.write_bytes(animation("MPO", 2, size=256))
    for side in (4, 64, 256):
        pixels = decode_image(str(path), Recipe(side, side, decoder=decoder, frame=2)).reshape(-1, 3)
        assert np.abs(pixels.astype(int) - RGB["blue"]).max() <= 8


@pytest.mark.parametrize("format_", ["GIF", "TIFF", "PNG"])
def test_a_truncated_file_counts_what_is_there(tmp_path: Path, format_: str) -> None:
    content = animation(format_, 4, size=64)
    path = tmp_path / "file"
    for length in range(len(content) // 3, len(content), max(1, len(content) // 40)):
        path.write_bytes(content[:length])
        try:
            frames = frames_of(path)
        except Exception:
            reason(path)
        else:
            assert 1 <= frames <= 4


def test_the_limit_of_pixels_is_of_the_frame_that_is_read(tmp_path: Path) -> None:
    path = tmp_path / "pages.tif"
    small, large = Image.new("RGB", (8, 8)), Image.new("RGB", (100, 100))
    small.save(path, save_all=True, append_images=[large])
    assert frames_of(path, max_pixels=64) == 2
    assert "expected at most 64: --max-pixels" in reason(path, max_pixels=64, frame=2)


def test_pages_of_other_kinds_are_refused_by_their_own_reasons(tmp_path: Path) -> None:
    path = tmp_path / "pages.tif"
    Image.new("L", (8, 8), 200).save(path, save_all=True, append_images=[Image.new("F", (8, 8))])
    assert decode_image(str(path), Recipe(1, 1)).tolist() == [200] * 3
    assert "floating-point pixels have no natural range" in reason(path, frame=2)


def test_millions_of_empty_pages_take_no_time(tmp_path: Path) -> None:
    page = BytesIO()
    Image.new("L", (1, 1)).save(page, "TIFF")
    content = bytearray(page.getvalue())
    (directory,) = struct.unpack_from("<I", content, 4)
    (entries,) = struct.unpack_from("<H", content, directory)
    chain = len(content) + len(content) % 2
    struct.pack_into("<I", content, directory + 2 + 12 * entries, chain)
    content += bytes(chain - len(content))
    copied = bytes(content[directory : directory + 2 + 12 * entries])
    for _ in range(20_000):
        content += copied + struct.pack("<I", len(content) + len(copied) + 4)
    path = tmp_path / "pages.tif"
    path.write_bytes(content)
    start = time.process_time()
    assert frames_of(path) == MAX_COUNTED_PAGES
    assert time.process_time() - start < 20
    assert frames_of(path, frame=MAX_COUNTED_PAGES + 5) == MAX_COUNTED_PAGES + 5


def test_a_later_16_bit_frame_with_a_transparent_color_is_refused(tmp_path: Path) -> None:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        )

    def control(number: int) -> bytes:
        return chunk(b"fcTL", struct.pack(">5I2H2B", number, 1, 1, 0, 0, 1, 1, 0, 0))

    pixel = zlib.compress(b"\0" + struct.pack(">3H", 0x1234, 0x5678, 0x9ABC))
    path = tmp_path / "file.png"
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">2I5B", 1, 1, 16, 2, 0, 0, 0))
        + chunk(b"acTL", struct.pack(">2I", 2, 0))
        + chunk(b"tRNS", struct.pack(">3H", 0x1200, 0x5600, 0x9A00))
        + control(0)
        + chunk(b"IDAT", pixel)
        + control(1)
        + chunk(b"fdAT", struct.pack(">I", 2) + pixel)
        + chunk(b"IEND", b"")
    )
    assert decode_image(str(path), Recipe(1, 1)).tolist() == [0x12, 0x56, 0x9A]
    assert reason(path, frame=2) == "a transparent color of 16 bits is not supported in a later frame"
