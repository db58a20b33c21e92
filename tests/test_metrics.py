"""Metrics compared with scikit-learn and with formulas; arguments that are refused."""

from collections.abc import Callable

import numpy as np
import optional
import pytest
from optional import given, st

from xpnet import metrics
from xpnet.errors import ShapeError

sklearn_metrics = optional.module("sklearn.metrics")
sklearn_calibration = optional.module("sklearn.calibration")

GENERATOR = np.random.default_rng(0)
Y = GENERATOR.integers(0, 4, (1, 200))
CALLED = np.where(GENERATOR.uniform(size=(1, 200)) < 0.6, Y, GENERATOR.integers(0, 4, (1, 200)))


def test_accuracy_and_confusion() -> None:
    assert metrics.accuracy(Y, CALLED) == sklearn_metrics.accuracy_score(Y[0], CALLED[0])
    expected = sklearn_metrics.confusion_matrix(Y[0], CALLED[0])
    np.testing.assert_array_equal(metrics.confusion_matrix(Y, CALLED, 4), expected)


def test_precision_recall_f1() -> None:
    got = metrics.precision_recall_f1(metrics.confusion_matrix(Y, CALLED, 4))
    expected = sklearn_metrics.precision_recall_fscore_support(Y[0], CALLED[0])[:3]
    np.testing.assert_allclose(got, np.stack(expected), rtol=1e-14)
    macro = sklearn_metrics.precision_recall_fscore_support(Y[0], CALLED[0], average="macro")[:3]
    np.testing.assert_allclose(got.mean(axis=1), macro, rtol=1e-14)


def test_a_class_that_never_occurs_counts_0() -> None:
    got = metrics.precision_recall_f1(np.array([[5, 0, 0], [1, 4, 0], [0, 0, 0]]))
    assert got[:, 2].tolist() == [0, 0, 0]
    assert np.isfinite(got).all()


@pytest.mark.parametrize("classes", [(0, 1, 2, 3), (0, 2), (1,)])
def test_macro_f1_is_of_the_classes_that_occur(classes: tuple[int, ...]) -> None:
    kept = np.isin(Y[0], classes)
    part, called = Y[:, kept], CALLED[:, kept]
    found, count = metrics.macro_f1(metrics.confusion_matrix(part, called, 6))
    assert found == pytest.approx(sklearn_metrics.f1_score(part[0], called[0], average="macro"), rel=1e-12)
    assert count == len(np.union1d(part, called))
    assert metrics.macro_f1(np.diag([4, 0, 4])) == (1.0, 2)


def test_log_loss() -> None:
    probabilities = GENERATOR.dirichlet(np.ones(4), 200).T
    expected = sklearn_metrics.log_loss(Y[0], probabilities.T, labels=[0, 1, 2, 3])
    assert metrics.log_loss(Y, probabilities) == pytest.approx(expected, rel=1e-12)
    two = (Y > 1).astype(int)
    expected = sklearn_metrics.log_loss(two[0], probabilities[0])
    assert metrics.log_loss(two, probabilities[:1]) == pytest.approx(expected, rel=1e-12)
    assert metrics.log_loss(np.array([[1]]), np.array([[0.0]])) == np.inf


def test_calibration_error_is_the_mean_gap_of_its_bins() -> None:
    probabilities = np.array([[0.95, 0.95, 0.35, 0.65, 1.0], [0.05, 0.05, 0.65, 0.35, 0.0]])
    Y = np.array([[0, 1, 1, 0, 0]])
    # Bin 0.9 to 1: scores 0.95, 0.95, 1, two right; bin 0.6 to 0.7: scores 0.65 twice, both right.
    expected = 3 / 5 * abs(2.9 / 3 - 2 / 3) + 2 / 5 * (1 - 0.65)
    assert metrics.calibration_error(Y, probabilities) == pytest.approx(expected, rel=1e-12)
    assert metrics.calibration_error(Y[:, 4:], probabilities[:, 4:]) == 0
    with pytest.raises(ShapeError, match="expected"):
        metrics.calibration_error(Y, probabilities[:, 1:])


