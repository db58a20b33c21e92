"""Write the predictions for images to a file or a stream: one row for each image, in order.

A run that was killed can be resumed, and then ends with the same bytes as one that was not.
"""

from __future__ import annotations

import hashlib
import itertools
import os
from dataclasses import asdict
from typing import IO, TYPE_CHECKING, Any

from xpnet.backend import Backend
from xpnet.errors import NoInputError, OutputError, UsageError
from xpnet.kernels import one_for_each_product

from ..images import Cluster, file_digest
from ..models import DEFAULT_OPTIONS, columns_for
from .counts import Counts
from .formats import new_format
from .parts import MadeByCluster, MadeHere, Making, ScoreTask
from .resumable_file import WAYS_OUT, ResumableFile, StreamSink

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from ..images import DecodedImages, Decoders
    from ..models import Model, RowOptions


def write_predictions(
    model: Model,
    paths: Iterable[str],
    backend: Backend | Callable[[], Backend],
    output: str | IO[bytes],
    options: RowOptions = DEFAULT_OPTIONS,
    *,
    format: str = "csv",  # noqa: A002  (the name of the command's option)
    workers: Decoders = 1,
    batch_size: int | None = None,
    overwrite: bool = False,
    device: str | None = None,
    begun: Iterator[DecodedImages] | None = None,
    on_resume: Callable[[int], object] = lambda done: None,  # noqa: ARG005
    on_progress: Callable[[Counts], object] = lambda counts: None,  # noqa: ARG005
) -> Counts:
    """Score images, the lines of tables, or features, and write one row for each, in order.

    Args:
        model: the model.
        paths: the images, which are read as they are needed. For a model that was trained on a table
            or on features: such files, which may lack what it predicts.
        backend: the device that scores; or a function that opens it, which is not called for a cluster: that
            scores on its own devices.
        output: the file to write, which appears under its name when it is complete; or a binary stream.
        options: which columns the rows have.
        format: one of `FORMATS`.
        workers: what decodes, and if it is a cluster also scores. It does not change any row.
        batch_size: how many images are scored and written at a time; None for as many as the device takes. It
            does not change any row.
        overwrite: whether to replace the unfinished file that an earlier run left, in place of continuing it.
        device: for a cluster, the device of each worker, as for `xpnet.select`.
        begun: the images, if their decoding has begun; see `begin_decoding`. Not for an unfinished output:
            which images it has rows for is known only when it is opened.
        on_resume: called with the number of rows of an unfinished file that is continued.
        on_progress: called with the counts after each batch.

    Returns:
        How many rows have each status.

    Raises:
        UsageError: the options do not fit the model or the output.
        DataError: a table cannot be read, or lacks a column that the model needs.
        OutputError: the output cannot be written, or is the unfinished file of another run.
        NoInputError: there are no images.
        DeviceError: the device failed. The rows written so far are kept, and can be resumed.
        WorkerError: the workers cannot be started, or the cluster fails. The rows are kept, too.
    """
    table = model.table_inputs(paths) if model.recipe is None else None
    inputs = iter(paths if table is None else table.names)
    making: Making
    if isinstance(workers, Cluster) and model.recipe is not None:
        task = ScoreTask.of(model, options, format, device)
        making = MadeByCluster(workers, task, model.recipe)
    else:
        backend = backend if isinstance(backend, Backend) else backend()
        predictor = model.predictor(backend, options, takes_tables=True)
        making = MadeHere(predictor, backend.name, workers, batch_size, table, begun)
    format_ = new_format(format, columns_for(model.classes, options, of_images=model.recipe is not None))
    counts, digest = Counts(), InputDigest(b"" if table is None else table.content)
    # All cores decode, so one thread computes the products.
    with one_for_each_product(), _open(output, model, options, format, making.device, overwrite) as sink:
        if isinstance(sink, StreamSink) and format_.conversion is not None:
            msg = f"--format {format} cannot be written to standard output: name a file with --output"
            raise UsageError(msg)
        if sink.state:
            if begun is not None:
                msg = f"{sink.path}: another run began to write it meanwhile: the same command continues"
                raise OutputError(msg)
            counts = resumed_counts(sink, digest, inputs)
            on_resume(counts.total)
        for part in making.parts(inputs, format_, counts.total):
            head = b"" if counts.total else format_.head()
            counts += part.counts
            sink.append(head + part.rows, {"counts": asdict(counts), "inputs": digest.add(part.paths)})
            on_progress(counts)
        if not counts.total:
            sink.discard()
            msg = "there are no inputs: expected images, folders with images, globs, or a list of them"
            raise NoInputError(msg)
        sink.finish(format_.conversion)
    return counts


class InputDigest:
    """A hash of the paths of all inputs so far: a resumed run must have the same ones.

    Args:
        content: what also must be the same.
    """

    def __init__(self, content: bytes = b"") -> None:
        self._digest = hashlib.blake2b(content, digest_size=16)

    def add(self, paths: Iterable[str]) -> str:
        """Add paths; return the hash of all paths so far, in hexadecimal digits."""
        for path in paths:
            self._digest.update(os.fsencode(path) + b"\0")
        return self._digest.hexdigest()


def run_identity(model: Model, options: RowOptions, file_format: str, device: str) -> dict[str, Any]:
    """Return what must be equal to resume a run: the model file, the options, and the kind of device.

    Args:
        model: the model.
        options: which columns the rows have.
        file_format: one of `FORMATS`.
        device: "cpu" or "gpu". The number of a GPU is not part of it: two GPUs give the same digits.

    Raises:
        UsageError: the model has no file.
    """
    if model.path is None:
        msg = "the model was not loaded from a file: save it, load it, and write the predictions of that"
        raise UsageError(msg)
    recipe = model.recipe
    reading = {"frame": recipe.frame, "max_pixels": recipe.max_pixels} if recipe else {}
    return {
        "model": file_digest(model.path),
        "options": {"format": file_format, **asdict(options), **reading},
        "device": device,
    }


def _open(
    output: str | IO[bytes],
    model: Model,
    options: RowOptions,
    file_format: str,
    device: str,
    overwrite: bool,
) -> ResumableFile | StreamSink:
    if not isinstance(output, str):
        return StreamSink(output)
    return ResumableFile.open(output, run_identity(model, options, file_format, device), overwrite)


def resumed_counts(sink: ResumableFile | StreamSink, digest: InputDigest, paths: Iterator[str]) -> Counts:
    """Return the counts of an unfinished file, and skip the inputs that it has rows for.

    Args:
        sink: the file. Its state has "counts" and "inputs".
        digest: takes the inputs that are skipped.
        paths: the inputs.

    Raises:
        OutputError: the file has rows for other inputs, or its journal is damaged.
    """
    counts = Counts.from_dict(sink.state.get("counts"))
    if counts is None:
        msg = f"{sink.path}: cannot be resumed: the journal of the earlier run is damaged; {WAYS_OUT}"
        raise OutputError(msg)
    if digest.add(itertools.islice(paths, counts.total)) != sink.state.get("inputs"):
        msg = (
            f"{sink.path}: cannot be resumed: its first {counts.total} rows are for other inputs than these; "
            f"{WAYS_OUT}"
        )
        raise OutputError(msg)
    return counts
