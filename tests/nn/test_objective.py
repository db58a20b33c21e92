"""The cost of a batch, compared with closed forms of its parts, and its gradient."""

from typing import Any

import numpy as np
import optional
import pytest

from xpnet.autodiff import Node, gradients
from xpnet.backend import Backend, select
from xpnet.data import Batch
from xpnet.errors import ConfigurationError
from xpnet.nn import Layer, LogisticRegression, Network, Objective, Settings, SoftmaxRegression, initialize

special = optional.module("scipy.special")

MLP = Network(4, 3, "softmax", (Layer.parse("5:tanh+3:sigmoid"),))
X = np.random.default_rng(0).standard_normal((4, 6))
CLASSES = np.array([[0, 1, 2, 2, 1, 0]])


def cost(model: Network, Y: np.ndarray, backend: Backend, weights: Any = None, **settings: Any) -> Any:
    """Return J of the examples above at a random start, and the parameters on the host."""
    made = Settings(dtype="float64", seed=1, **settings)
    parameters = initialize(model, backend, "xavier", 1, "float64")
    nodes = {name: Node(view) for name, view in parameters.views.items()}
    sent = None if weights is None else backend.send(weights)
    J = Objective(model, made, backend, 6)(nodes, Batch(backend.send(X), backend.send(Y), sent), 3)
    return J, nodes, {name: backend.fetch(view) for name, view in parameters.views.items()}


def test_smoothed_softmax_is_the_cross_entropy_with_smoothed_labels(backend: Backend) -> None:
    J, _, host = cost(SoftmaxRegression(4, 3), CLASSES, backend, label_smoothing=0.1)
    labels = np.eye(3)[:, CLASSES[0]] * 0.9 + 0.1 / 3
    want = -(labels * special.log_softmax(host["W1"] @ X + host["b1"], axis=0)).sum(axis=0).mean()
    np.testing.assert_allclose(backend.fetch(J.value), want, rtol=1e-12)


def test_smoothed_logistic_loss_is_that_of_smoothed_labels(backend: Backend) -> None:
    Y = (CLASSES > 0).astype(float)
    J, _, host = cost(LogisticRegression(4), Y, backend, label_smoothing=0.2)
    A, labels = special.expit(host["W1"] @ X + host["b1"]), Y * 0.8 + 0.1
    want = -(labels * np.log(A) + (1 - labels) * np.log(1 - A)).mean()
    np.testing.assert_allclose(backend.fetch(J.value), want, rtol=1e-12)


def test_weights_and_penalties(backend: Backend) -> None:
    weights = np.arange(6.0)[None]
    J, _, host = cost(SoftmaxRegression(4, 3), CLASSES, backend, weights, l1=0.3, l2=0.7)
    W = host["W1"]
    losses = -special.log_softmax(W @ X + host["b1"], axis=0)[CLASSES[0], range(6)]
    want = (weights[0] * losses).mean() + 0.3 / 6 * np.abs(W).sum() + 0.7 / 12 * (W**2).sum()
    np.testing.assert_allclose(backend.fetch(J.value), want, rtol=1e-12)


@pytest.mark.parametrize(
    "settings",
    [{}, {"dropout": 0.4}, {"label_smoothing": 0.1}, {"l1": 0.1, "l2": 0.2}],
    ids=lambda settings: "+".join(settings) or "plain",
)
def test_the_gradient_of_the_whole(settings: dict[str, Any]) -> None:
    """A directional difference of J in float64, with the same units dropped."""
    backend = select("cpu")
    objective = Objective(MLP, Settings(dtype="float64", **settings), backend, 6)
    start = initialize(MLP, backend, "he", 1, "float64")
    generator = np.random.default_rng(2)
    directions = {name: generator.standard_normal(view.shape) for name, view in start.views.items()}

    def at(step: float) -> Any:
        nodes = {name: Node(view + step * directions[name]) for name, view in start.views.items()}
        return objective(nodes, Batch(X, CLASSES, None), 3), nodes

    J, nodes = at(0.0)
    slope = sum(
        (grad * direction).sum()
        for grad, direction in zip(gradients(J, nodes.values()), directions.values(), strict=True)
    )
    h = 1e-6
    np.testing.assert_allclose(slope, (at(h)[0].value - at(-h)[0].value) / (2 * h), rtol=1e-6)


def test_the_mean_output_with_dropout_is_the_output_without() -> None:
    """Inverted dropout: on average over steps, the outputs are those of the whole network."""
    backend = select("cpu")
    model = Network(4, 1, "identity", (Layer.parse("50:relu"),))
    objective = Objective(model, Settings(dtype="float64", dropout=0.5), backend, 6)
    views = initialize(model, backend, "he", 1, "float64").views
    drop = objective._drop
    nodes = {name: Node(view) for name, view in views.items()}
    outputs = [model.forward(nodes, X, drop(step)).value for step in range(4000)]
    want = model.forward(views, X)
    spread = np.std(outputs, axis=0) / np.sqrt(len(outputs))
    assert (np.abs(np.mean(outputs, axis=0) - want) < 5 * spread).all()


def test_settings_that_do_not_fit_the_model_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="dropout is for hidden units, and this model has none"):
        cost(LogisticRegression(4), CLASSES, select("cpu"), dropout=0.5)
    with pytest.raises(ConfigurationError, match="label_smoothing is for classifiers"):
        cost(Network(4, 1, "identity"), CLASSES, select("cpu"), label_smoothing=0.5)