def test_the_reliability_diagram_is_scikit_learns() -> None:
    generator = np.random.default_rng(3)
    p = generator.uniform(0.3, 1.0, 400)
    Y = (generator.uniform(size=400) < p).astype(int)
    counts, scores, right = metrics.reliability(Y[None], np.stack([1 - p, p]))
    sure = np.maximum(p, 1 - p)
    shares, means = sklearn_calibration.calibration_curve((p > 0.5) == Y, sure, n_bins=10)
    np.testing.assert_allclose(scores[counts > 0], means)
    np.testing.assert_allclose(right[counts > 0], shares)
    assert counts.sum() == 400
    assert np.isnan(scores[:5]).all()


def test_probabilities_that_are_true_are_calibrated() -> None:
    generator = np.random.default_rng(2)
    p = generator.uniform(size=(1, 40_000))
    Y = (generator.uniform(size=p.shape) < p).astype(int)
    assert metrics.calibration_error(Y, np.concatenate([1 - p, p])) < 0.01
    assert metrics.calibration_error(Y, np.concatenate([1 - p**3, p**3])) > 0.1


@pytest.mark.parametrize("precision", [0.3, 0.5, 0.7, 0.9, 1.0])
def test_the_threshold_for_a_precision_is_the_lowest_of_scikit_learn(precision: float) -> None:
    generator = np.random.default_rng(4)
    Y = generator.integers(0, 2, (1, 300))
    scores = np.round(Y * 0.2 + generator.uniform(size=Y.shape), 2)  # many are equal
    reached, recalls, cuts = sklearn_metrics.precision_recall_curve(Y[0], scores[0])
    i = np.flatnonzero(reached[:-1] >= precision)[0]
    found = metrics.threshold_for_precision(Y, scores, precision)
    assert found == pytest.approx((cuts[i], reached[i], recalls[i]), rel=1e-12)


def test_a_precision_that_no_threshold_has() -> None:
    assert metrics.threshold_for_precision(np.array([[1, 0]]), np.array([[0.2, 0.7]]), 0.9) is None
    assert metrics.threshold_for_precision(np.array([[0, 0]]), np.array([[0.2, 0.7]]), 0.1) is None


@given(
    pairs=st.lists(st.tuples(st.integers(0, 1), st.integers(-3, 3)), min_size=2, max_size=60).filter(
        lambda pairs: len({label for label, _ in pairs}) == 2
    )
)
def test_auc_with_ties(pairs: list[tuple[int, int]]) -> None:
    labels, scores = np.array(pairs).T
    expected = sklearn_metrics.roc_auc_score(labels, scores)
    assert metrics.roc_auc(labels[None], scores[None]) == pytest.approx(expected, abs=1e-12)


def test_regression() -> None:
    target, guess = GENERATOR.standard_normal((2, 50)), GENERATOR.standard_normal((2, 50))
    assert metrics.rmse(target, guess) == pytest.approx(
        sklearn_metrics.root_mean_squared_error(target.ravel(), guess.ravel())
    )
    assert metrics.r_squared(target, guess) == pytest.approx(sklearn_metrics.r2_score(target.T, guess.T))
    assert metrics.r_squared(target, target) == 1
    assert np.isnan(metrics.r_squared(np.ones((1, 3)), np.ones((1, 3))))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: metrics.accuracy(Y, CALLED[:, 1:]),
            r"accuracy: Y has shape \(1, 200\) and the predictions \(1, 199\)",
        ),
        (lambda: metrics.accuracy(Y[0], CALLED[0]), r"Y has shape \(200,\), expected a row"),
        (lambda: metrics.accuracy(Y[:, :0], Y[:, :0]), "accuracy: no examples"),
        (lambda: metrics.confusion_matrix(Y, CALLED, 3), "Y holds labels from 0 to 3, expected 0 to 2"),
        (lambda: metrics.roc_auc(np.ones((1, 3)), np.ones((1, 3))), "3 examples of class 1 and 0 of class 0"),
        (lambda: metrics.log_loss(Y, np.ones((4, 3))), r"log_loss: Y has shape \(1, 200\)"),
        (lambda: metrics.rmse(Y, Y.T), "expected the same"),
    ],
)
def test_what_cannot_be_measured_is_refused(call: Callable, message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        call()
