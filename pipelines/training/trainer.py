"""Train a model from data to a model file: choose the trainer, train, save, evaluate."""

from __future__ import annotations

import csv
import os
import time
from dataclasses import astuple, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xpnet.data import on_device
from xpnet.errors import CheckpointError, ModelFileError, OutputError, UsageError
from xpnet.io import atomic_write, read_tensors, write_model_file
from xpnet.linear import choose_penalty, classify, descend, minimize, solve
from xpnet.nn import Epoch, StopReason, TrainingResult
from xpnet.training import Evaluator, fit

from .cluster_sums import sums_on
from .linear_probe import with_suitable_optimizer
from .plan import AUTO, LBFGS, METRIC_EXAMPLES, RIDGE, Plan, choose_model
from .preparation import Prepared, TrainJob, outputs_of, prepare
from .summary import method_sentence, saved_model
from .targets import TargetScale

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np

    from xpnet.data import DeviceMatrix
    from xpnet.io import SavedModel
    from xpnet.linear import MakeSums
    from xpnet.nn import Expectation, History, Network, RegressionExpectation
    from xpnet.training import SweepResult

    from ..datasets import Dataset
    from ..messages import Messages

STILL_FALLING = 0.05
"""A training whose cost falls by more than this share in its last tenth has not converged."""

START_AGAIN = "give --overwrite to start from the beginning, or name another file with --output"
"""What to do about the checkpoint of another training."""


@dataclass(frozen=True, kw_only=True)
class TrainOutcome:
    """The outcome of a training job.

    Attributes:
        job: the training job; its `output` may be None.
        dataset: the training examples.
        validation: the validation examples, or None.
        result: the trained model with its history; for a sweep the best one.
        method: how the model was trained, as a sentence.
        metrics: cost and metric at the end, for "training" and, if there is any, "validation" data.
        metric_examples: number of training examples on which the metric of each epoch was computed, or 0.
        saved: the content of the model file.
        skipped: inputs that cannot be used, each with the reason.
        sweep: all runs of a sweep, or None.
    """

    job: TrainJob
    dataset: Dataset
    validation: Dataset | None
    result: TrainingResult
    method: str
    metrics: dict[str, tuple[float, float]]
    metric_examples: int
    saved: SavedModel
    skipped: list[tuple[str, str]]
    sweep: SweepResult | None = None

    @property
    def restored_best(self) -> bool:
        """Whether the parameters are those of the best epoch, and it is not the last one."""
        history = self.result.history
        return self.job.plan.patience is not None and history.best_epoch != len(history)


@dataclass(frozen=True)
class OnDevice:
    """The examples of a training on the device. They are sent once, and used for training and evaluation.

    Attributes:
        dataset: the training examples with their labels.
        data: the training examples on the device.
        validation: the validation examples with their labels, or None.
        held: the validation examples on the device, or None.
        make_sums: what computes sums over the training examples; None for this process.
    """

    dataset: Dataset
    data: DeviceMatrix
    validation: Dataset | None
    held: DeviceMatrix | None
    make_sums: MakeSums | None

    @classmethod
    def of(cls, prepared: Prepared, job: TrainJob) -> OnDevice:
        """Return the examples of a training job on its device."""
        dataset, validation = prepared.dataset, prepared.validation
        held = None if validation is None else on_device(validation.data, prepared.backend)
        make_sums = sums_on(job.options.workers, job.device)
        return cls(dataset, on_device(dataset.data, prepared.backend), validation, held, make_sums)

    def validation_for(self, scale: TargetScale) -> tuple[DeviceMatrix, Any] | None:
        """Return the validation examples on the device and their scaled labels, or None."""
        if self.validation is None or self.held is None:
            return None
        return self.held, scale.scaled(self.validation.Y)

    def evaluate(self, result: TrainingResult, dtype: str) -> dict[str, tuple[float, float]]:
        """Return cost and metric on the "training" and, if there are any, the "validation" examples.

        Args:
            result: the trained model.
            dtype: dtype of the arithmetic.
        """
        sets = {"training": (self.data, self.dataset)}
        if self.validation is not None and self.held is not None:
            sets["validation"] = self.held, self.validation
        with self.data.backend.activate():
            return {
                name: Evaluator.of(result.model, data, dataset.Y, dtype)(result.parameters)
                for name, (data, dataset) in sets.items()
            }


