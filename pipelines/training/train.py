"""Train a model on a dataset the way its plan says, and make the model file of it."""

from __future__ import annotations

import csv
import platform
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import xpnet
from xpnet.data import fit_standardizer as fit_standardizer
from xpnet.data import stratified_split
from xpnet.errors import DataError, OutputError, UsageError
from xpnet.io import SavedModel, atomic_write
from xpnet.linear import descend, minimize
from xpnet.nn import Epoch, History
from xpnet.training import Evaluator, fit

from .plan import JUDGED, LBFGS, Plan, choose_model
from .summary import of_training
from .targets import TargetScale

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Mapping

    from xpnet.backend import Backend
    from xpnet.nn import Network, Parameters

    from ..datasets import Dataset


@dataclass(frozen=True)
class Trained:
    """A trained model.

    Attributes:
        model: its configuration.
        parameters: on their device.
        history: how it went; of a full-batch training each iteration is an epoch.
        method: the way that was taken, in words.
        judged_examples: of how many of the training examples each epoch has the metric; 0 if it has none.
    """

    model: Network
    parameters: Parameters
    history: History
    method: str
    judged_examples: int = 0


def train(
    plan: Plan,
    dataset: Dataset,
    backend: Backend,
    validation: Dataset | None = None,
    *,
    on_epoch: Callable[[Epoch], object] | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
) -> Trained:
    """Train.

    Each epoch of a training in batches also has the metric of the training data, or of a sample of it. L-BFGS
    and all that is counted in iterations has no epochs in that sense, and none of it.

    Args:
        plan: how.
        dataset: the training examples.
        backend: where.
        validation: examples to judge by; see `judged_by`.
        on_epoch: is called after each epoch, of a full-batch training now and then.
        checkpoint: a file to go on from, and to save to. Not for full-batch training: done again, it ends
            with the same bytes.

    Raises:
        UsageError: the plan does not fit the data.
        ConfigurationError, ShapeError, DivergenceError, ModelFileError: as for `xpnet.training.fitting.fit`.
    """
    model = choose_model(plan, dataset)
    scale = TargetScale.of(dataset)
    data = scale.scaled(dataset)
    held = None if validation is None else scale.scaled(validation)
    judge = None if held is None else (held.data, held.Y)

    def reported(epoch: Epoch) -> None:
        if on_epoch is not None:
            on_epoch(scale.epoch(epoch))

    if not plan.is_full_batch(model):
        settings = plan.settings(model, dataset.data.m)
        if settings.batch_size is not None:
            settings = replace(settings, judged_examples=JUDGED)
        fitted = fit(
            model, data.data, data.Y, backend, settings, judge, on_epoch=reported, checkpoint=checkpoint
        )
        scale.undo(model, fitted.parameters, backend)
        batches = "all examples" if settings.batch_size is None else f"batches of {settings.batch_size}"
        history = scale.history(fitted.history)
        judged = min(settings.judged_examples, data.data.m)
        return Trained(model, fitted.parameters, history, f"the computation graph, {batches}", judged)
    trained = _full_batch(plan, model, dataset, backend, on_epoch)
    if judge is not None:
        with backend.activate():
            cost, metric = Evaluator(model, *judge, backend, plan.dtype)(trained.parameters)
        epochs = trained.history.epochs
        epochs[-1] = replace(epochs[-1], val_cost=cost, val_metric=metric)
    return trained


def _full_batch(
    plan: Plan,
    model: Network,
    dataset: Dataset,
    backend: Backend,
    on_epoch: Callable[[Epoch], object] | None,
) -> Trained:
    """Train logistic or softmax regression by L-BFGS or gradient descent on all examples."""
    began, settings = time.perf_counter(), None

    def on_progress(done: int, cost: float) -> None:
        if on_epoch is not None:
            rate = settings.learning_rate if settings else 0.0
            on_epoch(Epoch(done, cost, rate, (time.perf_counter() - began) / done))

    shared: Any = {"class_weight": plan.class_weight, "dtype": plan.dtype, "on_progress": on_progress}
    if plan.optimizer_for(model) == LBFGS:
        result = minimize(
            model, dataset.data, dataset.Y, backend,
            iterations=plan.iterations, l2=1.0 if plan.l2 is None else plan.l2, **shared,
        )  # fmt: skip
        method = "L-BFGS on all examples" + (", in their span" if result.method.endswith("span") else "")
        stopped = result.reason
    else:
        settings = plan.settings(model, dataset.data.m)
        result = descend(
            model, dataset.data, dataset.Y, backend,
            iterations=settings.epochs, learning_rate=settings.learning_rate, l2=settings.l2, **shared,
        )  # fmt: skip
        way = (
            "in the span of the examples" if result.method == "span" else "one pass over all examples a step"
        )
        method = f"gradient descent, {way} ({result.reason})"
        stopped = f"all {settings.epochs} iterations done"
    each = (time.perf_counter() - began) / len(result.costs)
    rate = settings.learning_rate if settings else 0.0
    epochs = [Epoch(i, cost, rate, each) for i, cost in enumerate(result.costs.tolist(), start=1)]
    return Trained(model, result.parameters, History(epochs, len(epochs), stopped), method)


