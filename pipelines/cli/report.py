"""`xpnet report`: show a model on one HTML page."""

from typing import Annotated

from . import options as o
from .command import SOME_FAILED
from .console import Console


def report(
    console: Console,
    model: o.ModelFile,
    output: Annotated[
        str, o.text("--output", "-o", metavar="FILE", panel=o.OUTPUT, help="The HTML page to write.")
    ],
    data: Annotated[
        str | None,
        o.text(
            "--data", metavar="DATA", panel=o.DATA,
            help="Labelled examples to evaluate the model on, of the same kinds as for xpnet train.",
        ),
    ] = None,
    labels: o.Labels = None,
    target: o.Target = None,
    predictions: Annotated[
        str | None,
        o.text("--predictions", metavar="FILE", panel=o.DATA, help="A file of xpnet predict to show."),
    ] = None,
    images: Annotated[
        str | None,
        o.text(
            "--images", metavar="FOLDER", panel=o.DATA,
            help="The folder or archive where the images of --predictions are now, if they were moved.",
        ),
    ] = None,
    device: o.Device = None,
    workers: o.Workers = None,
) -> int:  # fmt: skip
    """Show a model, its training and its predictions on one page.

    The page is one HTML file that works without a network. Needs the extra: pip install 'xpnet[report]'.
    """
    from ..images import Workers, workers_for
    from ..report import ReportJob, write_report

    with Workers(workers_for(workers)) as decoders:
        job = ReportJob(
            model=model,
            output=output,
            data=data,
            labels=labels,
            target=target,
            predictions=predictions,
            images=images,
            device=device,
            workers=decoders,
        )
        return SOME_FAILED if write_report(job, console) else 0
