"""Sweeps: training with each combination of learning rates, penalties and seeds, all at once."""

from __future__ import annotations

import itertools
import math
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from xpnet.data import on_device
from xpnet.errors import ConfigurationError, DivergenceError
from xpnet.linear import (
    LinearObjective,
    choose_method,
    is_linear_classifier,
    make_stepper,
    require_valid_descent,
    run_descent,
    unstack_parameters,
)
from xpnet.nn import Constant, GradientDescent, History, Method, Parameters, StopReason, initialize
from xpnet.training.ensemble import Ensemble
from xpnet.training.ensemble_trainer import EnsembleTrainer
from xpnet.training.evaluation import Evaluator

if TYPE_CHECKING:
    from collections.abc import Sequence

    from xpnet.backend import Backend
    from xpnet.data import ColumnMatrix, DeviceMatrix
    from xpnet.linear import MakeSums
    from xpnet.nn import Network, Settings


@dataclass(frozen=True)
class SweepRun:
    """One training of a sweep.

    Attributes:
        settings: the settings of this run.
        parameters: the parameters at the end, on their device.
        history: the epochs; for full-batch descent the iterations. It ends at the last finite cost.
    """

    settings: Settings
    parameters: Parameters
    history: History

    @property
    def final_cost(self) -> float:
        """The last validation cost, or training cost without validation data; inf if the run diverged."""
        cost = math.inf if self.history.has_diverged else self.history.criterion[-1]
        return math.inf if math.isnan(cost) else cost


@dataclass(frozen=True)
class SweepResult:
    """The result of `sweep`.

    Attributes:
        runs: the runs, ordered by learning rate, then penalty, then seed, each in the given order.
        method: how the runs were trained.
        reason: why this method was chosen, as a sentence.
    """

    runs: tuple[SweepRun, ...]
    method: Method
    reason: str

    @property
    def best(self) -> SweepRun:
        """The run with the lowest validation cost, or training cost without validation data."""
        return min(self.runs, key=lambda each: each.final_cost)


def sweep(
    model: Network,
    data: ColumnMatrix | DeviceMatrix,
    Y: np.ndarray,
    backend: Backend,
    settings: Settings,
    *,
    learning_rates: Sequence[float] = (),
    l2s: Sequence[float] = (),
    seeds: Sequence[int] = (),
    validation: tuple[ColumnMatrix | DeviceMatrix, np.ndarray] | None = None,
    method: str = "auto",
    make_sums: MakeSums | None = None,
) -> SweepResult:
    """Train a model with each combination of learning rate, penalty and seed, all at once.

    `xpnet.linear.descend` does full-batch gradient descent of logistic and softmax regression. Everything
    else is done by the computation graph, with one batch for all runs. A run that diverges does not stop the
    others.

    Args:
        model: the network.
        data: the training examples.
        Y: their labels, in host memory: (1, m), or targets (n_out, m).
        backend: the device to train on.
        settings: the settings that the runs share. Its seed gives the order of the examples.
        learning_rates: the learning rates; by default that of `settings`.
        l2s: the strengths of the penalty; by default that of `settings`.
        seeds: the seeds of the initial parameters; by default that of `settings`.
        validation: examples and labels to validate with, or None.
        method: see `xpnet.linear.descend`; for other models and settings "auto" or "autodiff".
        make_sums: see `xpnet.linear.descend`.

    Raises:
        ConfigurationError: a setting cannot be used for several trainings, such as patience, or is out of
            range.
        ShapeError, DtypeError: the data or the labels cannot be used.
        DivergenceError: no run has a finite cost.
    """
    each = [
        replace(settings, learning_rate=rate, l2=l2, seed=seed)
        for rate, l2, seed in itertools.product(
            learning_rates or (settings.learning_rate,), l2s or (settings.l2,), seeds or (settings.seed,)
        )
    ]
    if settings.patience is not None:
        msg = "patience stops one training, but the runs of a sweep are trained together: leave it out"
        raise ConfigurationError(msg)
    if settings.cuda_graph:
        msg = "cuda_graph is for one training: leave it out for a sweep"
        raise ConfigurationError(msg)
    if settings.metric_examples:
        msg = "metric_examples is for one training: a sweep computes no training metric"
        raise ConfigurationError(msg)
    examples = on_device(data, backend, settings.resident_bytes)
    if _is_descent(model, examples.m, settings):
        chosen, reason = choose_method(method, examples)
        runs = _descended(model, examples, Y, backend, each, validation, chosen, make_sums)
    elif method in ("auto", "autodiff"):
        chosen = Method.AUTODIFF
        reason = "only full-batch sgd of logistic or softmax regression has a faster method"
        runs = _trained(model, examples, Y, backend, each, validation)
    else:
        msg = f"method is {method!r}, which is for full-batch descent of linear classifiers: use 'auto'"
        raise ConfigurationError(msg)
    for run in runs:
        if not run.history.has_diverged and not run.parameters.is_finite(backend):
            run.history.diverge(math.nan, len(run.history), "a parameter")
    if not any(math.isfinite(run.final_cost) for run in runs):
        diverged = next((run.history for run in runs if run.history.has_diverged), None)
        if diverged is None:
            msg = "the validation cost of every run is too large for a number: try smaller learning rates"
            raise DivergenceError(msg, step=len(runs[0].history))
        raise DivergenceError(diverged.stopped, step=len(diverged) + 1)
    return SweepResult(tuple(runs), chosen, reason)


