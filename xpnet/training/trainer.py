"""Training in mini-batches by the computation graph: `fit` runs epochs, an epoch runs steps.

A `Trainer` holds the state of one training. On a GPU a step can be recorded as a CUDA graph.
"""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from xpnet.arrays import namespace
from xpnet.autodiff import Node, gradients
from xpnet.backend import as_cuda_graph
from xpnet.data import Resident, make_batches, on_device
from xpnet.errors import CheckpointError, DivergenceError
from xpnet.nn import (
    Epoch,
    History,
    Method,
    Objective,
    Parameters,
    StopReason,
    TrainingResult,
    example_weights,
    initialize,
    labels_for_loss,
    require_labels,
    require_trainable_labels,
)
from xpnet.training.checkpoints import Checkpoint, read_checkpoint, training_key, write_checkpoint
from xpnet.training.evaluation import Evaluator, sample_indices

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from xpnet.arrays import Array
    from xpnet.backend import Backend
    from xpnet.data import Batch, ColumnMatrix, DeviceMatrix
    from xpnet.nn import Network, Settings

WINDOW = 256
"""Number of steps whose costs stay on the device before they are fetched together."""

CHECKPOINT_SECONDS = 2.0
"""Shortest time between two checkpoints, in seconds. The last one is always written."""

CHECKPOINT_PAUSE = 20
"""Shortest time between two checkpoints, as a multiple of the time to write one."""


def fit(
    model: Network,
    data: ColumnMatrix | DeviceMatrix,
    Y: np.ndarray,
    backend: Backend,
    settings: Settings,
    validation: tuple[ColumnMatrix | DeviceMatrix, np.ndarray] | None = None,
    start: Parameters | None = None,
    on_epoch: Callable[[Epoch], Any] | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    weights: np.ndarray | None = None,
) -> TrainingResult:
    """Train a model in mini-batches.

    Args:
        model: the network.
        data: the training examples.
        Y: their labels, in host memory: (1, m), or targets (n_out, m).
        backend: the device to train on.
        settings: the settings of the training.
        validation: examples and labels to validate with after each epoch, or None.
        start: initial parameters, which are copied; by default those of `initialize`.
        on_epoch: called after each epoch with its record.
        checkpoint: path of a file to save the training to, and to resume from if it exists. On a CPU a killed
            and resumed training ends with the same bytes as one that was never killed.
        weights: a positive weight for each training example, (1, m), in host memory; None for equal weights.

    Raises:
        ShapeError, DtypeError: the data or the labels cannot be used.
        ConfigurationError: the settings do not fit the model or the data.
        DeviceError: the device does not have the precision.
        CheckpointError: the checkpoint is damaged, or belongs to another training.
        ModelFileError: the checkpoint cannot be written.
        DivergenceError: a cost or a parameter is not finite. The checkpoint is removed: a training that
            resumed from it would diverge again.
    """
    require_trainable_labels(model, Y, data.m)
    trainer = Trainer(model, data, Y, backend, settings, validation, start, weights)
    if checkpoint is not None and Path(checkpoint).exists():
        trainer.load_checkpoint(checkpoint)
    saved, pause = -math.inf, CHECKPOINT_SECONDS
    while not trainer.is_done():
        try:
            record = trainer.epoch()
        except DivergenceError:
            if checkpoint is not None:
                Path(checkpoint).unlink(missing_ok=True)
            raise
        if on_epoch is not None:
            on_epoch(record)
        now = time.monotonic()
        if checkpoint is not None and (now - saved >= pause or trainer.is_done()):
            trainer.save_checkpoint(checkpoint)
            saved = time.monotonic()
            pause = max(CHECKPOINT_SECONDS, CHECKPOINT_PAUSE * (saved - now))
    trainer.restore_best()
    return TrainingResult(model, trainer.parameters, trainer.history, Method.AUTODIFF)


