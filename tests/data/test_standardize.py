"""Standardization, compared with mean and standard deviation of NumPy, and its independence of the blocks."""

import numpy as np
import pytest
from optional import given, st

from xpnet.data import Moments, fit_standardizer, standardize
from xpnet.errors import ShapeError


def examples(dtype: str, m: int = 700, n_x: int = 12) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (m, n_x)).astype(dtype)


@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64"])
def test_feature(dtype: str) -> None:
    data = examples(dtype)
    standardizer = fit_standardizer([data], "feature")
    wide = data.astype(np.float64)
    np.testing.assert_allclose(standardizer.mean[:, 0], wide.mean(axis=0), rtol=1e-13)
    np.testing.assert_allclose(standardizer.scale[:, 0], 1 / wide.std(axis=0), rtol=1e-13)
    X = standardizer.apply(data.T)
    np.testing.assert_allclose(X.mean(axis=1), 0, atol=1e-13)
    np.testing.assert_allclose(X.std(axis=1), 1, rtol=1e-13)


@pytest.mark.parametrize("dtype", ["uint8", "float64"])
def test_channel(dtype: str) -> None:
    data = examples(dtype)
    standardizer = fit_standardizer([data], "channel", channels=3)
    pixels = data.astype(np.float64).reshape(-1, 3)
    np.testing.assert_allclose(
        standardizer.mean.reshape(-1, 3), np.tile(pixels.mean(axis=0), (4, 1)), rtol=1e-12
    )
    np.testing.assert_allclose(
        standardizer.scale.reshape(-1, 3), np.tile(1 / pixels.std(axis=0), (4, 1)), rtol=1e-12
    )


def test_unit_and_none() -> None:
    data = examples("uint8")
    np.testing.assert_allclose(fit_standardizer([data], "unit").apply(data.T), data.T / 255, rtol=1e-15)
    np.testing.assert_array_equal(fit_standardizer([data], "none").apply(data.T), data.T)
    assert fit_standardizer([], "unit").is_uniform
    assert not fit_standardizer([data], "feature").is_uniform


@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64"])
@pytest.mark.parametrize("value", [0, 7, 255])
def test_constant_features_become_zeros(dtype: str, value: int) -> None:
    data = examples(dtype)
    data[:, 3] = value
    standardizer = fit_standardizer([data[:5], data[5:]], "feature")
    assert standardizer.scale[3, 0] == 1
    np.testing.assert_array_equal(standardizer.apply(data.T)[3], 0)


def test_sums_of_bytes_do_not_depend_on_the_blocks() -> None:
    data = examples("uint8", m=3000)
    whole = fit_standardizer([data], "feature")
    for rows in (1, 255, 256, 257, 1024):
        assert fit_standardizer([data[i : i + rows] for i in range(0, len(data), rows)], "feature") == whole
    assert fit_standardizer([data[::-1]], "feature") == whole


def test_large_sums_of_bytes_stay_exact() -> None:
    """All pixels 255 but one: the variance of a million examples is a billionth of the mean square."""
    moments = Moments()
    block = np.full((4096, 1), 255, np.uint8)
    for _ in range(256):
        moments.add(block)
    moments.add(np.array([[254]], np.uint8))
    m = 4096 * 256 + 1
    assert moments.count == m
    expected = (1 / m) * (1 - 1 / m)
    np.testing.assert_allclose(moments.variance, expected, rtol=1e-12)


@given(
    data=st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=40),
    cuts=st.lists(st.integers(0, 40), max_size=4),
)
def test_floats_are_merged_block_by_block(data: list[float], cuts: list[int]) -> None:
    column = np.array(data)[:, None]
    moments = Moments()
    for block in np.split(column, sorted(min(cut, len(data)) for cut in cuts)):
        moments.add(block)
    np.testing.assert_allclose(moments.mean, column.mean(axis=0), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(moments.variance, column.var(axis=0), rtol=1e-6, atol=1e-6)


def test_floats_far_from_zero_keep_their_variance() -> None:
    data = 1e9 + np.random.default_rng(0).standard_normal((5000, 2))
    got = fit_standardizer([data[i : i + 64] for i in range(0, 5000, 64)], "feature")
    np.testing.assert_allclose(1 / got.scale[:, 0], data.std(axis=0), rtol=1e-6)


def test_invalid_arguments_are_refused() -> None:
    with pytest.raises(ShapeError, match="kind is 'unity', expected one of none, unit, channel, feature"):
        fit_standardizer([examples("uint8")], "unity")
    with pytest.raises(ShapeError, match="no examples to fit 'feature' to"):
        fit_standardizer([], "feature")
    with pytest.raises(ShapeError, match="12 features are not a multiple of 5 channels"):
        fit_standardizer([examples("uint8")], "channel", channels=5)


def test_equality() -> None:
    data = examples("uint8")
    assert fit_standardizer([data], "feature") == fit_standardizer([data], "feature")
    assert fit_standardizer([data], "feature") != fit_standardizer([data[1:]], "feature")
    assert fit_standardizer([], "none") != fit_standardizer([], "unit")
    assert fit_standardizer([], "none") != "none"
    assert set(standardize.STANDARDIZATIONS) == {"none", "unit", "channel", "feature"}
