"""Every kind of data can be opened, options for another kind are refused, and classes keep their names."""

import os
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from xpnet.data.column_matrix import ColumnMatrix
from xpnet.errors import DataError, OutputError, ShapeError, UsageError
from xpnet.pipelines.datasets import data_file
from xpnet.pipelines.datasets.dataset import Dataset
from xpnet.pipelines.datasets.sources import DataOptions, open_data, with_classes, write_data
from xpnet.pipelines.images.recipe import Recipe

PIXELS = np.random.default_rng(0).integers(0, 256, (6, 12), dtype=np.uint8)
SMALL = Recipe(2, 2)


@pytest.fixture
def data(tmp_path: Path) -> dict[str, str]:
    """Return the path of each kind of data."""
    for i, column in enumerate(PIXELS):
        folder = tmp_path / "folder" / ("cat", "dog")[i % 2]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(column.reshape(2, 2, 3)).save(folder / f"{i}.png")
    (tmp_path / "labels.csv").write_text("path,label\ndog/1.png,x\ncat/0.png,y\n")
    (tmp_path / "table.CSV").write_text("a,b,y\n1,2,0.5\noops,2,1\n4,8,1.5\n")
    data_file.write_data_file(
        tmp_path / "own.h5",
        Dataset(
            ColumnMatrix.of(PIXELS.T, "channel", 3), np.array([[0, 1, 1, 0, 0, 1]]), ("cat", "dog"), SMALL
        ),
    )
    with h5py.File(tmp_path / "course.h5", "w") as file:
        file["train_set_x"], file["train_set_y"] = PIXELS.reshape(6, 2, 2, 3), [0, 1, 1, 0, 0, 1]
        file["list_classes"] = np.array([b"non-cat", b"cat"])
    names = {
        "folder": "folder",
        "labels": "labels.csv",
        "table": "table.CSV",
        "own": "own.h5",
        "course": "course.h5",
    }
    return {kind: str(tmp_path / name) for kind, name in names.items()}


def test_a_folder_of_classes(data: dict[str, str]) -> None:
    dataset = open_data(data["folder"], DataOptions(SMALL))
    assert (dataset.classes, dataset.Y.tolist()) == (("cat", "dog"), [[0, 0, 0, 1, 1, 1]])
    np.testing.assert_array_equal(dataset.data.examples, PIXELS[[0, 2, 4, 1, 3, 5]])
    assert dataset.data.standardizer.kind == "unit"
    assert open_data(data["folder"]).recipe == Recipe()


def test_a_folder_with_labels(data: dict[str, str]) -> None:
    dataset = open_data(data["folder"], DataOptions(SMALL, labels=data["labels"]))
    assert (dataset.classes, dataset.Y.tolist()) == (("x", "y"), [[0, 1]])
    np.testing.assert_array_equal(dataset.data.examples, PIXELS[[1, 0]])


def test_a_table(data: dict[str, str]) -> None:
    dataset = open_data(data["table"], DataOptions(target="y"))
    assert (dataset.classes, dataset.Y.tolist(), dataset.features) == ((), [[0.5, 1.5]], ("a", "b"))
    assert dataset.data.standardizer.kind == "feature"
    assert len(dataset.skipped) == 1
    with pytest.raises(DataError, match="line 3"):
        open_data(data["table"], DataOptions(target="y", on_error="fail"))


def test_data_files(data: dict[str, str]) -> None:
    for kind, standardize, classes in (
        ("own", "channel", ("cat", "dog")),
        ("course", "unit", ("non-cat", "cat")),
    ):
        dataset = open_data(data[kind])
        np.testing.assert_array_equal(dataset.data.examples, PIXELS)
        assert dataset.Y.tolist() == [[0, 1, 1, 0, 0, 1]]
        assert (dataset.classes, dataset.recipe) == (classes, SMALL)
        assert dataset.data.standardizer.kind == standardize