class Trainer:
    """The state of one training, which runs epoch by epoch. `fit` does all of it.

    Arguments and errors: see `fit`. All labels may be equal: they may be a part of the examples.

    Attributes:
        parameters: the current parameters, on the device.
        history: the epochs so far.
        t: number of steps so far.
        m: number of training examples.
        batch_size: number of examples in a step.
        batches: the training examples on the device.
    """

    def __init__(
        self,
        model: Network,
        data: ColumnMatrix | DeviceMatrix,
        Y: np.ndarray,
        backend: Backend,
        settings: Settings,
        validation: tuple[ColumnMatrix | DeviceMatrix, np.ndarray] | None = None,
        start: Parameters | None = None,
        weights: np.ndarray | None = None,
    ) -> None:
        backend.precision(settings.precision)  # raises for one that the device does not have
        limit, dtype = settings.resident_bytes, settings.dtype
        examples = on_device(data, backend, limit)
        examples.host.refuse_nonfinite()
        require_labels(model, Y, examples.m)
        combined = example_weights(model, Y, settings.class_weight, weights)
        self.model, self.settings, self.backend = model, settings, backend
        self.data = examples.host, Y, weights
        self.validation_data: tuple[ColumnMatrix, np.ndarray] | None = None
        self.m = examples.m
        self.batch_size = min(settings.batch_size or self.m, self.m)
        self.history = History()
        if settings.batch_size and settings.batch_size > self.m:
            self.history.notes.append(
                f"batch_size is {settings.batch_size}, but there are {self.m} examples: a batch has them all"
            )
        self.t = 0
        xp = backend.xp
        with backend.activate():
            self.parameters = initialize(model, backend, settings.initializer, settings.seed, dtype)
            if start is not None:
                self.parameters.buffer[...] = backend.send(start.buffer, dtype=dtype)
            self._gradient = Parameters(model, xp.zeros_like(self.parameters.buffer))
            self._slots = [xp.zeros_like(self.parameters.buffer) for _ in range(settings.optimizer.slots)]
            self._best = xp.zeros_like(self.parameters.buffer)
            self.batches = make_batches(examples, labels_for_loss(model, Y, dtype), combined, dtype)
            self._objective = Objective(model, settings, backend, self.m)
            self._validation: Evaluator | None = None
            if validation is not None:
                held = on_device(validation[0], backend, limit)
                self.validation_data = held.host, validation[1]
                self._validation = Evaluator.of(model, held, validation[1], dtype)
            self._sample: Evaluator | None = None
            if settings.metric_examples:
                rows = sample_indices(self.m, settings.metric_examples, settings.seed)
                some = self.batches if rows is None else self.batches.subset(rows)
                self._sample = Evaluator(model, some, Y if rows is None else Y[:, rows], backend, dtype)
        # The last column counts the parameters that are not finite after the epoch: one fetch brings both.
        self._costs = backend.send(np.zeros((1, WINDOW + 1)), dtype=dtype)
        self._recorded: tuple[CudaGraphStep, Resident] | None = None
        wanted = not settings.dropout if settings.cuda_graph is None else settings.cuda_graph
        if wanted and backend.name == "gpu" and isinstance(self.batches, Resident):
            step = CudaGraphStep(
                backend, self.batches, self.batch_size, dtype, self._change,
                [self.parameters.buffer, self._gradient.buffer, *self._slots],
                required=bool(settings.cuda_graph),
            )  # fmt: skip
            self._recorded = step, self.batches

    def is_done(self) -> bool:
        """Return whether the training has ended. If so, record the reason in the history."""
        done, settings = len(self.history), self.settings
        patience = settings.patience
        if patience is not None and done - self.history.best_epoch >= patience:
            self.history.end(StopReason.NO_IMPROVEMENT, f"no lower cost for {patience} epochs")
        elif done >= settings.epochs:
            unit = "iterations" if settings.batch_size is None else "epochs"
            self.history.end(StopReason.ALL_EPOCHS, f"all {settings.epochs} {unit} done")
        else:
            return False
        return True

    def epoch(self) -> Epoch:
        """Run one epoch; add its record to the history and return it.

        Raises:
            DivergenceError: a cost or a parameter is not finite.
        """
        began = time.perf_counter()
        done = len(self.history)
        settings = self.settings
        rate = settings.learning_rate * settings.schedule.factor(
            done, settings.epochs, self.history.criterion
        )
        with self.backend.activate():
            total = 0.0
            pending: list[int] = []
            order = self.batches.shuffled(settings.seed, done, self.batch_size)
            with self.backend.precision(settings.precision):
                for size in self.steps(order, rate):
                    pending.append(size)
                    if len(pending) == WINDOW:
                        total += self._gathered(pending)
                        pending = []
            self._costs[:, WINDOW : WINDOW + 1] = self.parameters.count_nonfinite()
            total += self._gathered(pending)
            val_cost, val_metric = self._validation(self.parameters) if self._validation else (None, None)
            metric = self._sample(self.parameters)[1] if self._sample else None
        if self._recorded and self._recorded[0].problem:
            note = f"steps are not launched as one CUDA graph: {self._recorded[0].problem}"
            if note not in self.history.notes:  # a resumed training may have it already
                self.history.notes.append(note)
            self._recorded = None
        seconds = time.perf_counter() - began
        record = Epoch(done + 1, total / self.m, rate, seconds, val_cost, val_metric, metric)
        if self.history.add(record) and settings.patience is not None:
            self._best[...] = self.parameters.buffer
        return record

    def step(self, batch: Batch, rate: float, slot: int) -> None:
        """Take one step. Nothing is sent or fetched, and nothing waits for the device.

        Args:
            batch: the examples of the step.
            rate: the learning rate.
            slot: index in the array of costs on the device for the cost of this step.
        """
        self._costs[0, slot] = self._change(batch, rate, self.t + 1)
        self.t += 1

    def steps(self, order: np.ndarray | None, rate: float) -> Iterator[int]:
        """Take the steps of an epoch; yield the number of examples of each batch.

        The costs of the last `WINDOW` steps stay on the device. Nothing is fetched.

        Args:
            order: indices of the examples, (m,), in host memory; None for the stored order.
            rate: the learning rate.
        """
        if self._recorded is None or order is None:
            for i, batch in enumerate(self.batches.epoch(order, self.batch_size)):
                self.step(batch, rate, i % WINDOW)
                yield int(batch.X.shape[1])
            return
        recorded, batches = self._recorded
        recorded.begin(rate, self.t)
        sent = self.backend.send(order)
        for i, start in enumerate(range(0, self.m, self.batch_size)):
            indices = sent[start : min(start + self.batch_size, self.m)]
            if indices.shape[0] == self.batch_size:
                self._costs[:, i % WINDOW : i % WINDOW + 1] = recorded(indices)
                self.t += 1
            else:
                self.step(batches.take(indices), rate, i % WINDOW)
            yield int(indices.shape[0])

    def _change(self, batch: Batch, rate: float | Array, t: int | Array) -> Array:
        """Take step t; return the cost before it, a scalar array."""
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
        """The arrays of a checkpoint by name: all that change during the training."""
        slots = {f"slot{i}": slot for i, slot in enumerate(self._slots)}
        best = {"best": self._best} if self.settings.patience is not None else {}
        return {"parameters": self.parameters.buffer, **slots, **best}

    def save_checkpoint(self, path: str | os.PathLike[str]) -> None:
        """Write a checkpoint, completely or not at all. Call it between epochs only.

        If the state of the optimizer is not finite, which no file can hold, the last checkpoint is kept.

        Raises:
            ModelFileError: the file cannot be written.
        """
        arrays = {name: self.backend.fetch(array) for name, array in self.state.items()}
        if not all(np.isfinite(array).all() for array in arrays.values()):
            return
        write_checkpoint(path, Checkpoint(self._key(), self.t, self.history, arrays))

    def load_checkpoint(self, path: str | os.PathLike[str]) -> None:
        """Resume from a checkpoint of the same model, settings and data.

        Raises:
            CheckpointError: the file cannot be read, or belongs to another training; the message says which
                settings differ.
        """
        shapes = {name: tuple(array.shape) for name, array in self.state.items()}
        saved = read_checkpoint(path, self._key(), shapes)
        done, wanted = len(saved.history), self.settings.epochs
        if done > wanted:
            msg = f"{path}: has {done} epochs, and the training {wanted}: train for more epochs"
            raise CheckpointError(msg, is_intact=True)
        self.restore(saved.arrays, saved.step, saved.history)

    def restore(self, arrays: Mapping[str, np.ndarray], t: int, history: History) -> None:
        """Go on from another training of the same model and optimizer.

        Args:
            arrays: its `state`, by name, in host memory.
            t: its number of steps.
            history: its epochs, to which the next ones are added.
        """
        for name, array in self.state.items():
            array[...] = self.backend.send(arrays[name], dtype=self.settings.dtype)
        self.t, self.history = t, history

    def _key(self) -> dict[str, Any]:
        data: list[Any] = [part for part in (self.data, self.validation_data) if part is not None]
        return training_key(self.model, self.settings, data, self.batches.run(self.batch_size))

    def restore_best(self) -> None:
        """Restore the parameters of the best epoch, if `patience` is set."""
        if self.settings.patience is not None and self.history.best_epoch:
            self.parameters.buffer[...] = self._best

    def _gathered(self, sizes: list[int]) -> float:
        """Fetch the costs of the last steps; return their sum, weighted with the batch sizes.

        Args:
            sizes: number of examples in the batch of each step.
        """
        fetched = self.backend.fetch(self._costs)[0].astype(np.float64)
        costs = fetched[: len(sizes)]
        bad = np.flatnonzero(~np.isfinite(costs))
        if bad.size:
            step = self.t - len(sizes) + int(bad[0]) + 1
            raise DivergenceError(self.history.diverge(costs[bad[0]], step), step=step)
        if fetched[WINDOW]:
            raise DivergenceError(self.history.diverge(math.nan, self.t, "a parameter"), step=self.t)
        return float(costs @ np.asarray(sizes, dtype=np.float64))


