"""Sums over all examples by the workers of a cluster, for full-batch training. Each keeps its shards' bytes.

A step sends the weights to each worker, and partial sums come back: see `xpnet.linear.sums`, whose digits do
not depend on the number of workers. A worker that is new, or was started again, says which shards it lacks,
and gets them: a place in a file that all workers see, or the bytes.
"""

from __future__ import annotations

import itertools
import os
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from xpnet.backend import Backend, select
from xpnet.data import ColumnMatrix, DeviceMatrix
from xpnet.errors import WorkerError
from xpnet.linear import LocalSums, PartialSum, partial_sums, shard_rows, tree_sum

from ..datasets import FileRows
from ..images import DECODERS, Cluster, Needs

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from xpnet.arrays import Array
    from xpnet.data import Standardizer
    from xpnet.linear import MakeSums, Sums

    from ..images import Decoders

MESSAGE_BYTES = 64 << 20
"""About how many bytes of shards are sent at a time. This bounds the memory of the scheduler."""

MOST_TRAININGS = 12
"""The most trainings whose shards a worker keeps: cross-validation has one for each fold, and one of all."""

ATTEMPTS = 5
"""How often in a row shards are sent before the cluster is taken for unable to keep them."""


@dataclass(frozen=True)
class Shard:
    """The examples of a shard, with all that their sums need.

    Attributes:
        rows: the raw examples, (k, n_x), or where they are.
        standardizer: their standardization.
        labels, weights, output, dtype: see `xpnet.linear.MakeSums`; in host memory.
    """

    rows: np.ndarray | FileRows
    standardizer: Standardizer
    labels: np.ndarray
    weights: np.ndarray | None
    output: str
    dtype: str

    @property
    def size(self) -> int:
        """How many bytes it takes to send the shard, about."""
        return self.labels.nbytes + (self.rows.nbytes if isinstance(self.rows, np.ndarray) else 0)

    def on(self, backend: Backend) -> KeptShard:
        """Return what computes the sums of the shard on a device."""
        rows = self.rows if isinstance(self.rows, np.ndarray) else self.rows.opened()
        data = DeviceMatrix(ColumnMatrix(rows, self.standardizer), backend)
        weights = None if self.weights is None else backend.send(self.weights)
        return KeptShard(data, LocalSums(data, backend.send(self.labels), weights, self.output, self.dtype))


@dataclass(frozen=True)
class KeptShard:
    """A shard on the device of a worker."""

    data: DeviceMatrix
    sums: Sums

    def __call__(self, W: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, ...]:
        """Return the sums of the shard in host memory."""
        backend = self.data.backend
        with backend.activate():
            return tuple(backend.fetch(part) for part in self.sums(backend.send(W), backend.send(b)))


_kept: OrderedDict[str, dict[int, KeptShard]] = OrderedDict()
"""What this process keeps, if it is a worker: shards by their index, for each training."""


def keep(training: str, shards: dict[int, Shard], device: str | None) -> None:
    """Keep shards of a training, on a worker.

    Args:
        training: its name.
        shards: the shards by their indices.
        device: which device computes their sums, as for `xpnet.select`.

    Raises:
        WorkerError: a file is not there.
    """
    kept, backend = _kept.setdefault(training, {}), select(device)
    kept.update({index: shard.on(backend) for index, shard in shards.items()})
    while len(_kept) > MOST_TRAININGS:
        _kept.popitem(last=False)


def forget(training: str) -> None:
    """Let go of a training's shards, on a worker."""
    _kept.pop(training, None)


@dataclass(frozen=True)
class Lacking:
    """The shards that a worker does not have, by their indices."""

    indices: list[int]


def add_up(training: str, first: int, last: int, W: np.ndarray, b: np.ndarray) -> list[PartialSum] | Lacking:
    """Return the sums over shards first to last - 1, on a worker, or which of them it lacks.

    W: weights (runs n_out, n_x), and b: biases (runs n_out, 1), as for `xpnet.linear.Sums`.
    """
    kept = _kept.get(training, {})
    if missing := [index for index in range(first, last) if index not in kept]:
        return Lacking(missing)
    _kept.move_to_end(training)
    return partial_sums(PartialSum(0, index, kept[index](W, b)) for index in range(first, last))


