"""Sums of losses and gradients over all examples, shard by shard, added up as in a binary tree.

A shard is a fixed number of rows. Neighbouring shards are added first, then neighbouring pairs, and so on. So
the digits depend on the examples only: not on which process has which shards, nor on how many there are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from xpnet.functional import matmul
from xpnet.linear.fused import RESIDUALS, as_floats, linear_loss_and_gradient

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from xpnet.arrays import Array
    from xpnet.data import ColumnMatrix, DeviceMatrix
    from xpnet.linear.fused import Sums

SHARD_BYTES = 64 << 20
"""Bytes of the raw examples of a shard: it takes some milliseconds, and takes much longer to send."""

BLOCK_BYTES = {"cpu": 4 << 20, "gpu": 256 << 20}
"""Bytes of a block after the cast: on a CPU it fits a core's cache, on a GPU it keeps the device busy."""


def shard_rows(data: ColumnMatrix) -> int:
    """Return how many examples are in a shard."""
    return max(1, SHARD_BYTES // data.row_bytes)


@dataclass(frozen=True)
class PartialSum:
    """The sums over some neighbouring shards: a node of the tree.

    Attributes:
        level: 0 for one shard, 1 for a pair, 2 for a pair of pairs, and so on.
        index: the position among the nodes of this level.
        sums: the loss (runs, 1), dZ X^T (runs n_out, n_x), and the sum of dZ (runs n_out, 1).
    """

    level: int
    index: int
    sums: tuple[Array, ...]

    def joined(self, right: PartialSum) -> PartialSum:
        """Return the node above this one and its neighbour to the right."""
        return PartialSum(self.level + 1, self.index // 2, _added(self.sums, right.sums))

    def is_left_of(self, other: PartialSum) -> bool:
        """Return whether the other node is the right one of the same pair."""
        return self.level == other.level and self.index % 2 == 0 and other.index == self.index + 1


def partial_sums(nodes: Iterable[PartialSum]) -> list[PartialSum]:
    """Return nodes in order, added up as far as they are whole pairs."""
    done: list[PartialSum] = []
    for node in nodes:
        top = node
        while done and done[-1].is_left_of(top):
            top = done.pop().joined(top)
        done.append(top)
    return done


def tree_sum(nodes: Iterable[PartialSum]) -> tuple[Array, ...]:
    """Return the sums over all shards, given nodes in order that have each shard once."""
    done = partial_sums(nodes)
    total = done.pop().sums
    while done:
        total = _added(done.pop().sums, total)
    return total


def _added(left: tuple[Array, ...], right: tuple[Array, ...]) -> tuple[Array, ...]:
    return tuple(a + b for a, b in zip(left, right, strict=True))


class MakeSums(Protocol):
    """Makes `Sums` of examples."""

    def __call__(
        self, data: DeviceMatrix, labels: Array, weights: Array | None, output: str, dtype: str
    ) -> Sums:
        """Return what computes the sums.

        Args:
            data: the examples.
            labels: (n_out, m) floats on the device: 0 and 1, or one-hot columns.
            weights: weights of the examples, (1, m) on the device, or None.
            output: "sigmoid" or "softmax".
            dtype: dtype of the arithmetic, "float32" or "float64".
        """


class LocalSums:
    """Computes the sums in this process. On a GPU the examples, or each chunk of them, are one shard.

    Args: see `MakeSums`.
    """

    def __init__(
        self, data: DeviceMatrix, labels: Array, weights: Array | None, output: str, dtype: str
    ) -> None:
        backend, raw = data.backend, data.host.examples.dtype
        self._data, self._labels, self._weights = data, labels, weights
        # The mean of bytes is folded into W and b. Floats may be far from 0: their mean is subtracted first.
        mean = data.standardizer.mean.T
        self._options: dict[str, Any] = {
            "center": None if raw == "uint8" else backend.send(mean, raw.name),
            "residual": RESIDUALS[output],
        }
        block_bytes = BLOCK_BYTES["gpu" if backend.name == "gpu" else "cpu"]
        self._rows = max(1, block_bytes // (data.n_x * (4 if dtype == "float32" else 8)))

    def __call__(self, W: Array, b: Array) -> tuple[Array, ...]:
        """See `Sums`."""
        shards = (self._shard(rows, examples, W, b) for rows, examples in self._shards())
        return tree_sum(PartialSum(0, index, sums) for index, sums in enumerate(shards))

    def logits(self, W: Array, b: Array) -> Iterator[tuple[slice, Array]]:
        """Yield blocks of examples in order: the slice of their indices, and their Z, (runs n_out, k).

        W, b: see `Sums`.
        """
        for part, examples in self._data.chunks():
            first = part.start or 0
            for start in range(0, examples.shape[0], self._rows):
                stop = min(start + self._rows, examples.shape[0])
                X = as_floats(examples[start:stop, :], self._options["center"], W)
                yield slice(first + start, first + stop), matmul(W, X.T) + b

    def _shards(self) -> Iterator[tuple[slice, Array]]:
        step = shard_rows(self._data.host)
        for part, examples in self._data.chunks():
            count = examples.shape[0]
            if self._data.backend.name == "gpu" or count <= step:
                yield part, examples
                continue
            for start in range(0, count, step):
                rows = slice(start, min(start + step, count))
                yield rows, examples[rows, :]

    def _shard(self, part: slice, examples: Array, W: Array, b: Array) -> tuple[Array, ...]:
        weights = None if self._weights is None else self._weights[:, part]
        rows = min(self._rows, examples.shape[0])
        sums: tuple[Array, ...] = linear_loss_and_gradient(
            examples, self._labels[:, part], weights, W, b, rows=rows, **self._options
        )
        return sums
