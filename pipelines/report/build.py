"""Make the page of a model, from files to a file."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import xpnet
from xpnet.backend import select
from xpnet.errors import OutputError, UsageError
from xpnet.io import atomic_write

from ..images import path_text
from ..models import load, open_labelled
from ..outputs import require_writable
from . import evaluation, predictions, training
from .graph import graph
from .page import render, require_jinja
from .weights import weights

if TYPE_CHECKING:
    from xpnet.backend import Backend

    from ..datasets import Dataset
    from ..messages import Messages
    from ..models import Model

SKIPPED = 1000
"""Inputs of DATA that could not be used and are named, at most."""


@dataclass(frozen=True)
class ReportJob:
    """What to make a page of.

    Attributes:
        model: path of the model.
        output: the page.
        data: labelled data to judge by, or None.
        labels, target: as for `xpnet.pipelines.datasets.sources.DataOptions`.
        predictions: a file of `xpnet predict`, or None.
        images: where the images of the predictions are now, or None for where their rows say.
        device: as for `xpnet.select`.
        workers: processes that decode.
    """

    model: str
    output: str
    data: str | None = None
    labels: str | None = None
    target: str | None = None
    predictions: str | None = None
    images: str | None = None
    device: str | None = None
    workers: int = 1


def write_report(job: ReportJob, console: Messages) -> int:
    """Make the page; return how many inputs of the data could not be used.

    Raises:
        XpnetError: of any kind, if it cannot be done.
    """
    require_jinja()
    require_writable([job.output], [job.model, job.data, job.labels, job.predictions])
    _require_consistent(job)
    opened, backend = load(job.model), select(job.device)
    console.detail(f"Device {backend.device}: {backend.reason}")
    dataset = None if job.data is None else _opened_data(job, opened, job.data, console)
    parts: dict[str, Any] = {
        "title": path_text(os.path.basename(job.model)),
        "problem": problem(opened, dataset),
        "training": training.training(opened),
        "sweep": training.sweep(opened),
        "judged": None if dataset is None else evaluation.judge(opened, dataset, backend),
        "data": None if job.data is None else path_text(job.data),
        "weights": weights(opened),
        "graph": graph(opened.saved),
        "skipped": _skipped(job, dataset),
        "about": about(opened, backend),
    }
    _write(job.output, render(parts | _scored_parts(job, opened, console)))
    console.say(f"{job.output}: {os.path.getsize(job.output) / 1e6:.1f} MB")
    return 0 if dataset is None else len(dataset.skipped)


def problem(opened: Model, dataset: Dataset | None) -> dict[str, Any]:
    """Return shapes, layers and class counts, of the training as far as the model's file says."""
    saved, history = opened.saved, opened.saved.history
    model = saved.model
    ends = training.ends(opened)
    counts = {"training": ends["counts"]}
    if dataset is not None:
        counts["data"] = dataset.describe()["counts"]
    names = [path_text(name) for name in opened.class_names]
    fitting = {name: list(values) for name, values in counts.items() if len(values) == len(names) > 0}
    layers = [str(model.n_x), *map(str, model.hidden), f"{model.n_out}:{model.output}"]
    return {
        "m": history.get("m"),
        "n_x": model.n_x,
        "shape": None if opened.recipe is None else opened.recipe.shape,
        "layers": " → ".join(layers),
        "parameters": sum(array.size for array in saved.parameters.values()),
        "dtype": str(saved.parameters["W1"].dtype),
        "standardized": saved.standardizer.kind,
        "names": names,
        "counts": fitting,
        "judged": ends["judged"],
        "metric": training.metric_name(opened),
    }


def about(opened: Model, backend: Backend) -> dict[str, list[tuple[str, str]]]:
    """Return the recipe, how the model was trained and with what, and what made the page, by heading."""
    saved = opened.saved
    recipe = {name.replace("_", " "): value for name, value in saved.recipe.items()}
    if isinstance(features := recipe.get("features"), list):
        recipe["features"] = f"{len(features)} columns"
    history = {name: saved.history.get(name) for name in ("method", "stopped", "m", "best_epoch", "device")}
    here = {"xpnet": xpnet.__version__, "numpy": np.__version__, "python": platform.python_version()}
    tables = {
        "Recipe": recipe,
        "Training": {name.replace("_", " "): value for name, value in history.items()} | saved.versions,
        "This report": {**here, "device": backend.device, "model file": path_text(opened.path)},
    }
    return {
        heading: [(str(name), str(value)) for name, value in rows.items() if value not in (None, "", [])]
        for heading, rows in tables.items()
    }


def _require_consistent(job: ReportJob) -> None:
    if job.data is None and (job.labels or job.target):
        msg = "--labels and --target say how --data is read: name that as well"
        raise UsageError(msg)
    if job.images is not None and job.predictions is None:
        msg = "--images says where the images of --predictions are: name those as well"
        raise UsageError(msg)
    if job.images is not None and not os.path.isdir(job.images):
        msg = f"{job.images}: there is no such folder of images"
        raise UsageError(msg)


def _opened_data(job: ReportJob, opened: Model, data: str, console: Messages) -> Dataset:
    with console.progress("Decoding") as progress:
        return open_labelled(opened, data, job.labels, job.target, job.workers, "skip", progress)


def _scored_parts(job: ReportJob, opened: Model, console: Messages) -> dict[str, Any]:
    """Return the parts of the page that come from predictions, and say what was left out."""
    if job.predictions is None:
        return {"scored": None, "gallery": None, "failed": None}
    found = predictions.read(job.predictions, opened)
    gallery = None
    if opened.recipe is not None and found.rows:
        with console.progress("Thumbnails") as progress:
            gallery = predictions.gallery(found, job.images, job.workers, progress)
        if gallery["missing"]:
            more = "" if job.images else ": --images names the folder where they are now"
            console.warn(f"{gallery['missing']} of {len(found.rows)} images cannot be shown{more}")
    if found.is_sampled:
        console.warn(f"the gallery shows {len(found.rows)} of {found.count} rows, a sample")
    failed = {"rows": found.failed, "count": found.statuses["error"], "file": path_text(found.path)}
    return {
        "scored": predictions.summary(found),
        "gallery": gallery,
        "failed": failed if found.failed else None,
    }


def _skipped(job: ReportJob, dataset: Dataset | None) -> dict[str, Any] | None:
    if dataset is None or not dataset.skipped:
        return None
    return {
        "rows": dataset.skipped[:SKIPPED],
        "count": len(dataset.skipped),
        "file": path_text(str(job.data)),
    }


def _write(path: str, page: str) -> None:
    try:
        with atomic_write(Path(path)) as temporary:
            temporary.write_text(page, encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        msg = f"{path}: cannot be written: {error.strerror or error}"
        raise OutputError(msg) from error
