"""Resizing: the same bytes in strips, turned, and with every version of Pillow; and little memory."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
from image_files import decoded, encoded, exif
from PIL import Image

from xpnet.pipelines.images import resize
from xpnet.pipelines.images.recipe import RESIZE_MODES


def noise(width: int, height: int) -> np.ndarray:
    """Return a picture without any order."""
    return np.random.default_rng(0).integers(0, 256, (height, width, 3)).astype(np.uint8)


@pytest.mark.parametrize("size", [(69, 292), (292, 69), (5, 196), (150, 160)])
@pytest.mark.parametrize("mode", RESIZE_MODES)
def test_strips_change_no_byte(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: tuple[int, int], mode: str
) -> None:
    image = Image.fromarray(noise(*size)).convert("CMYK")
    for orientation in range(1, 9):
        content = encoded(image, "TIFF")
        content = (
            encoded(Image.fromarray(noise(*size)), exif=exif(orientation)) if orientation > 1 else content
        )
        whole = decoded(tmp_path, content, height=20, width=33, resize_mode=mode)
        with monkeypatch.context() as patch:
            patch.setattr(resize, "STRIP_PIXELS", 700)
            strips = decoded(tmp_path, content, height=20, width=33, resize_mode=mode)
        np.testing.assert_array_equal(whole, strips)


@pytest.mark.parametrize(
    ("size", "target", "want"),
    [
        ((69, 292), (98, 9), "columns"),
        ((170, 235), (77, 4), "columns"),
        ((225, 254), (71, 30), "rows"),
        ((6, 26), (32, 32), "rows"),
        ((300, 200), (64, 64), "rows"),
    ],
)
def test_the_order_of_the_passes_is_fixed(
    tmp_path: Path, size: tuple[int, int], target: tuple[int, int], want: str
) -> None:
    """Each pass alone gives the same bytes with every Pillow. Their order gives others."""
    image = Image.fromarray(noise(*size))
    between = (size[0], target[1]) if want == "columns" else (target[0], size[1])
    bilinear = Image.Resampling.BILINEAR
    passes = np.asarray(image.resize(between, bilinear).resize(target, bilinear))
    got = decoded(tmp_path, encoded(image), height=target[1], width=target[0])
    np.testing.assert_array_equal(got, passes)


def test_a_column_that_pillow_11_to_13_give(tmp_path: Path) -> None:
    content = encoded(Image.fromarray(noise(100, 300)))
    got = decoded(tmp_path, content, height=16, width=16, resize_mode="crop")
    assert hashlib.sha256(got.tobytes()).hexdigest()[:16] == "2ceda0b34f55da47"


@pytest.mark.parametrize("mode", ["RGBA", "I;16", "CMYK", "P", "LA"])
@pytest.mark.parametrize("size", [(300, 200), (40, 900)])
def test_only_strips_are_converted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str, size: tuple[int, int]
) -> None:
    """Memory for a second image of the full size is never taken."""
    pixels: list[int] = []
    part = resize.Upright.part

    def noting(image: resize.Upright, box: tuple[int, int, int, int]) -> Image.Image:
        pixels.append((box[2] - box[0]) * (box[3] - box[1]))
        return part(image, box)

    monkeypatch.setattr(resize.Upright, "part", noting)
    monkeypatch.setattr(resize, "STRIP_PIXELS", 2000)
    decoded(tmp_path, encoded(Image.new(mode, size), "TIFF"), height=8, width=8)
    assert max(pixels) <= 2000
    assert sum(pixels) == size[0] * size[1]
