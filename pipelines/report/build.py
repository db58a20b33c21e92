"""Write the page of a model: read the files, compute the sections, render them."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from xpnet.backend import select
from xpnet.errors import UsageError
from xpnet.version import __version__

from ..images import is_folder, name_text, path_text
from ..models import load
from ..outputs import locked_outputs, require_ending, require_writable, write_text
from ..training import metric_name
from .computation_graph import graph_section
from .evaluation import evaluation_section
from .page import render, require_jinja
from .predictions import failed_section, gallery_section, predictions_section, read
from .training import (
    features_section,
    final_results,
    penalty_section,
    sweep_section,
    training_counts,
    training_section,
)
from .weights import weights_section

if TYPE_CHECKING:
    from xpnet.backend import Backend

    from ..datasets import Dataset
    from ..images import Decoders
    from ..messages import Messages
    from ..models import Model

SKIPPED_ROWS = 1000
"""The most inputs of the labelled data that are listed with the reason why they could not be used."""


@dataclass(frozen=True)
class ReportJob:
    """What to show on the page, and where to write it.

    Attributes:
        model: path of the model.
        output: path of the page.
        data: labelled data to evaluate the model on, or None.
        labels, target: how the data is read, as in `DataOptions`.
        predictions: a file that `xpnet predict` wrote, or None.
        images: the folder that the images of the predictions are in now; None if they have not moved.
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
    workers: Decoders = 1


def write_report(job: ReportJob, console: Messages) -> int:
    """Write the page; return how many inputs of the labelled data could not be used.

    Raises:
        UsageError: the job is not consistent, or Jinja2 is not installed.
        XpnetError: a file cannot be read or written, or the device is not available.
    """
    require_jinja()
    require_writable([job.output], [job.model, job.data, job.labels, job.predictions, job.images])
    require_ending(job.output, "a report, HTML", "html", "htm")
    _require_consistent(job)
    with locked_outputs(job.output):
        return _write_report(job, console)


def _write_report(job: ReportJob, console: Messages) -> int:
    model, backend = load(job.model), select(job.device)
    console.detail(f"Device {backend.device}: {backend.reason}")
    dataset = None if job.data is None else _labelled_data(job, model, job.data, console)
    sections: dict[str, Any] = {
        "title": path_text(os.path.basename(job.model)),
        "problem": problem_section(model, dataset),
        "features": features_section(model),
        "training": training_section(model),
        "penalty": penalty_section(model),
        "sweep": sweep_section(model),
        "evaluation": None if dataset is None else evaluation_section(model, dataset, backend, job.workers),
        "data": None if job.data is None else path_text(job.data),
        "weights": weights_section(model),
        "graph": graph_section(model.saved),
        "skipped": _skipped(dataset),
        "recipe": recipe_section(model, backend),
    }
    write_text(job.output, render(sections | _prediction_sections(job, model, console)))
    console.say(f"{job.output}: {os.path.getsize(job.output) / 1e6:.1f} MB")
    return 0 if dataset is None else len(dataset.skipped)


def problem_section(model: Model, dataset: Dataset | None) -> dict[str, Any]:
    """Return shapes, layers, final cost and metric, and how many examples each class has, if known."""
    saved, network = model.saved, model.saved.model
    counts = {"training": training_counts(model)}
    if dataset is not None:
        counts["data"] = dataset.describe()["counts"]
    names = [name_text(name) for name in model.classes]
    known = {name: list(values) for name, values in counts.items() if len(values) == len(names) > 0}
    layers = [str(network.n_x), *map(str, network.hidden), f"{network.n_out}:{network.output}"]
    return {
        "m": saved.history.get("m"),
        "n_x": network.n_x,
        "shape": None if model.recipe is None else model.recipe.shape,
        "layers": " → ".join(layers),
        "parameters": sum(array.size for array in saved.parameters.values()),
        "dtype": str(saved.parameters["W1"].dtype),
        "standardized": saved.standardizer.kind,
        "names": names,
        "counts": known,
        "results": final_results(model),
        "metric": metric_name(model.classes),
    }


def recipe_section(model: Model, backend: Backend) -> dict[str, list[tuple[str, str]]]:
    """Return tables of names and values: the recipe, the training, and what made this page."""
    saved = model.saved
    recipe = {name.replace("_", " "): value for name, value in saved.recipe.items()}
    if isinstance(features := recipe.get("features"), list):
        recipe["features"] = f"{len(features)} columns"
    history = {name: saved.history.get(name) for name in ("method", "stopped", "m", "best_epoch", "device")}
    here = {"xpnet": __version__, "numpy": np.__version__, "python": platform.python_version()}
    tables = {
        "Recipe": recipe,
        "Training": {name.replace("_", " "): value for name, value in history.items()} | saved.versions,
        "This report": {**here, "device": backend.device, "model file": path_text(model.name)},
    }
    return {
        heading: [(str(name), str(value)) for name, value in rows.items() if value not in (None, "", [])]
        for heading, rows in tables.items()
    }


def _require_consistent(job: ReportJob) -> None:
    if job.data is None and (job.labels or job.target):
        msg = "--labels and --target say how to read --data, which is missing: add --data"
        raise UsageError(msg)
    if job.images is not None and job.predictions is None:
        msg = "--images says where the images of --predictions are, which is missing: add --predictions"
        raise UsageError(msg)
    if job.images is not None and not is_folder(job.images):
        msg = f"--images {job.images}: there is no such folder or archive"
        raise UsageError(msg)


def _labelled_data(job: ReportJob, model: Model, data: str, console: Messages) -> Dataset:
    with console.progress("Decoding") as progress:
        return model.open_data(
            data,
            labels=job.labels,
            target=job.target,
            workers=job.workers,
            on_progress=progress,
            on_warning=console.warn,
        )


def _prediction_sections(job: ReportJob, model: Model, console: Messages) -> dict[str, Any]:
    """Return the sections on the predictions, and warn about what they leave out."""
    if job.predictions is None:
        return {"predictions": None, "gallery": None, "failed": None}
    found = read(job.predictions, model)
    gallery = None
    if model.recipe is not None and found.rows:
        with console.progress("Thumbnails") as progress:
            gallery = gallery_section(found, job.images, job.workers, progress)
        if gallery["missing"]:
            hint = "" if job.images else ": if they have moved, name their folder with --images"
            console.warn(f"{gallery['missing']} of {len(found.rows)} images cannot be shown{hint}")
    if found.is_sampled:
        console.warn(f"the gallery shows a sample: {len(found.rows)} of {found.count} rows")
    return {
        "predictions": predictions_section(found),
        "gallery": gallery,
        "failed": failed_section(found),
    }


def _skipped(dataset: Dataset | None) -> dict[str, Any] | None:
    if dataset is None or not dataset.skipped:
        return None
    return {"rows": dataset.skipped[:SKIPPED_ROWS], "count": len(dataset.skipped)}
