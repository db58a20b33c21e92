"""Several trainings at once: learning rates, penalties and seeds as one more axis of W."""

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
    from xpnet.nn import Network, Settings


@dataclass(frozen=True)
class SweepRun:
    """One training of a sweep.

    Attributes:
        settings: of this run.
        parameters: as they ended, on their device.
        history: its epochs; of a full-batch descent each iteration is one. It ends where the cost was last
            finite.
    """

    settings: Settings
    parameters: Parameters
    history: History

    @property
    def final_cost(self) -> float:
        """The last validation cost, or training cost without validation data; inf if the run diverged."""
        return math.inf if self.history.has_diverged else self.history.criterion[-1]


@dataclass(frozen=True)
class SweepResult:
    """What `sweep` returns.

    Attributes:
        runs: in the order of the learning rates, for each the penalties, for each the seeds.
        method: how they were trained.
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
) -> SweepResult:
    """Train a model with each combination of learning rate, penalty and seed, all at once.

    Full-batch gradient descent of logistic and softmax regression goes by `xpnet.linear.descent`; everything else by
    the computation graph, with one batch for all runs. A run that diverges leaves the others alone.

    Args:
        model: the network.
        data: the training examples.
        Y: their labels, in host memory.
        backend: where to train.
        settings: how, in all that the runs share; also the order of the examples, by `settings.seed`.
        learning_rates: by default that of `settings`, and so the
        l2s: strengths of the penalty, and the
        seeds: of the initial parameters.
        validation: examples and labels to judge by, or None.
        method: as for `xpnet.linear.descent.descend`, "auto" or "autodiff" for other models.

    Raises:
        ConfigurationError: nothing to compare, or a setting that is for one training only, such as patience.
        ShapeError, DtypeError: data or labels that cannot be learned from.
        DivergenceError: no run has a finite cost.
    """
    each = [
        replace(settings, learning_rate=rate, l2=l2, seed=seed)
        for rate, l2, seed in itertools.product(
            learning_rates or (settings.learning_rate,), l2s or (settings.l2,), seeds or (settings.seed,)
        )
    ]
    if settings.patience is not None:
        msg = "patience stops one training: the runs of a sweep go on together, to the last epoch"
        raise ConfigurationError(msg)
    if settings.cuda_graph:
        msg = "cuda_graph records the steps of one training: leave it out for a sweep"
        raise ConfigurationError(msg)
    if settings.metric_examples:
        msg = "metric_examples is for one training: a sweep computes no training metric"
        raise ConfigurationError(msg)
    examples = on_device(data, backend, settings.resident_bytes)
    if _is_descent(model, examples.m, settings):
        chosen, reason = choose_method(method, examples)
        runs = _descended(model, examples, Y, backend, each, validation, chosen)
    elif method in ("auto", "autodiff"):
        chosen = Method.AUTODIFF
        reason = "it is not full-batch gradient descent of logistic or softmax regression"
        runs = _trained(model, examples, Y, backend, each, validation)
    else:
        msg = f"method is {method!r}, which is for full-batch descent of logistic and softmax regression"
        raise ConfigurationError(msg)
    if not any(math.isfinite(each_run.final_cost) for each_run in runs):
        raise DivergenceError(runs[0].history.stopped, step=len(runs[0].history) + 1)
    return SweepResult(tuple(runs), chosen, reason)


def _is_descent(model: Network, m: int, settings: Settings) -> bool:
    """Return whether the settings are those of `xpnet.linear.descent`."""
    plain = (
        settings.optimizer == GradientDescent()
        and settings.schedule == Constant()
        and settings.precision == "float32"  # which full-batch descent always has
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
) -> list[SweepRun]:
    """Train all runs together by full-batch gradient descent."""
    shared = each[0]
    rates, l2s = [s.learning_rate for s in each], [s.l2 for s in each]
    require_valid_descent(shared.epochs, rates, l2s)
    began = time.perf_counter()
    with backend.activate():
        objective = LinearObjective.of(
            model, data, Y, backend, class_weight=shared.class_weight, dtype=shared.dtype
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
    """Return the history of one run, up to its last finite cost."""
    bad = np.flatnonzero(~np.isfinite(costs))
    good = int(bad[0]) if bad.size else len(costs)
    history = History.of_costs(costs[:good].tolist(), [rate] * good, [seconds] * good)
    history.end(StopReason.ALL_EPOCHS, f"all {len(costs)} epochs done")
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
    """Train all runs together through the computation graph."""
    trainer = EnsembleTrainer(model, data, Y, backend, each, validation)
    for _ in range(each[0].epochs):
        trainer.epoch()
    return [SweepRun(s, p, h) for s, p, h in zip(each, trainer.parameters(), trainer.histories, strict=True)]
