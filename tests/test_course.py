"""The results that the course prints, on every backend."""

import numpy as np
import pytest

from xpnet import functional as F
from xpnet.autodiff import Node, gradients
from xpnet.backend.backend import Backend
from xpnet.testing import assert_close


def test_sigmoid(backend: Backend) -> None:
    z = F.as_row(backend.send([0.5, 0.0, 2.0]))
    assert_close(F.sigmoid(z), [[0.62245933, 0.5, 0.88079708]], backend, rtol=1e-8)


def test_sigmoid_derivative(backend: Backend) -> None:
    z = F.as_row(backend.send([1.0, 2.0, 3.0]))
    assert_close(F.sigmoid_derivative(z), [[0.19661193, 0.10499359, 0.04517666]], backend, rtol=1e-7)


def test_image2vector(backend: Backend) -> None:
    image = backend.send(np.arange(3 * 3 * 2, dtype="uint8").reshape(3, 3, 2))
    vector = F.image2vector(image)
    assert vector.shape == (18, 1)
    assert_close(vector, np.arange(18, dtype="uint8")[:, None], backend)


def test_normalize_rows(backend: Backend) -> None:
    x = backend.send([[0.0, 3.0, 4.0], [1.0, 6.0, 4.0]])
    expected = [[0, 0.6, 0.8], [0.13736056, 0.82416338, 0.54944226]]
    assert_close(F.normalize_rows(x), expected, backend, rtol=1e-7)


def test_row_wise_softmax(backend: Backend) -> None:
    z = backend.send([[9.0, 2.0, 5.0, 0.0, 0.0], [7.0, 5.0, 0.0, 0.0, 0.0]])
    a = F.softmax(z, axis=1)
    first = [[9.80897665e-01, 8.94462891e-04, 1.79657674e-02, 1.21052389e-04, 1.21052389e-04]]
    assert_close(a[:1, :], first, backend, rtol=1e-8)
    assert_close(F.sum(a, axis=1), [[1.0], [1.0]], backend)


def test_l1_and_l2(backend: Backend) -> None:
    yhat, y = backend.send([[0.9, 0.2, 0.1, 0.4, 0.9]]), backend.send([[1, 0, 0, 1, 1]])
    assert_close(F.L1(yhat, y), 1.1, backend)
    assert_close(F.L2(yhat, y), 0.43, backend)


def test_computation_graph(backend: Backend) -> None:
    a, b, c = (Node(backend.send(value), name) for name, value in [("a", 5.0), ("b", 3.0), ("c", 2.0)])
    J = 3 * (a + b * c)
    assert_close(J.value, 33.0, backend)
    for derivative, expected in zip(gradients(J, [a, b, c]), [3.0, 6.0, 9.0], strict=True):
        assert_close(derivative, expected, backend)


def test_calories_broadcast(backend: Backend) -> None:
    calories = backend.send([[56.0, 0.0, 4.4, 68.0], [1.2, 104.0, 52.0, 8.0], [1.8, 135.0, 99.0, 0.9]])
    total = F.sum(calories, axis=0)
    assert_close(total, [[59.0, 239.0, 155.4, 76.9]], backend)
    percentage = F.multiply(100, F.divide(calories, total))
    assert_close(percentage[:, :1], [[94.92], [2.03], [3.05]], backend, atol=0.005)


@pytest.fixture
def small_job(backend: Backend) -> dict[str, Node]:
    return {
        "w": Node(backend.send([[1.0], [2.0]]), "w"),
        "b": Node(backend.send([[1.5]]), "b"),
    }


def test_propagate(backend: Backend, small_job: dict[str, Node]) -> None:
    w, b = small_job.values()
    X, Y = backend.send([[1.0, -2.0, -1.0], [3.0, 0.5, -3.2]]), backend.send([[1, 1, 0]])
    cost = F.mean(F.logistic_loss(F.affine(w.T, X, b), Y))
    dw, db = gradients(cost, [w, b])
    assert_close(cost.value, 0.15900537707692405, backend)
    assert_close(dw, [[0.25071532], [-0.06604096]], backend, rtol=1e-7)
    assert_close(db, [[-0.12500404500439652]], backend)


def test_a_hundred_steps_of_gradient_descent(backend: Backend, small_job: dict[str, Node]) -> None:
    w, b = small_job.values()
    X, Y = backend.send([[1.0, -2.0, -1.0], [3.0, 0.5, -3.2]]), backend.send([[1, 1, 0]])
    for _ in range(100):
        cost = F.mean(F.logistic_loss(F.affine(w.T, X, b), Y))
        dw, db = gradients(cost, [w, b])
        w, b = Node(w.value - 0.009 * dw), Node(b.value - 0.009 * db)
    assert_close(w.value, [[0.80956046], [2.0508202]], backend, rtol=1e-7)
    assert_close(b.value, [[1.5948713189708588]], backend)
    assert_close(dw, [[0.17860505], [-0.04840656]], backend, rtol=1e-6)
    assert_close(db, [[-0.08888460336847771]], backend)


def test_predict(backend: Backend) -> None:
    w, b = backend.send([[0.1124579], [0.23106775]]), backend.send([[-0.3]])
    X = backend.send([[1.0, -1.1, -3.2], [1.2, 2.0, 0.1]])
    labels = F.sigmoid(F.affine(w.T, X, b)) > 0.5
    np.testing.assert_array_equal(backend.fetch(labels), [[True, True, False]])
