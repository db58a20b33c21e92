"""Sums of products and solutions by Cholesky factors, compared with NumPy's."""

import numpy as np
import pytest

from xpnet.backend import Backend, select
from xpnet.linear import symmetric
from xpnet.linear.symmetric import SymmetricMatrix, add_products


def products(X: np.ndarray, backend: Backend) -> np.ndarray:
    A = backend.send(np.zeros((X.shape[1], X.shape[1]), X.dtype))
    for part in np.array_split(X, 3):
        add_products(A, backend.send(part), backend)
    return backend.fetch(A)


@pytest.mark.parametrize("n", [1, 7, 8, 9, 40])
def test_solutions_are_numpys(n: int, backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(symmetric, "BLOCK", 8)
    rng = np.random.default_rng(n)
    X, B = rng.standard_normal((3 * n, n)), rng.standard_normal((n, 2))
    A = SymmetricMatrix(products(X, backend))
    whole = X.T @ X
    assert A.trace == pytest.approx(np.trace(whole))
    for shift in (0.0, 2.0):  # the matrix is still there after a solution
        expected = np.linalg.solve(whole + shift * np.eye(n), B)
        factor = A.factored(shift)
        np.testing.assert_allclose(factor.solved(B), expected, rtol=1e-9)
        inverse = np.linalg.inv(whole + shift * np.eye(n))
        np.testing.assert_allclose(factor.inverse_diagonal(), np.diagonal(inverse), rtol=1e-9)
    shifts = rng.uniform(1, 2, n)
    np.testing.assert_allclose(A.factored(shifts).solved(B), np.linalg.solve(whole + np.diag(shifts), B))
    A.add(SymmetricMatrix(products(X[:5], backend)))
    np.testing.assert_allclose(A.factored(0.0).solved(B), np.linalg.solve(whole + X[:5].T @ X[:5], B))


def test_only_the_lower_triangle_counts() -> None:
    A = np.array([[4.0, np.nan], [1.0, 3.0]])
    np.testing.assert_allclose(SymmetricMatrix(A).factored(0.0).solved(np.ones((2, 1))), [[2 / 11], [3 / 11]])


@pytest.mark.parametrize("A", [np.zeros((3, 3)), np.diag([1.0, -1.0, 1.0]), np.full((3, 3), np.nan)])
def test_a_matrix_that_is_not_positive_definite_has_no_factor(A: np.ndarray) -> None:
    factor = SymmetricMatrix(A).factored(0.0)
    assert factor is None or np.isnan(factor.solved(np.ones((3, 1)))).all()


def test_the_bits_do_not_depend_on_the_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(symmetric, "BLOCK", 16)
    X = np.random.default_rng(0).standard_normal((300, 100)).astype(np.float32)

    def solution(threads: int) -> bytes:
        monkeypatch.setattr(symmetric, "cores", lambda: threads)
        A = np.zeros((100, 100), np.float32)
        add_products(A, X, select("cpu"))
        factor = SymmetricMatrix(A).factored(1.0)
        return factor.solved(X[:2].T).tobytes() + factor.inverse_diagonal().tobytes()

    assert solution(1) == solution(2) == solution(5)


def test_overflows_in_threads_give_no_warnings() -> None:
    A = np.zeros((40, 40), np.float32)
    add_products(A, np.full((8, 40), 1e30, np.float32), select("cpu"))
    assert np.isinf(A[-1, 0])
    factor = SymmetricMatrix(A).factored(1.0)
    assert factor is None or not np.isfinite(factor.solved(np.ones((40, 1)))).any()
