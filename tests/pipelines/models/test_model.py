"""A trained model as users meet it: predictions of files and of arrays, metrics, files."""

import csv
import dataclasses
import pickle
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import backends
import numpy as np
import pytest
from pictures import CLASSES, draw_classes, picture, save_model

from xpnet.backend.backend import select
from xpnet.data.column_matrix import ColumnMatrix
from xpnet.data.standardize import fit_standardizer
from xpnet.errors import (
    ArrayTypeError,
    DataError,
    DeviceError,
    DtypeError,
    ModelFileError,
    ShapeError,
    UsageError,
)
from xpnet.io import model_file
from xpnet.io.model_file import SavedModel
from xpnet.nn.network import LogisticRegression, Network, SoftmaxRegression
from xpnet.pipelines.datasets.dataset import Dataset
from xpnet.pipelines.images.decode_many import decode_chunk
from xpnet.pipelines.images.recipe import Recipe
from xpnet.pipelines.models.model import Model, load
from xpnet.pipelines.models.prediction import Prediction, RowOptions
from xpnet.pipelines.predictions.predict import write_predictions

CPU = select("cpu")
SMALL = Recipe(1, 2)
RECIPE = Recipe(8, 8)


def model_of(
    network: Network, classes: tuple[str, ...] = (), recipe: Recipe | None = None, **saved: Any
) -> Model:
    """Return a model with random weights."""
    generator = np.random.default_rng(0)
    shapes = network.shapes.items()
    parameters = {name: generator.normal(0, 1, shape).astype(np.float32) for name, shape in shapes}
    if recipe:  # the mean of random bytes then gives about 0
        parameters["b1"] = -0.5 * parameters["W1"].sum(axis=1, keepdims=True)
    described = recipe.to_dict() if recipe else {"features": ["a", "b"], "target": "y"}
    standardizer = fit_standardizer([], "unit" if recipe else "none")
    return Model.from_saved(SavedModel(network, parameters, standardizer, classes, described, **saved))


