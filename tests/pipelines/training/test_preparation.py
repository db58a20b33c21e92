"""The inputs of a training: what is doubtful is said, and columns are matched by name."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from xpnet.backend import select
from xpnet.data import ColumnMatrix
from xpnet.errors import DataError
from xpnet.pipelines.datasets import DataOptions, Dataset
from xpnet.pipelines.images import Recipe
from xpnet.pipelines.messages import Messages
from xpnet.pipelines.training import Plan, TrainJob
from xpnet.pipelines.training.preparation import Prepared, prepare


class Recorded(Messages):
    """Keeps the warnings."""

    def __init__(self) -> None:
        self.warned: list[str] = []

    def warn(self, text: str) -> None:
        self.warned.append(text)


def images(values: list[int]) -> Dataset:
    """Return images of one color each, of two classes by turns."""
    pixels = np.repeat(np.array(values, np.uint8)[None], 12, axis=0)
    return Dataset(ColumnMatrix(pixels.T), np.arange(len(values))[None] % 2, ("a", "b"), Recipe(2, 2))


def prepared(
    data: str | Dataset, val: str | Dataset | None = None, **plan: str
) -> tuple[Prepared, list[str]]:
    messages = Recorded()
    target = "y" if isinstance(data, str) else None
    job = TrainJob(
        data=data, val=val, plan=Plan(**plan), options=DataOptions(target=target), device=select("cpu")
    )
    return prepare(job, messages), messages.warned


def test_the_same_image_in_training_and_validation_data_is_told() -> None:
    assert prepared(images([1, 2, 3, 4]), images([5, 6]))[1] == []
    _, warned = prepared(images([1, 2, 3, 3]), images([2, 6]))
    assert len(warned) == 2
    assert "2 images occur in more than one class" in warned[0]
    assert "1 of 2 validation images are also in the training data" in warned[1]


def test_a_target_of_0_and_1_is_told_unless_the_model_is_named(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,y\n1,0\n2,1\n3,0\n4,1\n")
    path = str(tmp_path / "t.csv")
    found, warned = prepared(path)
    assert found.dataset.classes == ()
    assert "--model logistic" in warned[0]
    for model in ("regression", "logistic"):
        assert prepared(path, model=model)[1] == []


def test_the_columns_of_validation_data_are_found_by_name(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,b,y\n1,2,p\n3,4,q\n")
    (tmp_path / "v.csv").write_text("b,name,y,a\n20,x,p,10\n")
    found, _ = prepared(str(tmp_path / "t.csv"), str(tmp_path / "v.csv"))
    assert found.validation is not None
    assert found.validation.data.examples.tolist() == [[10, 20]]
    other = replace(found.validation, features=("b", "a"))
    with pytest.raises(
        DataError, match="the validation data has the columns b, a; the training data has a, b"
    ):
        prepared(str(tmp_path / "t.csv"), other)
