"""Train a model on a dataset: choose the model and the way, fit, and say how it went."""

from __future__ import annotations

import platform
import time
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

import xpnet
from pipelines.errors import UsageError
from xpnet.descent import descend
from xpnet.fitting import fit
from xpnet.history import Epoch, History
from xpnet.lbfgs import minimize
from xpnet.modelfile import SavedModel
from xpnet.models import Layer, LogisticRegression, Network, SoftmaxRegression
from xpnet.optimizers import OPTIMIZERS
from xpnet.schedules import SCHEDULES
from xpnet.settings import Settings
from xpnet.split import stratified_split

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipelines.store import Dataset
    from xpnet.backend import Backend
    from xpnet.matrix import ColumnMatrix
    from xpnet.parameters import Parameters

Judge: TypeAlias = "tuple[ColumnMatrix, np.ndarray] | None"

MODELS = ("logistic", "softmax", "network", "regression")
LBFGS = "lbfgs"


@dataclass(frozen=True)
class Plan:
    """What the user asked for; None is for what is chosen from the data.

    Attributes:
        model: one of `MODELS`.
        hidden: layers as in "256:relu,32:relu+16:tanh".
        optimizer: one of `xpnet.optimizers.OPTIMIZERS`, or "lbfgs" for logistic and softmax regression.
        epochs: passes over the data in batches.
        iterations: full-batch steps instead.
        learning_rate: of the first epoch.
        batch_size: examples of a step.
        schedule: of the learning rate.
        other: further fields of `xpnet.settings.Settings`.
    """

    model: str | None = None
    hidden: str = ""
    optimizer: str | None = None
    epochs: int | None = None
    iterations: int | None = None
    learning_rate: float | None = None
    batch_size: int | None = None
    schedule: str = "constant"
    other: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Trained:
    """A trained model.

    Attributes:
        model: its configuration.
        parameters: on their device.
        history: how it went.
        method: the way that was taken, in words.
    """

    model: Network
    parameters: Parameters
    history: History
    method: str


def choose_model(plan: Plan, dataset: Dataset) -> Network:
    """Return the network that the plan asks for, or that fits the labels.

    Raises:
        UsageError: the plan and the data do not fit together.
    """
    n_x, n_classes = dataset.data.n_x, len(dataset.classes)
    hidden = tuple(Layer.parse(text) for text in plan.hidden.split(",")) if plan.hidden else ()
    kind = plan.model or ("regression" if not n_classes else "network" if hidden else "")
    kind = kind or ("logistic" if n_classes == 2 else "softmax")
    if kind not in MODELS:
        msg = f"--model is {kind!r}, expected one of {', '.join(MODELS)}"
        raise UsageError(msg)
    if (kind == "regression") != (not n_classes):
        what = f"{n_classes} classes" if n_classes else "numbers to predict"
        msg = f"--model {kind} does not fit the data, which has {what}"
        raise UsageError(msg)
    if kind == "logistic" and n_classes != 2:
        msg = f"--model logistic is for two classes, and the data has {n_classes}: use softmax"
        raise UsageError(msg)
    if kind in ("logistic", "softmax") and hidden:
        msg = f"--model {kind} has no hidden layers: use --model network with --hidden"
        raise UsageError(msg)
    if kind == "network" and not hidden:
        msg = "--model network needs --hidden, as in --hidden 256:relu,64:tanh"
        raise UsageError(msg)
    if kind == "logistic":
        return LogisticRegression(n_x)
    if kind == "softmax":
        return SoftmaxRegression(n_x, n_classes)
    output = "identity" if kind == "regression" else "sigmoid" if n_classes == 2 else "softmax"
    return Network(n_x, n_classes if n_classes > 2 else 1, output, hidden)


def held_back(dataset: Dataset, share: float, seed: int) -> tuple[Dataset, Dataset]:
    """Split a dataset into one to train on and one to judge by, the same share of each class in both."""
    labels = dataset.Y if dataset.classes else None
    kept, held = stratified_split(labels, share, seed) if labels is not None else _split(dataset, share, seed)

    def part(rows: np.ndarray) -> Dataset:
        names = tuple(dataset.names[i] for i in rows) if dataset.names else ()
        return replace(dataset, data=dataset.data.part(rows), Y=dataset.Y[:, rows], names=names)

    return part(kept), part(held)


