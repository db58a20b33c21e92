"""Metrics of a trained model are scikit-learn's, and labels go by the names of classes, not their places."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from PIL import Image
from scipy.special import expit, softmax
from sklearn import metrics as peer

from xpnet.backend.backend import select
from xpnet.data.column_matrix import ColumnMatrix
from xpnet.errors import DataError, UsageError
from xpnet.pipelines.cli.text import evaluation_text
from xpnet.pipelines.datasets import data_file
from xpnet.pipelines.datasets.dataset import Dataset
from xpnet.pipelines.datasets.table import read_table
from xpnet.pipelines.images.recipe import Recipe
from xpnet.pipelines.models.evaluation import MOST_SHOWN, evaluate_classes, evaluate_regression
from xpnet.pipelines.models.model import Model, load
from xpnet.pipelines.training.api import train

CPU = select("cpu")
SMALL = Recipe(1, 2)


def noisy(seed: int, m: int, n_classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Return examples (m, 6) of bytes that say something of their labels (1, m), but not all."""
    generator = np.random.default_rng(seed)
    Y = generator.integers(0, n_classes, (1, m))
    Y[0, :n_classes] = range(n_classes)
    examples = generator.normal(100, 40, (m, 6))
    examples[np.arange(m), Y[0]] += 45
    return np.clip(examples, 0, 255).astype(np.uint8), Y


def images(seed: int, m: int, classes: tuple[str, ...], recipe: Recipe = SMALL) -> Dataset:
    examples, Y = noisy(seed, m, len(classes))
    return Dataset(ColumnMatrix.of(examples.T, "unit"), Y, classes, recipe)


def trained(folder: Path, dataset: Dataset, **plan: Any) -> Model:
    path = folder / "m.safetensors"
    train(dataset, output=path, device=CPU, **(plan or {"iterations": 15}))
    return load(str(path))


def evaluate(model: Model, dataset: Dataset) -> dict[str, Any]:
    return model.evaluate(dataset, device=CPU)


def logits(model: Model, dataset: Dataset) -> np.ndarray:
    """Return W x̂ + b of a model without hidden layers, in float64."""
    parameters = model.saved.parameters
    X = model.saved.standardizer.apply(dataset.data.X)
    return parameters["W1"].astype(np.float64) @ X + parameters["b1"]


def require_peers(report: dict[str, Any], Y: np.ndarray, probabilities: np.ndarray) -> None:
    y, predicted = Y[0], probabilities.argmax(axis=0)
    labels = list(range(len(probabilities)))
    assert report["accuracy"] == peer.accuracy_score(y, predicted)
    assert report["confusion"] == peer.confusion_matrix(y, predicted, labels=labels).tolist()
    assert report["log_loss"] == pytest.approx(peer.log_loss(y, probabilities.T, labels=labels), rel=1e-4)
    expected = peer.precision_recall_fscore_support(y, predicted, labels=labels, zero_division=0)
    for name, values in zip(("precision", "recall", "f1", "m"), expected, strict=True):
        np.testing.assert_allclose([row[name] for row in report["classes"]], values, rtol=1e-12)
    assert report["macro_f1"] == pytest.approx(
        peer.f1_score(y, predicted, labels=labels, average="macro", zero_division=0)
    )


def test_two_classes(tmp_path: Path) -> None:
    model, test = trained(tmp_path, images(0, 200, ("cat", "dog"))), images(1, 150, ("cat", "dog"))
    report, probability = evaluate(model, test), expit(logits(model, test)[0])
    require_peers(report, test.Y, np.stack([1 - probability, probability]))
    assert report["roc_auc"] == pytest.approx(peer.roc_auc_score(test.Y[0], probability), abs=1e-12)
    assert 0.6 < report["accuracy"] < 0.95
    assert [row["class"] for row in report["classes"]] == ["cat", "dog"]


