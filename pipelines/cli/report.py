"""The command that shows: report."""

from typing import Annotated

import typer

from . import options as o
from .command import SOME_FAILED
from .console import Console


def report(
    console: Console,
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A file of xpnet train or sweep.")],
    output: Annotated[str, typer.Option("--output", "-o", metavar="FILE", help="The page to write, HTML.")],
    data: Annotated[
        str | None, typer.Option("--data", metavar="DATA", help="Labelled examples to judge the model by.")
    ] = None,
    predictions: Annotated[
        str | None, typer.Option("--predictions", metavar="FILE", help="A file of xpnet predict, to look at.")
    ] = None,
    images: Annotated[
        str | None,
        typer.Option("--images", metavar="FOLDER", help="Where the images of the predictions are now."),
    ] = None,
    labels: o.Labels = None,
    target: o.Target = None,
    device: o.Device = None,
    workers: o.Workers = None,
) -> int:
    """Show a model, its costs and its pictures on one page.

    One HTML file that opens from disk and asks for nothing. Needs xpnet[report].
    """
    from ..images import workers_for
    from ..report import ReportJob, write_report

    job = ReportJob(model, output, data, labels, target, predictions, images, device, workers_for(workers))
    return SOME_FAILED if write_report(job, console) else 0
