"""Images that occur twice are counted, and numbers that may be classes are pointed out."""

from dataclasses import replace

import numpy as np
import pytest

from xpnet.data.column_matrix import ColumnMatrix
from xpnet.pipelines.datasets.dataset import Dataset
from xpnet.pipelines.datasets.doubts import doubt_about_targets, doubts_about_images
from xpnet.pipelines.images.recipe import Recipe

RECIPE = Recipe(1, 2)


def images(values: list[int], labels: list[int]) -> Dataset:
    """Return images of one colour each."""
    pixels = np.repeat(np.array(values, np.uint8)[:, None], 6, axis=1)
    names = tuple(f"{i}.png" for i in range(len(values)))
    return Dataset(ColumnMatrix(pixels), np.array([labels]), ("cat", "dog"), RECIPE, names=names)


def test_an_image_in_two_classes_is_counted() -> None:
    assert not doubts_about_images(images([1, 1, 2], [0, 0, 1]))
    found = doubts_about_images(images([1, 2, 2], [0, 0, 1]))
    assert found == ["2 images occur in more than one class, such as 1.png"]


def test_an_image_in_training_and_validation_data_is_counted() -> None:
    train = images([1, 2], [0, 1])
    assert not doubts_about_images(train, images([3, 4], [0, 1]))
    found = doubts_about_images(train, images([3, 2, 1], [0, 1, 0]))
    assert len(found) == 1
    assert found[0].startswith("2 of 3 validation images are also in the training data, such as 1.png:")


def test_other_data_has_no_doubts() -> None:
    data = images([1, 1], [0, 1])
    assert not doubts_about_images(replace(data, recipe=None), data)
    assert not doubt_about_targets(data)


def targets(values: list[float]) -> str:
    data = ColumnMatrix(np.zeros((len(values), 1)))
    return doubt_about_targets(Dataset(data, np.array([values]), (), features=("a",), target="survived"))


def test_numbers_that_may_be_classes_are_pointed_out() -> None:
    assert "survived has only the values 0, 1, " in targets([0.0, 1.0, 1.0, 0.0])
    assert "--model logistic" in targets([0.0, 1.0, 1.0, 0.0])
    assert "--model softmax" in targets([0.0, 1.0, 2.0, 0.0, 1.0, 2.0])
    assert not targets([0.0, 0.5, 0.5, 0.0])
    assert not targets([0.0, 1.0, 2.0])
    assert not targets([3.0, 3.0])
    assert not targets([float(i) for i in range(11)] * 2)


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (("10", "20", "30", "n/a"), "price is a number in most examples, and 'n/a' in others"),
        (("1.5", "2.5", "1,000"), "price has values such as 1,000, which are taken for names of classes"),
        (("1,5", "2,5"), "price has values such as 1,5"),
        (("1.0", "2.5"), "price has numbers such as 1.0, which are taken for names of classes"),
        (("1", "2", "3"), ""),
        (("cat", "dog", "7"), ""),
    ],
)
def test_classes_that_may_be_numbers_are_pointed_out(names: tuple[str, ...], said: str) -> None:
    m = len(names)
    table = Dataset(ColumnMatrix(np.ones((m, 1))), np.arange(m)[None], names, features=("a",), target="price")
    assert doubt_about_targets(table).startswith(said)
    assert bool(doubt_about_targets(table)) == bool(said)
