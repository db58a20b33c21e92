"""`xpnet evaluate`: measure a model on labelled data."""

from typing import Annotated

import typer

from . import options as o
from .command import SOME_FAILED
from .console import Console


def evaluate(
    console: Console,
    model: o.ModelFile,
    data: Annotated[
        str, typer.Argument(metavar="DATA", help="Labelled examples, of the same kinds as for xpnet train.")
    ],
    labels: o.Labels = None,
    target: o.Target = None,
    frame: o.Frame = None,
    max_pixels: o.MaxPixels = None,
    on_error: o.OnError = "skip",
    wanted_precision: Annotated[
        float | None,
        o.number(
            "--wanted-precision", kind=float, least=0, most=1, metavar="FRACTION", panel=o.OUTPUT,
            help="For two classes: print from which probability on this share of the predictions is right.",
        ),
    ] = None,
    device: o.Device = None,
    workers: o.Workers = None,
    cluster: o.Cluster = None,
    as_json: o.AsJson = False,
) -> int:  # fmt: skip
    """Measure how well a model predicts labelled data.

    Prints the metrics, a table with one row for each class, and the confusion matrix.
    """
    from xpnet.backend import select

    from ..images import open_decoders
    from ..models import load
    from .text import evaluation_text, report_skipped, to_json

    loaded, backend = load(model).reading(frame, max_pixels), select(device)
    console.detail(f"Device {backend.device}: {backend.reason}")
    with console.progress("Decoding") as progress, open_decoders(workers, cluster) as decoders:
        dataset = loaded.open_data(
            data,
            labels=labels,
            target=target,
            workers=decoders,
            on_error=on_error,
            on_progress=progress,
            on_warning=console.warn,
        )
    metrics = loaded.evaluate_dataset(dataset, backend, wanted_precision).metrics
    report_skipped(console, dataset.skipped)
    typer.echo(to_json(metrics) if as_json else evaluation_text(metrics))
    return SOME_FAILED if dataset.skipped else 0
