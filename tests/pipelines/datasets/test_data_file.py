"""The data file: what goes in comes out, whole or not at all, and one error for all that is wrong."""

import json
import multiprocessing
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from locations import TESTS

from xpnet.data.column_matrix import ColumnMatrix
from xpnet.data.standardize import STANDARDIZATIONS
from xpnet.errors import DataError, OutputError
from xpnet.pipelines.cli.info import to_text
from xpnet.pipelines.datasets import data_file
from xpnet.pipelines.datasets.dataset import Dataset, class_counts
from xpnet.pipelines.images.recipe import Recipe

RECIPE = Recipe(2, 3)
PIXELS = np.random.default_rng(0).integers(0, 256, (7, 18), dtype=np.uint8)
LABELS = [0, 2, 1, 1, 0, 2, 2]
NAMES = ["a.jpg", "b,c.png", "d\ne", "ä/ö.jpg", "", "f", r"g\xff.jpg"]
CLASSES = ("cat", "dög", '"x", y')
SKIPPED = [("bad.jpg", "not an image"), ("wörse", "file is empty")]


def written(path: Path, kind: str = "unit", pixels: np.ndarray = PIXELS, rows: int = 3) -> Path:
    with data_file.data_file_writer(path, RECIPE, kind) as writer:
        for i in range(0, len(pixels), rows):
            writer.add(pixels[i : i + rows], LABELS[i : i + rows], NAMES[i : i + rows])
        writer.finish(CLASSES, SKIPPED)
    return path


def table(kind: str, classes: tuple[str, ...]) -> Dataset:
    generator = np.random.default_rng(1)
    data = ColumnMatrix.of(generator.normal(40, 9, (3, 8)), kind)
    Y = generator.integers(0, 2, (1, 8)) if classes else generator.normal(size=(1, 8))
    skipped = (("t.csv: line 4", "a is 'x'"),)
    return Dataset(data, Y, classes, features=("a", "b", "ü"), target="y", skipped=skipped)


def require_equal(a: Dataset, b: Dataset) -> None:
    np.testing.assert_array_equal(a.data.examples, b.data.examples)
    np.testing.assert_array_equal(a.Y, b.Y)
    assert a.data.examples.dtype == b.data.examples.dtype
    assert a.Y.dtype == b.Y.dtype
    assert a.data.standardizer == b.data.standardizer
    for name in ("classes", "recipe", "features", "target", "names", "skipped"):
        assert getattr(a, name) == getattr(b, name)


@pytest.mark.parametrize("kind", STANDARDIZATIONS)
def test_images_come_back(kind: str, tmp_path: Path) -> None:
    dataset = data_file.read_data_file(written(tmp_path / "d.h5", kind))
    np.testing.assert_array_equal(dataset.data.examples, PIXELS)
    assert dataset.data.examples.dtype == np.uint8
    assert dataset.Y.dtype == np.int64
    assert dataset.Y.tolist() == [LABELS]
    assert dataset.data.standardizer.kind == kind
    assert (dataset.classes, dataset.recipe) == (CLASSES, RECIPE)
    assert (dataset.names, dataset.skipped) == (tuple(NAMES), tuple(SKIPPED))
    data_file.write_data_file(tmp_path / "again.h5", dataset)
    require_equal(data_file.read_data_file(tmp_path / "again.h5"), dataset)


def test_how_images_come_in_blocks_does_not_matter(tmp_path: Path) -> None:
    whole = data_file.read_data_file(written(tmp_path / "whole", "channel", rows=7))
    for rows in (1, 2, 6):
        require_equal(data_file.read_data_file(written(tmp_path / "parts", "channel", rows=rows)), whole)


@pytest.mark.parametrize("kind", STANDARDIZATIONS)
@pytest.mark.parametrize("classes", [(), ("no", "yes")])
def test_tables_come_back(kind: str, classes: tuple[str, ...], tmp_path: Path) -> None:
    dataset = table(kind, classes)
    data_file.write_data_file(tmp_path / "t.h5", dataset)
    require_equal(data_file.read_data_file(tmp_path / "t.h5"), dataset)


def test_images_with_numbers_to_predict_come_back(tmp_path: Path) -> None:
    numbers = np.array([[0.25, 1.5, -2.0, 1e-3, 7.75, 0.5, 3.0]])
    dataset = replace(data_file.read_data_file(written(tmp_path / "d.h5")), Y=numbers, classes=())
    data_file.write_data_file(tmp_path / "numbers.h5", dataset)
    require_equal(data_file.read_data_file(tmp_path / "numbers.h5"), dataset)


