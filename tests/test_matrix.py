"""Column matrices: what is shared, what is refused, and batches on a device."""

from pathlib import Path

import backends
import numpy as np
import pytest

from xpnet.backend import Backend
from xpnet.errors import ArrayTypeError, DtypeError, ShapeError
from xpnet.matrix import ColumnMatrix, Resident
from xpnet.standardize import KINDS, fit
from xpnet.testing import assert_close


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


@pytest.mark.parametrize("kind", KINDS)
def test_standardized(kind: str) -> None:
    examples = pixels()
    data = ColumnMatrix.of(examples.T, kind, channels=3)
    np.testing.assert_allclose(data.standardized(), fit([examples], kind, 3).apply(examples.T))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("raw", ["uint8", "float64"])
def test_batches_are_standardized_on_the_device(kind: str, raw: str, backend: Backend, dtype: str) -> None:
    data = ColumnMatrix.of(pixels().astype(raw).T, kind, channels=3)
    resident = Resident(data, backend, dtype)
    indices = backend.send(np.array([3, 0, 19, 3]))
    before = backend.crossings.total
    with backends.no_sync(backend):
        batch = resident.batch(indices)
    assert backend.crossings.total == before
    want = data.standardized()[:, [3, 0, 19, 3]].astype(dtype)
    assert_close(batch, want, backend, rtol=1e-5 if dtype == "float32" else 1e-12, atol=1e-6)


def test_gathering_leaves_the_raw_columns_alone(backend: Backend) -> None:
    data = ColumnMatrix.of(pixels().astype("float32").T, "feature")
    before = data.examples.copy()
    Resident(data, backend, "float32").batch(backend.send(np.arange(20)))
    np.testing.assert_array_equal(data.examples, before)


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
def test_what_is_no_column_matrix_is_refused(examples: np.ndarray, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        ColumnMatrix(examples)


def test_a_standardizer_of_another_size_is_refused() -> None:
    with pytest.raises(ShapeError, match="examples have 11 features, and the standardizer was fitted to 12"):
        ColumnMatrix(pixels(n_x=11)).standardized_as(fit([pixels()], "feature"))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_the_first_nonfinite_value_is_named(bad: float) -> None:
    examples = pixels(5000, 600).astype("float32")
    examples[4000, 17] = bad
    with pytest.raises(ShapeError, match=rf"example 4000 holds {bad} in feature 17: expected finite numbers"):
        ColumnMatrix(examples).refuse_nonfinite()
    ColumnMatrix(examples[:4000]).refuse_nonfinite()
    ColumnMatrix(pixels()).refuse_nonfinite()
