"""Logistic regression with the five functions of the course, computed by xpnet.

X: standardized examples (n_x, m), one in each column. Y: labels (1, m), 0 or 1.
w: weights, a column (n_x, 1). b: bias, a number.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from xpnet import functional as F
from xpnet.autodiff import Node, gradients
from xpnet.backend import Backend, select
from xpnet.data import ColumnMatrix
from xpnet.errors import ConfigurationError
from xpnet.linear import descend
from xpnet.nn import LogisticRegression, Parameters


def initialize_with_zeros(dim: int) -> tuple[np.ndarray, float]:
    """Return the weights w, zeros (dim, 1), and the bias b, 0.0."""
    if not isinstance(dim, int) or dim < 1:
        msg = f"initialize_with_zeros: dim is {dim!r}, expected a whole number of at least 1"
        raise ConfigurationError(msg)
    return np.zeros((dim, 1)), 0.0


def propagate(w: np.ndarray, b: float, X: np.ndarray, Y: np.ndarray) -> tuple[dict[str, Any], np.ndarray]:
    """Compute the cost and its gradients. Return the gradients {"dw", "db"}, and the cost, an array ().

    Raises:
        ShapeError: the shapes do not fit.
    """
    w_node, b_node = Node(w, "w"), Node(np.full((1, 1), float(b)), "b")
    cost = F.mean(F.logistic_loss(F.affine(w_node.T, X, b_node), Y))
    dw, db = gradients(cost, [w_node, b_node])
    return {"dw": dw, "db": db[0, 0]}, cost.value


def optimize(
    w: np.ndarray,
    b: float,
    X: np.ndarray,
    Y: np.ndarray,
    num_iterations: int = 2000,
    learning_rate: float = 0.005,
    print_cost: bool = False,
    backend: Backend | None = None,
) -> tuple[dict[str, Any], dict[str, Any], list[float]]:
    """Minimize the cost by gradient descent.

    Args:
        w: weights to start from, (n_x, 1).
        b: bias to start from.
        X: standardized examples, (n_x, m).
        Y: labels, (1, m).
        num_iterations: number of steps; with 0 the parameters stay as they are.
        learning_rate: learning rate of each step.
        print_cost: whether to print every 100th cost.
        backend: where to compute; by default on the CPU.

    Returns:
        The parameters {"w", "b"}, the gradients {"dw", "db"} of the last step (without steps, those at the
        start), and a list of every 100th cost, each before its step.

    Raises:
        ConfigurationError: the number of steps is negative.
    """
    if num_iterations < 0:
        msg = f"optimize: num_iterations is {num_iterations}, expected 0 or more"
        raise ConfigurationError(msg)
    backend = backend or select("cpu")
    model = LogisticRegression(X.shape[0])
    data = ColumnMatrix.of(np.asarray(X, dtype=np.float64))

    def descended(iterations: int, start: Parameters) -> Any:
        return descend(
            model,
            data,
            np.asarray(Y),
            backend,
            iterations=iterations,
            learning_rate=learning_rate,
            start=start,
            dtype="float64",
        )

    start = Parameters(model, backend.send(np.concatenate([w.reshape(-1, 1), np.full((1, 1), float(b))])))
    costs = np.zeros(0)
    if num_iterations > 1:
        before = descended(num_iterations - 1, start)
        start, costs = before.parameters, before.costs
    # As in the course, the gradients of the last step are returned: those at the parameters before it.
    w_before, b_before = _numbers(start, backend)
    grads, cost = propagate(w_before, b_before, np.asarray(X, dtype=np.float64), np.asarray(Y))
    if num_iterations == 0:
        return {"w": w_before, "b": b_before}, grads, []
    parameters = {"w": w_before - learning_rate * grads["dw"], "b": b_before - learning_rate * grads["db"]}
    every = [float(c) for c in np.append(costs, float(cost))[::100]]
    if print_cost:
        for i, value in enumerate(every):
            print(f"Cost after iteration {100 * i}: {value:f}")  # noqa: T201  (as in the course)
    return parameters, grads, every


def predict(w: np.ndarray, b: float, X: np.ndarray) -> np.ndarray:
    """Return predicted labels 0 or 1, (1, m) float64: 1 if the probability is above 0.5."""
    A = F.sigmoid(F.affine(w.reshape(-1, 1).T, X, np.full((1, 1), float(b))))
    labels: np.ndarray = (A > 0.5).astype(np.float64)
    return labels


def model(
    X_train: np.ndarray,
    Y_train: np.ndarray,
    X_test: np.ndarray,
    Y_test: np.ndarray,
    num_iterations: int = 2000,
    learning_rate: float = 0.005,
    print_cost: bool = False,
    backend: Backend | None = None,
) -> dict[str, Any]:
    """Train on the training set, and predict both sets.

    Args: as for `optimize`.

    Returns:
        The course's dictionary: costs, predictions, parameters and settings.
    """
    w, b = initialize_with_zeros(X_train.shape[0])
    parameters, _, costs = optimize(
        w, b, X_train, Y_train, num_iterations, learning_rate, print_cost, backend
    )
    w, b = parameters["w"], parameters["b"]
    predictions = {"train": predict(w, b, X_train), "test": predict(w, b, X_test)}
    if print_cost:
        for name, Y in (("train", Y_train), ("test", Y_test)):
            print(f"{name} accuracy: {100 - np.mean(np.abs(predictions[name] - Y)) * 100} %")  # noqa: T201
    return {
        "costs": costs,
        "Y_prediction_test": predictions["test"],
        "Y_prediction_train": predictions["train"],
        "w": w,
        "b": b,
        "learning_rate": learning_rate,
        "num_iterations": num_iterations,
    }


def _numbers(parameters: Parameters, backend: Backend) -> tuple[np.ndarray, float]:
    """Return w (n_x, 1) and b of logistic regression, in host memory."""
    return backend.fetch(parameters.views["W1"]).T, float(backend.fetch(parameters.views["b1"])[0, 0])