@pytest.mark.parametrize("kind", ["own", "course"])
def test_another_standardization_of_a_data_file_is_fitted_to_it(kind: str, data: dict[str, str]) -> None:
    wide = PIXELS.astype(np.float64)
    X = open_data(data[kind], DataOptions(standardize="feature")).data.standardized()
    np.testing.assert_allclose(X, ((wide - wide.mean(axis=0)) / wide.std(axis=0)).T, rtol=1e-10)
    pixels = wide.reshape(-1, 3)
    X = open_data(data[kind], DataOptions(standardize="channel")).data.standardized()
    expected = ((pixels - pixels.mean(axis=0)) / pixels.std(axis=0)).reshape(6, 12).T
    np.testing.assert_allclose(X, expected, rtol=1e-10)
    np.testing.assert_array_equal(
        open_data(data[kind], DataOptions(standardize="none")).data.standardized(), wide.T
    )
    with pytest.raises(ShapeError, match="kind is 'whiten'"):
        open_data(data[kind], DataOptions(standardize="whiten"))


def test_another_standardization_of_folders_and_tables(data: dict[str, str]) -> None:
    dataset = open_data(data["folder"], DataOptions(SMALL, standardize="feature"))
    np.testing.assert_allclose(dataset.data.standardized().mean(axis=1), 0, atol=1e-12)
    dataset = open_data(data["table"], DataOptions(standardize="none", target="y"))
    np.testing.assert_array_equal(dataset.data.standardized(), [[1, 4], [2, 8]])


@pytest.mark.parametrize(
    ("kind", "options", "named"),
    [
        ("folder", {"target": "y"}, "is a folder: leave out --target"),
        ("table", {"target": "y", "recipe": SMALL}, "is a table: leave out options for images"),
        ("table", {"target": "y", "labels": "l.csv"}, "is a table: leave out --labels"),
        ("table", {}, "is a table: name the column to predict with --target"),
        (
            "own",
            {"recipe": SMALL},
            "is a data file, whose images are decoded already: leave out options for images",
        ),
        ("own", {"labels": "l.csv", "target": "y"}, "leave out --labels, --target"),
        ("course", {"target": "y"}, "leave out --target"),
    ],
)
def test_options_for_another_kind_are_refused(
    kind: str, options: dict[str, Any], named: str, data: dict[str, str], tmp_path: Path
) -> None:
    for function in (
        lambda: open_data(data[kind], DataOptions(**options)),
        lambda: write_data(data[kind], str(tmp_path / "o.h5"), DataOptions(**options)),
    ):
        with pytest.raises(UsageError, match=named) as caught:
            function()
        assert str(caught.value).startswith(data[kind])
    assert not (tmp_path / "o.h5").exists()


def test_what_is_not_there_is_refused(tmp_path: Path) -> None:
    for name in ("missing", "missing.csv", "missing.h5"):
        with pytest.raises(DataError, match=f"{name}: there is no such file or folder"):
            open_data(str(tmp_path / name), DataOptions(target="y"))


def test_a_folder_named_as_a_table_is_a_folder(data: dict[str, str], tmp_path: Path) -> None:
    Path(data["folder"]).rename(tmp_path / "images.csv")
    assert open_data(str(tmp_path / "images.csv"), DataOptions(SMALL)).data.m == 6


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("folder", DataOptions(SMALL, "channel")),
        ("table", DataOptions(target="y")),
        ("own", DataOptions()),
        ("own", DataOptions(standardize="feature")),
        ("course", DataOptions()),
    ],
)
def test_prepared_data_is_the_same_as_opened(
    kind: str, options: DataOptions, data: dict[str, str], tmp_path: Path
) -> None:
    skipped = write_data(data[kind], str(tmp_path / "o.h5"), options)
    opened, prepared = open_data(data[kind], options), open_data(str(tmp_path / "o.h5"))
    np.testing.assert_array_equal(prepared.data.examples, opened.data.examples)
    np.testing.assert_array_equal(prepared.Y, opened.Y)
    assert prepared.data.standardizer == opened.data.standardizer
    for name in ("classes", "recipe", "features", "target", "skipped"):
        assert getattr(prepared, name) == getattr(opened, name)
    assert tuple(skipped) == opened.skipped


