"""Decoding: shape and order of the bytes, and how images are resized."""

import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from image_files import decode_image, decoded, encoded, smooth
from PIL import Image, ImageFile, features

from xpnet.pipelines.images.decode import codec_versions, usual_pillow
from xpnet.pipelines.images.recipe import RESIZE_MODES, Recipe


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


def test_codecs_of_this_pillow() -> None:
    assert set(codec_versions()) == {"JPEG", "PNG", "WebP", "AVIF", "TIFF"}
    assert codec_versions()["PNG"] == features.version("zlib")
    assert all(isinstance(version, str) for version in codec_versions().values())


def test_a_missing_codec_is_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features, "version", lambda name: None)
    assert set(codec_versions().values()) == {""}


def test_threads_share_how_pillow_decodes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that begins first ends first, and the program's own settings return after both."""
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 7)
    first, second = usual_pillow(), usual_pillow()
    with ThreadPoolExecutor(1) as thread:
        thread.submit(int).result()  # it starts before the warnings are ignored
        first.__enter__()
        thread.submit(second.__enter__).result()
        first.__exit__(None, None, None)
        assert not ImageFile.LOAD_TRUNCATED_IMAGES
        assert Image.MAX_IMAGE_PIXELS != 7
        thread.submit(warnings.warn, "is ignored", stacklevel=1).result()
        thread.submit(second.__exit__, None, None, None).result()
        assert (ImageFile.LOAD_TRUNCATED_IMAGES, Image.MAX_IMAGE_PIXELS) == (True, 7)
        with pytest.raises(UserWarning, match="is told"):  # pytest makes warnings errors
            warnings.warn("is told", stacklevel=1)
        with pytest.raises(UserWarning, match="is told"):
            thread.submit(warnings.warn, "is told", stacklevel=1).result()
