"""Recipes: valid values, conversion to dictionaries and back, and recipes from options."""

from dataclasses import FrozenInstanceError
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xpnet.errors import DataError, UsageError
from xpnet.pipelines.images import recipe as module
from xpnet.pipelines.images.recipe import (
    COLOR_MODES,
    DECODERS,
    MAX_FRAME,
    MAX_SIDE,
    RESIZE_MODES,
    Recipe,
    parse_size,
)

RECIPES = st.builds(
    Recipe,
    height=st.integers(1, MAX_SIDE),
    width=st.integers(1, MAX_SIDE),
    resize_mode=st.sampled_from(RESIZE_MODES),
    color_mode=st.sampled_from(COLOR_MODES),
    decoder=st.sampled_from(DECODERS),
    frame=st.integers(1, MAX_FRAME),
)


def test_the_usual_recipe() -> None:
    recipe = Recipe()
    assert recipe.shape == (64, 64, 3)
    assert recipe.n_x == 12288
    assert (recipe.resize_mode, recipe.color_mode, recipe.decoder) == ("stretch", "rgb", "pillow")


def test_shape_is_height_width_channels() -> None:
    assert Recipe(48, 64).shape == (48, 64, 3)
    assert Recipe(48, 64).n_x == 9216
    assert Recipe(48, 64, color_mode="grayscale").shape == (48, 64, 1)
    assert Recipe(48, 64, color_mode="grayscale").n_x == 3072


@pytest.mark.parametrize("name", ["height", "width"])
@pytest.mark.parametrize("side", [0, -1, 4097, 64.0, "64", None])
def test_impossible_sides(name: str, side: Any) -> None:
    with pytest.raises(UsageError, match=rf"image size: {name} is .*, expected 1 to 4096 pixels"):
        Recipe(**{name: side})


@pytest.mark.parametrize("frame", [0, -1, 2.0, "1", None, 1 << 21])
def test_impossible_frames(frame: Any) -> None:
    with pytest.raises(UsageError, match=r"frame is .*, expected 1 to 1048576"):
        Recipe(frame=frame)


@pytest.mark.parametrize("side", [1, 4096])
def test_the_smallest_and_the_largest_side(side: int) -> None:
    assert Recipe(side, side).n_x == 3 * side**2


@pytest.mark.parametrize(
    ("name", "possible"),
    [
        ("resize_mode", "stretch, pad, crop"),
        ("color_mode", "rgb, grayscale"),
        ("decoder", "pillow, simplejpeg"),
    ],
)
@pytest.mark.parametrize("word", ["", "RGB", "zoom", None, 3])
def test_impossible_words(name: str, possible: str, word: Any) -> None:
    with pytest.raises(UsageError) as caught:
        Recipe(**{name: word})
    assert str(caught.value) == f"{name} is {word!r}, expected one of {possible}"


def test_a_recipe_does_not_change() -> None:
    with pytest.raises(FrozenInstanceError):
        Recipe().height = 3  # type: ignore[misc]
    assert len({Recipe(), Recipe(64), Recipe(65)}) == 2


@given(RECIPES)
def test_plain_data_is_undone(recipe: Recipe) -> None:
    assert Recipe.from_dict(recipe.to_dict()) == recipe
    assert all(type(value) in (int, str) for value in recipe.to_dict().values())


def test_plain_data_has_the_names_of_the_attributes() -> None:
    assert Recipe(2, 3, "pad", "grayscale", "simplejpeg").to_dict() == {
        "height": 2,
        "width": 3,
        "resize_mode": "pad",
        "color_mode": "grayscale",
        "decoder": "simplejpeg",
        "frame": 1,
    }


@pytest.mark.parametrize(
    "data",
    [{"depth": 3}, {"height": 0}, {"height": "64"}, {"resize_mode": "zoom"}, {"decoder": ["pillow"]}, {1: 2}],
)
def test_data_of_another_version(data: Any) -> None:
    with pytest.raises(DataError, match="not a recipe that this version knows: "):
        Recipe.from_dict(data)


def test_the_limit_of_pixels_is_no_part_of_the_data() -> None:
    recipe = Recipe.from_options(None, None, None, None, max_pixels=5)
    assert recipe is not None
    assert recipe.max_pixels == 5
    assert recipe == Recipe()
    assert recipe.to_dict() == Recipe().to_dict()
    with pytest.raises(DataError, match="max_pixels is not stored"):
        Recipe.from_dict({"max_pixels": 5})


