"""Train one model for each combination of hyperparameters, all at once, and save the best."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from xpnet.errors import UsageError
from xpnet.linear import is_linear_classifier
from xpnet.nn import TrainingResult
from xpnet.training import sweep as train_together

from .plan import LBFGS, RIDGE, choose_model
from .preparation import TrainJob, outputs_of, prepare
from .summary import method_sentence, sweep_summary
from .targets import TargetScale
from .trainer import OnDevice, TrainOutcome, save_and_evaluate, write_history

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from xpnet.training import SweepRun

    from ..messages import Messages

SWEEP_ITERATIONS = 1000
"""Default number of steps of full-batch descent."""

COMPARED = {"learning_rates": "learning_rate", "l2s": "l2", "seeds": "seed"}
"""Hyperparameters that can be compared: the arguments of `xpnet.sweep`, with the names of their columns."""


def sweep_job(
    job: TrainJob, compared: Mapping[str, Sequence[float] | None], messages: Messages
) -> TrainOutcome:
    """Train several models at once; save the best.

    Args:
        job: the training job.
        compared: for each name in `COMPARED` a list of values, or None.
        messages: receives messages and progress.

    Raises:
        XpnetError: one of its subclasses, such as `UsageError`, `DataError`, `DeviceError`.
    """
    given: Any = {name: list(values) for name, values in compared.items() if values}
    if min(given.get("seeds", [0])) < 0:
        msg = f"--seeds are {given['seeds']}, expected 0 or more"
        raise UsageError(msg)
    if not given:
        msg = "there is nothing to compare: give --learning-rates, --l2s or --seeds"
        raise UsageError(msg)
    plan = job.plan
    if plan.optimizer in (LBFGS, RIDGE):
        msg = f"--optimizer {plan.optimizer} cannot be used for a sweep: choose another optimizer"
        raise UsageError(msg)
    if len(given.get("l2s", [])) > 1 and job.val is None and job.val_split is None:
        # The training cost has the penalty in it, so the smallest penalty would nearly always be the best.
        msg = "comparing penalties needs validation data: give --val or --val-split"
        raise UsageError(msg)
    with outputs_of(job):
        return _sweep(job, given, messages)


def _sweep(job: TrainJob, given: Mapping[str, Any], messages: Messages) -> TrainOutcome:
    plan = job.plan
    prepared = prepare(job, messages)
    dataset, backend = prepared.dataset, prepared.backend
    model = choose_model(plan, dataset)
    if plan.epochs is None and plan.batch_size is None and plan.iterations is None:
        plan = replace(plan, iterations=SWEEP_ITERATIONS)
    if plan.optimizer is None:
        plan = replace(plan, optimizer="sgd" if is_linear_classifier(model) and plan.iterations else "adam")
    examples, scale = OnDevice.of(prepared, job), TargetScale.of(dataset)
    settings = plan.settings(model, dataset.data.m)
    count = math.prod(len(values) for values in given.values())
    messages.say(f"Training {count} models together ..." if count > 1 else "Training one model ...")
    done = train_together(
        model, examples.data, scale.scaled(dataset.Y), backend, settings,
        validation=examples.validation_for(scale), make_sums=examples.make_sums, **given,
    )  # fmt: skip
    best, restored = done.best, []
    for run in done.runs:
        undone = scale.undo(TrainingResult(model, run.parameters, run.history, done.method), backend)
        restored.append(replace(run, history=undone.history))
    index = next(i for i, run in enumerate(done.runs) if run is best)
    done = replace(done, runs=tuple(restored))
    best = done.runs[index]
    runs = [(_values_of(run, given), run.history) for run in done.runs]
    result = TrainingResult(model, best.parameters, best.history, done.method, done.reason)
    method = f"{method_sentence(result, settings.batch_size)}, the best of a sweep"
    outcome = save_and_evaluate(
        job, prepared, examples, result, method, sweep=done, sweep_summary=sweep_summary(runs, index)
    )
    if job.history is not None:
        write_history(job.history, runs)
    return outcome


def compared_values(outcome: TrainOutcome, compared: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return for each run of a sweep its values of the compared hyperparameters, by column.

    Args:
        outcome: the outcome of `sweep_job`.
        compared: the argument of `sweep_job`.
    """
    return [] if outcome.sweep is None else [_values_of(run, compared) for run in outcome.sweep.runs]


def _values_of(run: SweepRun, compared: Mapping[str, Any]) -> dict[str, Any]:
    settings = run.settings
    values = {"learning_rate": settings.learning_rate, "l2": settings.l2, "seed": settings.seed}
    return {column: values[column] for name, column in COMPARED.items() if compared.get(name)}
