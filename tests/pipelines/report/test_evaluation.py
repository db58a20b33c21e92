"""The section on labelled data agrees with `evaluate` and with scikit-learn."""

import base64
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from pages import World, draw, trained
from PIL import Image
from sklearn import metrics as peer

from xpnet.backend.backend import select
from xpnet.charts.chart import BOTTOM, LEFT, RIGHT, TOP
from xpnet.data.column_matrix import ColumnMatrix
from xpnet.data.standardize import fit_standardizer
from xpnet.io.model_file import SavedModel
from xpnet.nn.network import Network, SoftmaxRegression
from xpnet.pipelines.datasets.dataset import Dataset
from xpnet.pipelines.images.recipe import Recipe
from xpnet.pipelines.models.model import Model, load
from xpnet.pipelines.report import evaluation

CPU = select("cpu")


def labelled(opened: Model, data: Path) -> Dataset:
    return opened.open_data(str(data))


def softmax(n_classes: int, m: int = 300) -> tuple[Model, Dataset]:
    """Return a model of many classes that predicts about half of the examples correctly, and the examples."""
    generator = np.random.default_rng(0)
    Y = generator.integers(0, n_classes, (1, m))
    examples = np.zeros((m, n_classes))
    examples[np.arange(m), np.where(generator.random(m) < 0.5, Y[0], 0)] = 3.0
    names = tuple(f"class {i}" for i in range(n_classes))
    parameters = {"W1": np.eye(n_classes, dtype="float32"), "b1": np.zeros((n_classes, 1), "float32")}
    saved = SavedModel(
        SoftmaxRegression(n_classes, n_classes), parameters, fit_standardizer([], "none"), names
    )
    return Model(saved), Dataset(ColumnMatrix.of(examples.T, "none"), Y, names)


def test_it_says_what_evaluate_says(two: World) -> None:
    opened = two.open()
    dataset = labelled(opened, two.data)
    found = evaluation.evaluation_section(opened, dataset, CPU)
    report = opened.evaluate(dataset, device=CPU)
    assert found["metrics"] == report
    assert found["wrong"] == round((1 - report["accuracy"]) * report["m"])
    assert [[cell["count"] for cell in row] for _, row in found["matrix"]] == report["confusion"]
    half = evaluation.THRESHOLDS // 2
    (tn, fp), (fn, tp) = report["confusion"]
    assert [found["threshold"][name][half] for name in ("tn", "fp", "fn", "tp")] == [tn, fp, fn, tp]


def test_the_reliability_diagram_has_a_dot_for_each_bin(two: World) -> None:
    opened = two.open()
    dataset = labelled(opened, two.data)
    found = evaluation.evaluation_section(opened, dataset, CPU)
    rows = found["calibration"]["rows"]
    assert sum(count for _, count, _, _ in rows) == dataset.data.m
    gaps = [count * abs(score - right) for _, count, score, right in rows]
    assert sum(gaps) / dataset.data.m == pytest.approx(found["metrics"]["calibration_error"])
    dots, line = found["calibration"]["chart"].series
    assert (len(dots.dots), line.shape) == (len(rows), "guide")
    x, y = dots.dots[0]
    assert x == pytest.approx(LEFT + rows[0][2] * (RIGHT - LEFT), abs=0.06)
    assert y == pytest.approx(BOTTOM + rows[0][3] * (TOP - BOTTOM), abs=0.06)


def test_each_threshold_counts_all_examples() -> None:
    generator = np.random.default_rng(0)
    Y, probabilities = generator.integers(0, 2, 500), generator.random(500).round(2)
    counts = evaluation.threshold_counts(Y, probabilities)
    for i, threshold in enumerate(np.linspace(0, 1, evaluation.THRESHOLDS + 1)):
        predicted = probabilities > threshold
        if np.abs(probabilities - threshold).min() > 1e-9:  # where rounding could not matter
            assert counts["tp"][i] == np.sum(predicted & (Y == 1))
            assert counts["fp"][i] == np.sum(predicted & (Y == 0))
        assert sum(counts[name][i] for name in ("tp", "fp", "tn", "fn")) == 500


@pytest.mark.parametrize("digits", [1, 6])
def test_the_roc_curve_is_the_peers(digits: int) -> None:
    generator = np.random.default_rng(0)
    Y = generator.integers(0, 2, 200)
    probabilities = (0.3 * Y + generator.random(200) * 0.7).round(digits)
    path = evaluation.roc_chart(Y, probabilities).series[0].path
    points = [tuple(map(float, point.split(","))) for point in path[1:].split("L")]
    x, y, _ = peer.roc_curve(Y, probabilities, drop_intermediate=False)
    expected = [(LEFT + a * (RIGHT - LEFT), BOTTOM + b * (TOP - BOTTOM)) for a, b in zip(x, y, strict=True)]
    assert np.allclose(points, expected, atol=0.06)


