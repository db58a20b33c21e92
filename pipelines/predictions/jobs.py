"""A whole prediction run, as `xpnet predict` does it: find the inputs, load the model, score or retry.

Workers decode the first images while this process imports what scores, and loads a GPU's libraries. That
takes several times as long as to import this module.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, NamedTuple

from xpnet.errors import DeviceError, ModelFileError, UsageError, WorkerError
from xpnet.processors import no_blas_threads

from ..images import Workers, begin_decoding, expand_inputs
from ..models import DEFAULT_OPTIONS, read_recipe
from ..outputs import STANDARD_STREAM, ending_of, refuse_output_among, require_ending, require_writable
from .resumable_file import is_unfinished

if TYPE_CHECKING:
    from collections.abc import Iterator

    from xpnet.backend import Backend

    from ..images import DecodedImages, Decoders, Recipe
    from ..messages import Messages
    from ..models import RowOptions
    from .counts import Counts


ENDINGS = {"csv": ("csv",), "jsonl": ("jsonl", "ndjson"), "parquet": ("parquet", "pq")}
"""The endings of file names that mean a format, without the dot."""


@dataclass(frozen=True, kw_only=True)
class PredictJob:
    """What to score, and how.

    Attributes:
        model: path of the model file.
        inputs: images, folders and globs.
        files_from: a file with one path on each line, "-" for standard input, or None.
        output: the file to write, or None for standard output.
        options: which columns the rows have.
        format: one of `FORMATS`.
        device: as for `xpnet.select`.
        workers: what decodes, and if it is a cluster also scores.
        batch_size: how many images are scored and written at a time; None for as many as the device takes.
        overwrite: whether to replace the unfinished file of an earlier run. Otherwise it is continued.
        frame: which frame or page of a file is read, counted from 1; None for the one of the training.
        max_pixels: the largest image that is decoded, in pixels; None for the usual limit.
        retry_errors: whether to score only the inputs again that failed in an earlier run.

    Raises:
        UsageError: there are no inputs, or options contradict each other.
    """

    model: str
    inputs: tuple[str, ...] = ()
    files_from: str | None = None
    output: str | None = None
    options: RowOptions = DEFAULT_OPTIONS
    format: str = "csv"
    device: str | None = None
    workers: Decoders = 1
    batch_size: int | None = None
    overwrite: bool = False
    retry_errors: bool = False
    frame: int | None = None
    max_pixels: int | None = None

    def __post_init__(self) -> None:
        if not self.inputs and self.files_from is None:
            msg = "there are no inputs: name images, folders or globs, or a list of paths with --files-from"
            raise UsageError(msg)
        if STANDARD_STREAM in self.inputs:
            msg = (
                "- is not an input: --files-from - reads paths from standard input, and ./- is a file with "
                "the name -"
            )
            raise UsageError(msg)
        if self.output is None and (self.overwrite or self.retry_errors):
            msg = "--overwrite and --retry-errors need the file of an earlier run: name it with --output"
            raise UsageError(msg)


def format_for(asked: str | None, output: str | None) -> str:
    """Return the format that was asked for, else the one of the output's file name, else "csv"."""
    ending = ending_of(output)
    return asked or next((name for name, endings in ENDINGS.items() if ending in endings), "csv")


def run_prediction(job: PredictJob, stdout: IO[bytes], console: Messages) -> Counts:
    """Score the inputs, and say how many rows were written.

    Args:
        job: what to do.
        stdout: the stream for the rows of a job without an output file.
        console: where to say it.

    Returns:
        How many rows have each status.

    Raises:
        XpnetError: of any kind, if the job cannot be done.
    """
    require_writable([job.output], [job.model, job.files_from, *job.inputs])
    what = f"predictions as {job.format} (the formats are {', '.join(ENDINGS)})"
    may_be_json = ("json",) if job.format == "jsonl" else ()
    require_ending(job.output, what, *ENDINGS.get(job.format, ("csv",)), *may_be_json)
    paths = refuse_output_among(job.output, expand_inputs(job.inputs, job.files_from))
    begun = _begin(job, paths)
    try:
        counts = _score(job, paths, begun, stdout, console)
    except (KeyboardInterrupt, DeviceError, WorkerError):
        if job.output is not None and is_unfinished(job.output):
            console.warn(f"{job.output}.part holds the rows written so far: the same command continues")
        raise
    if job.output is not None:
        unsure = [f"{counts.unsure} unsure"] if job.options.min_confidence else []
        parts = [f"{counts.ok} ok", *unsure, f"{counts.error} failed"]
        console.say(f"{job.output}: {counts.total} rows: {', '.join(parts)}")
    return counts


class _Begun(NamedTuple):
    """The inputs, whose decoding has begun."""

    recipe: Recipe
    images: Iterator[DecodedImages]


def _begin(job: PredictJob, paths: Iterator[str]) -> _Begun | None:
    """Begin to decode the inputs, if the job has workers for it and writes a new file.

    Not if another program lists them: it may take its time, and errors and rows should not wait for it.
    """
    continues = job.output is not None and not job.overwrite and is_unfinished(job.output)
    is_slow = job.files_from is not None and not os.path.isfile(job.files_from)
    if not isinstance(job.workers, Workers) or job.retry_errors or continues or is_slow:
        return None
    recipe = read_recipe(job.model)
    if recipe is None:
        return None
    recipe = recipe.reading(job.frame, job.max_pixels)
    return _Begun(recipe, begin_decoding(paths, recipe, job.workers))


def _score(
    job: PredictJob,
    paths: Iterator[str],
    begun: _Begun | None,
    stdout: IO[bytes],
    console: Messages,
) -> Counts:
    with no_blas_threads():  # NumPy is first imported here, and one thread computes the products of scoring
        from xpnet.backend import select

        from ..models import load
        from .predict import write_predictions
        from .retry import retry_errors

    model = load(job.model).reading(job.frame, job.max_pixels)
    if begun is not None and model.recipe != begun.recipe:
        msg = f"{job.model}: was replaced while it was read: run the same command again"
        raise ModelFileError(msg)

    def opened() -> Backend:
        backend = select(job.device)
        console.detail(f"Device {backend.device}: {backend.reason}")
        return backend

    with console.progress("Scoring") as bar:

        def on_progress(counts: Counts) -> None:
            if job.output is not None:  # on standard output the bar would appear between the rows
                bar(counts.total, note=f"{counts.error} failed" if counts.error else "")

        def on_resume(done: int) -> None:
            console.say(f"{job.output}: continuing the unfinished file of an earlier run after {done} rows")

        if job.retry_errors:
            return retry_errors(
                model,
                paths,
                opened(),
                str(job.output),
                job.options,
                format=job.format,
                workers=job.workers,
                overwrite=job.overwrite,
                on_resume=on_resume,
                on_progress=on_progress,
            )
        return write_predictions(
            model,
            paths,
            opened,
            stdout if job.output is None else job.output,
            job.options,
            format=job.format,
            workers=job.workers,
            batch_size=job.batch_size,
            overwrite=job.overwrite,
            device=job.device,
            begun=begun and begun.images,
            on_resume=on_resume,
            on_progress=on_progress,
        )
