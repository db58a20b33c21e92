"""What a file is: each kind that xpnet writes is described, and all else is refused in one way."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pictures import save_model

from xpnet.backend.backend import select
from xpnet.data.column_matrix import ColumnMatrix
from xpnet.errors import DataError, XpnetError
from xpnet.io import read_model_file, tensor_file, write_model_file
from xpnet.nn.history import Epoch, History
from xpnet.nn.network import LogisticRegression
from xpnet.nn.settings import Settings
from xpnet.pipelines.cli.info import describe
from xpnet.pipelines.cli.text import description_text as to_text
from xpnet.pipelines.datasets import data_file
from xpnet.pipelines.datasets.table import read_table
from xpnet.pipelines.images.recipe import Recipe
from xpnet.pipelines.predictions.formats import FORMATS
from xpnet.pipelines.training.trainer import write_history
from xpnet.training.trainer import Trainer

COLUMNS = ["path", "status", "label", "score", "error"]
ROWS: list[dict[str, Any]] = [
    {"path": "a.jpg", "status": "ok", "label": "cat", "score": 0.5},
    {"path": "b.jpg", "status": "error", "error": "file is empty"},
    {"path": "c,d.jpg", "status": "ok", "label": "dog", "score": 0.75},
    {"path": "e.jpg", "status": "ok", "label": "cat", "score": 1.0},
    {"path": "f.jpg", "status": "unsure", "label": "dog", "score": 0.125},
]


def images(path: Path, recipe: Recipe, labels: list[int]) -> str:
    with data_file.data_file_writer(path, recipe, "unit") as writer:
        writer.add(np.zeros((len(labels), recipe.n_x), np.uint8), labels, ["x"] * len(labels))
        writer.finish(("cat", "dog"), [("bad.jpg", "not an image")])
    return str(path)


def predictions(
    path: Path, name: str, rows: list[dict[str, Any]] = ROWS, columns: list[str] = COLUMNS
) -> str:
    format_ = FORMATS[name](columns)
    part = path.with_suffix(".part")
    part.write_bytes(format_.head() + format_.rows(rows))
    convert = format_.conversion
    if convert is None:
        part.rename(path)
    else:
        convert(str(part), str(path))
    return str(path)


def training(epochs: int) -> Trainer:
    data = ColumnMatrix.of(np.arange(12, dtype=np.uint8).reshape(2, 6))
    made = Trainer(LogisticRegression(2), data, np.array([[0, 1] * 3]), select("cpu"), Settings(epochs=5))
    for _ in range(epochs):
        made.epoch()
    return made


TRAINED = training(2)


def test_images(tmp_path: Path) -> None:
    path = images(tmp_path / "d", Recipe(4, 4), [0, 1, 1, 0, 1])
    said = describe(path)
    assert (said["kind"], said["m"], said["n_x"], said["counts"]) == ("images", 5, 48, [2, 3])
    assert to_text(said).splitlines() == [
        "Kind: images",
        "Number of examples: m = 5",
        "Features of each: n_x = 48",
        "Each image: num_px = 4, shape (4, 4, 3) (stretch, by pillow)",
        "X: (48, 5) uint8, standardized: unit",
        "Y: (1, 5)",
        "Classes: cat: 2, dog: 3",
        "Skipped: 1",
    ]


def test_images_that_are_no_squares_are_width_by_height(tmp_path: Path) -> None:
    text = to_text(describe(images(tmp_path / "d", Recipe(3, 5), [0, 1])))
    assert "Each image: 5 x 3 pixels, shape (3, 5, 3)" in text
    assert "num_px" not in text


def test_a_class_without_examples_is_counted(tmp_path: Path) -> None:
    assert "Classes: cat: 3, dog: 0" in to_text(describe(images(tmp_path / "d", Recipe(3, 5), [0, 0, 0])))


def test_the_courses_layout(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "c.h5", "w") as file:
        file["test_set_x"], file["test_set_y"] = np.zeros((4, 6, 6, 3), np.uint8), [0, 1, 1, 1]
        file["list_classes"] = np.array([b"non-cat", b"cat"])
    text = to_text(describe(str(tmp_path / "c.h5")))
    for line in (
        "Kind: the course's layout",
        "m = 4",
        "n_x = 108",
        "num_px = 6",
        "(108, 4) uint8",
        "non-cat: 1, cat: 3",
    ):
        assert line in text


@pytest.mark.parametrize(("target", "line"), [("size", "To predict: size"), ("kind", "Classes: u: 2, v: 1")])
def test_a_table(target: str, line: str, tmp_path: Path) -> None:
    cells = {"size": ["1.5", "2", "3"], "kind": ["u", "v", "u"]}[target]
    (tmp_path / "t.csv").write_text(
        f"a,{target}\n" + "".join(f"{i},{cell}\n" for i, cell in enumerate(cells))
    )
    data_file.write_data_file(tmp_path / "t.h5", read_table(str(tmp_path / "t.csv"), target))
    text = to_text(describe(str(tmp_path / "t.h5")))
    for expected in ("Kind: table", "m = 3", "n_x = 1", "X: (1, 3) float64, standardized: feature", line):
        assert expected in text


def test_a_dataset_in_memory_reads_as_its_file(tmp_path: Path) -> None:
    path = images(tmp_path / "d", Recipe(4, 4), [0, 1, 1])
    assert to_text(data_file.read_data_file(path).describe()) == to_text(describe(path))


def test_a_model(tmp_path: Path) -> None:
    said = describe(str(save_model(tmp_path / "m.safetensors", recipe=Recipe(4, 4))))
    assert (said["kind"], said["dtype"], said["standardized"]) == ("model", "float32", "unit")
    assert said["parameters"] == 48 * 5 + 5 + 5 * 3 + 3
    assert said["network"]["hidden"] == ["5:tanh"]
    text = to_text(said)
    assert "classes: blue, green, red" in text
    assert "parameters: 263" in text
    assert "height 4, width 4" in text


def test_a_model_of_any_length_of_description(tmp_path: Path) -> None:
    """The length is the first thing in the file, and one of its bytes may be the end of a line."""
    path = save_model(tmp_path / "m.safetensors")
    saved, length = read_model_file(path), int.from_bytes(path.read_bytes()[:8], "little")
    write_model_file(path, replace(saved, history={"method": "x" * (0x0A40 - length)}))
    assert path.read_bytes()[1] == 0x0A
    assert describe(str(path))["kind"] == "model"


def test_a_checkpoint(tmp_path: Path) -> None:
    made = training(3)
    made.save_checkpoint(tmp_path / "c")
    said = describe(str(tmp_path / "c"))
    assert (said["kind"], said["epochs"], said["steps"]) == ("checkpoint", 3, 3)
    assert said["last"]["cost"] == made.history[-1].cost
    assert "epochs: 3" in to_text(said)


def test_a_checkpoint_before_the_first_epoch(tmp_path: Path) -> None:
    training(0).save_checkpoint(tmp_path / "c")
    said = describe(str(tmp_path / "c"))
    assert (said["kind"], said["epochs"]) == ("checkpoint", 0)
    assert to_text(said)


@pytest.mark.parametrize("name", FORMATS)
def test_predictions(name: str, tmp_path: Path) -> None:
    said = describe(predictions(tmp_path / "p", name))
    assert (said["kind"], said["rows"]) == ("predictions", 5)
    assert said["status"] == {"ok": 3, "error": 1, "unsure": 1}
    assert said["label"] == {"cat": 2, "dog": 1}
    assert "status: ok 3, error 1, unsure 1" in to_text(said)


@pytest.mark.parametrize("name", FORMATS)
def test_predictions_with_many_columns(name: str, tmp_path: Path) -> None:
    shares = {f"p_class number {i}": 0.001 for i in range(1000)}
    columns = [*COLUMNS[:-1], *shares, "error"]
    said = describe(predictions(tmp_path / "p", name, [row | shares for row in ROWS], columns))
    assert (said["kind"], said["rows"], said["label"]) == ("predictions", 5, {"cat": 2, "dog": 1})


@pytest.mark.parametrize("name", ["csv", "parquet"])
def test_predictions_without_rows(name: str, tmp_path: Path) -> None:
    assert describe(predictions(tmp_path / "p", name, []))["rows"] == 0


@pytest.mark.parametrize("apart", [{}, {"learning_rate of": 0.1, "l2": 3}])
def test_cost_curves(apart: dict[str, Any], tmp_path: Path) -> None:
    history = History([Epoch(1, 0.7, 0.1, 0.0), Epoch(2, 0.25, 0.1, 0.0, 0.5, 0.875)])
    write_history(str(tmp_path / "c.csv"), [(apart, history), (apart, history)])
    said = describe(str(tmp_path / "c.csv"))
    assert (said["kind"], said["rows"]) == ("cost curves", 4)
    assert (said["last"]["epoch"], said["last"]["cost"], said["last"]["val_metric"]) == ("2", "0.25", "0.875")
    assert "rows: 4" in to_text(said)


FOREIGN = {
    "empty": b"",
    "text": b"hello\n",
    "a table": b"a,b,y\n1,2,3\n",
    "a picture": b"\x89PNG\r\n\x1a\n" + b"\0" * 50,
    "zeros": b"\0" * 5000,
    "the beginning of HDF5": b"\x89HDF\r\n\x1a\n",
    "the beginning of Parquet": b"PAR1",
    "no safetensors": b"12345678{}",
    "a short row": b"path,status,label,score,error\na,ok,x,1\n",
    "a head with a carriage return": b"path,status,\rlabel,score,error\na,ok,x,1,\n",
    "a row that is no UTF-8": b"path,status,label,score,error\n\xff,ok,x,1,\n",
    "no JSON": b'{"path": garbage\n',
    "no JSON in its second line": b'{"path": "a", "status": "ok"}\n{"path"\n',
    "a list in its second line": b'{"path": "a", "status": "ok"}\n[1]\n',
    "an endless list in its second line": b'{"path": "a", "status": "ok"}\n' + b"[" * 100_000 + b"\n",
    "JSON that is no UTF-8": b'{"path": "a", "status": "ok"}\n{"path": "\xff"}\n',
    "curves that are no UTF-8": b"epoch,cost,learning_rate\n1,2,\xff\n",
    "curves with an endless cell": b"epoch,cost,learning_rate\n1,2," + b"3" * 200_000 + b"\n",
}


@pytest.mark.parametrize("content", FOREIGN.values(), ids=FOREIGN)
def test_all_else_is_refused_by_name(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(XpnetError) as caught:
        describe(str(tmp_path / "x"))
    assert str(caught.value).startswith(f"{tmp_path / 'x'}: ")


@pytest.mark.parametrize("missing", ["history", "step"])
def test_a_checkpoint_that_lacks_something_is_refused(missing: str, tmp_path: Path) -> None:
    description = {"kind": "checkpoint", "step": 3, "history": TRAINED.history.to_dict()}
    del description[missing]
    tensor_file.write_tensors(tmp_path / "c", description, {})
    with pytest.raises(XpnetError, match="c: "):
        describe(str(tmp_path / "c"))


def test_another_programs_parquet_is_no_predictions(tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": [1, 2]}), tmp_path / "x")
    with pytest.raises(DataError, match="x: "):
        describe(str(tmp_path / "x"))


def test_what_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="missing: cannot be read: No such file or directory"):
        describe(str(tmp_path / "missing"))
    with pytest.raises(DataError, match="cannot be read: it is not a regular file"):
        describe(str(tmp_path))


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_damaged_file_is_described_or_refused(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("i")
    kind = data.draw(st.sampled_from([*FORMATS, "model", "checkpoint", "curves"]))
    path = folder / "x"
    if kind in FORMATS:
        predictions(path, kind)
    elif kind == "model":
        save_model(path, recipe=Recipe(2, 2))
    elif kind == "checkpoint":
        TRAINED.save_checkpoint(path)
    else:
        write_history(str(path), [({}, TRAINED.history)])
    content = bytearray(path.read_bytes())
    if data.draw(st.booleans()):
        content = content[: data.draw(st.integers(0, len(content) - 1))]
    else:
        for _ in range(data.draw(st.integers(1, 3))):
            content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    try:
        said = describe(str(path))
    except XpnetError as error:
        assert str(error).startswith(f"{path}: ")  # noqa: PT017  (either is right)
    else:
        assert to_text(said)
