"""Helpers that make what the tests of the report need: images, models, predictions, pages."""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from xpnet.pipelines.cli.console import Console
from xpnet.pipelines.datasets.sources import DataOptions
from xpnet.pipelines.images.recipe import Recipe
from xpnet.pipelines.models.model import load
from xpnet.pipelines.models.row_options import RowOptions
from xpnet.pipelines.predictions.jobs import PredictJob, run_prediction
from xpnet.pipelines.report.build import ReportJob, write_report
from xpnet.pipelines.training.plan import Plan
from xpnet.pipelines.training.preparation import TrainJob
from xpnet.pipelines.training.trainer import train_job

HOSTILE = [
    "<script>alert(1)<" + os.sep + "script>.jpg",
    "<img src=x onerror=alert(1)>.jpg",
    "\"double\" 'single' `back`.jpg",
    "two\nlines.jpg",
    "&lt;b&gt;&amp;.jpg",
    "{{7*7}} ${7*7} {% raw %}.jpg",
    "]]> --> <!--.jpg",
    "\u202egpj.exe\u2028\u2029.jpg",
    os.fsdecode(b"no-utf-8-\xff\xfe.jpg"),
]
"""Names of files that would be HTML, a script or a template. The first has a folder, for its slash."""


def draw(folder: Path, names: list[str], count: int, seed: int = 0) -> Path:
    """Draw images into a subfolder for each class; most of them can be told apart by their brightness."""
    generator = np.random.default_rng(seed)
    for k, name in enumerate(names):
        (folder / name).mkdir(parents=True)
        for i in range(count):
            pixels = generator.normal(90 + 60 * k, 60, (1, 1, 3)) + generator.normal(0, 30, (24, 32, 3))
            save(folder / name / f"{i:03}.jpg", pixels)
    return folder


def save(path: Path, pixels: np.ndarray) -> None:
    Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(path)


def trained(folder: Path, data: Path, **plan: Any) -> Path:
    """Train on a folder; return the path of the model."""
    path = folder / "model.safetensors"
    train(data, path, Plan(**plan), DataOptions(Recipe(8, 8)), val_split=0.25)
    return path


def train(data: Path, output: Path, plan: Plan, options: DataOptions, **job: Any) -> None:
    """Train a model on the CPU."""
    train_job(
        TrainJob(data=str(data), options=options, plan=plan, device="cpu", output=str(output), **job),
        Console(0),
    )


def predicted(model: Path, inputs: Path, output: Path, min_confidence: float = 0.6) -> Path:
    """Predict all images of a folder; return the path of the rows. Its ending says the format."""
    job = PredictJob(
        model=str(model),
        inputs=(str(inputs),),
        files_from=None,
        output=str(output),
        options=RowOptions(min_confidence=min_confidence),
        format=output.suffix[1:],
        device="cpu",
        workers=1,
        batch_size=64,
        overwrite=True,
        retry_errors=False,
    )
    run_prediction(job, None, Console(0))  # type: ignore[arg-type]  (nothing goes to standard output)
    return output


def page(output: Path, model: Path, **job: Any) -> Path:
    """Make a page; return its path."""
    write_report(
        ReportJob(str(model), str(output), device="cpu", **{n: str(v) for n, v in job.items()}), Console(0)
    )
    return output


@dataclass
class World:
    """The files of one problem.

    Attributes:
        data: folder of labelled images.
        model: model that was trained on them.
        new: folder of other images.
        rows: predictions for the other images.
        report: page with all of it.
    """

    data: Path
    model: Path
    new: Path
    rows: Path
    report: Path

    def open(self) -> Any:
        return load(str(self.model))


@dataclass
class Seen:
    """A page in a browser, and what it did.

    Attributes:
        page: Playwright's page.
        console: messages and errors on the console.
        requests: requested addresses, without those that start with data:.
        dialogs: messages of dialogs.
    """

    page: Any
    console: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    dialogs: list[str] = field(default_factory=list)