def _is_descent(model: Network, m: int, settings: Settings) -> bool:
    """Return whether the training can be done by `xpnet.linear.descend`."""
    plain = (
        settings.optimizer == GradientDescent()
        and settings.schedule == Constant()
        and settings.precision == "float32"  # full-batch descent has no other precision
        and not (settings.l1 or settings.label_smoothing or settings.clip)
    )
    full = settings.batch_size is None or settings.batch_size >= m
    return plain and full and is_linear_classifier(model)


def _starts(model: Network, backend: Backend, each: list[Settings]) -> list[Parameters]:
    return [initialize(model, backend, s.initializer, s.seed, s.dtype) for s in each]


def _descended(
    model: Network,
    data: DeviceMatrix,
    Y: np.ndarray,
    backend: Backend,
    each: list[Settings],
    validation: tuple[ColumnMatrix | DeviceMatrix, np.ndarray] | None,
    method: Method,
    make_sums: MakeSums | None,
) -> list[SweepRun]:
    """Train all runs together by full-batch gradient descent."""
    shared = each[0]
    rates, l2s = [s.learning_rate for s in each], [s.l2 for s in each]
    require_valid_descent(shared.epochs, rates, l2s)
    began = time.perf_counter()
    with backend.activate():
        objective = LinearObjective.of(
            model, data, Y, backend, class_weight=shared.class_weight, dtype=shared.dtype, make_sums=make_sums
        )
        stepper = make_stepper(objective, method, objective.runs(rates, l2s), _starts(model, backend, each))
        costs = run_descent(stepper, objective, shared.epochs, len(each), strict=False)
        W, b = stepper.parameters()
        validated: list[tuple[float, float] | None] = [None] * len(each)
        if validation is not None:
            held = on_device(validation[0], backend, shared.resident_bytes)
            evaluator = Evaluator.of(model, held, validation[1], shared.dtype)
            validated = list(evaluator.each({"W1": W, "b1": b}, Ensemble(model, len(each))))
        parameters = unstack_parameters(model, W, b)
    seconds = (time.perf_counter() - began) / costs.size
    return [
        SweepRun(s, p, _history(row, s.learning_rate, seconds, v))
        for s, p, row, v in zip(each, parameters, costs, validated, strict=True)
    ]


def _history(
    costs: np.ndarray, rate: float, seconds: float, validated: tuple[float, float] | None
) -> History:
    """Return the history of one run, up to its last finite cost. costs: (iterations,)."""
    bad = np.flatnonzero(~np.isfinite(costs))
    good = int(bad[0]) if bad.size else len(costs)
    history = History.of_costs(costs[:good].tolist(), [rate] * good, [seconds] * good)
    history.end(StopReason.ALL_EPOCHS, f"all {len(costs)} iterations done")
    if bad.size:
        history.diverge(costs[good], good + 1)
    elif validated is not None:
        history.set_last(val_cost=validated[0], val_metric=validated[1])
    return history


def _trained(
    model: Network,
    data: DeviceMatrix,
    Y: np.ndarray,
    backend: Backend,
    each: list[Settings],
    validation: tuple[ColumnMatrix | DeviceMatrix, np.ndarray] | None,
) -> list[SweepRun]:
    """Train all runs together by the computation graph."""
    trainer = EnsembleTrainer(model, data, Y, backend, each, validation)
    for _ in range(each[0].epochs):
        trainer.epoch()
    return [SweepRun(s, p, h) for s, p, h in zip(each, trainer.parameters(), trainer.histories, strict=True)]
