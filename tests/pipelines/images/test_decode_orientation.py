"""EXIF orientation: decoded images are upright, as Pillow defines it."""

import struct
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from image_files import decoded, difference, encoded, exif, smooth
from PIL import Image, ImageOps, features

from xpnet.pipelines.images.recipe import RESIZE_MODES


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


def segment(marker: int, content: bytes) -> bytes:
    """Return a segment of a JPEG."""
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


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
