"""Run a training or a sweep from files to files: read, train, judge, save."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from xpnet.backend import select
from xpnet.errors import UsageError
from xpnet.io import tensor_file, write_model_file
from xpnet.training import Evaluator, SweepResult, SweepRun
from xpnet.training import sweep as sweep_runs

from ..datasets import TABLE_SUFFIXES, DataOptions, open_data, with_classes, with_labels_for
from ..outputs import require_writable
from ..report import plot_sweep, plot_training, require_plot
from .plan import LBFGS, Plan, choose_model, is_convex
from .summary import of_sweep, training_name
from .targets import TargetScale
from .train import Trained, held_back, judged_by, saved, train, write_history

if TYPE_CHECKING:
    from xpnet.backend import Backend
    from xpnet.nn import Epoch, Network, Parameters

    from ..datasets import Dataset
    from ..messages import Messages

SWEEP_ITERATIONS = 1000


@dataclass(frozen=True)
class TrainJob:
    """What to train on, how, and where the results go.

    Attributes:
        data: what to train on, and
        reading: how it is read.
        plan: how to train.
        device: as for `xpnet.select`.
        val: data to judge by, or
        val_split: the share of the data to hold back for it.
        output: the model file; a sweep may have none.
        history: the file of cost curves, or None.
        plot: the picture of them, or None.
    """

    data: str
    reading: DataOptions
    plan: Plan
    device: str | None = None
    val: str | None = None
    val_split: float | None = None
    output: str | None = None
    history: str | None = None
    plot: str | None = None


@dataclass(frozen=True)
class Result:
    """What came of a job.

    Attributes:
        dataset: what was trained on.
        judged: cost and metric on the training data, and, where there is any, on the validation data.
        skipped: inputs that could not be used, each with its reason.
        output: the model file.
        trained: the training, or
        sweep: the sweep.
        restored: whether the best epoch's weights were kept, not the last's.
    """

    dataset: Dataset
    judged: dict[str, tuple[float, float]]
    skipped: list[tuple[str, str]]
    output: str | None
    trained: Trained
    sweep: SweepResult | None = None
    restored: bool = False


def run_training(job: TrainJob, resume: bool, console: Messages) -> Result:
    """Train and save. A training in batches that is killed can go on where it was.

    Args:
        job: what to do, with an output.
        resume: whether to go on from the checkpoint that a killed run left beside the output.
        console: where to say what happens.

    Raises:
        XpnetError: of any kind, if it cannot be done.
    """
    dataset, validation, backend, skipped = _prepared(job, console)
    model = choose_model(job.plan, dataset)
    checkpoint = _checkpoint(job, model, resume, console)
    total, m = _epochs(job.plan, model, dataset.data.m), dataset.data.m

    def report(epoch: Epoch) -> None:
        speed = f"{m / epoch.seconds:.0f} examples/s" if epoch.seconds else ""
        bar(epoch.epoch, total, _note(epoch), speed, epoch.cost)

    try:
        with console.progress("Training", "epochs" if job.plan.iterations is None else "iterations") as bar:
            trained = train(
                job.plan, dataset, backend, validation,
                on_epoch=report,
                checkpoint=checkpoint,
            )  # fmt: skip
    except KeyboardInterrupt:
        if os.path.exists(checkpoint):
            console.warn(f"{checkpoint} holds what was trained so far: --resume goes on from there")
        else:
            console.warn("nothing is kept: checkpoints are written after epochs, not by full-batch training")
        raise
    for note in trained.history.notes:
        console.warn(note)
    costs = trained.history.costs
    if costs[-1] > costs[0]:
        console.warn(f"the cost rose from {costs[0]:.6g} to {costs[-1]:.6g}: try a smaller learning rate")
    judged = _judged(trained.model, trained.parameters, dataset, validation, backend, job.plan.dtype)
    write_model_file(str(job.output), saved(trained, dataset, backend, judged))
    if job.history is not None:
        write_history(job.history, [({}, trained.history)])
    if job.plot is not None:
        metric, name = "accuracy" if dataset.classes else "R²", training_name(trained.judged_examples, m)
        plot_training(job.plot, trained.history, metric, name)
    if os.path.exists(checkpoint):
        os.unlink(checkpoint)
    return Result(dataset, judged, skipped, job.output, trained, restored=job.plan.patience is not None)


def _checkpoint(job: TrainJob, model: Network, resume: bool, console: Messages) -> str:
    """Return the name of the checkpoint, which is there only if it is to be gone on from."""
    checkpoint = f"{job.output}.checkpoint"
    if not os.path.exists(checkpoint):
        if resume and os.path.exists(str(job.output)):
            msg = f"{job.output}: is done, without a checkpoint to go on from: --resume is not for it"
            raise UsageError(msg)
        if resume:
            console.say(f"There is no {checkpoint}: training begins at the beginning")
    elif not resume:
        tensor_file.read_tensors(checkpoint, "checkpoint")  # which refuses what is not ours to remove
        os.unlink(checkpoint)
    elif job.plan.is_full_batch(model):
        msg = f"{checkpoint} is of a training in steps, and this one is not: leave out --resume to begin anew"
        raise UsageError(msg)
    else:
        console.say(f"Going on with {checkpoint}")
    return checkpoint


def run_sweep(job: TrainJob, compared: dict[str, Any], console: Messages) -> Result:
    """Train several models at once; save the best.

    Args:
        job: what to do.
        compared: "learning_rates", "l2s" and "seeds", each a list of numbers or None.
        console: where to say what happens.

    Raises:
        XpnetError: of any kind, if it cannot be done.
    """
    given = {name: values for name, values in compared.items() if values}
    if min(given.get("seeds", [0])) < 0:
        msg = f"--seeds are {given['seeds']}, expected 0 or more"
        raise UsageError(msg)
    if not given:
        msg = "there is nothing to compare: give --learning-rates, --l2s or --seeds"
        raise UsageError(msg)
    plan = job.plan
    if plan.optimizer == LBFGS:
        msg = "--optimizer lbfgs chooses its own steps: a sweep is for the others"
        raise UsageError(msg)
    dataset, validation, backend, skipped = _prepared(job, console)
    model = choose_model(plan, dataset)
    if plan.epochs is None and plan.batch_size is None and plan.iterations is None:
        plan = replace(plan, iterations=SWEEP_ITERATIONS)
    if plan.optimizer is None:
        plan = replace(plan, optimizer="sgd" if is_convex(model) and plan.iterations else "adam")
    scale = TargetScale.of(dataset)
    data, held = scale.scaled(dataset), None if validation is None else scale.scaled(validation)
    judge = None if held is None else (held.data, held.Y)
    console.say("Training all of them at once ...")
    settings = plan.settings(model, dataset.data.m)
    done = sweep_runs(model, data.data, data.Y, backend, settings, validation=judge, **given)
    for run in done.runs:
        scale.undo(model, run.parameters, backend)
    done = replace(done, runs=tuple(replace(r, history=scale.history(r.history)) for r in done.runs))
    best = done.best
    trained = Trained(model, best.parameters, best.history, f"{done.method} ({done.reason}), a sweep's best")
    judged = _judged(model, best.parameters, dataset, validation, backend, plan.dtype)
    runs = [(apart(each, given), each.history) for each in done.runs]
    index = next(i for i, each in enumerate(done.runs) if each is best)
    if job.output is not None:
        write_model_file(job.output, saved(trained, dataset, backend, judged, of_sweep(runs, index)))
    if job.history is not None:
        write_history(job.history, runs)
    if job.plot is not None:
        plot_sweep(job.plot, runs, index)
    return Result(dataset, judged, skipped, job.output, trained, done)


def apart(run: SweepRun, compared: dict[str, Any]) -> dict[str, Any]:
    """Return what tells a run of a sweep from the others, by column."""
    names = {"learning_rates": "rate", "l2s": "l2", "seeds": "seed"}
    values = {"rate": run.settings.learning_rate, "l2": run.settings.l2, "seed": run.settings.seed}
    return {name: values[name] for key, name in names.items() if compared.get(key)}


def _prepared(
    job: TrainJob, console: Messages
) -> tuple[Dataset, Dataset | None, Backend, list[tuple[str, str]]]:
    """Return the data to train on and to judge by, the backend, and what was skipped."""
    require_plot(job.plot)
    require_writable([job.output, job.history, job.plot], [job.data, job.val, job.reading.labels])
    if job.val is not None and job.val_split is not None:
        msg = "--val and --val-split are two ways to judge: give one of them"
        raise UsageError(msg)
    backend = select(job.device)
    console.detail(f"Device {backend.device}: {backend.reason}")
    with console.progress("Decoding") as progress:
        dataset = with_labels_for(job.plan.model, open_data(job.data, job.reading, progress))
    choose_model(job.plan, dataset)  # which refuses a plan that does not fit before more is read
    skipped = [] if _is_prepared(job.data) else list(dataset.skipped)
    validation = None
    if job.val is not None:
        reading = replace(
            job.reading,
            recipe=dataset.recipe if os.path.isdir(job.val) else None,
            standardize=None,
            labels=None,
            target=dataset.target if job.val.lower().endswith(TABLE_SUFFIXES) else None,
        )
        with console.progress("Decoding") as progress:
            validation = with_labels_for(job.plan.model, open_data(job.val, reading, progress))
        skipped += [] if _is_prepared(job.val) else list(validation.skipped)
        validation = judged_by(with_classes(validation, dataset.classes, job.val), dataset)
    elif job.val_split is not None:
        dataset, validation = held_back(dataset, job.val_split, job.plan.seed)
    return dataset, validation, backend, skipped


def _is_prepared(path: str) -> bool:
    """Return whether what was skipped was reported already, when the file was made."""
    return os.path.isfile(path) and not path.lower().endswith(TABLE_SUFFIXES)


def _epochs(plan: Plan, model: Network, m: int) -> int | None:
    """Return how many epochs or iterations there will be, if that is known."""
    return None if plan.optimizer_for(model) == LBFGS else plan.settings(model, m).epochs


def _note(epoch: Epoch) -> str:
    if epoch.val_cost is None or epoch.val_metric is None:
        metric = "" if epoch.metric is None else f" ({epoch.metric:.4f})"
        return f"cost {epoch.cost:.4f}{metric}"
    return f"cost {epoch.cost:.4f}  val {epoch.val_cost:.4f} ({epoch.val_metric:.4f})"


def _judged(
    model: Network,
    parameters: Parameters,
    dataset: Dataset,
    validation: Dataset | None,
    backend: Backend,
    dtype: str,
) -> dict[str, tuple[float, float]]:
    sets = {"training": dataset} | ({} if validation is None else {"validation": validation})
    with backend.activate():
        return {
            name: Evaluator(model, each.data, each.Y, backend, dtype)(parameters)
            for name, each in sets.items()
        }
