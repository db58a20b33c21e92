"""The graph that is drawn is the graph that is computed."""

from typing import Any

import numpy as np
import pytest

from xpnet.data.standardize import fit_standardizer
from xpnet.io.model_file import SavedModel
from xpnet.nn.network import Layer, Network
from xpnet.pipelines.report.computation_graph import MOST_DRAWN, WIDTH, graph_section


def drawn(n_x: int, n_out: int, output: str, *hidden: str) -> dict[str, Any]:
    model = Network(n_x, n_out, output, tuple(Layer.parse(text) for text in hidden))
    parameters = {name: np.ones(shape, "float32") for name, shape in model.shapes.items()}
    return graph_section(SavedModel(model, parameters, fit_standardizer([], "unit")))


def steps(*arguments: Any) -> list[tuple[str, str, str]]:
    return [(step.name, step.formula, step.shape) for step in drawn(*arguments)["steps"]]


def test_logistic_regression() -> None:
    assert steps(12, 1, "sigmoid") == [
        ("Z1", "affine(W1, X, b1)", "1 x m"),
        ("losses", "logistic_loss(Z1, Y)", "1 x m"),
        ("J", "mean(losses)", "a number"),
    ]


def test_a_network() -> None:
    assert steps(12, 3, "softmax", "5:relu", "4:tanh") == [
        ("Z1", "affine(W1, X, b1)", "5 x m"),
        ("A1", "relu(Z1)", "5 x m"),
        ("Z2", "affine(W2, A1, b2)", "4 x m"),
        ("A2", "tanh(Z2)", "4 x m"),
        ("Z3", "affine(W3, A2, b3)", "3 x m"),
        ("losses", "softmax_cross_entropy(Z3, Y)", "1 x m"),
        ("J", "mean(losses)", "a number"),
    ]


@pytest.mark.parametrize("output", ["identity", "relu"])
def test_regression(output: str) -> None:
    assert steps(3, 2, output)[-2:] == [
        ("losses", f"squared_error({'A1' if output == 'relu' else 'Z1'}, Y)", "1 x m"),
        ("J", "mean(losses)", "a number"),
    ]


def test_several_yes_or_no_at_once() -> None:
    assert steps(3, 4, "sigmoid")[1:] == [
        ("losses", "logistic_loss(Z1, Y)", "4 x m"),
        ("J", "mean(losses)", "a number"),
    ]


def test_groups_are_one_step() -> None:
    assert steps(3, 1, "sigmoid", "2:relu+1:tanh")[1][1].startswith("activate_groups(Z1, groups=")


def test_each_step_has_a_box_below_the_last_and_its_parameters_beside_it() -> None:
    drawing = drawn(12, 3, "softmax", "5:relu")["drawing"]
    chain = [box for box in drawing["boxes"] if box["kind"] != "side"]
    assert [box["text"] for box in chain] == [
        "X  12 x m",
        "affine",
        "relu",
        "affine",
        "softmax_cross_entropy",
        "mean",
    ]
    assert [box["y"] for box in chain] == sorted(box["y"] for box in chain)
    sides = [box["text"] for box in drawing["boxes"] if box["kind"] == "side"]
    assert sides == ["W1  5 x 12", "b1  5 x 1", "W2  3 x 5", "b2  3 x 1", "Y  1 x m"]
    assert len(drawing["arrows"]) == len(drawing["boxes"]) - 1
    for box in drawing["boxes"]:
        assert 0 <= box["x"] < box["x"] + box["width"] <= WIDTH
        assert 0 <= box["y"] < box["y"] + drawing["box_height"] <= drawing["height"]


def test_a_deep_network_is_told_and_not_drawn() -> None:
    found = drawn(3, 1, "sigmoid", *["2:tanh"] * MOST_DRAWN)
    assert found["drawing"] is None
    assert len(found["steps"]) == 2 * MOST_DRAWN + 3