def test_libraries_are_stored_but_not_compared() -> None:
    recipe = Recipe(libraries={"Pillow": "12.0.0", "pixels": "1234"})
    assert recipe == Recipe()
    stored = recipe.to_dict()
    assert Recipe.from_dict(stored).libraries == recipe.libraries
    assert "libraries" not in Recipe().to_dict()
    for damaged in ("Pillow", ["Pillow"], {"Pillow": 12}, None):
        with pytest.raises(DataError, match="not a recipe that this version knows: libraries is"):
            Recipe.from_dict({**stored, "libraries": damaged})


def test_other_pixels_are_told_with_the_versions() -> None:
    recipe = Recipe(libraries={"Pillow": "12.0.0", "libjpeg-turbo": "3.0.1", "pixels": "1234"})
    told = recipe.difference_to({"Pillow": "13.0.0", "libjpeg-turbo": "3.2.0", "pixels": "5678"})
    assert told == (
        "the model learned from images that were decoded by Pillow 12.0.0, libjpeg-turbo 3.0.1. Here Pillow "
        "13.0.0, libjpeg-turbo 3.2.0 decodes them, and gives slightly other pixels: scores may differ"
    )
    assert not recipe.difference_to({"Pillow": "13.0.0", "pixels": "1234"})
    assert not recipe.difference_to({"Pillow": "13.0.0"})
    assert not recipe.difference_to({})
    assert not Recipe().difference_to({"pixels": "1"})


def test_no_options_ask_for_nothing() -> None:
    assert Recipe.from_options(None, None, None, None) is None


@pytest.mark.parametrize(
    ("options", "want"),
    [
        (("32", None, None, None), Recipe(32, 32)),
        (("64x48", None, None, None), Recipe(height=48, width=64)),
        ((None, "crop", None, None), Recipe(resize_mode="crop")),
        ((None, None, "grayscale", None), Recipe(color_mode="grayscale")),
        ((None, None, None, "simplejpeg"), Recipe(decoder="simplejpeg")),
        (("8", "pad", "grayscale", "pillow"), Recipe(8, 8, "pad", "grayscale", "pillow")),
        ((None, "stretch", None, None), Recipe()),
    ],
)
def test_one_option_asks_for_a_recipe(options: tuple[str | None, ...], want: Recipe) -> None:
    assert Recipe.from_options(*options) == want


@pytest.mark.parametrize(
    "options",
    [
        ("0", None, None, None),
        ("64x0", None, None, None),
        ("0x64", None, None, None),
        ("4097", None, None, None),
        ("", None, None, None),
        (None, "", None, None),
        (None, None, "RGB", None),
        (None, None, None, "opencv"),
    ],
)
def test_impossible_options(options: tuple[str | None, ...]) -> None:
    with pytest.raises(UsageError):
        Recipe.from_options(*options)


@pytest.mark.parametrize(
    ("text", "want"),
    [("64", (64, 64)), ("64x48", (48, 64)), ("64X48", (48, 64)), (" 1x2 ", (2, 1)), ("007", (7, 7))],
)
def test_sizes(text: str, want: tuple[int, int]) -> None:
    assert parse_size(text) == want


@pytest.mark.parametrize(
    "text",
    ["", "x", "64x", "x64", "64 x 48", "64x48x3", "-64", "6.4", "64px", "1e2", "64*48", "1234567", "six"],
)
def test_texts_that_are_no_size(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_size(text)
    assert repr(text) in str(caught.value)
    assert "WIDTHxHEIGHT as in 64x48" in str(caught.value)


@given(st.text("0159xX .-+e_٣²", max_size=12))
def test_any_text_is_a_size_or_an_error(text: str) -> None:
    try:
        height, width = parse_size(text)
    except UsageError:
        return
    assert 0 <= height <= 99999
    assert 0 <= width <= 99999


def test_a_missing_decoder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    Recipe().require_decoder()
    with pytest.raises(
        UsageError, match=r"decoded by simplejpeg, which is not installed: pip install 'xpnet\[fast\]'"
    ):
        Recipe(decoder="simplejpeg").require_decoder()


def test_an_installed_decoder() -> None:
    pytest.importorskip("simplejpeg")
    Recipe(decoder="simplejpeg").require_decoder()