def clip(gradient: Array, limit: float) -> None:
    """Scale a gradient of any shape, in place, to a Euclidean norm of at most `limit`. Nothing is fetched."""
    xp = namespace(gradient)
    norm = xp.sqrt(xp.sum(gradient * gradient))
    gradient *= limit / xp.maximum(norm, limit)


class CudaGraphStep:
    """A step on batches of one size that is recorded once, and then launched as a CUDA graph.

    The values that differ between steps are in arrays on the device.

    Args:
        backend: the device.
        batches: the training examples, which stay on the device.
        size: number of examples in each batch.
        dtype: dtype of the parameters.
        change: function that takes a step, given the batch, the learning rate (1, 1) and the number of the
            step (1, 1), and returns the cost.
        changed: the arrays that `change` changes, of any shapes.
        required: whether to raise an error if the step cannot be recorded.
    """

    def __init__(
        self,
        backend: Backend,
        batches: Resident,
        size: int,
        dtype: str,
        change: Callable[[Batch, Array, Array], Array],
        changed: Sequence[Array],
        *,
        required: bool,
    ) -> None:
        self._batches, self._change = batches, change
        self._indices = backend.send(np.zeros(size, np.int64))
        self._rate = backend.send(np.zeros((1, 1)), dtype=dtype)
        self._t = backend.send(np.zeros((1, 1)))
        self._cost = backend.send(np.zeros((1, 1)), dtype=dtype)
        changed = [self._t, self._cost, *changed]
        self._step = as_cuda_graph(backend, self._taken, changed, required=required)

    @property
    def problem(self) -> str:
        """Why steps are not launched as a CUDA graph; empty if they are, or before the first step."""
        return str(getattr(self._step, "problem", ""))

    def begin(self, rate: float, t: int) -> None:
        """Set the learning rate and the number of steps before the next one."""
        self._rate[...] = rate
        self._t[...] = float(t)

    def __call__(self, indices: Array) -> Array:
        """Take a step on the examples of some indices, (size,) on the device; return its cost, (1, 1)."""
        self._indices[...] = indices
        self._step()
        return self._cost

    def _taken(self) -> None:
        self._t += 1.0
        batch = self._batches.take(self._indices)
        self._cost[0, 0] = self._change(batch, self._rate, self._t)
