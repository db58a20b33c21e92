"""Train one model for each combination of hyperparameters, all at once, and save the best."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from xpnet.errors import UsageError
from xpnet.linear import is_linear_classifier
from xpnet.nn import TrainingResult
from xpnet.training import sweep as train_together

from .plan import LBFGS, choose_model
from .preparation import prepare
from .summary import method_sentence, sweep_summary
from .targets import TargetScale
from .trainer import OnDevice, TrainJob, TrainOutcome, save_and_evaluate, write_history

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from xpnet.training import SweepRun

    from ..messages import Messages

SWEEP_ITERATIONS = 1000
"""Steps of full-batch descent, if nothing else is asked for."""

COMPARED = {"learning_rates": "rate", "l2s": "l2", "seeds": "seed"}
"""The hyperparameters that can be compared, with the names of their columns."""


def sweep_job(
    job: TrainJob, compared: Mapping[str, Sequence[float] | None], messages: Messages
) -> TrainOutcome:
    """Train several models at once; save the best.

    Args:
        job: what to train.
        compared: for each of `COMPARED` a list of values, or None.
        messages: takes what is said meanwhile.

    Raises:
        XpnetError: of any kind, if the job cannot be done.
    """
    given: Any = {name: list(values) for name, values in compared.items() if values}
    if min(given.get("seeds", [0])) < 0:
        msg = f"--seeds are {given['seeds']}, expected 0 or more"
        raise UsageError(msg)
    if not given:
        msg = "there is nothing to compare: give --learning-rates, --l2s or --seeds"
        raise UsageError(msg)
    plan = job.plan
    if plan.optimizer == LBFGS:
        msg = "--optimizer lbfgs has no learning rate to compare: a sweep needs one of the others"
        raise UsageError(msg)
    prepared = prepare(job, messages)
    dataset, backend = prepared.dataset, prepared.backend
    model = choose_model(plan, dataset)
    if plan.epochs is None and plan.batch_size is None and plan.iterations is None:
        plan = replace(plan, iterations=SWEEP_ITERATIONS)
    if plan.optimizer is None:
        plan = replace(plan, optimizer="sgd" if is_linear_classifier(model) and plan.iterations else "adam")
    examples, scale = OnDevice.of(prepared), TargetScale.of(dataset)
    messages.say("Training all of them at once ...")
    settings = plan.settings(model, dataset.data.m)
    done = train_together(
        model, examples.data, scale.scaled(dataset.Y), backend, settings,
        validation=examples.validation_for(scale), **given,
    )  # fmt: skip
    best, restored = done.best, []
    for run in done.runs:
        undone = scale.undo(TrainingResult(model, run.parameters, run.history, done.method), backend)
        restored.append(replace(run, history=undone.history))
    index = next(i for i, run in enumerate(done.runs) if run is best)
    done = replace(done, runs=tuple(restored))
    best = done.runs[index]
    runs = [(_told_apart(run, given), run.history) for run in done.runs]
    result = TrainingResult(model, best.parameters, best.history, done.method, done.reason)
    method = f"{method_sentence(result, settings.batch_size)}, the best of a sweep"
    outcome = save_and_evaluate(
        job, prepared, examples, result, method, sweep=done, sweep_summary=sweep_summary(runs, index)
    )
    if job.history is not None:
        write_history(job.history, runs)
    return outcome


def told_apart(outcome: TrainOutcome, compared: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return for each run of a sweep its values of the compared hyperparameters, by column."""
    return [] if outcome.sweep is None else [_told_apart(run, compared) for run in outcome.sweep.runs]


def _told_apart(run: SweepRun, compared: Mapping[str, Any]) -> dict[str, Any]:
    settings = run.settings
    values = {"rate": settings.learning_rate, "l2": settings.l2, "seed": settings.seed}
    return {column: values[column] for name, column in COMPARED.items() if compared.get(name)}