def train_job(
    job: TrainJob, messages: Messages, *, resume: bool = False, overwrite: bool = False
) -> TrainOutcome:
    """Train a model, save it, then evaluate it.

    A training in batches resumes from the checkpoint that a killed training left beside the output. A
    checkpoint that cannot be used is set aside.

    Args:
        job: the training job.
        messages: receives messages and progress.
        resume: refuse a training that is done. A training that is not done resumes in any case.
        overwrite: start from the beginning, and remove the checkpoint of an earlier training.

    Raises:
        UsageError: `resume` and `overwrite` are both given, or do not fit the training.
        CheckpointError: the checkpoint belongs to another training.
        OutputError: an output cannot be written, or another run is writing it.
        XpnetError: one of its other subclasses, such as `DataError`, `DeviceError`.
    """
    if resume and overwrite:
        msg = "--resume continues a training, and --overwrite starts it again: give one of them"
        raise UsageError(msg)
    with outputs_of(job):
        return _train(job, messages, resume, overwrite)


def _train(job: TrainJob, messages: Messages, resume: bool, overwrite: bool) -> TrainOutcome:
    prepared = prepare(job, messages)
    plan = with_suitable_optimizer(prepared.plan, prepared.dataset, prepared.backend, messages)
    job = replace(job, plan=plan)
    model = choose_model(job.plan, prepared.dataset)
    checkpoint = None if job.output is None else f"{job.output}.checkpoint"
    if checkpoint is not None:
        full_batch = job.plan.is_full_batch(model, prepared.dataset.data.m)
        _check_checkpoint(checkpoint, job, full_batch, resume, overwrite, messages)
    examples = OnDevice.of(prepared, job)
    total, m = _iterations(job.plan, model, prepared.dataset.data.m), prepared.dataset.data.m

    unit = "epochs" if job.plan.iterations is None else "iterations"

    def run() -> TrainingResult:
        def report(epoch: Epoch) -> None:
            speed = f"{m / epoch.seconds:.0f} examples/s" if epoch.seconds else ""
            progress(epoch.epoch, total, _note(epoch), speed, epoch.cost)

        with messages.progress("Training", unit) as progress:
            return train_examples(job.plan, model, examples, on_epoch=report, checkpoint=checkpoint)

    try:
        try:
            result = run()
        except CheckpointError as error:
            if error.is_intact:
                msg = f"{error}: {START_AGAIN}"
                raise CheckpointError(msg, is_intact=True) from error
            _set_aside(str(checkpoint), str(error), messages)
            result = run()
    except KeyboardInterrupt:
        if checkpoint is not None and os.path.exists(checkpoint):
            messages.warn(f"{checkpoint} holds the training so far: the same command continues it")
        else:
            messages.warn("nothing is saved: only a training in batches writes checkpoints, after each epoch")
        raise
    for note in result.history.notes:
        messages.warn(note)
    if job.plan.l2 == AUTO and result.expected is not None:
        _say_penalties(result.expected, messages)
    costs = result.history.costs
    if costs[-1] > costs[0]:
        messages.warn(f"the cost rose from {costs[0]:.6g} to {costs[-1]:.6g}: try a smaller learning rate")
    if result.history.stop is StopReason.ALL_EPOCHS and is_still_falling(costs):
        messages.say(f"The cost is still falling: more {unit} may give a better model")
    full_batch = job.plan.is_full_batch(model, m)
    batch_size = None if full_batch else job.plan.settings(model, m).batch_size
    sampled = 0 if full_batch or batch_size is None else min(METRIC_EXAMPLES, m)
    method = method_sentence(result, batch_size)
    outcome = save_and_evaluate(
        job, prepared, examples, result, method, metric_examples=sampled, validate_last=full_batch
    )
    if job.history is not None:
        write_history(job.history, [({}, result.history)])
    if checkpoint is not None and os.path.exists(checkpoint):
        os.unlink(checkpoint)
    return outcome


