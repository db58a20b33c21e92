"""JPEG files are decoded at a reduced size where that is enough, by both decoders alike."""

from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from image_files import INSTALLED, decode_image, decoded, difference, encoded, exif, smooth
from PIL import Image

from xpnet.pipelines.images import decode
from xpnet.pipelines.images.recipe import RESIZE_MODES, Recipe
from xpnet.pipelines.images.resize import Upright


def size_before_resizing(path: Path, recipe: Recipe) -> tuple[int, int]:
    """Return the width and height at which an image is decoded, turned upright."""
    sizes: list[tuple[int, int]] = []
    resized = decode.resized

    def noting(image: Upright, recipe: Recipe) -> Image.Image:
        sizes.append(image.size)
        return resized(image, recipe)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decode, "resized", noting)
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
