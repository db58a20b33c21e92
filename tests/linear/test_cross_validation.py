"""The choice of the penalty: scikit-learn's, the same as by trainings on parts, and what to expect of it."""

import functools
import warnings
from typing import Any

import numpy as np
import optional
import pytest

from xpnet.backend import Backend, select
from xpnet.data import ColumnMatrix, DeviceMatrix, stratified_folds
from xpnet.errors import ConfigurationError, ShapeError
from xpnet.linear import choose_penalty, cross_validation, minimize
from xpnet.metrics import accuracy, log_loss
from xpnet.nn import LogisticRegression, Network, SoftmaxRegression

sklearn = optional.module("sklearn.linear_model")

PENALTIES = (0.3, 3.0, 30.0)


def problem(
    n_classes: int, m: int = 60, n_x: int = 6, seed: int = 5
) -> tuple[Network, ColumnMatrix, np.ndarray]:
    """Clouds of bytes that overlap."""
    generator = np.random.default_rng(seed)
    Y = generator.integers(0, n_classes, (1, m))
    clouds = generator.normal(0.0, 30.0, (n_classes, n_x))[Y[0]] + generator.normal(128.0, 40.0, (m, n_x))
    examples = np.clip(clouds, 0, 255).astype(np.uint8)
    model = LogisticRegression(n_x) if n_classes == 2 else SoftmaxRegression(n_x, n_classes)
    return model, ColumnMatrix.of(examples.T, "feature"), Y


def probabilities(
    model: Network, data: ColumnMatrix, Y: np.ndarray, train: np.ndarray, **options: Any
) -> np.ndarray:
    """Return the probabilities of all examples by a model that was trained on some."""
    if (weights := options.pop("weights", None)) is not None:
        options["weights"] = weights[:, train]
    result = minimize(model, data.part(train), Y[:, train], select("cpu"), dtype="float64", **options)
    Z = result.parameters.views["W1"] @ data.standardized() + result.parameters.views["b1"]
    Z = np.concatenate([np.zeros_like(Z), Z]) if len(Z) == 1 else Z
    e = np.exp(Z - Z.max(axis=0))
    return e / e.sum(axis=0)


