"""Files of the course: what is read, and what is refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from data_files import PIXELS, RECIPE, course

from xpnet.errors import DataError
from xpnet.pipelines.datasets import data_file
from xpnet.pipelines.images.recipe import Recipe


@pytest.mark.parametrize("part", ["train", "test"])
def test_the_courses_layout(part: str, tmp_path: Path) -> None:
    path = course(tmp_path / "c.h5", part)
    dataset = data_file.read_data_file(path)
    np.testing.assert_array_equal(dataset.data.examples, PIXELS)
    np.testing.assert_allclose(dataset.data.standardized(), PIXELS.T / 255, rtol=1e-15)
    assert dataset.Y.tolist() == [[0, 1, 1, 0, 0, 1, 0]]
    assert dataset.Y.dtype == np.int64
    assert (dataset.classes, dataset.recipe) == (("non-cat", "cat"), RECIPE)
    said = data_file.describe_data_file(path)
    assert (said["m"], said["n_x"], said["counts"]) == (7, 18, [4, 3])
    assert (said["classes"], said["recipe"]) == (["non-cat", "cat"], RECIPE.to_dict())


def test_classes_without_names_are_the_numbers_that_occur(tmp_path: Path) -> None:
    labels = np.array([0, 7, 7, 0, 0, 7, 0])
    path = course(tmp_path / "c.h5", list_classes=None, train_set_y=labels)
    dataset = data_file.read_data_file(path)
    assert dataset.classes == ("0", "7")
    assert dataset.Y.tolist() == [[0, 1, 1, 0, 0, 1, 0]]
    assert data_file.describe_data_file(path)["counts"] == [4, 3]


@pytest.mark.parametrize("names", [["only"], ["caf\u00e9", "cafe\u0301"]])
def test_names_that_do_not_fit_the_labels_are_refused(names: list[str], tmp_path: Path) -> None:
    path = course(tmp_path / "c.h5", list_classes=np.array([name.encode() for name in names]))
    with pytest.raises(DataError, match="has labels from 0 to 1, which do not fit the classes"):
        data_file.read_data_file(path)


def test_grey_images_of_the_course_are_one_channel(tmp_path: Path) -> None:
    dataset = data_file.read_data_file(course(tmp_path / "c.h5", train_set_x=PIXELS.reshape(7, 3, 6, 1)))
    assert dataset.recipe == Recipe(3, 6, color_mode="grayscale")


WRONG_COURSE: dict[str, dict[str, Any]] = {
    "float images": {"train_set_x": PIXELS.reshape(7, 2, 3, 3) / 255},
    "two channels": {"train_set_x": np.zeros((7, 3, 3, 2), np.uint8)},
    "flat images": {"train_set_x": PIXELS},
    "no images": {"train_set_x": np.zeros((0, 2, 3, 3), np.uint8), "train_set_y": np.zeros(0, np.int64)},
    "a scalar of images": {"train_set_x": 3},
    "no labels": {"train_set_y": None},
    "fewer labels": {"train_set_y": np.array([0, 1])},
    "a row of labels": {"train_set_y": np.array([[0, 1, 1, 0, 0, 1, 0]])},
    "negative labels": {"train_set_y": np.array([0, -1, 1, 0, 0, 1, 0])},
    "labels with fractions": {"train_set_y": np.array([0, 0.5, 1, 0, 0, 1, 0])},
    "a NaN among the labels": {"train_set_y": np.array([0, np.nan, 1, 0, 0, 1, 0])},
    "a label of a million": {"train_set_y": np.array([0, 10**6, 1, 0, 0, 1, 0])},
    "words as labels": {"train_set_y": ["cat"] * 7},
    "numbers as names": {"list_classes": np.array([5, 6])},
    "one name twice": {"list_classes": np.array([b"cat", b"cat"])},
}


@pytest.mark.parametrize("changes", WRONG_COURSE.values(), ids=WRONG_COURSE)
def test_what_is_wrong_with_the_courses_layout_is_refused(changes: dict[str, Any], tmp_path: Path) -> None:
    path = course(tmp_path / "c.h5", **changes)
    with pytest.raises(DataError) as caught:
        data_file.read_data_file(path)
    assert str(caught.value).startswith(f"{path}: ")
