"""A large symmetric matrix: sums of products X^T X, and the solution of equations by Cholesky factors.

One triangle is enough for the matrix. The factor is made in the other one, so there is no second matrix: for
30,000 equations that saves 4 GB. All is done in blocks, each by one thread and always in the same order, so
the digits do not depend on how many threads there are.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from xpnet.kernels import one_for_each_product
from xpnet.processors import cores

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from xpnet.arrays import Array
    from xpnet.backend import Backend

BLOCK = 256
"""Rows and columns of a block."""


class SymmetricMatrix:
    """A symmetric matrix (n, n).

    Args:
        A: the matrix in host memory, which is changed. Only its lower triangle counts.
    """

    def __init__(self, A: np.ndarray) -> None:
        # The lower triangle of blocks is the matrix. `factored` makes the factor in the blocks above it.
        self._A, self._blocks = A, _blocks(len(A))

    @property
    def trace(self) -> float:
        """The sum of the diagonal."""
        return float(np.trace(self._A, dtype=np.float64))

    def add(self, other: SymmetricMatrix) -> None:
        """Add another matrix of the same size."""
        for block in self._blocks:
            self._A[block, : block.stop] += other._A[block, : block.stop]

    def eigen(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Return the eigenvalues (n,), at least 0, and the eigenvectors in columns, (n, n); in float64.

        None if there are numbers that are not finite.
        """
        try:
            with one_for_each_product():
                values, vectors = np.linalg.eigh(self._A.astype(np.float64))
        except np.linalg.LinAlgError:
            return None
        return (np.maximum(values, 0), vectors) if np.isfinite(values).all() else None

    def factored(self, shift: float | np.ndarray) -> CholeskyFactor | None:
        """Return the factor of A + diag(shift), or None if that matrix is not positive definite.

        The factor is in the place of the one before, which cannot be used any more.

        Args:
            shift: a number, or one for each row, (n,).
        """
        A, shifts = self._A, np.broadcast_to(np.asarray(shift, self._A.dtype), len(self._A))
        own = [A[block, block] + np.diag(shifts[block]) for block in self._blocks]
        inverses: list[np.ndarray] = []

        def copy(block: slice) -> None:
            A[: block.start, block] = A[block, : block.start].T

        with np.errstate(all="ignore"), _threads() as each:
            each(copy, self._blocks)
            for j, block in enumerate(self._blocks):
                try:
                    inverses.append(np.linalg.inv(np.linalg.cholesky(own[j])))
                except np.linalg.LinAlgError:
                    return None
                A[block, block.stop :] = inverses[j] @ A[block, block.stop :]

                def update(i: int, panel: np.ndarray = A[block]) -> None:
                    below = self._blocks[i]
                    left = panel[:, below].T
                    own[i] -= left @ panel[:, below]
                    A[below, below.stop :] -= left @ panel[:, below.stop :]

                each(update, range(j + 1, len(own)))
        return CholeskyFactor(A, self._blocks, inverses)


class CholeskyFactor:
    """A triangular matrix U, with U^T U = A; see `SymmetricMatrix.factored`.

    Args:
        U: the blocks of U above the diagonal are those of this matrix, (n, n).
        blocks: their rows.
        inverses: the inverses of the blocks of U^T on the diagonal.
    """

    def __init__(self, U: np.ndarray, blocks: list[slice], inverses: list[np.ndarray]) -> None:
        self._U, self._blocks, self._inverses = U, blocks, inverses

    def solved(self, B: np.ndarray) -> np.ndarray:
        """Return A^-1 B. B: (n, k)."""
        U, X = self._U, np.array(B, self._U.dtype)
        pairs = list(zip(self._blocks, self._inverses, strict=True))
        with np.errstate(all="ignore"), one_for_each_product():
            for block, inverse in pairs:  # U^T Y = B
                X[block] = inverse @ X[block]
                X[block.stop :] -= U[block, block.stop :].T @ X[block]
            for block, inverse in reversed(pairs):  # U X = Y
                X[block] = inverse.T @ (X[block] - U[block, block.stop :] @ X[block.stop :])
        return X

    def inverse_diagonal(self) -> np.ndarray:
        """Return the diagonal of A^-1, (n,): the squared lengths of the columns of the inverse of U^T."""
        U, found = self._U, np.empty(len(self._U), self._U.dtype)

        def columns(j: int) -> None:
            first = self._blocks[j].start
            Y = np.zeros((len(U) - first, self._inverses[j].shape[1]), U.dtype)
            for i in range(j, len(self._blocks)):
                block, inverse = self._blocks[i], self._inverses[i]
                rows, above = slice(block.start - first, block.stop - first), slice(first, block.start)
                Y[rows] = inverse if i == j else -inverse @ (U[above, block].T @ Y[: rows.start])
            found[self._blocks[j]] = np.einsum("ij,ij->j", Y, Y)

        with np.errstate(all="ignore"), _threads() as each:
            each(columns, range(len(self._blocks)))
        return found


def add_products(A: Array, X: Array, backend: Backend) -> None:
    """Add X^T X to the lower triangle of a matrix on a device.

    Args:
        A: the matrix (n, n).
        X: (k, n), of the same dtype.
        backend: the device. It is active.
    """

    def add(block: slice) -> None:
        A[block, : block.stop] += X[:, block].T @ X[:, : block.stop]

    blocks = _blocks(A.shape[0])[::-1]  # the longest ones first
    if backend.name == "gpu":
        for block in blocks:
            add(block)
        return
    with _threads() as each:
        each(add, blocks)


def _blocks(n: int) -> list[slice]:
    """Return the indices of blocks of n rows."""
    return [slice(start, min(start + BLOCK, n)) for start in range(0, n, BLOCK)]


@contextmanager
def _threads() -> Iterator[Callable[..., None]]:
    """Return a context with a function that calls another one for each part, in threads."""
    with one_for_each_product(), ThreadPoolExecutor(cores()) as pool:

        def each(work: Callable[[Any], None], parts: Iterable[Any]) -> None:
            # Threads do not take over how the caller treats overflows: these are found in the result.
            for _ in pool.map(np.errstate(all="ignore")(work), parts):
                pass

        yield each