def is_still_falling(costs: list[float]) -> bool:
    """Return whether the cost fell by more than `STILL_FALLING` of itself in the last tenth of the epochs."""
    before = costs[-1 - len(costs) // 10]
    return len(costs) >= 10 and costs[-1] < (1.0 - STILL_FALLING) * before


def save_and_evaluate(
    job: TrainJob,
    prepared: Prepared,
    examples: OnDevice,
    result: TrainingResult,
    method: str,
    *,
    metric_examples: int = 0,
    validate_last: bool = False,
    sweep: SweepResult | None = None,
    sweep_summary: dict[str, Any] | None = None,
) -> TrainOutcome:
    """Save a trained model, evaluate it, and save it again with the metrics.

    The model is saved first so that it is not lost if the evaluation fails.

    Args:
        job: the training job.
        prepared: its data and device.
        examples: the examples on the device.
        result: the trained model; for a sweep the best one.
        method: how it was trained, as a sentence.
        metric_examples: number of training examples on which the metric of each epoch was computed, or 0.
        validate_last: whether to add cost and metric on the validation examples to the last epoch.
        sweep: all runs of a sweep.
        sweep_summary: the summary of a sweep for the model file.
    """
    dataset, backend = prepared.dataset, prepared.backend

    def saved(metrics: dict[str, tuple[float, float]]) -> SavedModel:
        return saved_model(result, dataset, backend, method, metrics, metric_examples, sweep_summary)

    if job.output is not None:
        write_model_file(job.output, saved({}))
    metrics = examples.evaluate(result, job.plan.dtype)
    if validate_last and "validation" in metrics:
        cost, metric = metrics["validation"]
        result.history.set_last(val_cost=cost, val_metric=metric)
    final = saved(metrics)
    if job.output is not None:
        write_model_file(job.output, final)
    return TrainOutcome(
        job=job, dataset=dataset, validation=prepared.validation, result=result, method=method,
        metrics=metrics, metric_examples=metric_examples, saved=final, skipped=prepared.skipped, sweep=sweep,
    )  # fmt: skip


def train_examples(
    plan: Plan,
    model: Network,
    examples: OnDevice,
    *,
    on_epoch: Callable[[Epoch], object] | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
) -> TrainingResult:
    """Train a model as the plan says.

    Args:
        plan: how to train.
        model: the network.
        examples: training and validation examples on the device.
        on_epoch: called after each epoch; for full-batch training from time to time.
        checkpoint: path of a file to resume from if it exists, and to save to. Full-batch training does not
            use it: it starts again, and ends with the same bytes.

    Raises:
        UsageError: the plan does not fit the data.
        ConfigurationError, ShapeError, DivergenceError, ModelFileError: see `xpnet.fit`.
    """
    dataset, data = examples.dataset, examples.data
    backend = data.backend
    if plan.is_full_batch(model, data.m):
        return _full_batch(plan, model, examples, on_epoch)
    scale = TargetScale.of(dataset)

    def reported(epoch: Epoch) -> None:
        if on_epoch is not None:
            on_epoch(scale.epoch(epoch))

    settings = plan.settings(model, data.m)
    if settings.batch_size is not None:
        settings = replace(settings, metric_examples=METRIC_EXAMPLES)
    result = fit(
        model, data, scale.scaled(dataset.Y), backend, settings, examples.validation_for(scale),
        on_epoch=reported, checkpoint=checkpoint,
    )  # fmt: skip
    return scale.undo(result, backend)


def _full_batch(
    plan: Plan,
    model: Network,
    examples: OnDevice,
    on_epoch: Callable[[Epoch], object] | None,
) -> TrainingResult:
    """Train a linear model on all examples: in closed form, by L-BFGS or by gradient descent."""
    dataset, data = examples.dataset, examples.data
    if plan.is_closed_form(model, data.m):
        given = None if plan.l2 in (None, AUTO) else float(plan.l2)
        return solve(model, data, dataset.Y, data.backend, l2=given, dtype=plan.dtype)
    began, rate = time.perf_counter(), 0.0

    def on_progress(done: int, cost: float) -> None:
        if on_epoch is not None:
            on_epoch(Epoch(done, cost, rate, (time.perf_counter() - began) / done))

    shared: Any = {
        "class_weight": plan.class_weight,
        "dtype": plan.dtype,
        "make_sums": examples.make_sums,
        "on_progress": on_progress,
    }
    if plan.optimizer_for(model) == LBFGS:
        if plan.l2 == AUTO:
            return _cross_validated(plan, model, dataset.Y, data, shared)
        l2 = 1.0 if plan.l2 is None else float(plan.l2)
        return minimize(model, data, dataset.Y, data.backend, iterations=plan.iterations, l2=l2, **shared)
    if plan.optimizer_for(model) == RIDGE:
        return classify(
            model, data, dataset.Y, data.backend,
            class_weight=plan.class_weight, dtype=plan.dtype, seed=plan.seed,
        )  # fmt: skip
    settings = plan.settings(model, data.m)
    rate = settings.learning_rate
    return descend(
        model, data, dataset.Y, data.backend,
        iterations=settings.epochs, learning_rate=rate, l2=settings.l2, **shared,
    )  # fmt: skip


def _cross_validated(
    plan: Plan, model: Network, Y: np.ndarray, data: DeviceMatrix, shared: dict[str, Any]
) -> TrainingResult:
    """Choose the penalty by cross-validation, and train with it on all examples by L-BFGS.

    shared: arguments of both.
    """
    on_progress, before = shared["on_progress"], 0

    def counted(done: int, cost: float) -> None:
        nonlocal before
        before = done
        on_progress(done, cost)

    choosing = {**shared, "on_progress": counted, "iterations": plan.iterations}
    expected = choose_penalty(model, data, Y, data.backend, seed=plan.seed, **choosing)
    training = {**shared, "on_progress": lambda done, cost: on_progress(before + done, cost)}
    result = minimize(
        model, data, Y, data.backend, iterations=plan.iterations, l2=expected.penalty, **training
    )
    return replace(result, expected=expected)


def _say_penalties(expected: Expectation | RegressionExpectation, messages: Messages) -> None:
    """Say which penalty was chosen, and how good the others were."""
    tried = expected.tried
    assert tried is not None  # noqa: S101  (every choice records it)
    errors = ", ".join(f"{l2:g}: {e:.4g}" for l2, e in zip(tried.penalties, tried.errors, strict=True))
    messages.say(
        f"Penalty: {expected.penalty:g} (the {tried.measure} of left-out examples for each: {errors})"
    )
    smallest, largest = tried.penalties[0], tried.penalties[-1]
    if expected.penalty == largest or expected.penalty == smallest > 0:
        other = "larger" if expected.penalty == largest else "smaller"
        messages.say(f"No {other} penalty was tried, and one may be better")


def write_history(path: str, runs: list[tuple[dict[str, Any], History]]) -> None:
    """Write a CSV file with a line for each epoch of each run.

    Args:
        path: path of the file.
        runs: for each run its values of the compared hyperparameters, by column, and its history.

    Raises:
        OutputError: the file cannot be written.
    """
    try:
        with (
            atomic_write(Path(path)) as temporary,
            open(temporary, "w", encoding="utf-8", newline="") as file,
        ):
            writer = csv.writer(file, lineterminator="\n")
            columns = Epoch.__dataclass_fields__
            compared = [f"initial_{name}" if name in columns else name for name in runs[0][0]]
            writer.writerow([*compared, *columns])
            for values, history in runs:
                for epoch in history:
                    cells = ("" if cell is None else cell for cell in astuple(epoch))
                    writer.writerow([*values.values(), *cells])
    except OSError as error:
        msg = f"{path}: cannot be written: {error.strerror or error}"
        raise OutputError(msg) from error


def _check_checkpoint(
    checkpoint: str, job: TrainJob, full_batch: bool, resume: bool, overwrite: bool, messages: Messages
) -> None:
    """Prepare the checkpoint for the training; tell the user what happens to it.

    Raises:
        UsageError: there is nothing to resume, or a full-batch training would ignore the checkpoint.
    """
    if not os.path.lexists(checkpoint):
        if resume and os.path.exists(str(job.output)):
            msg = f"{job.output}: this training is done, and has no checkpoint: leave out --resume"
            raise UsageError(msg)
        if resume:
            messages.say(f"There is no {checkpoint}: the training starts from the beginning")
    elif os.path.islink(checkpoint):  # others may have made it, and it could lead to any file
        _set_aside(checkpoint, f"{checkpoint}: is a link, which is not followed", messages)
    elif overwrite or full_batch:
        try:
            read_tensors(checkpoint, "checkpoint")
        except ModelFileError as error:
            _set_aside(checkpoint, str(error), messages)
            return
        if not overwrite:
            msg = (
                f"{checkpoint}: is the checkpoint of a training in batches, and this training is full-batch: "
                f"{START_AGAIN}"
            )
            raise UsageError(msg)
        os.unlink(checkpoint)
    else:
        messages.say(f"Resuming from {checkpoint}")


def _set_aside(checkpoint: str, reason: str, messages: Messages) -> None:
    """Rename a checkpoint that cannot be used, to a name that is free, and say so."""
    names = (f"{checkpoint}.unusable{number}" for number in ("", *range(2, 1000)))
    name = next(name for name in names if not os.path.lexists(name))
    os.rename(checkpoint, name)
    messages.warn(f"{reason}: it is renamed to {name}, and the training starts from the beginning")


def _iterations(plan: Plan, model: Network, m: int) -> int | None:
    """Return the number of epochs or iterations, or None if it is not known before."""
    if plan.is_closed_form(model, m):
        return None
    return None if plan.optimizer_for(model) in (LBFGS, RIDGE) else plan.settings(model, m).epochs


def _note(epoch: Epoch) -> str:
    """Return cost and metrics of an epoch for the line of progress."""
    if epoch.val_cost is None or epoch.val_metric is None:
        metric = "" if epoch.metric is None else f" ({epoch.metric:.4f})"
        return f"cost {epoch.cost:.4f}{metric}"
    return f"cost {epoch.cost:.4f}  val {epoch.val_cost:.4f} ({epoch.val_metric:.4f})"