def test_images_without_names_are_written(tmp_path: Path) -> None:
    dataset = replace(data_file.read_data_file(written(tmp_path / "d.h5")), names=())
    data_file.write_data_file(tmp_path / "e.h5", dataset)
    assert data_file.read_data_file(tmp_path / "e.h5").Y.tolist() == [LABELS]


def test_others_can_read_the_file(tmp_path: Path) -> None:
    with h5py.File(written(tmp_path / "d.h5", "feature")) as file:
        np.testing.assert_array_equal(file["images"], PIXELS.reshape(7, 2, 3, 3))
        assert file["labels"][:].tolist() == LABELS
        assert file["names"].asstr()[:].tolist() == NAMES
        assert json.loads(file["xpnet"][:].tobytes())["classes"] == list(CLASSES)


@pytest.mark.parametrize("kind", ["feature", "channel"])
def test_the_standardization_written_is_numpys(kind: str, tmp_path: Path) -> None:
    pixels = PIXELS.copy()
    pixels[:, 5] = 77
    wide = pixels.astype(np.float64)
    if kind == "feature":
        mean, deviation = wide.mean(axis=0), wide.std(axis=0)
        deviation[5] = 1
    else:
        channels = wide.reshape(-1, 3)
        mean, deviation = np.tile(channels.mean(axis=0), 6), np.tile(channels.std(axis=0), 6)
    with h5py.File(written(tmp_path / "d.h5", kind, pixels)) as file:
        np.testing.assert_allclose(file["mean"][:, 0], mean, rtol=1e-12)
        np.testing.assert_allclose(file["scale"][:, 0], 1 / deviation, rtol=1e-12)


def test_many_skipped_and_long_names_fit(tmp_path: Path) -> None:
    skipped = [(f"{i:06}" * 20, "truncated") for i in range(2000)]
    classes = tuple(f"class {i} " + "x" * 200 for i in range(1000))
    with data_file.data_file_writer(tmp_path / "d.h5", RECIPE, "unit") as writer:
        writer.add(PIXELS, LABELS, NAMES)
        writer.finish(classes, skipped)
    dataset = data_file.read_data_file(tmp_path / "d.h5")
    assert (dataset.classes, dataset.skipped) == (classes, tuple(skipped))


def test_the_description_is_the_datasets(tmp_path: Path) -> None:
    for name, dataset in {
        "images": data_file.read_data_file(written(tmp_path / "d.h5", "channel")),
        "classes": table("feature", ("no", "yes")),
        "numbers": table("unit", ()),
    }.items():
        data_file.write_data_file(tmp_path / name, dataset)
        said, expected = (
            data_file.describe_data_file(tmp_path / name),
            json.loads(json.dumps(dataset.describe())),
        )
        assert {key: said[key] for key in expected if expected[key]} == {
            k: v for k, v in expected.items() if v
        }


def test_the_description_has_numbers_and_shapes(tmp_path: Path) -> None:
    said = data_file.describe_data_file(written(tmp_path / "d.h5", "channel"))
    assert (said["m"], said["n_x"], said["shape"], said["dtype"]) == (7, 18, [2, 3, 3], "uint8")
    assert (said["counts"], said["standardize"], said["kind"]) == ([2, 2, 3], "channel", "images")


def test_counts_are_of_every_class() -> None:
    assert class_counts(np.array([2, 0, 2]), ("a", "b", "c", "d")) == [1, 0, 2, 0]
    assert class_counts(np.array([0.5, 2.0]), ()) == []


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, DataError])
def test_the_file_appears_only_when_complete(error: type[BaseException], tmp_path: Path) -> None:
    seen: list[bool] = []

    def interrupted() -> None:
        with data_file.data_file_writer(tmp_path / "d.h5", RECIPE, "unit") as writer:
            writer.add(PIXELS, LABELS, NAMES)
            seen.append((tmp_path / "d.h5").exists())
            raise error

    with pytest.raises(error):
        interrupted()
    assert not list(tmp_path.iterdir())
    assert seen == [False]
    before = written(tmp_path / "d.h5").read_bytes()
    with pytest.raises(error):
        interrupted()
    assert [entry.name for entry in tmp_path.iterdir()] == ["d.h5"]
    assert (tmp_path / "d.h5").read_bytes() == before