def test_many_points_are_thinned_but_not_the_ends() -> None:
    generator = np.random.default_rng(0)
    Y, probabilities = generator.integers(0, 2, 20_000), generator.random(20_000)
    path = evaluation.roc_chart(Y, probabilities).series[0].path
    assert path.count("L") <= evaluation.POINTS
    assert path.endswith(f"L{RIGHT},{TOP}")
    assert path.startswith(f"M{LEFT},{BOTTOM}")


def test_the_worst_mistake_comes_first(two: World) -> None:
    opened = two.open()
    dataset = labelled(opened, two.data)
    found = evaluation.evaluation_section(opened, dataset, CPU)
    positive = opened.evaluate_dataset(dataset, CPU).probabilities[1]
    given = np.where(dataset.Y[0] == 1, positive, 1 - positive)
    worst, uncertain = int(np.argmin(given)), int(np.argmin(np.abs(positive - 0.5)))
    assert dataset.names[worst] == found["folder"] + found["mistakes"][0]["name"]
    assert dataset.names[uncertain] == found["folder"] + found["uncertain"][0]["name"]
    assert found["mistakes"][0]["truth"] == opened.classes[dataset.Y[0, worst]]
    assert not any(example["is_right"] for example in found["mistakes"])
    assert len(found["mistakes"]) <= evaluation.EXAMPLES
    with Image.open(BytesIO(base64.b64decode(found["mistakes"][0]["picture"]))) as image:
        assert image.size == (8, 8)


def test_two_classes_by_softmax_have_a_roc_curve_too() -> None:
    opened, dataset = softmax(2)
    found = evaluation.evaluation_section(opened, dataset, CPU)
    assert found["metrics"]["roc_auc"] == pytest.approx(
        peer.roc_auc_score(dataset.Y[0], opened.evaluate_dataset(dataset, CPU).probabilities[1])
    )
    assert "roc" in found


def test_one_class_alone_has_no_roc_curve() -> None:
    opened, dataset = softmax(2)
    found = evaluation.evaluation_section(opened, replace(dataset, Y=np.zeros_like(dataset.Y)), CPU)
    assert "roc" not in found
    assert "threshold" in found


@pytest.mark.parametrize(("n_classes", "has_matrix"), [(3, True), (30, True), (31, False), (500, False)])
def test_many_classes_have_no_matrix_but_their_confusions(n_classes: int, has_matrix: bool) -> None:
    found = evaluation.evaluation_section(*softmax(n_classes), CPU)
    assert (found["matrix"] is not None) is has_matrix
    assert len(found["by_class"]) == min(n_classes, evaluation.CLASS_ROWS)
    assert len(found["pairs"]) <= evaluation.CONFUSIONS
    counts = [count for _, _, count in found["pairs"]]
    assert counts == sorted(counts, reverse=True)
    assert counts[-1] > 0
    assert "threshold" not in found


def test_numbers_are_shown_against_the_true_ones() -> None:
    Y = np.arange(1000.0)[None]
    parameters = {"W1": np.ones((1, 1), "float32"), "b1": np.zeros((1, 1), "float32")}
    opened = Model(SavedModel(Network(1, 1, "identity"), parameters, fit_standardizer([], "none")))
    examples = Y.copy()
    examples[0, 500] += 100
    dataset = Dataset(ColumnMatrix.of(examples, "none"), Y, ())
    found = evaluation.evaluation_section(opened, dataset, CPU)
    assert found["mistakes"][0]["name"] == "example 500"
    assert found["mistakes"][0]["note"] == "off by 100"
    assert found["regression"]["points"] == evaluation.POINTS
    assert found["uncertain"] == []


def test_grey_pictures_are_grey(tmp_path: Path) -> None:
    data = draw(tmp_path / "data", ["a", "b"], 12)
    opened = load(str(trained(tmp_path, data, epochs=1)))
    recipe = Recipe(8, 8, color_mode="grayscale")
    dataset = labelled(opened, data)
    grey = replace(dataset, data=ColumnMatrix.of(dataset.data.examples[:, :64].T, "unit"), recipe=recipe)
    picture = evaluation._example(grey, 0)["picture"]
    with Image.open(BytesIO(base64.b64decode(picture))) as image:
        assert (image.mode, image.size) == ("L", (8, 8))
