"""What decodes images, and that a model says when something else decodes them."""

import warnings
from dataclasses import replace
from pathlib import Path

import PIL
import pytest
from image_files import INSTALLED
from PIL import Image

import xpnet
from xpnet.pipelines.datasets import DataOptions, write_data
from xpnet.pipelines.images import libraries
from xpnet.pipelines.images.decode import codec_versions
from xpnet.pipelines.images.libraries import decoding_libraries
from xpnet.pipelines.images.recipe import Recipe

OTHERS = {"Pillow": "1.0", "libjpeg-turbo": "0.1", "pixels": "another"}


@pytest.mark.parametrize("decoder", INSTALLED)
def test_versions_and_a_checksum_of_the_pixels(decoder: str) -> None:
    found = decoding_libraries(decoder)
    assert found["Pillow"] == PIL.__version__
    if decoder == "pillow":
        assert found["libjpeg-turbo"] == codec_versions()["JPEG"]
    assert len(found["pixels"]) == 8
    assert found == decoding_libraries.__wrapped__(decoder)


def test_other_pixels_have_another_checksum(monkeypatch: pytest.MonkeyPatch) -> None:
    usual = decoding_libraries.__wrapped__("pillow")["pixels"]
    decode = libraries.decode_content

    def changed(content: bytes, recipe: Recipe) -> tuple[bytes, int]:
        pixels, frames = decode(content, recipe)
        return bytes([pixels[0] ^ 1]) + pixels[1:], frames

    monkeypatch.setattr(libraries, "decode_content", changed)
    assert decoding_libraries.__wrapped__("pillow")["pixels"] != usual


def test_without_a_decoder_there_is_no_checksum(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(content: bytes, recipe: Recipe) -> tuple[bytes, int]:
        raise OSError("decoder jpeg not available")

    monkeypatch.setattr(libraries, "decode_content", missing)
    assert set(decoding_libraries.__wrapped__("pillow")) == {"Pillow", "libjpeg-turbo"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, color in {"dark": 20, "light": 230}.items():
        (tmp_path / "data" / name).mkdir(parents=True)
        for i in range(4):
            Image.new("L", (4, 4), color + i).save(tmp_path / "data" / name / f"{i}.png")
    return tmp_path / "data"


def trained(folder: Path) -> xpnet.Model:
    return xpnet.train(folder, image_size=4, iterations=5, workers=1)


def test_a_model_says_once_that_something_else_decodes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = trained(folder)
    assert model.recipe is not None
    assert model.recipe.libraries == decoding_libraries("pillow")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(list(model.predict(folder, workers=1, batch_size=1))) == 8
        model.evaluate(folder, workers=1)
    monkeypatch.setattr(libraries, "decoding_libraries", lambda decoder: OTHERS)
    said = f"decoded by Pillow {PIL.__version__}.* Here Pillow 1.0, libjpeg-turbo 0.1 decodes them"
    with pytest.warns(UserWarning, match=said) as told:
        list(model.predict(folder, workers=1, batch_size=1))
    assert len(told) == 1
    with pytest.warns(UserWarning, match=said) as told:
        model.evaluate(folder, workers=1)
    assert len(told) == 1


def test_a_model_of_a_data_file_knows_what_decoded_the_file(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(libraries, "decoding_libraries", lambda decoder: OTHERS)
    write_data(str(folder), str(tmp_path / "d.h5"), DataOptions(Recipe(4, 4), workers=1))
    monkeypatch.undo()
    model = xpnet.train(tmp_path / "d.h5", iterations=5)
    assert model.recipe is not None
    assert model.recipe.libraries == OTHERS
    with pytest.warns(UserWarning, match="decoded by Pillow 1.0, libjpeg-turbo 0.1. Here"):
        list(model.predict(folder, workers=1))
    with pytest.warns(UserWarning, match="decoded by Pillow 1.0, libjpeg-turbo 0.1. Here"):
        model.evaluate(folder, workers=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.evaluate(tmp_path / "d.h5")


def test_models_of_older_versions_say_nothing(folder: Path) -> None:
    model = trained(folder)
    assert model.recipe is not None
    old = replace(model, recipe=replace(model.recipe, libraries=None))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        list(old.predict(folder, workers=1))