def test_what_cannot_be_written_is_an_output_error(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(OutputError, match=r"nowhere/d\.h5: cannot be written: No such file or directory"):
        written(tmp_path / "nowhere" / "d.h5")
    with pytest.raises(OutputError, match="folder: cannot be written"):
        written(tmp_path / "folder")
    with pytest.raises(OutputError, match=r"nowhere/t\.h5: cannot be written: No such file or directory"):
        data_file.write_data_file(tmp_path / "nowhere" / "t.h5", table("none", ()))
    assert [entry.name for entry in tmp_path.iterdir()] == ["folder"]


FULL = """
import resource, sys
from pathlib import Path
import numpy as np
sys.path.insert(0, {tests!r})
import test_store
from xpnet.errors import OutputError

resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
try:
    if {kind!r} == "images":
        test_store.written(Path({path!r}))
    else:
        test_store.store.write({path!r}, test_store.wide())
except OutputError as error:
    print(error)
"""


def wide() -> Dataset:
    return Dataset(
        ColumnMatrix(np.zeros((500, 50))), np.zeros((1, 500)), (), features=("x",) * 50, target="y"
    )


@pytest.mark.parametrize("kind", ["images", "table"])
def test_a_full_disk_is_an_output_error(kind: str, tmp_path: Path) -> None:
    pytest.importorskip("resource")
    (tmp_path / "d.h5").write_bytes(b"before")
    program = FULL.format(tests=str(TESTS), path=str(tmp_path / "d.h5"), kind=kind)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-500:]
    assert "d.h5: cannot be written: " in done.stdout
    assert [entry.name for entry in tmp_path.iterdir()] == ["d.h5"]
    assert (tmp_path / "d.h5").read_bytes() == b"before"


def course(path: Path, part: str = "train", **changes: Any) -> Path:
    """Write a file in the course's layout, with entries changed, or left out by None."""
    entries = {
        f"{part}_set_x": PIXELS.reshape(7, 2, 3, 3),
        f"{part}_set_y": np.array([0, 1, 1, 0, 0, 1, 0]),
        "list_classes": np.array([b"non-cat", b"cat"]),
    } | changes
    with h5py.File(path, "w") as file:
        for name, value in entries.items():
            if value is not None:
                file[name] = value
    return path


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


@pytest.mark.parametrize("names", [None, np.array([b"only"])])
def test_classes_without_names_are_numbers(names: Any, tmp_path: Path) -> None:
    assert data_file.read_data_file(course(tmp_path / "c.h5", list_classes=names)).classes == ("0", "1")


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


Change = Callable[[h5py.File], object]


def says(**changes: Any) -> Change:
    """Return what changes entries of the description; None leaves one out."""

    def change(file: h5py.File) -> None:
        description = json.loads(file["xpnet"][:].tobytes()) | changes
        left = {n: v for n, v in description.items() if v is not None}
        described(json.dumps(left).encode())(file)

    return change


def holds(name: str, value: Any) -> Change:
    """Return what changes a dataset; None leaves it out."""

    def change(file: h5py.File) -> None:
        del file[name]
        if value is not None:
            file[name] = value

    return change


def described(text: bytes) -> Change:
    """Return what changes the description's bytes."""
    return holds("xpnet", np.frombuffer(text, np.uint8))