def held_back(dataset: Dataset, share: float, seed: int) -> tuple[Dataset, Dataset]:
    """Split a dataset into one to train on and one to judge by: the same share of each class.

    The standardization is fitted again, to what is left to train on.

    Raises:
        UsageError: nothing would be held back, or nothing be left.
    """
    if dataset.classes:
        kept, held = stratified_split(dataset.Y, share, seed)
    else:
        m = dataset.data.m
        count = round(m * share)
        if not 0 < count < m:
            msg = f"--val-split {share} of {m} examples is {count}: expected some to train on and to judge by"
            raise UsageError(msg)
        order = np.random.default_rng(seed).permutation(m)
        kept, held = np.sort(order[count:]), np.sort(order[:count])

    def part(rows: np.ndarray) -> Dataset:
        names = tuple(dataset.names[i] for i in rows) if dataset.names else ()
        return replace(dataset, data=dataset.data.part(rows), Y=dataset.Y[:, rows], names=names)

    kind, channels = dataset.data.standardizer.kind, dataset.recipe.channels if dataset.recipe else 1
    left = part(kept)
    standardizer = fit_standardizer(left.data.blocks(), kind, channels)
    left = replace(left, data=left.data.standardized_as(standardizer))
    return left, judged_by(part(held), left)


def judged_by(validation: Dataset, dataset: Dataset) -> Dataset:
    """Return validation data, standardized as the training data.

    Raises:
        DataError: it has other features, or was made otherwise.
    """
    if validation.data.n_x != dataset.data.n_x or validation.recipe != dataset.recipe:
        msg = (
            f"the validation data has {validation.data.n_x} features made by {validation.recipe}, "
            f"and the training data {dataset.data.n_x} made by {dataset.recipe}"
        )
        raise DataError(msg)
    return replace(validation, data=validation.data.standardized_as(dataset.data.standardizer))


def saved(
    trained: Trained,
    dataset: Dataset,
    backend: Backend,
    judged: Mapping[str, tuple[float, float]] | None = None,
    swept: dict[str, Any] | None = None,
) -> SavedModel:
    """Return what the model file holds. No times and no paths: the same training gives the same bytes.

    Args:
        trained: the model.
        dataset: what it was trained on.
        backend: where.
        judged: cost and metric at the end, by what was judged.
        swept: the summary of the sweep whose best it is, or None.
    """
    recipe = dataset.recipe
    history = of_training(
        trained.method, trained.history, dataset, backend.device, judged or {}, trained.judged_examples
    )
    return SavedModel(
        trained.model,
        {name: backend.fetch(view) for name, view in trained.parameters.views.items()},
        dataset.data.standardizer,
        dataset.classes,
        recipe.to_dict() if recipe else {"features": list(dataset.features), "target": dataset.target},
        history if swept is None else {**history, "sweep": swept},
        {"xpnet": xpnet.__version__, "numpy": np.__version__, "python": platform.python_version()},
    )


def write_history(path: str, runs: list[tuple[dict[str, Any], History]]) -> None:
    """Write cost curves as CSV: a line for each epoch of each run.

    Args:
        path: of the file.
        runs: what tells each apart, by column, with its history.

    Raises:
        OutputError: it cannot be written.
    """
    try:
        with (
            atomic_write(Path(path)) as temporary,
            open(temporary, "w", encoding="utf-8", newline="") as file,
        ):
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow([*runs[0][0], *Epoch.__dataclass_fields__])
            for apart, history in runs:
                for epoch in history.epochs:
                    cells = asdict(epoch).values()
                    writer.writerow([*apart.values(), *("" if cell is None else cell for cell in cells)])
    except OSError as error:
        msg = f"{path}: cannot be written: {error.strerror or error}"
        raise OutputError(msg) from error
