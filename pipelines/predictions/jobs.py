"""Run predictions from paths to rows: open the model, find the inputs, score or retry."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

from xpnet.backend import select
from xpnet.errors import DeviceError, UsageError

from ..images import expand_inputs
from ..models import load
from ..outputs import refuse_output_among, require_writable
from .formats import FORMATS
from .predict import predict
from .retry import retry

if TYPE_CHECKING:
    from xpnet.backend import Backend

    from ..messages import Messages
    from ..models import Counts, Model, RowOptions


@dataclass(frozen=True)
class PredictJob:
    """What to score, and how.

    Attributes:
        model: path of the model.
        inputs: files, folders and globs, and
        files_from: a file of paths, "-" for standard input, or None.
        output: the file, or None for standard output.
        options: what the rows look like.
        format: one of `FORMATS`.
        device: as for `xpnet.select`.
        workers: processes that decode.
        batch_size: inputs at a time.
        resume: whether to go on with a run that was killed.
        retry_errors: whether to score only what failed before.
    """

    model: str
    inputs: tuple[str, ...]
    files_from: str | None
    output: str | None
    options: RowOptions
    format: str
    device: str | None
    workers: int
    batch_size: int
    resume: bool
    retry_errors: bool

    def __post_init__(self) -> None:
        if not self.inputs and self.files_from is None:
            msg = "there is nothing to score: name images, folders or globs, or a list by --files-from"
            raise UsageError(msg)
        if self.output is None and (self.resume or self.retry_errors):
            msg = "--resume and --retry-errors go on with a file: name it by --output"
            raise UsageError(msg)
        if self.resume and self.retry_errors:
            msg = "--resume is for an incomplete file, --retry-errors for a complete one: give one of them"
            raise UsageError(msg)


def format_for(asked: str | None, output: str | None) -> str:
    """Return the format: as asked for, else what the output's name ends in, else CSV."""
    ending = (output or "").rpartition(".")[2].lower()
    return asked or (ending if ending in FORMATS else "csv")


def run_prediction(job: PredictJob, stdout: IO[bytes], console: Messages) -> Counts:
    """Score, and say how it went.

    Raises:
        XpnetError: of any kind, if it cannot be done.
    """
    require_writable([job.output], [job.model, job.files_from])
    opened, backend = load(job.model), select(job.device)
    console.detail(f"Device {backend.device}: {backend.reason}")
    try:
        counts = _score(job, opened, backend, stdout, console)
    except (KeyboardInterrupt, DeviceError):
        if job.output is not None and os.path.exists(f"{job.output}.part"):
            console.warn(f"{job.output}.part holds what was scored so far: --resume goes on with it")
        raise
    if job.output is not None:
        said = [f"{counts.ok} ok", *([f"{counts.unsure} unsure"] if job.options.threshold else [])]
        console.say(f"{job.output}: {counts.total} rows: {', '.join(said)}, {counts.error} failed")
    return counts


def _score(job: PredictJob, opened: Model, backend: Backend, stdout: IO[bytes], console: Messages) -> Counts:
    paths = refuse_output_among(job.output, expand_inputs(job.inputs, job.files_from))
    with console.progress("Scoring") as bar:

        def on_progress(counts: Counts) -> None:
            if job.output is not None:  # or the bar would be drawn between the rows
                bar(counts.total, note=f"{counts.error} failed" if counts.error else "")

        if job.retry_errors:
            return retry(
                opened, paths, backend, str(job.output), job.options, format=job.format,
                workers=job.workers, on_progress=on_progress,
            )  # fmt: skip
        return predict(
            opened, paths, backend, job.output, stdout, job.options, format=job.format,
            workers=job.workers, batch_size=job.batch_size, resume=job.resume, on_progress=on_progress,
        )  # fmt: skip