WRONG: dict[str, Change] = {
    "a description that is no JSON": described(b"{garbage"),
    "a description that is a list": described(b"[1]"),
    "a description that is a number": described(b"5"),
    "a description that is nested without end": described(b"[" * 20_000),
    "a description that is bytes": described(b"\xff\xfe"),
    "a description that is text": holds("xpnet", "text"),
    "a description that is a matrix": holds("xpnet", np.zeros((2, 2), np.uint8)),
    "another kind": says(kind="model"),
    "a kind that is a list": says(kind=["images"]),
    "no kind": says(kind=None),
    "no classes": says(classes=None),
    "a number of classes": says(classes=5),
    "one class twice": says(classes=["cat", "cat", "dog"]),
    "fewer classes than labels": says(classes=["cat"]),
    "no list of what was skipped": says(skipped=None),
    "numbers as what was skipped": says(skipped=[1]),
    "a recipe of other words": says(recipe={"depth": 3}),
    "a recipe that is a number": says(recipe=5),
    "a recipe of another size": says(recipe=Recipe(4, 4).to_dict()),
    "a recipe of other colours": says(recipe=Recipe(3, 6, color_mode="grayscale").to_dict()),
    "an unknown standardization": says(standardize="whiten"),
    "no standardization": says(standardize=None),
    "labels too high": holds("labels", np.array([0, 1, 2, 3, 0, 0, 0])),
    "labels far too high": holds("labels", np.array([0, 1, 2, 1 << 60, 0, 0, 0])),
    "labels below 0": holds("labels", np.array([0, 1, 2, -1, 0, 0, 0])),
    "fewer labels than images": holds("labels", np.array([0, 1, 2])),
    "more labels than images": holds("labels", np.zeros(8, np.int64)),
    "labels with fractions": holds("labels", np.full(7, 0.5)),
    "labels that are a matrix": holds("labels", np.zeros((7, 2), np.int64)),
    "a label": holds("labels", 0),
    "words as labels": holds("labels", ["cat"] * 7),
    "no labels": holds("labels", None),
    "a NaN in mean": holds("mean", np.full((18, 1), np.nan)),
    "an infinity in scale": holds("scale", np.full((18, 1), np.inf)),
    "a mean of too few": holds("mean", np.zeros((5, 1))),
    "a scale of too few": holds("scale", np.ones((5, 1))),
    "a mean that is no column": holds("mean", np.zeros(18)),
    "a mean of complex numbers": holds("mean", np.zeros((18, 1), complex)),
    "a mean of words": holds("mean", ["x"] * 18),
    "no mean": holds("mean", None),
    "no images": holds("images", None),
    "images that are a number": holds("images", 3),
    "images that are words": holds("images", ["x"] * 7),
    "images of float16": holds("images", np.zeros((7, 2, 3, 3), np.float16)),
    "images of floats": holds("images", np.zeros((7, 2, 3, 3), np.float32)),
    "images of another shape": holds("images", np.zeros((7, 18), np.uint8)),
    "no image at all": holds("images", np.zeros((0, 2, 3, 3), np.uint8)),
    "fewer names than images": holds("names", ["a"]),
    "numbers as names": holds("names", np.zeros(7)),
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
        to_text(said)


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
        says(format=2)(file)
    for function in (data_file.read_data_file, data_file.describe_data_file):
        with pytest.raises(DataError, match=r"d\.h5: .*format 2, and this version reads 1: update xpnet"):
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
            DataError, match=r"keras\.h5: holds model_weights; expected a file of xpnet preprocess"
        ):
            function(tmp_path / "keras.h5")
    with h5py.File(tmp_path / "empty.h5", "w"):
        pass
    with pytest.raises(DataError, match=r"empty\.h5: holds nothing"):
        data_file.read_data_file(tmp_path / "empty.h5")


def limit_memory() -> None:
    """Let this process allocate two GiB only: a damaged size may be any number."""
    try:
        import resource
    except ImportError:
        return
    resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))


def outcome(path: str) -> list[str]:
    """Return what becomes of a file, in a process that HDF5 may take down."""
    ends = []
    for function in (data_file.read_data_file, data_file.describe_data_file):
        try:
            function(path)
        except DataError as error:
            ends.append("refused" if str(error).startswith(f"{path}: ") else f"no path: {error}")
        except Exception as error:
            ends.append(f"{function.__name__}: {error!r}")
        else:
            ends.append("works")
    return ends


@pytest.fixture(scope="module")
def apart() -> Iterator[ProcessPoolExecutor]:
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, spawn, initializer=limit_memory) as pool:
        yield pool


# Not other examples each time: libhdf5 itself ends the process at about one damaged file in a few thousand.
@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.data())
def test_a_damaged_file_works_or_is_refused(
    tmp_path_factory: pytest.TempPathFactory, apart: ProcessPoolExecutor, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("d")
    kind = data.draw(st.sampled_from(["images", "table", "course"]))
    if kind == "table":
        data_file.write_data_file(folder / "d.h5", table("feature", ("no", "yes")))
    else:
        (written if kind == "images" else course)(folder / "d.h5")
    content = bytearray((folder / "d.h5").read_bytes())
    if data.draw(st.integers(0, 4)) == 0:
        content = content[: data.draw(st.integers(0, len(content) - 1))]
    else:
        filled = np.flatnonzero(np.frombuffer(content, np.uint8)).tolist()
        for _ in range(data.draw(st.integers(1, 4))):
            content[data.draw(st.sampled_from(filled))] = data.draw(st.integers(0, 255))
    (folder / "d.h5").write_bytes(content)
    ends = apart.submit(outcome, str(folder / "d.h5")).result(timeout=60)
    assert set(ends) <= {"works", "refused"}