def test_two_classes_by_softmax(tmp_path: Path) -> None:
    model = trained(tmp_path, images(0, 200, ("cat", "dog")), model="softmax")
    test = images(1, 150, ("cat", "dog"))
    report, probabilities = evaluate(model, test), softmax(logits(model, test), axis=0)
    require_peers(report, test.Y, probabilities)
    assert report["roc_auc"] == pytest.approx(peer.roc_auc_score(test.Y[0], probabilities[1]), abs=1e-12)


def test_three_classes(tmp_path: Path) -> None:
    classes = ("ant", "bee", "cow")
    model, test = trained(tmp_path, images(0, 200, classes)), images(1, 150, classes)
    report = evaluate(model, test)
    require_peers(report, test.Y, softmax(logits(model, test), axis=0))
    assert "roc_auc" not in report
    assert (report["m"], report["skipped"]) == (150, 0)


def test_a_class_that_is_missing_is_reported_with_zeros(tmp_path: Path) -> None:
    classes = ("ant", "bee", "cow")
    model, test = trained(tmp_path, images(0, 200, classes)), images(1, 150, classes)
    rows = np.flatnonzero(test.Y[0] != 1)
    test = replace(test, data=test.data.part(rows), Y=test.Y[:, rows])
    report = evaluate(model, test)
    require_peers(report, test.Y, softmax(logits(model, test), axis=0))
    assert (report["classes"][1]["m"], report["classes"][1]["recall"]) == (0, 0)


def test_one_of_two_classes_has_no_auc(tmp_path: Path) -> None:
    model, test = trained(tmp_path, images(0, 200, ("cat", "dog"))), images(1, 50, ("cat", "dog"))
    rows = np.flatnonzero(test.Y[0] == 1)
    report = evaluate(model, replace(test, data=test.data.part(rows), Y=test.Y[:, rows]))
    assert "roc_auc" not in report
    assert "Accuracy" in evaluation_text(report)


def table_of(path: Path, seed: int, columns: str = "a,b,y") -> Path:
    generator = np.random.default_rng(seed)
    X = generator.normal(1e4, 5, (80, 2))
    y = X @ [2, -1] + generator.normal(0, 2, 80)
    rows = "".join(f"{a!r},{b!r},{t!r}\n" for (a, b), t in zip(X.tolist(), y.tolist(), strict=True))
    path.write_text(f"{columns}\n{rows}")
    return path


def test_numbers_to_predict(tmp_path: Path) -> None:
    plan = {"epochs": 150, "learning_rate": 0.1, "hidden": "4:tanh", "seed": 1}
    model = trained(tmp_path, read_table(str(table_of(tmp_path / "a.csv", 0)), "y"), **plan)
    test = model.open_data(table_of(tmp_path / "b.csv", 1))
    report, parameters = evaluate(model, test), model.saved.parameters
    A = np.tanh(logits(model, test))
    predicted = (parameters["W2"] @ A + parameters["b2"])[0]
    assert report["rmse"] == pytest.approx(peer.root_mean_squared_error(test.Y[0], predicted), rel=1e-3)
    assert report["r_squared"] == pytest.approx(peer.r2_score(test.Y[0], predicted), abs=1e-3)
    assert set(report) == {"m", "skipped", "rmse", "r_squared"}
    assert f"RMSE: {report['rmse']:.6g}" in evaluation_text(report)


COLORS = {"black": 0, "grey": 128, "white": 255}


def draw(folder: Path, names: dict[str, str]) -> Path:
    """Draw a picture into each folder, of the color given; return the folder."""
    for name, color in names.items():
        (folder / name).mkdir(parents=True)
        Image.new("L", (3, 3), COLORS[color]).save(folder / name / "x.png")
    return folder