@pytest.fixture(scope="module")
def trained(model: Path) -> Model:
    return load(model)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of pictures with one that cannot be decoded."""
    folder = draw_classes(tmp_path_factory.mktemp("photos") / "all", 5)
    (folder / "green" / "0002.jpg").write_bytes(b"no image")
    return folder


BINARY = model_of(LogisticRegression(SMALL.n_x), ("no", "yes"), SMALL)
NUMBERS = model_of(Network(SMALL.n_x, 1, "identity"), recipe=SMALL)
TABLE = model_of(LogisticRegression(2), ("no", "yes"))


# Files


def test_a_prediction_for_each_input_in_order(trained: Model, photos: Path) -> None:
    found = list(trained.predict(photos, workers=1))
    assert [p.path for p in found] == sorted(map(str, photos.glob("*/*.jpg")))
    assert [p.status for p in found] == ["ok"] * 7 + ["error"] + ["ok"] * 7
    bad = found[7]
    assert (bad.label, bad.score) == (None, None)
    assert bad.error.startswith("not an image")
    assert {p.label for p in found} - {None} <= set(CLASSES)
    assert all(0 < p.score <= 1 and not p.error for p in found if p.status == "ok")


def test_predictions_are_those_of_the_command(trained: Model, photos: Path, tmp_path: Path) -> None:
    options = {"topk": 2, "proba": True, "min_confidence": 0.4}
    output = tmp_path / "rows.csv"
    write_predictions(
        trained, sorted(map(str, photos.glob("*/*.jpg"))), CPU, str(output), RowOptions(**options)
    )
    with output.open(newline="") as file:
        rows = list(csv.DictReader(file))
    found = list(trained.predict(photos, workers=1, **options))
    assert {p.status for p in found} >= {"ok", "error"}
    for prediction, row in zip(found, rows, strict=True):
        assert (prediction.path, prediction.status) == (row["path"], row["status"])
        assert (prediction.label or "", prediction.error) == (row["label"], row["error"])
        if prediction.status != "error":
            assert prediction.score == float(row["score"])
            assert prediction.top == tuple((row[f"label{k}"], float(row[f"score{k}"])) for k in (1, 2))
            assert prediction.probabilities == {name: float(row[f"p_{name}"]) for name in CLASSES}


def test_inputs_may_be_anything_that_names_files(trained: Model, photos: Path) -> None:
    red = sorted((photos / "red").iterdir())
    whole = list(trained.predict(photos / "red", workers=1))
    assert len(whole) == 5
    for inputs in (
        str(photos / "red"),
        str(photos / "red" / "*.jpg"),
        red,
        list(map(str, red)),
        tuple(red),
        (path for path in red),
        [photos / "red" / "*.jpg"],
        [red[0], str(photos / "red" / "000[1-4].jpg")],
    ):
        assert list(trained.predict(inputs, workers=1)) == whole
    (alone,) = trained.predict(str(red[2]), workers=1)
    assert alone == whole[2]


def test_missing_inputs_are_errors_and_none_is_no_prediction(trained: Model, tmp_path: Path) -> None:
    (missing,) = trained.predict(tmp_path / "missing.jpg", workers=1)
    assert (missing.status, missing.path) == ("error", str(tmp_path / "missing.jpg"))
    assert "No such file" in missing.error
    assert list(trained.predict([], workers=1)) == []
    assert list(trained.predict(tmp_path, workers=1)) == []


def test_inputs_are_read_as_they_are_needed(trained: Model, photos: Path) -> None:
    red = sorted((photos / "red").iterdir())
    asked = []

    def endless() -> Any:
        while True:
            for path in red:
                asked.append(path)
                yield path

    found = trained.predict(endless(), workers=1, batch_size=4)
    assert isinstance(found, Iterator)
    assert asked == []
    assert [next(found).path for _ in range(10)] == list(map(str, [*red, *red]))
    assert len(asked) == 12
    found.close()
    assert list(found) == []


@pytest.mark.parametrize("batch_size", [1, 4, 1000])
def test_the_batch_size_changes_no_prediction(trained: Model, photos: Path, batch_size: int) -> None:
    options = {"workers": 1, "proba": True}
    whole = list(trained.predict(photos, **options))
    assert list(trained.predict(photos, batch_size=batch_size, **options)) == whole


def test_a_device_is_a_name_or_a_backend(trained: Model, photos: Path) -> None:
    whole = list(trained.predict(photos, workers=1, device="cpu"))
    assert list(trained.predict(photos, workers=1, device=CPU)) == whole
    on_gpu = list(trained.predict(photos, workers=1, device=backends.make("fake")))
    assert [(p.path, p.status, p.label) for p in on_gpu] == [(p.path, p.status, p.label) for p in whole]
    with pytest.raises(DeviceError, match="toaster"):
        trained.predict(photos, device="toaster")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"topk": -1}, "--topk is -1, expected 0 or more"),
        ({"min_confidence": 1.5}, "--min-confidence is 1.5, expected a probability from 0 to 1"),
        ({"min_confidence": float("nan")}, "--min-confidence is nan"),
        ({"batch_size": 0}, "--batch-size is 0, expected 1 or more"),
    ],
)
def test_wrong_options_are_refused_at_once(trained: Model, options: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        trained.predict([], **options)


def test_numbers_have_a_score_and_no_label(tmp_path: Path) -> None:
    picture("red", 1).save(tmp_path / "a.jpg")
    (found,) = NUMBERS.predict(tmp_path, workers=1)
    X = decode_chunk([found.path], SMALL).columns.T
    assert (found.status, found.label) == ("ok", None)
    assert found.score == pytest.approx(NUMBERS.predict_array(X).item(), rel=1e-5)
    with pytest.raises(UsageError, match="this model predicts numbers"):
        NUMBERS.predict(tmp_path, proba=True)


def test_a_model_of_a_table_takes_no_images(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is no table, and the model was trained on one"):
        TABLE.predict(tmp_path)


def test_a_prediction_is_plain_data(trained: Model, photos: Path) -> None:
    for each in trained.predict(photos, workers=1, topk=2, proba=True):
        assert pickle.loads(pickle.dumps(each)) == each  # noqa: S301  (made here)
        assert hash(each) == hash(replace(each))
        with pytest.raises(dataclasses.FrozenInstanceError):
            each.label = "other"  # type: ignore[misc]
        assert not hasattr(each, "__dict__")
    assert Prediction("a.jpg", "ok").top == ()


# Arrays


def test_probabilities_of_images_are_those_of_files(trained: Model, photos: Path) -> None:
    paths = sorted(map(str, (photos / "red").iterdir()))
    decoded = decode_chunk(paths, RECIPE)
    columns, images = decoded.columns.T, decoded.columns.reshape(-1, 8, 8, 3)
    found = list(trained.predict(paths, workers=1, proba=True))
    probabilities = trained.predict_proba(columns)
    assert probabilities.shape == (3, 5)
    assert probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities.sum(axis=0), 1, rtol=1e-6)
    for k, prediction in enumerate(found):
        assert prediction.probabilities == {
            name: float(f"{p:.6g}") for name, p in zip(CLASSES, probabilities[:, k].tolist(), strict=True)
        }
    for X in (
        images,
        np.asfortranarray(images),
        columns.copy(),
        np.ascontiguousarray(images[:, ::-1])[:, ::-1],
    ):
        np.testing.assert_array_equal(trained.predict_proba(X), probabilities)
    np.testing.assert_array_equal(trained.predict_proba(images[0]), probabilities[:, :1])
    np.testing.assert_array_equal(trained.predict_proba(images[:0]), probabilities[:, :0])
    labels = trained.predict_array(images)
    assert labels.shape == (1, 5)
    assert labels[0].tolist() == [prediction.label for prediction in found]


def test_two_classes_have_two_probabilities() -> None:
    X = np.random.default_rng(1).integers(0, 256, (SMALL.n_x, 20), dtype=np.uint8)
    probabilities = BINARY.predict_proba(X)
    assert probabilities.shape == (2, 20)
    np.testing.assert_array_equal(probabilities[1:], BINARY.scorer(CPU)(np.ascontiguousarray(X.T)))
    np.testing.assert_array_equal(probabilities[0], 1 - probabilities[1])
    expected = np.where(probabilities[1] > 0.5, "yes", "no")[None]
    np.testing.assert_array_equal(BINARY.predict_array(X), expected)
    assert set(expected[0]) == {"no", "yes"}


def test_predicted_numbers() -> None:
    X = np.random.default_rng(1).integers(0, 256, (SMALL.n_x, 20), dtype=np.uint8)
    W, b = (NUMBERS.saved.parameters[name].astype(float) for name in ("W1", "b1"))
    np.testing.assert_allclose(NUMBERS.predict_array(X), W @ (X / 255) + b, rtol=1e-4)
    with pytest.raises(UsageError, match="predict_proba: the model predicts numbers and has no classes"):
        NUMBERS.predict_proba(X)


@pytest.mark.parametrize("dtype", ["float64", "float32", "int64", "int8", "uint8", "float16"])
def test_rows_of_a_table_are_columns_of_any_real_numbers(dtype: str) -> None:
    X = np.array([[1, 5, 3], [2, 4, 7]], dtype)
    W, b = (TABLE.saved.parameters[name].astype(float) for name in ("W1", "b1"))
    np.testing.assert_allclose(TABLE.predict_proba(X)[1:], 1 / (1 + np.exp(-(W @ X + b))), rtol=1e-5)


def test_a_device_scores_arrays_too(trained: Model) -> None:
    X = np.random.default_rng(1).integers(0, 256, (RECIPE.n_x, 9), dtype=np.uint8)
    on_gpu = trained.predict_proba(X, device=backends.make("fake"))
    np.testing.assert_allclose(on_gpu, trained.predict_proba(X, device="cpu"), rtol=1e-5)


@pytest.mark.parametrize("method", ["predict_proba", "predict_array"])
@pytest.mark.parametrize(
    ("X", "error", "said"),
    [
        ([[1, 2]], ArrayTypeError, "X is list, expected a NumPy array"),
        (
            np.zeros((6, 1, 1), np.uint8),
            ShapeError,
            r"X has shape \(6, 1, 1\), expected images \(m, 1, 2, 3\)",
        ),
        (np.zeros((2, 2, 1, 3), np.uint8), ShapeError, r"one image \(1, 2, 3\), or columns \(6, m\)"),
        (np.zeros((2, 6), np.uint8), ShapeError, r"columns \(6, m\)"),
        (np.zeros(6, np.uint8), ShapeError, r"columns \(6, m\)"),
        (np.zeros((), np.uint8), ShapeError, r"columns \(6, m\)"),
        (np.zeros((1, 2, 3)), DtypeError, "X holds float64, expected uint8: the raw values of the pixels"),
        (np.zeros((6, 2), np.float32), DtypeError, "X holds float32, expected uint8"),
        (np.zeros((6, 2), bool), DtypeError, "X holds bool, expected uint8"),
    ],
)
def test_other_arrays_are_refused(method: str, X: Any, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=f"{method}: {said}" if said.startswith("X") else said):
        getattr(BINARY, method)(X)


@pytest.mark.parametrize("X", [np.zeros((2, 3), complex), np.full((2, 3), "a"), np.zeros((2, 3), bool)])
def test_a_model_of_a_table_takes_real_numbers_only(X: np.ndarray) -> None:
    with pytest.raises(DtypeError, match="expected real numbers"):
        TABLE.predict_proba(X)
    with pytest.raises(ShapeError, match=r"has shape \(1, 2, 3\), expected columns \(2, m\)$"):
        TABLE.predict_proba(np.zeros((1, 2, 3), np.uint8))


# Labelled data


def test_metrics_of_a_folder(trained: Model, photos: Path) -> None:
    found = list(trained.predict(photos, workers=1))
    report = trained.evaluate(photos, workers=1)
    right = [p.label == Path(p.path).parent.name for p in found if p.status == "ok"]
    assert (report["m"], report["skipped"]) == (14, 1)
    assert report["accuracy"] == np.mean(right)
    assert trained.evaluate(str(photos), workers=1, device=CPU) == report


def test_metrics_by_a_file_of_labels(trained: Model, photos: Path, tmp_path: Path) -> None:
    found = [p for p in trained.predict(photos, workers=1) if p.status == "ok"]
    lines = [f"{Path(p.path).relative_to(photos)},{p.label}" for p in found]
    labels = tmp_path / "labels.csv"
    labels.write_text("\n".join(["path,label", *lines]) + "\n")
    assert trained.evaluate(photos, labels=labels, workers=1)["accuracy"] == 1.0


def test_metrics_of_a_dataset_by_the_names_of_its_classes() -> None:
    X = np.random.default_rng(1).integers(0, 256, (SMALL.n_x, 40), dtype=np.uint8)
    labels = BINARY.predict_array(X)
    dataset = Dataset(ColumnMatrix.of(X), (labels == "no").astype(int), ("yes", "no"), SMALL)
    assert BINARY.evaluate(dataset)["accuracy"] == 1.0
    values = NUMBERS.predict_array(X).astype(float)
    assert NUMBERS.evaluate(Dataset(ColumnMatrix.of(X), values, (), SMALL)) == {
        "m": 40, "skipped": 0, "rmse": 0.0, "r_squared": 1.0,
    }  # fmt: skip
    with pytest.raises(DataError, match="the dataset: has the class 'maybe'"):
        BINARY.evaluate(replace(dataset, classes=("yes", "maybe")))
    with pytest.raises(UsageError, match="the dataset: was made by"):
        BINARY.evaluate(replace(dataset, recipe=replace(SMALL, resize_mode="crop")))
    with pytest.raises(UsageError, match="the dataset: has 6 features, and the model expects 2"):
        TABLE.evaluate(dataset)


def test_metrics_of_arrays() -> None:
    X = np.random.default_rng(1).integers(0, 256, (SMALL.n_x, 40), dtype=np.uint8)
    labels = BINARY.predict_array(X)
    assert set(labels[0]) == {"no", "yes"}
    found = BINARY.evaluate(X, labels)
    assert (found["m"], found["accuracy"]) == (40, 1.0)
    for data in (X.T.reshape(-1, *SMALL.shape), ColumnMatrix.of(X)):
        assert BINARY.evaluate(data, labels[0].tolist(), device="cpu") == found
    assert BINARY.evaluate(X[:, :9], ["yes"] * 9)["confusion"][0] == [0, 0]
    values = NUMBERS.predict_array(X).astype(float)
    assert NUMBERS.evaluate(X, values)["rmse"] == 0.0
    whole = NUMBERS.evaluate(X, values.round().astype(int))
    assert whole["rmse"] == pytest.approx(np.sqrt(np.mean((values - values.round()) ** 2)))
    with pytest.raises(DataError, match="the arrays: has the class 'maybe', expected only no, yes"):
        BINARY.evaluate(X, ["maybe"] * 40)
    with pytest.raises(ShapeError, match="evaluate: X has shape"):
        BINARY.evaluate(X.T, labels)
    with pytest.raises(UsageError, match=r"arrays need labels: evaluate\(X, Y\)"):
        BINARY.evaluate(X)


def test_files_and_datasets_have_their_own_labels(trained: Model, photos: Path) -> None:
    with pytest.raises(UsageError, match="Y is only for arrays"):
        trained.evaluate(photos, ["red"])


def test_metrics_of_a_table(tmp_path: Path) -> None:
    X = np.array([[1, 5, 3, -9], [2, 4, 7, 8]])
    labels = TABLE.predict_array(X)[0].tolist()
    rows = [f"{a},{b},{label}" for (a, b), label in zip(X.T.tolist(), labels, strict=True)]
    (tmp_path / "t.csv").write_text("\n".join(["a,b,z", *rows]) + "\n")
    assert TABLE.evaluate(tmp_path / "t.csv", target="z")["accuracy"] == 1.0


# Files of models


def test_what_is_saved_is_loaded(trained: Model, tmp_path: Path) -> None:
    path = tmp_path / "copy.safetensors"
    trained.save(path)
    assert trained.path is not None
    assert path.read_bytes() == Path(trained.path).read_bytes()
    copy = load(path)
    assert copy.path == str(path)
    assert (copy.classes, copy.recipe) == (trained.classes, trained.recipe) == (CLASSES, RECIPE)
    with pytest.raises(ModelFileError, match="missing"):
        load(tmp_path / "missing")


def test_a_model_says_what_it_is(trained: Model) -> None:
    assert repr(trained) == f"<Model {trained.path}: 3 classes, 192 features>"
    assert repr(NUMBERS) == "<Model: regression, 6 features>"
    assert TABLE.recipe is None
    assert TABLE.path is None


def test_the_history_is_plain_data() -> None:
    model = model_of(LogisticRegression(2), history={"epochs": 3, "cost": 0.5})
    assert model.history == {"epochs": 3, "cost": 0.5}


def test_classes_without_names_are_their_indices() -> None:
    assert model_of(SoftmaxRegression(2, 3)).classes == ("0", "1", "2")
    assert model_of(LogisticRegression(2)).classes == ("0", "1")
    assert NUMBERS.classes == ()


WRONG_RECIPES: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "another size": lambda recipe: recipe | {"width": 3},
    "an unknown word": lambda recipe: recipe | {"depth": 8},
    "an unknown decoder": lambda recipe: recipe | {"decoder": "turbo"},
    "a size that cannot be": lambda recipe: recipe | {"height": "1"},
}


@pytest.mark.parametrize("change", WRONG_RECIPES.values(), ids=WRONG_RECIPES)
def test_a_model_with_a_wrong_recipe_is_refused_by_name(
    change: Callable[[dict[str, Any]], dict[str, Any]], tmp_path: Path
) -> None:
    path = tmp_path / "wrong.safetensors"
    saved = replace(BINARY.saved, recipe=change(BINARY.saved.recipe))
    model_file.write_model_file(path, saved)
    with pytest.raises(DataError) as caught:
        load(path)
    assert str(caught.value).startswith(f"{path}: ")
    with pytest.raises(DataError, match=r"^the model: "):
        Model.from_saved(saved)


def test_predictions_of_a_model_without_a_file_go_to_a_stream_only(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="the model was not loaded from a file"):
        write_predictions(BINARY, [str(photos / "red" / "0000.jpg")], CPU, str(tmp_path / "rows.csv"))
    path = save_model(tmp_path / "m.safetensors")
    write_predictions(load(path), [str(photos / "red" / "0000.jpg")], CPU, str(tmp_path / "rows.csv"))
    assert (tmp_path / "rows.csv").exists()


@pytest.mark.parametrize("features", [["a"], 5, "ab", [1, 2], {"a": 1}])
def test_names_of_columns_that_do_not_fit_are_refused(features: object, tmp_path: Path) -> None:
    model = model_of(Network(2, 1, "identity"))
    model.saved.recipe["features"] = features
    model.save(tmp_path / "m")
    with pytest.raises(DataError, match="expected the names of 2 columns"):
        load(tmp_path / "m")


def test_examples_that_are_not_finite_are_refused() -> None:
    X = np.arange(24.0).reshape(2, 12)
    X[1, 2] = np.nan
    with pytest.raises(ShapeError, match="example 2 holds nan in feature 1"):
        model_of(Network(2, 1, "identity")).evaluate(X, np.arange(12.0), device=CPU)


@pytest.mark.parametrize("function", ["predict_array", "predict_proba"])
def test_examples_that_are_not_finite_get_no_class(function: str) -> None:
    model = model_of(SoftmaxRegression(2, 3))
    with pytest.raises(ShapeError, match="example 1 holds nan in feature 0"):
        getattr(model, function)(np.array([[1.0, np.nan], [1.0, 2.0]]))


def test_a_model_is_not_saved_over_a_picture(tmp_path: Path) -> None:
    (tmp_path / "photo.png").write_bytes(b"photo")
    with pytest.raises(UsageError, match=r"photo.png: is a name for another format"):
        model_of(SoftmaxRegression(2, 3)).save(tmp_path / "photo.png")
    assert (tmp_path / "photo.png").read_bytes() == b"photo"
