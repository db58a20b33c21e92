"""`xpnet predict`: classify images."""

import os
import sys
from typing import Annotated

import typer

from . import options as o
from .command import NO_INPUT, SOME_FAILED
from .console import Console

MANY = 64
"""For so many images all workers are started at once, in place of one."""


def predict(
    console: Console,
    model: o.ModelFile,
    inputs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="INPUTS...",
            help="Images, folders (with all their subfolders), zip and tar archives, Parquet with images, "
            "and patterns such as 'photos/*.jpg', also on servers (s3://, gs://, https://); for a model of a "
            "table or of features, such files (CSV, Parquet, .npy, .npz, HDF5). Of an image with several "
            "frames or pages, the first is read: see --frame.",
        ),
    ] = None,
    files_from: Annotated[
        str | None,
        o.text(
            "--files-from", metavar="FILE", panel=o.DATA,
            help="Read the paths of the inputs from this file, one on each line; - is standard input.",
        ),
    ] = None,
    output: Annotated[
        str | None,
        o.text(
            "--output", "-o", metavar="FILE", panel=o.OUTPUT, show_default="standard output",
            help="The file to write the predictions to; - is standard output. An unfinished file of an "
            "earlier run with the same model, options and inputs is continued.",
        ),
    ] = None,
    format: Annotated[  # noqa: A002  (the option's name)
        str | None,
        o.choice(
            "--format", "csv", "jsonl", "parquet", panel=o.OUTPUT, show_default="from the file "
            "name of --output, or csv",
            help="The format of the predictions.",
        ),
    ] = None,
    topk: Annotated[
        int,
        o.number(
            "--topk", least=0, panel=o.OUTPUT,
            help="Also write the N most probable classes, with their probabilities.",
        ),
    ] = 0,
    proba: Annotated[
        bool, o.flag("--proba", panel=o.OUTPUT, help="Also write the probability of every class.")
    ] = False,
    min_confidence: Annotated[
        float,
        o.number(
            "--min-confidence", kind=float, least=0, most=1, metavar="P", panel=o.OUTPUT,
            help="Give a prediction the status unsure if its probability is below this.",
        ),
        o.Formerly("--threshold"),
    ] = 0.0,
    overwrite: Annotated[
        bool,
        o.flag(
            "--overwrite", panel=o.OUTPUT,
            help="Replace the unfinished file of an earlier run, in place of continuing it.",
        ),
    ] = False,
    resume: Annotated[
        bool,
        o.flag(
            "--resume", panel=o.OUTPUT,
            help="Continue the unfinished file of an earlier run. This is the default.",
        ),
    ] = False,
    retry_errors: Annotated[
        bool,
        o.flag(
            "--retry-errors", panel=o.OUTPUT,
            help="Score the inputs with the status error in FILE again, and keep all other rows. Name the "
            "same inputs as before.",
        ),
    ] = False,
    frame: o.Frame = None,
    max_pixels: o.MaxPixels = None,
    device: o.Device = None,
    workers: o.Workers = None,
    cluster: o.Cluster = None,
    batch_size: Annotated[
        int | None,
        o.number(
            "--batch-size", least=1, most=65536, panel=o.DEVICE, show_default="64, or 1024 on a GPU",
            help="How many images are scored and written at a time.",
        ),
    ] = None,
) -> int:  # fmt: skip
    """Classify images: one row for each input.

    The rows are in the order of the inputs. An input that cannot be read gets a row with the status error.
    The exit code is 3 if some inputs failed, and 4 if all failed.
    """
    from ..images import Workers, is_archive, open_decoders

    output = None if output == "-" else output
    if resume and (overwrite or retry_errors or output is None):
        from xpnet.errors import UsageError

        msg = (
            "--resume is for an unfinished file: name it with --output, and leave out --overwrite and "
            "--retry-errors"
        )
        raise UsageError(msg)
    with open_decoders(workers, cluster) as decoders:
        # They start while this process loads NumPy, the model, and a GPU's libraries. For a few files one is
        # enough; what a folder, an archive, a pattern or a list has is not known yet.
        given = inputs or ()
        few = files_from is None and len(given) < MANY and all(map(os.path.isfile, given))
        few = few and not any(map(is_archive, given))
        if isinstance(decoders, Workers):
            decoders.start(1 if few else None)
        from ..models import RowOptions
        from ..predictions import PredictJob, format_for, run_prediction

        job = PredictJob(
            model=model,
            inputs=tuple(inputs or ()),
            files_from=files_from,
            output=output,
            options=RowOptions(topk=topk, proba=proba, min_confidence=min_confidence),
            format=format_for(format, output),
            device=device,
            workers=decoders,
            batch_size=batch_size,
            overwrite=overwrite,
            retry_errors=retry_errors,
            frame=frame,
            max_pixels=max_pixels,
        )
        counts = run_prediction(job, sys.stdout.buffer, console)
    if counts.error == counts.total:
        return NO_INPUT
    return SOME_FAILED if counts.error else 0