def test_prepared_data_that_cannot_be_written_is_an_output_error(
    data: dict[str, str], tmp_path: Path
) -> None:
    for kind, options in (
        ("folder", DataOptions(SMALL)),
        ("table", DataOptions(target="y")),
        ("own", DataOptions()),
    ):
        with pytest.raises(OutputError, match="cannot be written"):
            write_data(data[kind], str(tmp_path / "nowhere" / "o.h5"), options)


def labels(Y: list[int], classes: tuple[str, ...]) -> Dataset:
    return Dataset(ColumnMatrix(np.zeros((len(Y), 1))), np.array([Y], np.int64), classes)


@given(st.data())
def test_each_label_keeps_its_name(data: st.DataObject) -> None:
    known = data.draw(st.lists(st.text(max_size=3), min_size=1, max_size=6, unique=True))
    there = data.draw(st.permutations(known)) + data.draw(
        st.lists(st.text(min_size=4), max_size=2, unique=True)
    )
    there = data.draw(st.permutations(there))
    usable = [k for k, name in enumerate(there) if name in known]
    Y = data.draw(st.lists(st.sampled_from(usable), min_size=1, max_size=8))
    result = with_classes(labels(Y, tuple(there)), tuple(known), "d")
    assert result.classes == tuple(known)
    assert [known[k] for k in result.Y[0]] == [there[k] for k in Y]
    assert result.Y.shape == (1, len(Y))
    assert result.Y.dtype == np.int64


@given(st.permutations(["a", "b", "c", "d"]), st.integers(1, 4))
def test_classes_that_are_missing_shift_none(order: list[str], count: int) -> None:
    there = tuple(sorted(order[:count]))
    result = with_classes(labels(list(range(count)), there), tuple(order), "d")
    assert [order[k] for k in result.Y[0]] == list(there)


def test_a_class_that_is_unknown_is_refused() -> None:
    with pytest.raises(DataError, match="d: has the class 'owl', expected only cat, dog"):
        with_classes(labels([0, 1], ("cat", "owl")), ("cat", "dog"), "d")
    assert with_classes(labels([0, 0], ("cat", "owl")), ("cat", "dog"), "d").Y.tolist() == [[0, 0]]


def test_classes_that_look_alike_are_the_same() -> None:
    result = with_classes(labels([0, 1], ("cat", "u\u0308")), ("\u00fc", "cat"), "d")
    assert result.Y.tolist() == [[1, 0]]


@pytest.mark.parametrize("name", ["t.xlsx", "t.csv.gz", "t.JSON"])
def test_a_table_in_a_format_that_is_not_read_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text("a,y\n1,2\n")
    with pytest.raises(DataError, match=rf"{name}: .* is not a format that is read: save the table as \.csv"):
        open_data(str(tmp_path / name), DataOptions(target="y"))


def test_a_table_with_tabs_and_chosen_columns(tmp_path: Path) -> None:
    (tmp_path / "t.tsv").write_text("a\tb\ty\n1\t2\tp\n3\t4\tq\n")
    for options in ({"columns": ("b",)}, {"ignored_columns": ("a",)}):
        dataset = open_data(str(tmp_path / "t.tsv"), DataOptions(target="y", **options))
        assert (dataset.features, dataset.data.examples.tolist()) == (("b",), [[2], [4]])
        with pytest.raises(UsageError, match=r"is a folder: leave out --(ignore-)?columns"):
            open_data(str(tmp_path), DataOptions(**options))


def test_classes_are_no_numbers_to_predict() -> None:
    numbers = Dataset(ColumnMatrix(np.zeros((2, 1))), np.array([[0.5, 1.0]]), ())
    with pytest.raises(DataError, match="d: has numbers to predict, expected cat, dog"):
        with_classes(numbers, ("cat", "dog"), "d")
    with pytest.raises(DataError, match="d: has cat, dog, expected numbers to predict"):
        with_classes(labels([0, 1], ("cat", "dog")), (), "d")
    assert with_classes(numbers, (), "d") is numbers


@pytest.mark.skipif(os.name != "posix", reason="there are no such pipes")
def test_a_pipe_is_no_data(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "t")
    with pytest.raises(DataError, match="is a pipe or a device: save the data to a file"):
        open_data(str(tmp_path / "t"), DataOptions(target="y"))
