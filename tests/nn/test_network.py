"""Network configurations, their parameters and forward propagation."""

import json

import numpy as np
import optional
import pytest

from xpnet import functional as F
from xpnet.autodiff import Node
from xpnet.backend import Backend
from xpnet.errors import ConfigurationError, ShapeError
from xpnet.nn import Layer, LogisticRegression, Network, SoftmaxRegression, initialize
from xpnet.nn.network import ACTIVATIONS, activate_groups
from xpnet.testing import assert_close, check_gradients

special = optional.module("scipy.special")

MIXED = Network(4, 3, "softmax", (Layer.parse("5:relu+2:tanh"), Layer.parse("3:sigmoid")))


def test_shapes() -> None:
    assert LogisticRegression(12288).shapes == {"W1": (1, 12288), "b1": (1, 1)}
    assert SoftmaxRegression(784, 10).shapes == {"W1": (10, 784), "b1": (10, 1)}
    assert MIXED.shapes == {
        "W1": (7, 4),
        "b1": (7, 1),
        "W2": (3, 7),
        "b2": (3, 1),
        "W3": (3, 3),
        "b3": (3, 1),
    }


@pytest.mark.parametrize("text", ["64:tanh", "32:relu+16:tanh", "1:identity"])
def test_a_layer_reads_what_it_writes(text: str) -> None:
    assert str(Layer.parse(text)) == text


def test_relu_is_the_default() -> None:
    assert Layer.parse("8").groups == ((8, "relu"),)
    assert Layer.parse(" 8 + 4:tanh ").groups == ((8, "relu"), (4, "tanh"))


@pytest.mark.parametrize(
    "text", ["", "relu", "x:relu", "8:rellu", "8:relu+", "0:relu", "-1:relu", "8:relu:tanh", "1.5:relu"]
)
def test_an_invalid_layer_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError):
        Layer.parse(text)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 1, "sigmoid"), "0 features and 1 outputs: expected at least 1 and 1"),
        ((4, 1, "softmax"), "4 features and 1 outputs: expected at least 1 and 2"),
        ((4, 1, "tanh"), "output is 'tanh', expected one of sigmoid, softmax, identity, relu"),
    ],
)
def test_an_invalid_network_is_refused(arguments: tuple, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        Network(*arguments)


@pytest.mark.parametrize(
    "model", [MIXED, LogisticRegression(3), SoftmaxRegression(3, 4), Network(2, 1, "relu")]
)
def test_a_configuration_survives_a_file(model: Network) -> None:
    read = Network.from_dict(json.loads(json.dumps(model.to_dict())))
    assert read.to_dict() == model.to_dict()
    assert read.shapes == model.shapes


@pytest.mark.parametrize(
    "data", [{}, {"n_x": "x"}, {"n_x": 1, "n_out": 1, "output": "sigmoid", "hidden": [3]}, []]
)
def test_an_invalid_configuration_is_refused(data: object) -> None:
    with pytest.raises(ConfigurationError):
        Network.from_dict(data)


def test_forward_propagation_is_the_textbook_one(backend: Backend) -> None:
    p = initialize(MIXED, backend, seed=1, dtype="float64")
    host = {name: backend.fetch(view) for name, view in p.views.items()}
    X = np.random.default_rng(0).standard_normal((4, 6))
    Z1 = host["W1"] @ X + host["b1"]
    A1 = np.concatenate([np.maximum(Z1[:5], 0), np.tanh(Z1[5:])])
    A2 = special.expit(host["W2"] @ A1 + host["b2"])
    Z3 = host["W3"] @ A2 + host["b3"]
    Z = MIXED.forward(p.views, backend.send(X))
    assert_close(Z, Z3, backend, rtol=1e-12, atol=1e-14)
    assert_close(MIXED.activate_output(Z), special.softmax(Z3, axis=0), backend, rtol=1e-12)


def test_gradients_of_a_whole_network(backend: Backend) -> None:
    p = initialize(MIXED, backend, seed=1, dtype="float64")
    X, Y = (
        backend.send(np.random.default_rng(0).standard_normal((4, 6))),
        backend.send(np.array([[0, 1, 2, 2, 1, 0]])),
    )
    names = list(p.views)

    def cost(*nodes: Node) -> Node:
        return F.mean(MIXED.loss(MIXED.forward(dict(zip(names, nodes, strict=True)), X), Y))

    check_gradients(cost, *p.views.values(), backend=backend)


def test_gradients_of_groups(backend: Backend) -> None:
    groups = tuple((2, name) for name in ACTIVATIONS)
    Z = backend.send(np.random.default_rng(3).standard_normal((12, 5)))
    check_gradients(lambda node: activate_groups(node, groups=groups), Z, backend=backend)
    parts = [ACTIVATIONS[name](Z[2 * i : 2 * i + 2, :]) for i, (_, name) in enumerate(groups)]
    assert_close(activate_groups(Z, groups=groups), backend.fetch(backend.xp.concat(parts, axis=0)), backend)


def test_outputs() -> None:
    Z = np.array([[0.0, 2.0]])
    np.testing.assert_allclose(LogisticRegression(1).activate_output(Z), special.expit(Z))
    np.testing.assert_array_equal(Network(1, 1, "identity").activate_output(Z), Z)


def test_a_relu_output_is_never_negative(backend: Backend) -> None:
    model = Network(1, 1, "relu")
    views = {"W1": backend.send([[1.0]]), "b1": backend.send([[0.0]])}
    assert_close(model.forward(views, backend.send([[-2.0, 3.0]])), [[0.0, 3.0]], backend)


def test_another_number_of_features_is_refused(backend: Backend) -> None:
    p = initialize(LogisticRegression(3), backend)
    with pytest.raises(ShapeError, match=r"X has shape \(4, 2\), and the model expects 3 features"):
        LogisticRegression(3).forward(p.views, backend.send(np.ones((4, 2)), dtype="float32"))