@pytest.fixture
def shades(tmp_path: Path) -> Model:
    """Return a model that tells the shades apart without fail."""
    generator = np.random.default_rng(0)
    Y = generator.integers(0, 3, (1, 300))
    levels = np.array(list(COLORS.values()))[Y[0]][:, None] + generator.normal(0, 9, (300, 6))
    data = ColumnMatrix.of(np.clip(levels, 0, 255).astype(np.uint8).T, "channel", 3)
    return trained(tmp_path, Dataset(data, Y, tuple(COLORS), SMALL), iterations=200, l2=0.01)


def test_a_folder_is_read_by_the_models_recipe(shades: Model, tmp_path: Path) -> None:
    report = evaluate(shades, shades.open_data(draw(tmp_path / "d", {name: name for name in COLORS})))
    assert (report["m"], report["accuracy"]) == (3, 1.0)


@pytest.mark.parametrize("names", [["white"], ["grey", "white"], ["black", "white"], ["white", "grey"]])
def test_a_missing_class_shifts_no_label(names: list[str], shades: Model, tmp_path: Path) -> None:
    report = evaluate(shades, shades.open_data(draw(tmp_path / "d", {name: name for name in names})))
    assert report["accuracy"] == 1.0
    assert [row["class"] for row in report["classes"] if row["m"]] == sorted(names)


def test_classes_in_another_order_shift_no_label(shades: Model, tmp_path: Path) -> None:
    levels = np.repeat(np.array([[255], [0], [128]], np.uint8), 6, axis=1)
    order = ("white", "unused", "black", "grey")
    data_file.write_data_file(
        tmp_path / "d.h5", Dataset(ColumnMatrix(levels), np.array([[0, 2, 3]]), order, SMALL)
    )
    dataset = shades.open_data(tmp_path / "d.h5")
    assert dataset.Y.tolist() == [[2, 0, 1]]
    assert evaluate(shades, dataset)["accuracy"] == 1.0


def test_wrong_labels_are_wrong(shades: Model, tmp_path: Path) -> None:
    names = {"black": "white", "grey": "grey", "white": "black"}
    report = evaluate(shades, shades.open_data(draw(tmp_path / "d", names)))
    assert report["confusion"] == [[0, 0, 1], [0, 1, 0], [1, 0, 0]]
    assert report["accuracy"] == pytest.approx(1 / 3)


def test_an_unknown_class_is_refused(shades: Model, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="d: has the class 'gray', expected only black, grey, white"):
        shades.open_data(draw(tmp_path / "d", {"black": "black", "gray": "grey"}))


def test_what_is_skipped_is_counted_or_fails(shades: Model, tmp_path: Path) -> None:
    folder = draw(tmp_path / "d", {"black": "black"})
    (folder / "black" / "bad.png").write_bytes(b"no image")
    report = evaluate(shades, shades.open_data(folder))
    assert (report["m"], report["skipped"], report["accuracy"]) == (1, 1, 1.0)
    assert "Examples: 1 (1 skipped)" in evaluation_text(report)
    with pytest.raises(DataError, match=r"bad\.png: not an image"):
        shades.open_data(folder, on_error="fail")


OTHER_RECIPES: dict[str, Recipe] = {
    "size": Recipe(2, 2),
    "sides": Recipe(2, 1),
    "resize mode": replace(SMALL, resize_mode="crop"),
    "decoder": replace(SMALL, decoder="simplejpeg"),
    "colors": Recipe(2, 3, color_mode="grayscale"),
}


@pytest.mark.parametrize("recipe", OTHER_RECIPES.values(), ids=OTHER_RECIPES)
def test_data_of_another_recipe_is_refused(recipe: Recipe, shades: Model, tmp_path: Path) -> None:
    data = ColumnMatrix(np.zeros((3, recipe.n_x), np.uint8))
    data_file.write_data_file(tmp_path / "d.h5", Dataset(data, np.array([[0, 1, 2]]), tuple(COLORS), recipe))
    with pytest.raises(UsageError, match=r"d\.h5: .* the model expects"):
        shades.open_data(tmp_path / "d.h5")


