"""Rows of predictions: what each row says of its input."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optional import module
from pictures import draw_classes
from program import xpnet_here

from xpnet.data.standardize import fit_standardizer
from xpnet.errors import UsageError
from xpnet.io.model_file import SavedModel
from xpnet.nn.network import LogisticRegression, Network, SoftmaxRegression
from xpnet.pipelines.images.decode_many import DecodedImages
from xpnet.pipelines.images.recipe import Recipe
from xpnet.pipelines.models import load
from xpnet.pipelines.models import rows as rows_module
from xpnet.pipelines.models.model import Model
from xpnet.pipelines.models.prediction import Predictor, RowOptions
from xpnet.pipelines.models.rows import columns_for, row_of
from xpnet.pipelines.predictions.counts import Counts

pa, pandas = module("pyarrow"), module("pandas")

THREE = ("ant", "bee", "cow")


def model_of(network: Network, classes: tuple[str, ...] = ()) -> Model:
    parameters = {name: np.zeros(shape, np.float32) for name, shape in network.shapes.items()}
    return Model(SavedModel(network, parameters, fit_standardizer([], "unit"), classes))


def predictor_of(model: Model, **options: Any) -> Predictor:
    return Predictor(None, Recipe(), model.classes, RowOptions(**options))  # type: ignore[arg-type]  (no scorer)


def rows_of(
    model: Model, outputs: Any, errors: list[str] | None = None, **options: Any
) -> tuple[list[Any], Counts]:
    outputs = np.asarray(outputs, np.float32)
    k, counts = outputs.shape[1], Counts()
    decoded = DecodedImages([f"{i}.jpg" for i in range(k)], np.zeros((k, 2), np.uint8), errors or [""] * k)
    predictions = list(predictor_of(model, **options).predictions(decoded, outputs))
    counts.add_all(predictions)
    rows = list(map(row_of, predictions))
    columns = columns_for(model.classes, RowOptions(**options), of_images=False)
    assert all([name for name in columns if name in row] == list(row) for row in rows)
    return rows, counts


SOFTMAX = model_of(SoftmaxRegression(2, 3), THREE)
BINARY = model_of(LogisticRegression(2), ("no", "yes"))
NUMBERS = model_of(Network(2, 1, "identity"))


def test_a_row_of_each_input_says_what_became_of_it() -> None:
    rows, counts = rows_of(SOFTMAX, [[0.25, 0, 0.7], [0.5, 0, 0.2], [0.25, 0, 0.1]], ["", "not an image", ""])
    assert rows == [
        {"path": "0.jpg", "status": "ok", "label": "bee", "score": 0.5},
        {"path": "1.jpg", "status": "error", "error": "not an image"},
        {"path": "2.jpg", "status": "ok", "label": "ant", "score": 0.7},
    ]
    assert counts == Counts(ok=2, error=1)
    assert counts.total == 3


def test_columns_are_in_order() -> None:
    usual = ["path", "status", "label", "score"]
    assert columns_for(THREE, RowOptions(), of_images=False) == [*usual, "error"]
    assert columns_for((), RowOptions(), of_images=True) == [*usual, "frames", "error"]
    more = ["label1", "score1", "label2", "score2", "p_ant", "p_bee", "p_cow", "error"]
    assert columns_for(THREE, RowOptions(topk=2, proba=True), of_images=False) == [*usual, *more]
    assert columns_for(("no", "yes"), RowOptions(topk=9), of_images=False)[-3:] == [
        "label2",
        "score2",
        "error",
    ]


def test_topk_is_from_the_most_probable() -> None:
    ((row,), _) = rows_of(SOFTMAX, [[0.2], [0.5], [0.3]], topk=5)
    assert [row[f"label{i}"] for i in (1, 2, 3)] == ["bee", "cow", "ant"]
    assert [row[f"score{i}"] for i in (1, 2, 3)] == [0.5, 0.3, 0.2]
    ((row,), _) = rows_of(SOFTMAX, [[0.2], [0.5], [0.3]], topk=1)
    assert set(row) == {"path", "status", "label", "score", "label1", "score1"}


def test_proba_is_of_every_class() -> None:
    ((row,), _) = rows_of(SOFTMAX, [[0.2], [0.5], [0.3]], proba=True)
    assert [row[f"p_{name}"] for name in THREE] == [0.2, 0.5, 0.3]


def test_a_score_below_the_least_confidence_is_unsure() -> None:
    rows, counts = rows_of(
        SOFTMAX, [[0.25, 0.5, 0.75], [0.375, 0.25, 0.125], [0.375, 0.25, 0.125]], min_confidence=0.5
    )
    assert [row["status"] for row in rows] == ["unsure", "ok", "ok"]
    assert rows[0]["label"] == "bee"
    assert counts == Counts(ok=2, unsure=1)


def test_a_score_that_is_written_as_the_least_confidence_is_not_below_it() -> None:
    ((row,), _) = rows_of(BINARY, [[0.9]], min_confidence=0.9)
    assert (row["score"], row["status"]) == (0.9, "ok")


def test_of_equal_probabilities_the_first_class_is_the_label() -> None:
    ((row,), _) = rows_of(SOFTMAX, [[0.25], [0.375], [0.375]], topk=3)
    assert [row[f"label{i}"] for i in (1, 2, 3)] == ["bee", "cow", "ant"]
    ((row,), _) = rows_of(BINARY, [[0.5]])
    assert (row["label"], row["score"]) == ("no", 0.5)


def test_two_classes_are_one_output() -> None:
    rows, _ = rows_of(BINARY, [[0.125, 0.75]], proba=True)
    assert [(row["label"], row["score"]) for row in rows] == [("no", 0.875), ("yes", 0.75)]
    assert [(row["p_no"], row["p_yes"]) for row in rows] == [(0.875, 0.125), (0.25, 0.75)]


def test_classes_without_names_are_numbers() -> None:
    ((row,), _) = rows_of(model_of(LogisticRegression(2)), [[0.75]])
    assert row["label"] == "1"
    ((row,), _) = rows_of(model_of(SoftmaxRegression(2, 3)), [[0.2], [0.1], [0.7]])
    assert row["label"] == "2"


def test_numbers_have_no_label() -> None:
    rows, counts = rows_of(NUMBERS, [[-2.5, 1234567.0]], ["", "file is empty"])
    assert rows[0] == {"path": "0.jpg", "status": "ok", "score": -2.5}
    assert rows[1]["status"] == "error"
    assert counts == Counts(ok=1, error=1)


@pytest.mark.parametrize("options", [{"topk": 1}, {"proba": True}, {"min_confidence": 0.5}])
def test_options_of_classifiers_are_refused_for_numbers(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="this model predicts numbers"):
        predictor_of(NUMBERS, **options)


@pytest.mark.parametrize(
    "options",
    [
        {"topk": -1},
        {"min_confidence": -0.1},
        {"min_confidence": 1.1},
        {"min_confidence": float("nan")},
        {"topk": -9},
    ],
)
def test_options_that_cannot_be_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="expected"):
        RowOptions(**options)


@given(st.floats(0, 1, width=32))
def test_scores_have_six_digits(probability: float) -> None:
    ((row,), _) = rows_of(BINARY, [[probability]], proba=True)
    assert row["p_yes"] == pytest.approx(probability, rel=5e-6)
    assert len(f"{row['p_yes']:e}".rstrip("0").replace(".", "").partition("e")[0]) <= 7
    assert float(f"{row['p_yes']:.6g}") == row["p_yes"]


def test_paths_that_are_no_utf8_are_shown() -> None:
    decoded = DecodedImages(["\udcff.jpg"], np.zeros((1, 2), np.uint8), [""])
    (prediction,) = predictor_of(BINARY).predictions(decoded, np.array([[0.75]], np.float32))
    assert prediction.path == "\udcff.jpg"
    assert row_of(prediction)["path"] == r"\xff.jpg"


def test_classes_that_are_no_utf8_are_shown() -> None:
    model = model_of(SoftmaxRegression(2, 3), ("a", "b", "\udcff"))
    ((row,), _) = rows_of(model, [[0.25], [0.25], [0.5]], topk=1, proba=True)
    assert (row["label"], row["label1"], row[r"p_\xff"]) == (r"\xff", r"\xff", 0.5)


# Tables for other libraries.


def images_and_a_damaged_one(folder: Path) -> Path:
    draw_classes(folder, 3)
    (folder / "a.jpg").write_bytes(b"no image")
    return folder


EVERY = {"topk": 2, "proba": True, "workers": 1}
TYPES = {"score": "float64", "score1": "float64", "p_red": "float64"}


def test_predictions_are_a_table_of_arrow(model: Path, tmp_path: Path) -> None:
    folder, loaded = images_and_a_damaged_one(tmp_path / "photos"), load(model)
    rows = [row_of(each) for each in loaded.predict(folder, **EVERY)]
    table = loaded.predict(folder, **EVERY).to_arrow()
    assert table.column_names == columns_for(loaded.classes, RowOptions(2, True), of_images=True)
    assert [{k: v for k, v in row.items() if v is not None} for row in table.to_pylist()] == rows
    assert {table.schema.field(name).type for name in ("score", "score2", "p_red")} == {pa.float64()}
    assert table.schema.field("frames").type == pa.int64()
    assert {table.schema.field(name).type for name in ("path", "label", "label2", "error")} == {pa.string()}


def test_a_stream_of_arrow_is_read_as_it_is_made(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows_module, "BATCH_ROWS", 4)
    found = load(model).predict(images_and_a_damaged_one(tmp_path / "photos"), workers=1)
    assert next(found).status == "error"
    with pa.RecordBatchReader.from_stream(found) as reader:
        assert [batch.num_rows for batch in reader] == [4, 4, 1]
    assert list(found) == []


def test_no_predictions_are_a_table_without_rows(model: Path) -> None:
    table = pa.table(load(model).predict([]))
    assert (table.num_rows, table.column_names) == (
        0,
        ["path", "status", "label", "score", "frames", "error"],
    )


def test_errors_keep_their_type(model: Path, tmp_path: Path) -> None:
    def vanishing() -> Any:
        yield str(tmp_path / "1.jpg")
        raise UsageError("the list ends here")

    with pytest.raises(UsageError, match="the list ends here"):
        load(model).predict(vanishing(), workers=1).to_arrow()


def test_pandas_takes_predictions_and_files_of_them(model: Path, tmp_path: Path) -> None:
    folder = images_and_a_damaged_one(tmp_path / "photos")
    output = tmp_path / "rows.parquet"
    done = xpnet_here(
        "predict", str(model), str(folder), "-o", str(output), "--topk", "2", "--proba", "--workers", "1"
    )
    assert done.returncode == 3, done.stderr
    of_file = pandas.read_parquet(output)
    frame = load(model).predict(folder, **EVERY).to_arrow().to_pandas()
    pandas.testing.assert_frame_equal(of_file, frame)
    assert {name: str(frame[name].dtype) for name in TYPES} == TYPES
    assert frame["score"].isna().tolist() == [True, *[False] * 9]
    assert set(frame["label"].dropna()) <= {"red", "green", "blue"}
    assert frame["frames"].sum() == 9
    exact = pandas.read_parquet(output, dtype_backend="numpy_nullable")
    assert str(exact["frames"].dtype) == "Int64"


def test_without_pyarrow_the_extra_is_named(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UsageError, match=r"needs pyarrow: pip install 'xpnet\[parquet\]'"):
        load(model).predict([]).to_arrow()
