"""Columns, rows, images and one-hot labels."""

import numpy as np
import pytest
from optional import given, hnp, st

from xpnet import functional as F
from xpnet.backend.backend import Backend
from xpnet.errors import ArrayTypeError, DtypeError, ShapeError
from xpnet.testing import assert_close


@pytest.mark.parametrize("shape", [(3,), (3, 1), (1, 3)])
def test_a_vector_becomes_a_column_or_a_row(shape: tuple[int, ...], backend: Backend) -> None:
    x = backend.send(np.arange(3).reshape(shape))
    assert_close(F.as_column(x), np.arange(3)[:, None], backend)
    assert_close(F.as_row(x), np.arange(3)[None, :], backend)


def test_a_list_becomes_a_column_or_a_row() -> None:
    np.testing.assert_array_equal(F.as_column([1, 2]), [[1], [2]])
    np.testing.assert_array_equal(F.as_row((1.5, 2)), [[1.5, 2.0]])


def test_no_elements_are_a_vector_too() -> None:
    assert F.as_column(np.zeros(0)).shape == (0, 1)
    assert F.as_row(np.zeros(0)).shape == (1, 0)


@pytest.mark.parametrize("shape", [(), (2, 2), (1, 1, 1)])
def test_what_is_no_vector_is_refused(shape: tuple[int, ...], backend: Backend) -> None:
    for function in (F.as_column, F.as_row):
        with pytest.raises(ShapeError, match=r"expected a vector: \(n,\), \(n, 1\) or \(1, n\)"):
            function(backend.send(np.ones(shape)))


def test_lists_that_are_no_vectors_are_refused() -> None:
    with pytest.raises(ShapeError, match="the list is not a vector"):
        F.as_column([[1], [1, 2]])
    with pytest.raises(ArrayTypeError, match="expected numbers"):
        F.as_row(["cat", "dog"])
    with pytest.raises(ArrayTypeError, match="expected an array, got a str"):
        F.as_row("cat")


@given(
    images=hnp.arrays(
        np.uint8, hnp.array_shapes(min_dims=2, max_dims=4, max_side=4), elements=st.integers(0, 255)
    )
)
def test_vector2image_undoes_image2vector(images: np.ndarray) -> None:
    X = F.image2vector(images)
    shape = images.shape[1:] if images.ndim == 4 else images.shape
    restored = F.vector2image(X, shape)
    np.testing.assert_array_equal(restored, images[0] if images.ndim == 4 and len(images) == 1 else images)


def test_a_stack_of_images_is_shared_not_copied() -> None:
    images = np.zeros((5, 4, 3, 2), dtype="uint8")
    X = F.image2vector(images)
    assert X.shape == (24, 5)
    assert np.shares_memory(X, images)
    assert np.shares_memory(F.vector2image(X, (4, 3, 2)), images)
    assert X[:, 1].flags.c_contiguous, "one example's features are contiguous"


def test_each_image_of_a_stack_is_a_column(backend: Backend) -> None:
    images = np.random.default_rng(0).integers(0, 256, (3, 4, 5, 2), dtype="uint8")
    X = F.image2vector(backend.send(images))
    for i, image in enumerate(images):
        assert_close(X[:, i : i + 1], image.reshape(-1, 1), backend)


@pytest.mark.parametrize("shape", [(), (3,), (1, 1, 1, 1, 1), (5, 28, 28)])
def test_what_is_no_image_is_refused(shape: tuple[int, ...], backend: Backend) -> None:
    with pytest.raises(ShapeError, match=r"expected \(height, width\) or .*give gray images one channel"):
        F.image2vector(backend.send(np.ones(shape)))


def test_columns_that_hold_no_such_image_are_refused(backend: Backend) -> None:
    with pytest.raises(ShapeError, match=r"X is \(12, 2\).*\(2, 2, 2\) unrolls to 8 rows, not 12"):
        F.vector2image(backend.send(np.ones((12, 2))), (2, 2, 2))


def test_rows_have_length_1_whatever_their_size(backend: Backend, dtype: str) -> None:
    largest, smallest = np.finfo(dtype).max, np.finfo(dtype).tiny
    x = np.array([[largest, largest], [smallest, 0], [0, 0], [3, -4]], dtype)
    half = np.sqrt(np.array(0.5, dtype))
    want = np.array([[half, half], [1, 0], [0, 0], [0.6, -0.8]], dtype)
    assert_close(F.normalize_rows(backend.send(x)), want, backend)


def test_normalize_rows_refuses_integers_and_rank_1(backend: Backend) -> None:
    with pytest.raises(DtypeError, match=r"normalize_rows: x is .*int64, expected floats"):
        F.normalize_rows(backend.send(np.ones((2, 2), dtype="int64")))
    with pytest.raises(ShapeError, match=r"normalize_rows: x has shape \(2,\)"):
        F.normalize_rows(backend.send(np.ones(2)))


def test_normalize_rows_needs_a_matrix(backend: Backend) -> None:
    with pytest.raises(ShapeError, match=r"normalize_rows: x has shape .*, expected a matrix"):
        F.normalize_rows(backend.send(np.ones((2, 2, 2))))
    assert F.normalize_rows(backend.send(np.ones((3, 0)))).shape == (3, 0)


@pytest.mark.parametrize("shape", [(-1, -12), (0,), (3,)])
def test_vector2image_refuses_sizes_that_are_none(shape: tuple[int, ...], backend: Backend) -> None:
    with pytest.raises(ShapeError, match="vector2image: X is"):
        F.vector2image(backend.send(np.ones((12, 2))), shape)


@pytest.mark.parametrize("n_classes", [3.5, 0, -1, "3"])
def test_one_hot_refuses_numbers_of_classes_that_are_none(n_classes: object) -> None:
    with pytest.raises(ShapeError, match=r"n_classes is .*, expected a whole number of at least 1"):
        F.one_hot(np.array([[0]]), n_classes)


def test_one_hot_is_float64_unless_told(backend: Backend) -> None:
    assert F.one_hot(backend.send([[0, 1]]), 2).dtype == backend.xp.float64


def test_one_hot(backend: Backend) -> None:
    got = F.one_hot(backend.send(np.array([[2, 0, 1, 2]])), 3, dtype=backend.xp.float32)
    want = np.array([[0, 1, 0, 0], [0, 0, 1, 0], [1, 0, 0, 1]], dtype="float32")
    assert_close(got, want, backend)


def test_one_hot_of_no_labels(backend: Backend) -> None:
    assert F.one_hot(backend.send(np.zeros((1, 0), dtype="int64")), 3).shape == (3, 0)


@pytest.mark.parametrize(
    ("Y", "message"),
    [
        ([[3]], "Y holds labels from 3 to 3, expected 0 to 2 for 3 classes"),
        ([0, 1], r"Y has shape \(2,\), expected \(1, m\)"),
        ([[0], [1]], r"Y has shape \(2, 1\), expected \(1, m\)"),
    ],
)
def test_one_hot_refuses_labels_that_do_not_fit(Y: list, message: str) -> None:
    with pytest.raises(ShapeError, match=f"one_hot: {message}"):
        F.one_hot(np.array(Y), 3)