def _split(dataset: Dataset, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    m = dataset.data.m
    count = round(m * share)
    if not 0 < count < m:
        msg = (
            f"--val-split {share} of {m} examples is {count}: expected some to train on and some to judge by"
        )
        raise UsageError(msg)
    order = np.random.default_rng(seed).permutation(m)
    return np.sort(order[count:]), np.sort(order[:count])


def train(
    plan: Plan,
    dataset: Dataset,
    backend: Backend,
    validation: Dataset | None = None,
    *,
    on_epoch: Callable[[Epoch], Any] | None = None,
    checkpoint: str | None = None,
) -> Trained:
    """Train.

    Args:
        plan: how.
        dataset: the training examples.
        backend: where.
        validation: examples to judge by.
        on_epoch: is called after each epoch.
        checkpoint: a file to go on from, and to save to, while training in batches.

    Raises:
        UsageError: the plan does not fit the data, or contradicts itself.
        ConfigurationError, ShapeError, DivergenceError: as for `xpnet.fitting.fit`.
    """
    model = choose_model(plan, dataset)
    convex = not model.hidden and model.output in ("sigmoid", "softmax")
    silent = plan.optimizer is None and plan.epochs is None and plan.batch_size is None
    optimizer = plan.optimizer or (LBFGS if convex and silent and plan.learning_rate is None else "adam")
    if plan.epochs is not None and plan.iterations is not None:
        msg = "--epochs counts passes in batches, --iterations full-batch steps: give one of them"
        raise UsageError(msg)
    judge = (validation.data, validation.Y) if validation else None
    if optimizer == LBFGS:
        return _minimize(plan, model, dataset, backend, judge)
    if optimizer not in OPTIMIZERS:
        msg = f"--optimizer is {optimizer!r}, expected one of {', '.join([*OPTIMIZERS, LBFGS])}"
        raise UsageError(msg)
    if plan.schedule not in SCHEDULES:
        msg = f"--schedule is {plan.schedule!r}, expected one of {', '.join(SCHEDULES)}"
        raise UsageError(msg)
    full = plan.iterations is not None
    settings = Settings(
        epochs=plan.iterations or plan.epochs or 20,
        batch_size=None if full else plan.batch_size or 256,
        learning_rate=plan.learning_rate or (0.005 if optimizer == "sgd" else 0.001),
        optimizer=OPTIMIZERS[optimizer],
        schedule=SCHEDULES[plan.schedule],
        **({"initializer": "zeros"} if convex else {}) | plan.other,
    )
    involved = any(plan.other.get(n) for n in ("l1", "dropout", "label_smoothing", "clip", "patience"))
    if full and convex and optimizer == "sgd" and plan.schedule == "constant" and not involved:
        return _descend(settings, model, dataset, backend, judge)
    fitted = fit(
        model, dataset.data, dataset.Y, backend, settings, judge, on_epoch=on_epoch, checkpoint=checkpoint
    )
    return Trained(model, fitted.parameters, fitted.history, "mini-batches through the computation graph")


def _descend(settings: Settings, model: Network, dataset: Dataset, backend: Backend, judge: Judge) -> Trained:
    began = time.perf_counter()
    result = descend(
        model, dataset.data, dataset.Y, backend, iterations=settings.epochs,
        learning_rate=settings.learning_rate, l2=settings.l2, class_weight=settings.class_weight,
        dtype=settings.dtype,
    )  # fmt: skip
    history = _history(result.costs, settings.learning_rate, time.perf_counter() - began)
    history.stopped = f"all {settings.epochs} iterations done"
    return _judged(
        Trained(model, result.parameters, history, f"{result.method}, {result.reason}"), judge, backend
    )


def _minimize(plan: Plan, model: Network, dataset: Dataset, backend: Backend, judge: Judge) -> Trained:
    if model.hidden or model.output not in ("sigmoid", "softmax"):
        msg = "--optimizer lbfgs is for logistic and softmax regression"
        raise UsageError(msg)
    given = {"learning_rate": plan.learning_rate, "epochs": plan.epochs, "batch_size": plan.batch_size}
    known = {"l2", "class_weight", "dtype", "seed"}
    given |= {name: value for name, value in plan.other.items() if name not in known}
    if unused := [name for name, value in given.items() if value]:
        msg = f"--optimizer lbfgs has no use for {', '.join(sorted(unused))}: name another optimizer"
        raise UsageError(msg)
    options = {name: plan.other[name] for name in ("class_weight", "dtype") if name in plan.other}
    began = time.perf_counter()
    result = minimize(
        model, dataset.data, dataset.Y, backend,
        iterations=plan.iterations or 100, l2=plan.other.get("l2", 1.0), **options,
    )  # fmt: skip
    history = _history(result.costs, 0.0, time.perf_counter() - began)
    history.stopped = result.reason
    return _judged(Trained(model, result.parameters, history, "L-BFGS on all examples"), judge, backend)


def _history(costs: np.ndarray, rate: float, seconds: float) -> History:
    each = seconds / len(costs)
    epochs = [Epoch(i, cost, rate, each) for i, cost in enumerate(costs.tolist(), start=1)]
    return History(epochs, best_epoch=len(epochs))


def _judged(trained: Trained, judge: Judge, backend: Backend) -> Trained:
    """Add the validation cost and metric of the end, where there is validation data."""
    if judge is None:
        return trained
    from xpnet.validation import Validation

    dtype = str(trained.parameters.buffer.dtype).rpartition(".")[2]
    with backend.activate():
        data, Y = judge
        cost, metric = Validation(trained.model, data, Y, backend, dtype)(trained.parameters)
    epochs = trained.history.epochs
    epochs[-1] = replace(epochs[-1], val_cost=cost, val_metric=metric)
    return trained


def saved(trained: Trained, dataset: Dataset, backend: Backend) -> SavedModel:
    """Return what the model file holds: weights, classes, recipe, and where it came from. No times."""
    history = trained.history
    last = {name: value for name, value in asdict(history.epochs[-1]).items() if name != "seconds"}
    return SavedModel(
        trained.model,
        {name: backend.fetch(view) for name, view in trained.parameters.views.items()},
        dataset.data.standardizer,
        dataset.classes,
        dataset.recipe.to_dict() if dataset.recipe else {"features": list(dataset.features)},
        {
            "method": trained.method,
            "stopped": history.stopped,
            "best_epoch": history.best_epoch,
            "m": dataset.data.m,
            "last": last,
            "costs": history.costs[:: max(1, -(-len(history.costs) // 100))],
        },
        {"xpnet": xpnet.__version__, "numpy": np.__version__, "python": platform.python_version()},
    )