class ClusterSums:
    """Has the workers of a cluster compute the sums: see `xpnet.linear.Sums`.

    Args:
        cluster: the cluster.
        device: which device the workers compute on.
        data, labels, weights, output, dtype: see `xpnet.linear.MakeSums`.
    """

    def __init__(
        self,
        cluster: Cluster,
        device: str | None,
        data: DeviceMatrix,
        labels: Array,
        weights: Array | None,
        output: str,
        dtype: str,
    ) -> None:
        self._cluster, self._device, self._backend = cluster, device, data.backend
        self._host, self._output, self._dtype = data.host, output, dtype
        self._labels = data.backend.fetch(labels)
        self._weights = None if weights is None else data.backend.fetch(weights)
        self._step = shard_rows(data.host)
        self._count = -(-data.m // self._step)
        self._training = os.urandom(8).hex()
        self._needs = Needs(DECODERS[0], computes=True, device=device)
        cluster.on_closing(forget, self._training)

    def __call__(self, W: Array, b: Array) -> tuple[Array, ...]:
        """See `xpnet.linear.Sums`."""
        given = self._backend.fetch(W), self._backend.fetch(b)
        for _ in range(ATTEMPTS):
            names = self._cluster.names()[: self._count]
            cuts = [k * self._count // len(names) for k in range(len(names) + 1)]
            asked = [(self._training, *part, *given) for part in itertools.pairwise(cuts)]
            answers = self._cluster.call_each(add_up, asked, names, self._needs)
            found = [answer for answer in answers if not isinstance(answer, Lacking)]
            if len(found) == len(answers):
                total = tree_sum(itertools.chain.from_iterable(found))
                return tuple(self._backend.send(part) for part in total)
            lacking = [answer.indices if isinstance(answer, Lacking) else [] for answer in answers]
            self._send(names, lacking)
        msg = f"{self._cluster.address}: the workers lost their examples {ATTEMPTS} times in a row"
        raise WorkerError(msg)

    def _send(self, names: Sequence[str], lacking: Sequence[list[int]]) -> None:
        """Send shards to the workers that lack them, a message for each worker at a time."""
        streams = [(name, self._messages(indices)) for name, indices in zip(names, lacking, strict=True)]
        while streams:
            sent = [(name, next(messages, None), messages) for name, messages in streams]
            streams = [(name, messages) for name, message, messages in sent if message is not None]
            arguments = [(self._training, each, self._device) for _, each, _ in sent if each is not None]
            self._cluster.call_each(keep, arguments, [name for name, _ in streams], self._needs)

    def _messages(self, indices: list[int]) -> Iterator[dict[int, Shard]]:
        message: dict[int, Shard] = {}
        size = 0
        for index in indices:
            message[index] = shard = self._shard(index)
            size += shard.size
            if size >= MESSAGE_BYTES:
                yield message
                message, size = {}, 0
        if message:
            yield message

    def _shard(self, index: int) -> Shard:
        part = slice(index * self._step, min((index + 1) * self._step, self._host.m))
        rows = self._host.examples[part]
        return Shard(
            FileRows.of(rows) or np.ascontiguousarray(rows),
            self._host.standardizer,
            np.ascontiguousarray(self._labels[:, part]),
            None if self._weights is None else np.ascontiguousarray(self._weights[:, part]),
            self._output,
            self._dtype,
        )


def sums_on(workers: Decoders, device: str | Backend | None) -> MakeSums | None:
    """Return what makes the sums of a training on a cluster; None if this process is to compute them.

    Args:
        workers: what decodes.
        device: which device each worker computes on.
    """
    if not isinstance(workers, Cluster):
        return None
    cluster, name = workers, device.name if isinstance(device, Backend) else device

    def make(data: DeviceMatrix, labels: Array, weights: Array | None, output: str, dtype: str) -> Sums:
        if data.m <= shard_rows(data.host):
            return LocalSums(data, labels, weights, output, dtype)
        return ClusterSums(cluster, name, data, labels, weights, output, dtype)

    return make
