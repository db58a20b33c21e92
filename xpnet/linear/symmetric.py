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
        # The lower triangle of blocks is the matrix. `solved` makes the factor in the blocks above it.
        self._A, self._blocks = A, _blocks(len(A))

    @property
    def trace(self) -> float:
        """The sum of the diagonal."""
        return float(np.trace(self._A, dtype=np.float64))

    def add(self, other: SymmetricMatrix) -> None:
        """Add another matrix of the same size."""
        for block in self._blocks:
            self._A[block, : block.stop] += other._A[block, : block.stop]

    def solved(self, B: np.ndarray, shift: float) -> np.ndarray:
        """Return (A + shift I)^-1 B, or NaN if that matrix is not positive definite. B: (n, k)."""
        A, X = self._A, np.array(B)
        with np.errstate(all="ignore"), _threads() as each:
            try:
                inverses = self._factored(shift, each)
            except np.linalg.LinAlgError:
                return np.full_like(X, np.nan)
            for block, inverse in zip(self._blocks, inverses, strict=True):  # U^T Y = B
                X[block] = inverse @ X[block]
                X[block.stop :] -= A[block, block.stop :].T @ X[block]
            for block, inverse in zip(reversed(self._blocks), reversed(inverses), strict=True):  # U X = Y
                X[block] = inverse.T @ (X[block] - A[block, block.stop :] @ X[block.stop :])
        return X

    def _factored(self, shift: float, each: Callable[..., None]) -> list[np.ndarray]:
        """Make U, with U^T U = A + shift I, in the blocks above the diagonal.

        Args:
            shift: what is added to the diagonal.
            each: calls a function for each part, in threads.

        Returns:
            The inverse of each block of U^T on the diagonal.

        Raises:
            LinAlgError: the matrix is not positive definite.
        """
        A, own = self._A, [self._A[block, block].copy() for block in self._blocks]
        for square in own:
            square[np.diag_indices(len(square))] += shift

        def copy(block: slice) -> None:
            A[: block.start, block] = A[block, : block.start].T

        each(copy, self._blocks)
        inverses: list[np.ndarray] = []
        for j, block in enumerate(self._blocks):
            inverses.append(np.linalg.inv(np.linalg.cholesky(own[j])))
            A[block, block.stop :] = inverses[j] @ A[block, block.stop :]

            def update(i: int, panel: np.ndarray = A[block]) -> None:
                below = self._blocks[i]
                left = panel[:, below].T
                own[i] -= left @ panel[:, below]
                A[below, below.stop :] -= left @ panel[:, below.stop :]

            each(update, range(j + 1, len(own)))
        return inverses


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
            for _ in pool.map(work, parts):
                pass

        yield each
