"""Embeddings are classified by ridge classification or by L-BFGS, whichever is right more often."""

from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

import xpnet
from xpnet.pipelines.datasets import dataset_from_arrays
from xpnet.pipelines.messages import Messages
from xpnet.pipelines.training import linear_probe


class Said(Messages):
    """Keeps what was said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)


def embeddings(m: int = 900, n_x: int = 96, classes: int = 3, noise: float = 4.0) -> tuple[Any, Any]:
    rng = np.random.default_rng(3)
    y = np.arange(m) % classes
    X = rng.normal(size=(classes, n_x))[y] + noise * rng.normal(size=(m, n_x))
    return (X * np.arange(1, n_x + 1) ** -0.5 + 5).astype(np.float32), y


def trained(X: np.ndarray, y: np.ndarray, **plan: Any) -> tuple[xpnet.Model, list[str]]:
    messages = Said()
    model = xpnet.train(X.T, y, device="cpu", messages=messages, **plan)
    return model, messages.said


@pytest.mark.parametrize("classes", [2, 5])
def test_ridge_classification_for_embeddings(classes: int) -> None:
    X, y = embeddings(3000, classes=classes)
    model, said = trained(X[:1000], y[:1000])
    assert said[0].startswith("Optimizer: ridge (right answers for 250 left-out examples: ridge ")
    assert str(model.history["method"]).startswith("ridge classification")
    same, _ = trained(X[:1000], y[:1000], optimizer="ridge")
    np.testing.assert_array_equal(model.saved.parameters["W1"], same.saved.parameters["W1"])
    scaler = StandardScaler().fit(X[:1000])
    peer = LogisticRegression(max_iter=1000).fit(scaler.transform(X[:1000]), y[:1000])
    right = float((model.predict_array(X[1000:].T)[0].astype(int) == y[1000:]).mean())
    assert right >= peer.score(scaler.transform(X[1000:]), y[1000:]) - 0.005


def test_l_bfgs_for_pixels() -> None:
    digits = load_digits()
    model, said = trained(digits.data, digits.target)
    assert said[0].startswith("Optimizer: lbfgs (right answers for ")
    same, _ = trained(digits.data, digits.target, optimizer="lbfgs")
    np.testing.assert_array_equal(model.saved.parameters["W1"], same.saved.parameters["W1"])


@pytest.mark.parametrize(
    "plan",
    [
        {"optimizer": "lbfgs"}, {"l2": 3.0}, {"iterations": 5}, {"hidden": "4:relu", "epochs": 1},
        {"standardize": "none"}, {"model": "regression"},
    ],
)  # fmt: skip
def test_choices_of_the_user_are_kept(plan: dict[str, Any]) -> None:
    X, y = embeddings(200)
    assert not any("left-out" in text for text in trained(X, y, **plan)[1])


def test_few_features_images_and_tables_are_not_compared(tmp_path: Any) -> None:
    X, y = embeddings(200, linear_probe.LEAST_FEATURES - 1)
    assert not any("left-out" in text for text in trained(X, y)[1])
    X, y = embeddings(200, 70)
    lines = [",".join([f"c{i}" for i in range(70)] + ["y"])]
    lines += [",".join(map(str, row)) + f",k{label}" for row, label in zip(X.tolist(), y, strict=True)]
    (tmp_path / "t.csv").write_text("\n".join(lines))
    messages = Said()
    xpnet.train(tmp_path / "t.csv", target="y", device="cpu", messages=messages)
    assert not any("left-out" in text for text in messages.said)


def test_weights_of_classes_and_a_class_with_few_examples() -> None:
    X, y = embeddings(600)
    y = np.where(np.arange(600) < 3, 2, y % 2)
    model, said = trained(X, y, class_weight="balanced")
    assert "left-out" in said[0]
    assert len(model.classes) == 3


@pytest.mark.parametrize("m", [2, 3, 4, 6])
def test_few_examples_are_trained_on_all_the_same(m: int) -> None:
    X, y = embeddings(m, classes=2)
    assert trained(X, y)[0].evaluate(X.T, y)["accuracy"] == 1.0


def test_a_file_gives_the_same_model_as_arrays(tmp_path: Any) -> None:
    X, y = embeddings()
    np.savez(tmp_path / "f.npz", X=X, y=y)
    of_file = xpnet.train(tmp_path / "f.npz", device="cpu")
    dataset = dataset_from_arrays(X.T, y)
    for model in (trained(X, y)[0], xpnet.train(dataset, device="cpu")):
        np.testing.assert_array_equal(of_file.saved.parameters["W1"], model.saved.parameters["W1"])