@functools.cache
def scikit_learns_choice(n_classes: int) -> tuple[np.ndarray, float]:
    """Return the losses of `PENALTIES` and the choice, with the folds of seed 3."""
    _, data, Y = problem(n_classes)
    fold = stratified_folds(Y, 5, seed=3)
    peer = sklearn.LogisticRegressionCV(
        Cs=[1 / l2 for l2 in PENALTIES],
        cv=[(np.flatnonzero(fold != k), np.flatnonzero(fold == k)) for k in range(5)],
        scoring="neg_log_loss",
        tol=1e-9,
        max_iter=10_000,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of changes in its next version
        peer.fit(data.standardized().T, Y[0])
    scores = peer.scores_[1] if isinstance(peer.scores_, dict) else peer.scores_
    return -np.mean(scores, axis=0), 1 / float(np.ravel(peer.C_)[0])


@pytest.mark.parametrize("n_classes", [2, 3])
def test_the_losses_and_the_choice_are_scikit_learns(n_classes: int, backend: Backend) -> None:
    model, data, Y = problem(n_classes)
    ours = choose_penalty(
        model, data, Y, backend, penalties=PENALTIES, seed=3, tolerance=1e-7, dtype="float64"
    )
    losses, penalty = scikit_learns_choice(n_classes)
    assert ours.tried.penalties == PENALTIES
    np.testing.assert_allclose(ours.tried.errors, losses, rtol=1e-4)
    assert ours.penalty == pytest.approx(penalty)
    assert (ours.by, ours.seed, ours.examples) == ("5-fold cross-validation", 3, 60)


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("reduced", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
def test_it_is_the_same_as_trainings_without_each_fold(
    n_classes: int, reduced: bool, weighted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cross_validation, "is_worthwhile", lambda objective: reduced)
    model, data, Y = problem(n_classes)
    options: dict[str, Any] = {"tolerance": 1e-7}
    own = np.random.default_rng(6).uniform(0.2, 3.0, (1, 60)) if weighted else np.ones((1, 60))
    by_class = tuple(range(1, n_classes + 1)) if weighted else (1,) * n_classes
    if weighted:
        options |= {"weights": own, "class_weight": by_class}
    ours = choose_penalty(
        model, data, Y, select("cpu"), penalties=(3.0, 30.0), folds=4, dtype="float64", **options
    )
    fold, combined = stratified_folds(Y, 4), (own * np.asarray(by_class)[Y])[0]
    for l2, found in zip(ours.tried.penalties, ours.tried.errors, strict=True):
        left_out = np.empty((n_classes, 60))
        for k in range(4):
            left_out[:, fold == k] = probabilities(
                model, data, Y, np.flatnonzero(fold != k), l2=l2, **options
            )[:, fold == k]
        losses = -np.log(np.take_along_axis(left_out, Y, axis=0))[0]
        assert found == pytest.approx(np.average(losses, weights=combined), rel=1e-5)
        if l2 == ours.penalty:
            is_right = left_out.argmax(axis=0) == Y[0]
            assert ours.accuracy == pytest.approx(np.average(is_right, weights=own[0]))
            assert ours.log_loss == pytest.approx(np.average(losses, weights=own[0]), rel=1e-5)
    assert ours.tried.errors[ours.tried.penalties.index(ours.penalty)] == min(ours.tried.errors)


def test_it_holds_what_it_expects() -> None:
    model, data, Y = problem(3, m=1500, n_x=40)
    train, new = np.arange(300), slice(300, None)
    expected = choose_penalty(model, data.part(train), Y[:, train], select("cpu"))
    found = probabilities(model, data, Y, train, l2=expected.penalty)[:, new]
    assert log_loss(Y[:, new], found) == pytest.approx(expected.log_loss, abs=0.05)
    assert abs(accuracy(Y[:, new], found.argmax(axis=0)[None]) - expected.accuracy) < 3 * expected.error


def test_examples_in_chunks_have_the_same_losses(backend: Backend) -> None:
    model, data, Y = problem(3)
    found = [
        choose_penalty(model, each, Y, backend, penalties=(3.0,)).tried.errors
        for each in (data, DeviceMatrix(data, backend, resident_bytes=0, chunk_bytes=100))
    ]
    np.testing.assert_allclose(*found, rtol=1e-4)


def test_smaller_penalties_are_not_tried_where_they_are_clearly_worse() -> None:
    generator = np.random.default_rng(0)
    noise, Y = generator.standard_normal((40, 80)), generator.integers(0, 2, (1, 80))
    found = choose_penalty(LogisticRegression(40), ColumnMatrix.of(noise), Y, select("cpu"))
    assert found.penalty >= 30
    assert max(cross_validation.PENALTIES) in found.tried.penalties
    assert min(found.tried.penalties) >= 0.1
    assert found.log_loss == pytest.approx(np.log(2), abs=0.02)


def test_a_class_of_one_example_is_never_left_out() -> None:
    model, data, Y = problem(3)
    Y = np.where(np.arange(60) == 7, 2, np.minimum(Y, 1))
    found = choose_penalty(model, data, Y, select("cpu"), penalties=PENALTIES)
    assert found.examples == 59
    assert found.log_loss < 1.0


def test_it_counts_all_iterations_and_repeats_itself() -> None:
    model, data, Y = problem(2)
    done: list[int] = []
    first = choose_penalty(model, data, Y, select("cpu"), on_progress=lambda count, cost: done.append(count))
    assert done == list(range(1, len(done) + 1))
    assert len(done) > 5 * len(first.tried.penalties)
    assert choose_penalty(model, data, Y, select("cpu")) == first
    assert choose_penalty(model, data, Y, select("cpu"), seed=1).tried != first.tried


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"penalties": ()}, "expected numbers more than 0"),
        ({"penalties": (1.0, 0.0)}, "expected numbers more than 0"),
        ({"penalties": (1.0, float("nan"))}, "expected numbers more than 0"),
        ({"penalties": (1.0, float("inf"))}, "expected numbers more than 0"),
        ({"folds": 1}, "number of folds is 1"),
        ({"tolerance": 0.0}, "tolerance is 0.0, expected more than 0"),
        ({"iterations": 0}, "iterations is 0"),
        ({"dtype": "float16"}, "dtype is 'float16'"),
    ],
)
def test_settings_out_of_range_are_refused(options: dict[str, Any], message: str) -> None:
    model, data, Y = problem(2)
    with pytest.raises(ConfigurationError, match=message):
        choose_penalty(model, data, Y, select("cpu"), **options)


def test_classes_of_one_example_each_are_refused() -> None:
    data = ColumnMatrix(np.array([[1.0], [2.0]]))
    with pytest.raises(ShapeError, match="needs a class with two examples or more"):
        choose_penalty(LogisticRegression(1), data, np.array([[0, 1]]), select("cpu"))
