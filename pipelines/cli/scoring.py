"""The commands that use a model: evaluate, predict."""

import sys
from typing import Annotated

import typer

from pipelines.cli import options as o
from pipelines.cli.command import NO_INPUT, SOME_FAILED
from pipelines.console import Console

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
    from pipelines import evaluate as judge
    from pipelines.decoding import workers_for
    from pipelines.models import open_model
    from pipelines.reports import report_skipped, to_json
    from xpnet.backend import select

    opened, backend = open_model(model), select(device)
    console.detail(f"Device {backend.device}: {backend.reason}")
    with console.progress("Decoding") as progress:
        dataset = judge.open_labelled(opened, data, labels, target, workers_for(workers), on_error, progress)
    report = judge.evaluate(opened, dataset, backend)
    report_skipped(console, dataset.skipped)
    typer.echo(to_json(report) if as_json else judge.to_text(report))
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
    from pipelines import scoring
    from pipelines.decoding import workers_for
    from pipelines.rows import Options

    job = scoring.Job(
        model, tuple(inputs or ()), files_from, output,
        Options(scoring.format_for(format, output), topk, proba, threshold),
        device, workers_for(workers), batch_size, resume, retry_errors,
    )  # fmt: skip
    counts = scoring.run(job, sys.stdout.buffer, console)
    if counts.error == counts.total:
        return NO_INPUT
    return SOME_FAILED if counts.error else 0
