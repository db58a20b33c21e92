"""Damaged and foreign files: each is one DataError that names the file."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from data_files import features, written

from xpnet.errors import DataError
from xpnet.pipelines.cli.text import description_text
from xpnet.pipelines.datasets import data_file
from xpnet.pipelines.images.recipe import Recipe

Change = Callable[[h5py.File], object]


def edit_description(**changes: Any) -> Change:
    """Return a function that changes entries of the description. The value None removes an entry."""

    def change(file: h5py.File) -> None:
        description = json.loads(file["xpnet"][:].tobytes()) | changes
        left = {n: v for n, v in description.items() if v is not None}
        set_description(json.dumps(left).encode())(file)

    return change


def set_dataset(name: str, value: Any) -> Change:
    """Return a function that replaces an HDF5 dataset. The value None removes it."""

    def change(file: h5py.File) -> None:
        del file[name]
        if value is not None:
            file[name] = value

    return change


def set_description(text: bytes) -> Change:
    """Return a function that replaces the bytes of the description."""
    return set_dataset("xpnet", np.frombuffer(text, np.uint8))


WRONG: dict[str, Change] = {
    "a description that is no JSON": set_description(b"{garbage"),
    "a description that is a list": set_description(b"[1]"),
    "a description that is a number": set_description(b"5"),
    "a description that is nested without end": set_description(b"[" * 20_000),
    "a description that is bytes": set_description(b"\xff\xfe"),
    "a description that is text": set_dataset("xpnet", "text"),
    "a description that is a matrix": set_dataset("xpnet", np.zeros((2, 2), np.uint8)),
    "another kind": edit_description(kind="model"),
    "a kind that is a list": edit_description(kind=["images"]),
    "no kind": edit_description(kind=None),
    "no classes": edit_description(classes=None),
    "a number of classes": edit_description(classes=5),
    "one class twice": edit_description(classes=["cat", "cat", "dog"]),
    "fewer classes than labels": edit_description(classes=["cat"]),
    "no list of what was skipped": edit_description(skipped=None),
    "numbers as what was skipped": edit_description(skipped=[1]),
    "a recipe of other words": edit_description(recipe={"depth": 3}),
    "a recipe that is a number": edit_description(recipe=5),
    "a recipe of another size": edit_description(recipe=Recipe(4, 4).to_dict()),
    "a recipe of other colors": edit_description(recipe=Recipe(3, 6, color_mode="grayscale").to_dict()),
    "an unknown standardization": edit_description(standardize="whiten"),
    "no standardization": edit_description(standardize=None),
    "labels too high": set_dataset("labels", np.array([0, 1, 2, 3, 0, 0, 0])),
    "labels far too high": set_dataset("labels", np.array([0, 1, 2, 1 << 60, 0, 0, 0])),
    "labels below 0": set_dataset("labels", np.array([0, 1, 2, -1, 0, 0, 0])),
    "fewer labels than images": set_dataset("labels", np.array([0, 1, 2])),
    "more labels than images": set_dataset("labels", np.zeros(8, np.int64)),
    "labels with fractions": set_dataset("labels", np.full(7, 0.5)),
    "labels that are a matrix": set_dataset("labels", np.zeros((7, 2), np.int64)),
    "a label": set_dataset("labels", 0),
    "words as labels": set_dataset("labels", ["cat"] * 7),
    "no labels": set_dataset("labels", None),
    "a NaN in mean": set_dataset("mean", np.full((18, 1), np.nan)),
    "an infinity in scale": set_dataset("scale", np.full((18, 1), np.inf)),
    "a mean of too few": set_dataset("mean", np.zeros((5, 1))),
    "a scale of too few": set_dataset("scale", np.ones((5, 1))),
    "a mean that is no column": set_dataset("mean", np.zeros(18)),
    "a mean of complex numbers": set_dataset("mean", np.zeros((18, 1), complex)),
    "a mean of words": set_dataset("mean", ["x"] * 18),
    "no mean": set_dataset("mean", None),
    "no images": set_dataset("images", None),
    "images that are a number": set_dataset("images", 3),
    "images that are words": set_dataset("images", ["x"] * 7),
    "images of float16": set_dataset("images", np.zeros((7, 2, 3, 3), np.float16)),
    "images of floats": set_dataset("images", np.zeros((7, 2, 3, 3), np.float32)),
    "images of another shape": set_dataset("images", np.zeros((7, 18), np.uint8)),
    "no image at all": set_dataset("images", np.zeros((0, 2, 3, 3), np.uint8)),
    "a class that is half a character": edit_description(classes=["cat", "\ud800", "dog"]),
    "names of endless length": set_dataset("names", np.zeros(7, "S70000")),
    "fewer names than images": set_dataset("names", ["a"]),
    "numbers as names": set_dataset("names", np.zeros(7)),
}


@pytest.mark.parametrize("change", WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_one_error_that_names_the_file(change: Change, tmp_path: Path) -> None:
    path = written(tmp_path / "d.h5", "feature")
    with h5py.File(path, "r+") as file:
        change(file)
    with pytest.raises(DataError) as caught:
        data_file.read_data_file(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", [name for name in WRONG if "far too high" not in name])
def test_what_is_wrong_is_described_or_refused(name: str, tmp_path: Path) -> None:
    path = written(tmp_path / "d.h5", "feature")
    with h5py.File(path, "r+") as file:
        WRONG[name](file)
    try:
        said = data_file.describe_data_file(path)
    except DataError as error:
        assert str(error).startswith(f"{path}: ")  # noqa: PT017  (either is right)
    else:
        description_text(said)


WRONG_FEATURES: dict[str, Change] = {
    "no features": set_dataset("features", None),
    "fewer features": set_dataset("features", np.zeros((7, 3), np.float32)),
    "features in float64": set_dataset("features", np.zeros((7, 6))),
    "images as features": set_dataset("features", np.zeros((7, 2, 3, 3), np.uint8)),
    "no dictionary": set_dataset("features.filters", None),
    "a dictionary of other patches": set_dataset("features.filters", np.zeros((12, 2), np.float32)),
    "a dictionary in float64": set_dataset("features.filters", np.zeros((12, 4))),
    "words as a dictionary": set_dataset("features.filters", "words"),
    "no smaller dictionary": set_dataset("features.smaller.filters", None),
    "no description of patches": edit_description(patches=None),
    "patches that are a number": edit_description(patches=5),
    "settings that are unknown": edit_description(patches={"depth": 3}),
    "a backbone that is a list": edit_description(backbone=[]),
    "a backbone without a name": edit_description(patches=None, backbone={"name": ""}),
    "a recipe of other colors": edit_description(recipe=Recipe(2, 3, color_mode="grayscale").to_dict()),
    "a recipe of too small images": edit_description(recipe=Recipe(1, 1).to_dict()),
    "no recipe": edit_description(recipe=None),
    "the kind of a table": edit_description(kind="table"),
    "the kind of images": edit_description(kind="images"),
    "a comparison that is a number": edit_description(compared=5),
    "a comparison without numbers": edit_description(compared=[{"features": "pixels"}]),
    "a comparison with a NaN": edit_description(
        compared=[{"features": "a", "log_loss": math.nan, "accuracy": 0.5, "examples": 3, "is_used": True}]
    ),
}


@pytest.mark.parametrize("change", WRONG_FEATURES.values(), ids=WRONG_FEATURES)
def test_what_is_wrong_with_features_is_one_error(change: Change, tmp_path: Path) -> None:
    path = tmp_path / "f.h5"
    data_file.write_data_file(path, features(tmp_path / "d.h5"))
    with h5py.File(path, "r+") as file:
        change(file)
    for function in (data_file.read_data_file, data_file.describe_data_file):
        with pytest.raises(DataError) as caught:
            function(path)
        assert str(caught.value).startswith(f"{path}: ")
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["labels too high", "fewer labels than images", "no images", "another kind"])
def test_a_description_is_of_whole_files_only(name: str, tmp_path: Path) -> None:
    path = written(tmp_path / "d.h5")
    with h5py.File(path, "r+") as file:
        WRONG[name](file)
    with pytest.raises(DataError):
        data_file.describe_data_file(path)


def test_a_newer_format_says_to_update(tmp_path: Path) -> None:
    path = written(tmp_path / "d.h5")
    with h5py.File(path, "r+") as file:
        edit_description(format=2)(file)
    for function in (data_file.read_data_file, data_file.describe_data_file):
        with pytest.raises(
            DataError, match=r"d\.h5: .*format 2, but this version of xpnet reads format 1: update xpnet"
        ):
            function(path)


def test_claims_of_more_than_fits_into_memory_are_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "d.h5")
    with h5py.File(path, "r+") as file:
        del file["images"]
        file.create_dataset("images", (1 << 50, 2, 3, 3), "u1", chunks=(1, 2, 3, 3))
    with pytest.raises(DataError, match=r"d\.h5: "):
        data_file.read_data_file(path)


def test_foreign_files(tmp_path: Path) -> None:
    path = written(tmp_path / "x")
    whole = path.read_bytes()
    contents = [
        b"",
        whole[:-1],
        whole[:1000],
        whole[:8],
        np.random.default_rng(0).bytes(5000),
        b"path,label\n",
    ]
    for content in contents:
        path.write_bytes(content)
        for function in (data_file.read_data_file, data_file.describe_data_file):
            with pytest.raises(DataError, match="x: cannot be read as HDF5"):
                function(path)
    with pytest.raises(DataError, match="missing: cannot be read"):
        data_file.read_data_file(tmp_path / "missing")
    with pytest.raises(DataError, match="cannot be read"):
        data_file.read_data_file(tmp_path)


def test_another_programs_file_says_what_it_holds(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "keras.h5", "w") as file:
        file["model_weights"] = np.zeros(3)
    for function in (data_file.read_data_file, data_file.describe_data_file):
        with pytest.raises(
            DataError, match=r"keras\.h5: contains model_weights; expected a file of xpnet preprocess"
        ):
            function(tmp_path / "keras.h5")
    with h5py.File(tmp_path / "empty.h5", "w"):
        pass
    with pytest.raises(DataError, match=r"empty\.h5: contains nothing"):
        data_file.read_data_file(tmp_path / "empty.h5")
