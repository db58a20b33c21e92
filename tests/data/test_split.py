"""Examples held back, and folds: the share of each class, no example twice, the same choice for a seed."""

import numpy as np
import pytest
from optional import given, st

from xpnet.data import stratified_folds, stratified_split
from xpnet.errors import ConfigurationError, ShapeError


@given(st.lists(st.integers(0, 3), min_size=40, max_size=200), st.floats(0.2, 0.8), st.integers(0, 5))
def test_every_class_gives_its_share(labels: list[int], share: float, seed: int) -> None:
    Y = np.array([labels])
    train, validate = stratified_split(Y, share, seed)
    np.testing.assert_array_equal(np.sort(np.concatenate([train, validate])), np.arange(len(labels)))
    for label in set(labels):
        count = labels.count(label)
        held = int((Y[0, validate] == label).sum())
        assert held == min(round(share * count), count - 1)
    np.testing.assert_array_equal(stratified_split(Y, share, seed)[1], validate)


def test_another_seed_holds_back_others() -> None:
    Y = np.zeros((1, 1000), np.int64)
    assert (stratified_split(Y, 0.5, 0)[1] != stratified_split(Y, 0.5, 1)[1]).any()


@pytest.mark.parametrize("share", [0.0, 1.0, -0.5, float("nan")])
def test_impossible_shares_are_refused(share: float) -> None:
    with pytest.raises(ConfigurationError, match="expected more than 0 and less than 1"):
        stratified_split(np.zeros((1, 10), int), share)


def test_nothing_held_back_is_refused() -> None:
    with pytest.raises(ShapeError, match="hold back more, or add examples"):
        stratified_split(np.array([[0, 1, 2]]), 0.5)
    with pytest.raises(ShapeError, match="expected a row"):
        stratified_split(np.zeros(3, int), 0.5)


@given(st.lists(st.integers(0, 3), min_size=5, max_size=60), st.integers(2, 7), st.integers(0, 5))
def test_folds_have_equal_shares_of_every_class(labels: list[int], folds: int, seed: int) -> None:
    Y = np.array([labels])
    fold = stratified_folds(Y, folds, seed)
    alone = [labels.count(label) == 1 for label in labels]
    np.testing.assert_array_equal(fold == -1, alone)
    sizes = np.bincount(fold[fold >= 0])
    assert len(sizes) == min(folds, len(labels) - sum(alone))
    assert sizes.max() - sizes.min() <= 1
    for label in set(labels):
        counts = np.bincount(fold[(Y[0] == label) & (fold >= 0)], minlength=len(sizes))
        assert counts.max() - counts.min() <= 1
        assert counts.max() < labels.count(label) or labels.count(label) == 1  # it can always be learned
    np.testing.assert_array_equal(stratified_folds(Y, folds, seed), fold)


def test_another_seed_deals_other_folds() -> None:
    Y = np.zeros((1, 100), np.int64)
    assert (stratified_folds(Y, 5, 0) != stratified_folds(Y, 5, 1)).any()


def test_impossible_folds_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="number of folds is 1, expected 2 or more"):
        stratified_folds(np.zeros((1, 10), int), 1)
    with pytest.raises(ShapeError, match="needs a class with two examples or more"):
        stratified_folds(np.array([[0, 1, 2]]), 2)
    with pytest.raises(ShapeError, match="expected a row"):
        stratified_folds(np.zeros(3, int), 2)
