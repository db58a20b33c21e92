"""Score inputs: one row for each, in order, whatever happens; a killed run resumes to the same bytes."""

from __future__ import annotations

import hashlib
import itertools
import os
from collections import deque
from dataclasses import asdict
from typing import IO, TYPE_CHECKING

from xpnet.errors import NoInputError, OutputError, UsageError

from ..images import CHUNK, decode_all
from ..models import Counts, RowOptions, Rows
from .formats import FORMATS, conversion
from .resumable_file import ResumableFile, StdoutSink

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any

    import numpy as np

    from xpnet.backend import Backend
    from xpnet.io import Scorer

    from ..images import DecodedImages, Recipe
    from ..models import Model


AHEAD = {"cpu": 0, "gpu": 2}
"""Parts that a device scores while this process goes on to decode: a CPU is busy with the one."""


class InputDigest:
    """A hash of the inputs so far, by which a resumed run knows that they are the same."""

    def __init__(self) -> None:
        self._digest = hashlib.blake2b(digest_size=16)

    def add(self, paths: Iterable[str]) -> str:
        """Add inputs; return the key of all so far."""
        for path in paths:
            self._digest.update(os.fsencode(path) + b"\0")
        return self._digest.hexdigest()


def predict(
    opened: Model,
    paths: Iterable[str],
    backend: Backend,
    output: str | None,
    stdout: IO[bytes],
    options: RowOptions,
    *,
    format: str = "csv",
    workers: int = 1,
    batch_size: int = CHUNK,
    resume: bool = False,
    on_progress: Callable[[Counts], object] = lambda counts: None,  # noqa: ARG005
) -> Counts:
    """Score images; write a row for each, in order.

    Args:
        opened: the model.
        paths: of the inputs; read as they are needed.
        backend: where to multiply.
        output: the file, which appears when it is complete; None for `stdout`.
        stdout: where rows go without an output.
        options: what the rows look like.
        format: one of `FORMATS`.
        workers: processes that decode, and
        batch_size: inputs that are decoded, scored and written at a time: neither changes a row.
        resume: whether to go on with what an earlier run left.
        on_progress: is called with the counts after each batch.

    Raises:
        UsageError: the options do not fit the model, or it is of a table.
        OutputError: the output cannot be written, or is of another run.
        NoInputError: there are no inputs.
        DeviceError: the device failed; what was written stays, to be resumed.
    """
    recipe = image_recipe(opened)
    rows, counts, trail = Rows(opened, options), Counts(), InputDigest()
    format_, scorer = FORMATS[format](rows.columns), opened.scorer(backend)
    iterator = iter(paths)
    if output is None and conversion(format_) is not None:
        msg = f"--format {format} needs a file: give one by --output"
        raise UsageError(msg)
    known = resume_key(opened, options, format, backend)
    with StdoutSink(stdout) if output is None else ResumableFile.open(output, known, resume) as sink:
        if sink.state:
            counts = Counts(**sink.state["counts"])
            _skip(iterator, counts.total, sink, trail)
        decoding = decode_all(iterator, recipe, workers, batch_size)
        for decoded, scores in score_parts(decoding, scorer, counts.total, AHEAD[backend.name]):
            head = b"" if counts.total else format_.head()
            written = head + format_.rows(rows.of(decoded, scores, counts))
            sink.append(written, {"counts": asdict(counts), "trail": trail.add(decoded.paths)})
            on_progress(counts)
        if not counts.total:
            sink.discard()
            msg = "there are no inputs: expected images, folders, globs or a list of them"
            raise NoInputError(msg)
        sink.finish(conversion(format_))
    return counts


def score_parts(
    decoding: Iterable[DecodedImages], scorer: Scorer, first: int, ahead: int
) -> Iterator[tuple[DecodedImages, np.ndarray]]:
    """Yield what is decoded with its scores, in order.

    Args:
        decoding: inputs, some at a time.
        scorer: what scores them.
        first: how many inputs were scored before.
        ahead: how many parts are under way while the scores of one are waited for.
    """
    flight: deque[tuple[DecodedImages, Callable[[], np.ndarray]]] = deque()
    for decoded in decoding:
        flight.append((decoded, scorer.begin(decoded.columns, first)))
        first += len(decoded.paths)
        if len(flight) > ahead:
            part, wait = flight.popleft()
            yield part, wait()
    for part, wait in flight:
        yield part, wait()


def image_recipe(opened: Model) -> Recipe:
    """Return how the model's images become columns.

    Raises:
        UsageError: it is a model of a table.
    """
    if opened.recipe is None:
        msg = f"{opened.path}: is a model of a table, and predict scores images: evaluate it by its table"
        raise UsageError(msg)
    return opened.recipe


def resume_key(opened: Model, options: RowOptions, format: str, backend: Backend) -> dict[str, Any]:
    """Return what tells runs apart. Not the device's number: two of a kind give the same digits."""
    return {
        "model": file_digest(opened.path),
        "options": {"format": format, **asdict(options)},
        "device": backend.name,
    }


def file_digest(path: str) -> str:
    """Return a hash of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def _skip(paths: Iterator[str], done: int, sink: ResumableFile | StdoutSink, trail: InputDigest) -> None:
    """Pass over the inputs that an earlier run has done, if they are the same."""
    if trail.add(itertools.islice(paths, done)) != sink.state["trail"]:
        msg = (
            f"{sink.path}: cannot be resumed: the first {done} inputs are not those it was made of; "
            "without --resume it begins anew"
        )
        raise OutputError(msg)
