"""The commands that use a model: evaluate, predict."""

import sys
from typing import Annotated

import typer

from . import options as o
from .command import NO_INPUT, SOME_FAILED
from .console import Console

ModelFile = Annotated[str, typer.Argument(metavar="MODEL", help="A file of xpnet train.")]


def evaluate(
    console: Console,
    model: ModelFile,
    data: Annotated[str, typer.Argument(metavar="DATA", help="Labelled examples, as for xpnet train.")],
    device: o.Device = None,
    labels: o.Labels = None,
    target: o.Target = None,
    workers: o.Workers = None,
    on_error: o.OnError = "skip",
    as_json: o.AsJson = False,
) -> int:
    """Judge a model by labelled data.

    Prints metrics, a row for each class, and the confusion matrix.
    """
    from xpnet.backend import select

    from ..images import workers_for
    from ..models import evaluate as evaluate_model
    from ..models import load, open_labelled
    from .text import evaluation_text, report_skipped, to_json

    opened, backend = load(model), select(device)
    console.detail(f"Device {backend.device}: {backend.reason}")
    with console.progress("Decoding") as progress:
        dataset = open_labelled(opened, data, labels, target, workers_for(workers), on_error, progress)
    report = evaluate_model(opened, dataset, backend)
    report_skipped(console, dataset.skipped)
    typer.echo(to_json(report) if as_json else evaluation_text(report))
    return SOME_FAILED if dataset.skipped else 0


def predict(
    console: Console,
    model: ModelFile,
    inputs: Annotated[
        list[str] | None, typer.Argument(metavar="INPUTS...", help="Images, folders (with all below), globs.")
    ] = None,
    output: Annotated[
        str | None,
        typer.Option("--output", "-o", metavar="FILE", help="Where rows go; by default standard output."),
    ] = None,
    files_from: Annotated[
        str | None,
        typer.Option("--files-from", metavar="FILE", help="A path on each line; - for standard input."),
    ] = None,
    format: Annotated[  # noqa: A002  (the option's name)
        str | None,
        o.choice(
            "--format", "csv", "jsonl", "parquet", help="By default by the ending of --output, else csv."
        ),
    ] = None,
    topk: Annotated[int, typer.Option("--topk", min=0, help="Name the K most probable classes.")] = 0,
    proba: Annotated[bool, typer.Option("--proba", help="Write the probability of every class.")] = False,
    threshold: Annotated[
        float, typer.Option("--threshold", min=0, max=1, help="Below this probability the status is unsure.")
    ] = 0.0,
    batch_size: Annotated[
        int, typer.Option("--batch-size", min=1, max=65536, help="Images decoded and written at a time.")
    ] = 64,
    workers: o.Workers = None,
    device: o.Device = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with a run that was killed, to the same bytes.")
    ] = False,
    retry_errors: Annotated[
        bool,
        typer.Option(
            "--retry-errors", help="Score again what has the status error in FILE; name the same inputs."
        ),
    ] = False,
) -> int:
    """Score images: one row for each input.

    In the order of the inputs, whatever happens to one of them. Exit code 3 if some inputs failed, 4 if all
    did.
    """
    from ..images import workers_for
    from ..models import RowOptions
    from ..predictions import PredictJob, format_for, run_prediction

    job = PredictJob(
        model, tuple(inputs or ()), files_from, output,
        RowOptions(topk, proba, threshold), format_for(format, output),
        device, workers_for(workers), batch_size, resume, retry_errors,
    )  # fmt: skip
    counts = run_prediction(job, sys.stdout.buffer, console)
    if counts.error == counts.total:
        return NO_INPUT
    return SOME_FAILED if counts.error else 0
