"""Training by mini-batches through the computation graph: epoch and step."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np

from xpnet.arrays import namespace
from xpnet.autodiff import Node, gradients
from xpnet.data import Resident, make_batches
from xpnet.errors import DivergenceError
from xpnet.nn import (
    Epoch,
    History,
    Objective,
    Parameters,
    example_weights,
    initialize,
    labels_for_loss,
    require_trainable_labels,
)
from xpnet.training.evaluation import Evaluator, sample_examples
from xpnet.training.stepgraph import RecordedStep

if TYPE_CHECKING:
    from collections.abc import Iterator

    from xpnet.arrays import Array
    from xpnet.backend import Backend
    from xpnet.data import Batch, ColumnMatrix
    from xpnet.nn import Network, Settings

WINDOW = 256
"""Steps whose costs are kept on the device before they are fetched at once."""


class Training:
    """One training, epoch by epoch. `xpnet.training.fitting.fit` is the short way to use it.

    Args:
        model: the network.
        data: the training examples.
        Y: their labels, in host memory: (1, m), or targets (n_out, m).
        backend: where to train.
        settings: how.
        validation: examples and labels to judge by, or None.
        start: parameters to start from, which are copied; by default new ones.

    Raises:
        ShapeError, DtypeError: data or labels that cannot be learned from.
        ConfigurationError: settings that do not fit the data.
        DeviceError: a precision that the device lacks.
    """

    def __init__(
        self,
        model: Network,
        data: ColumnMatrix,
        Y: np.ndarray,
        backend: Backend,
        settings: Settings,
        validation: tuple[ColumnMatrix, np.ndarray] | None = None,
        start: Parameters | None = None,
    ) -> None:
        backend.precision(settings.precision)  # refuses what the device lacks
        data.refuse_nonfinite()
        require_trainable_labels(model, Y, data.m)
        weights = example_weights(model, Y, settings.class_weight)
        self.model = model
        self.data, self.validation_data = (data, Y), validation
        self.settings = settings
        self.backend = backend
        self.m = data.m
        self.batch_size = min(settings.batch_size or data.m, data.m)
        self.history = History()
        if settings.batch_size and settings.batch_size > data.m:
            self.history.notes.append(
                f"a batch of {settings.batch_size} is more than the {data.m} examples: it holds them all"
            )
        self.t = 0
        xp = backend.xp
        with backend.activate():
            self.parameters = initialize(model, backend, settings.initializer, settings.seed, settings.dtype)
            if start is not None:
                self.parameters.buffer[...] = backend.send(start.buffer, dtype=settings.dtype)
            self._gradient = Parameters(model, xp.zeros_like(self.parameters.buffer))
            self._slots = [xp.zeros_like(self.parameters.buffer) for _ in range(settings.optimizer.slots)]
            self._best = xp.zeros_like(self.parameters.buffer)
            self.batches = make_batches(
                data,
                labels_for_loss(model, Y, settings.dtype),
                weights,
                backend,
                settings.dtype,
                settings.resident_bytes,
            )
            self._objective = Objective(model, settings, backend, data.m)
            self._validation = None if validation is None else self._judge(*validation)
            self._sample: Evaluator | None = None
            if settings.judged_examples:
                self._sample = self._judge(*sample_examples(data, Y, settings.judged_examples, settings.seed))
        self._costs = backend.send(np.zeros((1, WINDOW)), dtype=settings.dtype)
        self._graph: tuple[RecordedStep, Resident] | None = None
        wanted = not settings.dropout if settings.graph is None else settings.graph
        if wanted and backend.name == "gpu" and isinstance(self.batches, Resident):
            made = RecordedStep(
                backend, self.batches, self.batch_size, settings.dtype, self._change,
                [self.parameters.buffer, self._gradient.buffer, *self._slots], required=bool(settings.graph),
            )  # fmt: skip
            self._graph = made, self.batches

    def epoch(self) -> Epoch:
        """Run one epoch; return and record what happened.

        Raises:
            DivergenceError: a cost is not finite.
        """
        began = time.perf_counter()
        done = len(self.history.epochs)
        settings = self.settings
        rate = settings.learning_rate * settings.schedule.factor(done, settings.epochs, self.history.judged)
        with self.backend.activate():
            total = 0.0
            pending: list[int] = []
            order = shuffled(settings.seed, done, self.m, self.batch_size)
            with self.backend.precision(settings.precision):
                for size in self._steps(order, rate):
                    pending.append(size)
                    if len(pending) == WINDOW:
                        total += self._gathered(pending)
                        pending = []
            total += self._gathered(pending)
            val_cost, val_metric = self._validation(self.parameters) if self._validation else (None, None)
            metric = self._sample(self.parameters)[1] if self._sample else None
        if self._graph and self._graph[0].problem:
            note = f"steps are not launched as one CUDA graph: {self._graph[0].problem}"
            if note not in self.history.notes:  # a resumed training says it once
                self.history.notes.append(note)
            self._graph = None
        seconds = time.perf_counter() - began
        record = Epoch(done + 1, total / self.m, rate, seconds, val_cost, val_metric, metric)
        if self.history.add(record) and settings.patience is not None:
            self._best[...] = self.parameters.buffer
        return record

    def step(self, batch: Batch, rate: float, slot: int) -> None:
        """Change the parameters by one step; nothing in it crosses to the host, or waits for the device.

        Args:
            batch: the examples of the step.
            rate: the learning rate.
            slot: where in the window to leave the cost.
        """
        self._costs[0, slot] = self._change(batch, rate, self.t + 1)
        self.t += 1

    def _steps(self, order: np.ndarray | None, rate: float) -> Iterator[int]:
        """Take the steps of an epoch, each cost in the next place of the window; yield the batches' sizes."""
        if self._graph is None or order is None:
            for i, batch in enumerate(self.batches.epoch(order, self.batch_size)):
                self.step(batch, rate, i % WINDOW)
                yield int(batch.X.shape[1])
            return
        graph, make_batches = self._graph
        graph.begin(rate, self.t)
        sent = self.backend.send(order)
        for i, start in enumerate(range(0, self.m, self.batch_size)):
            indices = sent[start : min(start + self.batch_size, self.m)]
            if indices.shape[0] == self.batch_size:
                self._costs[:, i % WINDOW : i % WINDOW + 1] = graph(indices)
                self.t += 1
            else:
                self.step(make_batches.take(indices), rate, i % WINDOW)
            yield int(indices.shape[0])

    def _change(self, batch: Batch, rate: float | Array, t: int | Array) -> Array:
        """Change the parameters by step t; return the cost before."""
        views = self.parameters.views
        nodes = {name: Node(view, name) for name, view in views.items()}
        J = self._objective(nodes, batch, self.t)
        gradient, optimizer = self._gradient.buffer, self.settings.optimizer
        gradients(J, nodes.values(), into=self._gradient.views.values())
        if self.settings.clip is not None:
            clip(gradient, self.settings.clip)
        optimizer.update(self.parameters.buffer, gradient, tuple(self._slots), rate, t)
        return J.value

    @property
    def state(self) -> dict[str, Array]:
        """All arrays that change while training, by name: what a checkpoint holds."""
        slots = {f"slot{i}": slot for i, slot in enumerate(self._slots)}
        best = {"best": self._best} if self.settings.patience is not None else {}
        return {"parameters": self.parameters.buffer, **slots, **best}

    def restore_best(self) -> None:
        """Go back to the parameters of the best epoch, if `patience` kept them."""
        if self.settings.patience is not None and self.history.best_epoch:
            self.parameters.buffer[...] = self._best

    def _judge(self, data: ColumnMatrix, Y: np.ndarray) -> Evaluator:
        settings = self.settings
        return Evaluator(self.model, data, Y, self.backend, settings.dtype, settings.resident_bytes)

    def _gathered(self, sizes: list[int]) -> float:
        """Fetch the costs of the window's steps; return their sum, each times its batch's size."""
        costs = self.backend.fetch(self._costs)[0, : len(sizes)].astype(np.float64)
        bad = np.flatnonzero(~np.isfinite(costs))
        if bad.size:
            step = self.t - len(sizes) + int(bad[0]) + 1
            raise DivergenceError(self.history.diverged(costs[bad[0]], step), step=step)
        return float(costs @ np.asarray(sizes, dtype=np.float64))


def shuffled(seed: int, epoch: int, m: int, batch_size: int) -> np.ndarray | None:
    """Return an epoch's order of the examples, of its own seed, so that a resumed one is the same.

    None, the order they lie in, if one batch holds them all.
    """
    return None if batch_size == m else np.random.default_rng([seed, epoch]).permutation(m)


def clip(gradient: Array, limit: float) -> None:
    """Scale a gradient, in place, to a Euclidean norm of at most `limit`; any shape, no branch on values."""
    xp = namespace(gradient)
    norm = xp.sqrt(xp.sum(gradient * gradient))
    gradient *= limit / xp.maximum(norm, limit)
