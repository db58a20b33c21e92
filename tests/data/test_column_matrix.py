"""Column matrices: shared memory, standardization, and data that is refused."""

from pathlib import Path

import numpy as np
import pytest

from xpnet.data import STANDARDIZATIONS, ColumnMatrix, fit_standardizer
from xpnet.errors import ArrayTypeError, DtypeError, ShapeError


def pixels(m: int = 20, n_x: int = 12) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (m, n_x), dtype=np.uint8)


def test_contiguous_columns_are_shared() -> None:
    examples = pixels()
    data = ColumnMatrix.of(examples.T)
    assert np.shares_memory(data.examples, examples)
    assert np.shares_memory(data.X, examples)
    assert (data.n_x, data.m, data.X.shape) == (12, 20, (12, 20))


def test_scattered_columns_are_copied_once() -> None:
    X = np.ascontiguousarray(pixels().T)
    data = ColumnMatrix.of(X)
    assert data.examples.flags.c_contiguous
    np.testing.assert_array_equal(data.X, X)


def test_a_file_is_not_read_whole(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", pixels())
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    data = ColumnMatrix(mapped)
    assert isinstance(data.examples, np.memmap)
    np.testing.assert_array_equal(np.concatenate(list(data.blocks(7))), mapped)


@pytest.mark.parametrize("kind", STANDARDIZATIONS)
def test_standardized(kind: str) -> None:
    examples = pixels()
    data = ColumnMatrix.of(examples.T, kind, channels=3)
    np.testing.assert_allclose(data.standardized(), fit_standardizer([examples], kind, 3).apply(examples.T))


def test_a_part_is_a_view_by_a_slice_and_keeps_its_standardization() -> None:
    data = ColumnMatrix.of(pixels().T, "feature")
    part = data.part(slice(3, 7))
    assert part.m == 4
    assert np.shares_memory(part.examples, data.examples)
    np.testing.assert_array_equal(part.standardized(), data.standardized()[:, 3:7])
    np.testing.assert_array_equal(data.part(np.array([5, 1])).standardized(), data.standardized()[:, [5, 1]])


@pytest.mark.parametrize(
    ("examples", "error", "message"),
    [
        (np.zeros((0, 3), np.uint8), ShapeError, "0 examples of 3 features: expected at least one of each"),
        (np.zeros((3, 0), np.uint8), ShapeError, "3 examples of 0 features"),
        (np.zeros(3, np.uint8), ShapeError, r"examples has shape \(3,\), expected a matrix"),
        (np.zeros((2, 2), np.int64), DtypeError, "examples are int64, expected uint8, float32 or float64"),
        ([[1.0]], ArrayTypeError, "ColumnMatrix: examples: expected an array, got a list"),
    ],
)
def test_invalid_examples_are_refused(examples: np.ndarray, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        ColumnMatrix(examples)


def test_a_standardizer_of_another_size_is_refused() -> None:
    with pytest.raises(ShapeError, match="examples have 11 features, and the standardizer was fitted to 12"):
        ColumnMatrix(pixels(n_x=11)).standardized_as(fit_standardizer([pixels()], "feature"))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_the_first_nonfinite_value_is_named(bad: float) -> None:
    examples = pixels(5000, 600).astype("float32")
    examples[4000, 17] = bad
    with pytest.raises(ShapeError, match=rf"example 4000 holds {bad} in feature 17: expected finite numbers"):
        ColumnMatrix(examples).refuse_nonfinite()
    ColumnMatrix(examples[:4000]).refuse_nonfinite()
    ColumnMatrix(pixels()).refuse_nonfinite()