def test_a_table_is_no_images(shades: Model, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,b,c,d,e,f,y\n1,2,3,4,5,6,black\n1,2,3,4,5,6,white\n")
    with pytest.raises(UsageError, match=r"t\.csv: "):
        shades.open_data(tmp_path / "t.csv", target="y")


def words(path: Path, head: str, labels: tuple[str, ...] = ("no", "yes")) -> Path:
    rows = "".join(f"{i},{i * i % 7},{labels[i > 5]}\n" for i in range(12))
    path.write_text(f"{head}\n{rows}")
    return path


def test_a_tables_target_is_the_models(tmp_path: Path) -> None:
    model = trained(tmp_path, read_table(str(words(tmp_path / "a.csv", "a,b,y")), "y"))
    assert model.open_data(tmp_path / "a.csv").target == "y"
    assert model.open_data(words(tmp_path / "b.csv", "a,b,z"), target="z").target == "z"
    with pytest.raises(DataError, match="has no column 'y'"):
        model.open_data(tmp_path / "b.csv")


def test_the_columns_of_a_table_are_found_by_name(tmp_path: Path) -> None:
    model = trained(tmp_path, read_table(str(words(tmp_path / "a.csv", "a,b,y")), "y"))
    (tmp_path / "b.csv").write_text("b,more,y,a\n1,word,no,2\n3,,yes,4\n")
    found = model.open_data(tmp_path / "b.csv")
    assert (found.features, found.data.examples.tolist()) == (("a", "b"), [[2, 1], [4, 3]])


@pytest.mark.parametrize("head", ["a,c,y", "A,b,y"])
def test_a_table_of_other_columns_is_refused(head: str, tmp_path: Path) -> None:
    model = trained(tmp_path, read_table(str(words(tmp_path / "a.csv", "a,b,y")), "y"))
    with pytest.raises(DataError, match=r"b\.csv: has no column '[ab]'; its columns are "):
        model.open_data(words(tmp_path / "b.csv", head))
    (tmp_path / "c.csv").write_text("a,y\n1,no\n2,yes\n")
    with pytest.raises(DataError, match=r"c\.csv: has no column 'b'; its columns are a, y"):
        model.open_data(tmp_path / "c.csv")


def test_images_are_no_table(tmp_path: Path) -> None:
    model = trained(tmp_path, read_table(str(words(tmp_path / "a.csv", "a,b,y")), "y"))
    recipe = Recipe(1, 2, color_mode="grayscale")
    data = Dataset(ColumnMatrix(np.zeros((2, 2), np.uint8)), np.array([[0, 1]]), ("no", "yes"), recipe)
    data_file.write_data_file(tmp_path / "d.h5", data)
    with pytest.raises(UsageError, match=r"d\.h5: "):
        model.open_data(tmp_path / "d.h5")


def test_classes_that_are_numbers_are_classes_again(tmp_path: Path) -> None:
    train_on = images(0, 100, ("0", "1"))
    features = {"recipe": None, "features": tuple("abcdef"), "target": "y"}
    model = trained(tmp_path, replace(train_on, **features))
    rows = [*map(list, train_on.data.examples[:9].tolist())]
    text = "".join(
        ",".join(map(str, [*row, label])) + "\n" for row, label in zip(rows, train_on.Y[0], strict=False)
    )
    (tmp_path / "t.csv").write_text("a,b,c,d,e,f,y\n" + text)
    dataset = model.open_data(tmp_path / "t.csv")
    assert dataset.classes == ("0", "1")
    assert dataset.Y.tolist() == [train_on.Y[0, :9].tolist()]


def test_numbers_and_classes_are_not_mixed(tmp_path: Path) -> None:
    model = trained(tmp_path, read_table(str(words(tmp_path / "a.csv", "a,b,y")), "y"))
    with pytest.raises(DataError, match="has the class '1', expected only no, yes"):
        model.open_data(words(tmp_path / "b.csv", "a,b,y", ("1", "2")))
    model = trained(
        tmp_path,
        read_table(str(words(tmp_path / "c.csv", "a,b,y", ("1", "2"))), "y"),
        epochs=1,
        batch_size=4,
        model="regression",
    )
    assert model.classes == ()
    with pytest.raises(DataError, match="needs numbers"):
        model.open_data(tmp_path / "a.csv")


def test_a_report_is_plain_text_and_plain_data(tmp_path: Path) -> None:
    model, test = trained(tmp_path, images(0, 200, ("cat", "dög"))), images(1, 150, ("cat", "dög"))
    report = evaluate(model, test)
    assert json.loads(json.dumps(report)) == report
    text = evaluation_text(report)
    for line in ("Examples: 150", f"Log loss: {report['log_loss']:.6f}", "ROC AUC: ", "Macro F1: ", "dög"):
        assert line in text


def test_the_threshold_for_a_precision_is_printed_for_both_classes(tmp_path: Path) -> None:
    model, test = trained(tmp_path, images(0, 200, ("cat", "dög"))), images(1, 150, ("cat", "dög"))
    report = model.evaluate(test, wanted_precision=0.9)
    probabilities = model.predict_proba(test.data.X)
    for k, row in enumerate(report["thresholds"]):
        chosen = probabilities[k] >= row["threshold"]
        assert row["class"] == model.classes[k]
        assert row["precision"] == pytest.approx(np.mean(test.Y[0, chosen] == k))
        assert row["precision"] >= 0.9
    text = evaluation_text(report)
    assert f"Threshold for dög: {report['thresholds'][1]['threshold']:.6f} (precision " in text
    none = {"class": "cat", "threshold": None, "precision": None, "recall": None}
    assert "Threshold for cat: none has this precision" in evaluation_text({**report, "thresholds": [none]})
    with pytest.raises(UsageError, match="expected more than 0, at most 1"):
        model.evaluate(test, wanted_precision=0)
    three = trained(tmp_path, images(0, 60, ("a", "b", "c")))
    with pytest.raises(UsageError, match="is for two classes, and the model has 3"):
        three.evaluate(images(1, 30, ("a", "b", "c")), wanted_precision=0.9)


def test_a_notebook_shows_metrics_and_the_confusion_matrix() -> None:
    found = evaluate_classes(
        np.array([[0, 1, 1]]), np.array([[0.9, 0.6, 0.2], [0.1, 0.4, 0.8]]), ("<b>", "cat")
    )
    numbers, by_class, confusion = ET.fromstring(f"<div>{found._repr_html_()}</div>")
    assert "".join(numbers.find("tbody/tr").itertext()) == "accuracy0.666667"  # type: ignore[union-attr]
    assert len(by_class.findall("tbody/tr")) == 2
    rows = [["".join(cell.itertext()) for cell in row] for row in confusion.findall("*/tr")]
    assert rows == [["", "<b>", "cat"], ["<b>", "1", "0"], ["cat", "1", "1"]]


def test_a_notebook_shows_a_regression_and_many_classes_without_a_matrix() -> None:
    html = evaluate_regression(np.array([[1.0, 2.0]]), np.array([[1.0, 3.0]]))._repr_html_()
    assert ["".join(row.itertext()) for row in ET.fromstring(html).findall("tbody/tr")] == [
        "rmse0.707107", "r_squared-1"
    ]  # fmt: skip
    count = MOST_SHOWN + 1
    many = evaluate_classes(np.arange(count)[None], np.eye(count), tuple(map(str, range(count))))
    assert many._repr_html_().count("<table") == 1


def test_metrics_are_a_dict() -> None:
    found = evaluate_regression(np.array([[1.0, 2.0]]), np.array([[1.0, 2.0]])).metrics
    assert found == {"rmse": 0.0, "r_squared": 1.0}
    assert json.loads(json.dumps(found)) == found
