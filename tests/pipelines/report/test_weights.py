"""Weights as pictures, and by the columns of a table."""

import base64
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from xpnet.data.standardize import fit_standardizer
from xpnet.io.model_file import SavedModel
from xpnet.nn.network import Layer, Network
from xpnet.pipelines.images.recipe import Recipe
from xpnet.pipelines.models.model import Model
from xpnet.pipelines.report.pictures import NEGATIVE, POSITIVE, ZERO, weights_png
from xpnet.pipelines.report.weights import FEATURES, UNITS, unit_names, weights_section


def opened(
    model: Network,
    W1: np.ndarray,
    recipe: Recipe | None = None,
    classes: tuple[str, ...] = (),
    **table: object,
) -> Model:
    parameters = {name: np.zeros(shape, "float32") for name, shape in model.shapes.items()}
    parameters["W1"] = W1.astype("float32")
    return Model(SavedModel(model, parameters, fit_standardizer([], "unit"), classes, dict(table)), recipe)


def decoded(picture: str) -> np.ndarray:
    with Image.open(BytesIO(base64.b64decode(picture))) as image:
        return np.asarray(image)


def test_three_channels_are_colors_around_grey() -> None:
    pixels = decoded(weights_png(np.array([[[0.0, 1.0, -1.0], [0.5, 9.0, 0.0]]]), 1.0))
    assert pixels.tolist() == [[[128, 255, 1], [192, 255, 128]]]


def test_one_channel_goes_from_orange_over_white_to_blue() -> None:
    pixels = decoded(weights_png(np.array([[[-2.0], [0.0], [2.0]]]), 2.0))
    assert [tuple(pixel) for pixel in pixels[0].tolist()] == [NEGATIVE, ZERO, POSITIVE]


def test_logistic_regression_is_one_picture_of_its_weights() -> None:
    W = np.arange(27.0).reshape(1, -1) - 13
    found = weights_section(opened(Network(27, 1, "sigmoid"), W, Recipe(3, 3), ("cat", "dog")))
    (image,) = found["images"]
    assert image["name"] == "for dog, against cat"
    pixels = decoded(image["picture"]).reshape(-1)
    assert pixels[13] == 128
    assert (np.diff(pixels.astype(int)) >= 0).all()


def test_a_softmax_has_a_picture_for_each_class_in_order() -> None:
    found = weights_section(
        opened(Network(4, 3, "softmax"), np.eye(3, 4), Recipe(2, 2, color_mode="grayscale"), tuple("abc"))
    )
    assert [image["name"] for image in found["images"]] == ["for a", "for b", "for c"]


def test_of_many_units_those_with_the_largest_weights_are_shown() -> None:
    model = Network(4, 1, "sigmoid", (Layer.parse("100"),))
    found = weights_section(
        opened(model, np.arange(400.0).reshape(100, 4), Recipe(2, 2, color_mode="grayscale"))
    )
    assert (len(found["images"]), found["units"]) == (UNITS, 100)
    assert [image["name"] for image in found["images"]] == [f"unit {i}" for i in range(101 - UNITS, 101)]


@pytest.mark.parametrize("value", [0.0, 1e-30, 3e38])
def test_any_weights_make_a_picture(value: float) -> None:
    model = Network(4, 1, "sigmoid")
    found = weights_section(
        opened(model, np.full((1, 4), value), Recipe(2, 2, color_mode="grayscale"), ("a", "b"))
    )
    assert decoded(found["images"][0]["picture"]).shape == (2, 2, 3)


def test_large_pictures_are_scaled_down() -> None:
    assert decoded(weights_png(np.ones((300, 600, 3)), 1.0)).shape == (64, 128, 3)


def test_a_table_has_its_columns_by_weight() -> None:
    names = [f"column {i}" for i in range(100)]
    found = weights_section(opened(Network(100, 1, "identity"), np.arange(100.0)[None] - 50, features=names))
    assert (len(found["rows"]), found["features"], found["unit"]) == (FEATURES, 100, "")
    assert found["rows"][0] == {"name": "column 0", "value": -50.0, "share": 1.0}
    assert found["rows"][1]["name"] in ("column 1", "column 99")
    several = weights_section(
        opened(Network(2, 2, "softmax"), np.array([[3.0, 1.0], [4.0, 0.0]]), None, ("a", "b"))
    )
    assert [(row["name"], row["value"]) for row in several["rows"]] == [
        ("feature 0", 5.0),
        ("feature 1", 1.0),
    ]


def test_units_that_speak_for_no_class_are_outputs() -> None:
    several = unit_names(opened(Network(2, 3, "sigmoid"), np.ones((3, 2))))
    assert several == ["for output 1", "for output 2", "for output 3"]
    assert unit_names(opened(Network(2, 1, "relu"), np.ones((1, 2)))) == ["for output 1"]
