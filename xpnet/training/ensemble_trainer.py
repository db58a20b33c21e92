"""Training of several networks at once by the computation graph: each step changes all of them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np

from xpnet import functional as F
from xpnet.arrays import namespace
from xpnet.autodiff import Node, gradients
from xpnet.data import make_batches, on_device
from xpnet.nn import (
    Dropout,
    Epoch,
    History,
    Objective,
    Parameters,
    StopReason,
    example_weights,
    initialize,
    labels_for_loss,
    no_dropout,
    require_trainable_labels,
)
from xpnet.training.ensemble import Ensemble, by_run, ensemble_sum
from xpnet.training.evaluation import Evaluator
from xpnet.training.trainer import WINDOW

if TYPE_CHECKING:
    from collections.abc import Sequence

    from xpnet.arrays import Array
    from xpnet.backend import Backend
    from xpnet.data import Batch, ColumnMatrix, DeviceMatrix
    from xpnet.nn import Network, Settings


class EnsembleTrainer:
    """The state of trainings that differ in learning rate, l2 and seed, and share batches and dropout.

    Arguments and errors: see `fit`. `each` has the settings of each training.

    Attributes:
        histories: the epochs of each training so far.
    """

    def __init__(
        self,
        model: Network,
        data: ColumnMatrix | DeviceMatrix,
        Y: np.ndarray,
        backend: Backend,
        each: Sequence[Settings],
        validation: tuple[ColumnMatrix | DeviceMatrix, np.ndarray] | None = None,
    ) -> None:
        shared, limit, dtype = each[0], each[0].resident_bytes, each[0].dtype
        backend.precision(shared.precision)  # raises for one that the device does not have
        examples = on_device(data, backend, limit)
        m = examples.m
        examples.host.refuse_nonfinite()
        require_trainable_labels(model, Y, m)
        Objective(model, shared, backend, m)  # raises for settings that do not fit the model
        weights = example_weights(model, Y, shared.class_weight)
        self._each, self._shared, self._m, self._backend = each, shared, m, backend
        self._batch_size = min(shared.batch_size or m, m)
        self._ensemble = Ensemble(model, len(each))
        self._t = 0
        self.histories = [History() for _ in each]
        with backend.activate():
            starts = [initialize(model, backend, s.initializer, s.seed, s.dtype) for s in each]
            self._views = self._ensemble.joined(starts)
            zeros_like = backend.xp.zeros_like
            self._slots = [
                {name: zeros_like(view) for name, view in self._views.items()}
                for _ in range(shared.optimizer.slots)
            ]
            self._batches = make_batches(examples, labels_for_loss(model, Y, dtype), weights, dtype)
            self._validation: Evaluator | None = None
            if validation is not None:
                held = on_device(validation[0], backend, limit)
                self._validation = Evaluator.of(model, held, validation[1], dtype)
            self._l2 = self._column([s.l2 / (2 * m) for s in each])
            self._costs = self._column([0.0] * len(each), WINDOW)
        self._dropout = Dropout(shared.dropout, shared.seed, backend) if shared.dropout else None

    def epoch(self) -> None:
        """Run one epoch of all trainings; add its record to the histories of those with finite costs."""
        began = time.perf_counter()
        shared, done = self._shared, max(len(history) for history in self.histories)
        factors = [
            s.learning_rate * shared.schedule.factor(done, shared.epochs, history.criterion)
            for s, history in zip(self._each, self.histories, strict=True)
        ]
        totals = np.zeros(len(self._each))
        with self._backend.activate():
            # A learning rate for each row of a parameter: that of its run.
            rates = {
                name: self._backend.send(np.repeat(factors, n)[:, None], dtype=shared.dtype)
                for name, (n, _) in self._ensemble.model.shapes.items()
            }
            pending: list[int] = []
            order = self._batches.shuffled(shared.seed, done, self._batch_size)
            with self._backend.precision(shared.precision):
                for batch in self._batches.epoch(order, self._batch_size):
                    self.step(batch, rates, len(pending))
                    pending.append(int(batch.X.shape[1]))
                    if len(pending) == WINDOW:
                        totals += self._gathered(pending)
                        pending = []
            totals += self._gathered(pending)
            validated = self._validation.each(self._views, self._ensemble) if self._validation else None
        seconds = time.perf_counter() - began
        unit = "iterations" if shared.batch_size is None else "epochs"
        for i, history in enumerate(self.histories):
            if history.stop is None:
                history.add(
                    Epoch(
                        done + 1,
                        totals[i] / self._m,
                        factors[i],
                        seconds,
                        *(validated[i] if validated else ()),
                    )
                )
                if done + 1 == shared.epochs:
                    history.end(StopReason.ALL_EPOCHS, f"all {shared.epochs} {unit} done")

    def step(self, batch: Batch, rates: dict[str, Array], slot: int) -> None:
        """Take one step of all runs. Nothing is sent or fetched.

        Args:
            batch: the examples, shared by all runs.
            rates: learning rates of the rows of each parameter, (runs n, 1), by its name.
            slot: column of the array of costs on the device for the costs of this step.
        """
        views, shared, ensemble = self._views, self._shared, self._ensemble
        nodes = {name: Node(view, name) for name, view in views.items()}
        costs = self._cost(nodes, batch)
        self._costs[:, slot : slot + 1] = costs.value
        computed = gradients(F.sum(costs), nodes.values())
        if shared.clip is not None:
            computed = clipped_by_run(computed, shared.clip, ensemble.runs)
        self._t += 1
        for name, gradient in zip(views, computed, strict=True):
            slots = tuple(part[name] for part in self._slots)
            shared.optimizer.update(views[name], gradient, slots, rates[name], self._t)

    def parameters(self) -> list[Parameters]:
        """Return the current parameters of each run."""
        with self._backend.activate():
            return self._ensemble.split(self._views)

    def _cost(self, nodes: dict[str, Node], batch: Batch) -> Node:
        """Return J of each run, (runs, 1)."""
        ensemble, shared = self._ensemble, self._shared
        Z = ensemble.forward(nodes, batch.X, self._drop)
        loss = ensemble.loss(Z, ensemble.targets(batch.Y, Z.value), shared.label_smoothing)
        if batch.weights is not None:
            loss = loss * batch.weights
        costs: Node = F.mean(loss, axis=1)
        for name, node in nodes.items():
            if name.startswith("W"):
                if any(s.l2 for s in self._each):
                    costs = costs + ensemble_sum(node * node, runs=ensemble.runs) * self._l2
                if shared.l1:
                    size = F.relu(node) + F.relu(-node)
                    costs = costs + (shared.l1 / self._m) * ensemble_sum(size, runs=ensemble.runs)
        return costs

    def _drop(self, A: Node, layer: int) -> Any:
        if self._dropout is None:
            return no_dropout(A, layer)
        units = A.shape[0] // self._ensemble.runs
        mask = self._dropout.mask(A.value[:units, :], self._t, layer)
        return A * namespace(mask).concat([mask] * self._ensemble.runs, axis=0)

    def _column(self, values: Sequence[float], columns: int = 1) -> Array:
        return self._backend.send(np.tile(np.asarray(values)[:, None], columns), dtype=self._shared.dtype)

    def _gathered(self, sizes: list[int]) -> np.ndarray:
        """Fetch the costs of the last steps; return for each run their sum, weighted with the batch sizes.

        Args:
            sizes: number of examples in the batch of each step.
        """
        costs = self._backend.fetch(self._costs)[:, : len(sizes)].astype(np.float64)
        for history, row in zip(self.histories, costs, strict=True):
            bad = np.flatnonzero(~np.isfinite(row))
            if bad.size and history.stop is None:
                history.diverge(row[bad[0]], self._t - len(sizes) + int(bad[0]) + 1)
        sums: np.ndarray = costs @ np.asarray(sizes, dtype=np.float64)
        return sums


def clipped_by_run(computed: list[Array], limit: float, runs: int) -> list[Array]:
    """Return gradients, scaled so that the Euclidean norm of all gradients of a run is at most `limit`."""
    xp = namespace(computed[0])
    squares = [xp.sum(by_run(g * g, runs), axis=(1, 2), keepdims=True) for g in computed]
    norm = xp.sqrt(sum(squares[1:], start=squares[0]))
    scale = limit / xp.maximum(norm, limit)
    return [xp.reshape(by_run(g, runs) * scale, g.shape) for g in computed]
