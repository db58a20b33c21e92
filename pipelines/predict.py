"""Score inputs: one row for each, in order, whatever happens; a killed run resumes to the same bytes."""

from __future__ import annotations

import csv
import hashlib
import io
import itertools
import json
import os
from dataclasses import asdict, dataclass
from typing import IO, TYPE_CHECKING, Any, Protocol

import numpy as np

from pipelines.decoding import CHUNK, Decoded, decode_all
from pipelines.errors import NoInputError, OutputError, UsageError
from pipelines.inputs import shown
from pipelines.models import Opened, probabilities
from pipelines.partial import Partial

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from xpnet.backend import Backend

FORMATS = ("csv", "jsonl")


@dataclass(frozen=True)
class Options:
    """What the rows look like.

    Attributes:
        format: "csv" or "jsonl".
        topk: how many of the most probable classes to name, each with its probability; 0 for none.
        proba: whether to write the probability of every class.
        threshold: least probability of the label; below it the status is "unsure". 0 for none.

    Raises:
        UsageError: a value that is not possible.
    """

    format: str = "csv"
    topk: int = 0
    proba: bool = False
    threshold: float = 0.0

    def __post_init__(self) -> None:
        if self.format not in FORMATS:
            msg = f"--format is {self.format!r}, expected one of {', '.join(FORMATS)}"
            raise UsageError(msg)
        if self.topk < 0 or not 0 <= self.threshold <= 1:
            msg = f"--topk is {self.topk} and --threshold {self.threshold}: expected 0 or more, and 0 to 1"
            raise UsageError(msg)


@dataclass
class Counts:
    """How many inputs ended how."""

    ok: int = 0
    unsure: int = 0
    error: int = 0

    @property
    def total(self) -> int:
        """All of them."""
        return self.ok + self.unsure + self.error


class Rows:
    """Makes rows of scores: dictionaries of column and value.

    Args:
        opened: the model.
        options: what they look like.
    """

    def __init__(self, opened: Opened, options: Options) -> None:
        self._opened, self._options = opened, options
        self._classes = opened.class_names
        if not self._classes and (options.topk or options.proba or options.threshold):
            msg = "--topk, --proba and --threshold are for classifiers, and this model predicts numbers"
            raise UsageError(msg)

    @property
    def columns(self) -> list[str]:
        """Names of the columns, in order."""
        ranks = range(1, min(self._options.topk, len(self._classes)) + 1)
        more = [f"{what}{i}" for i in ranks for what in ("label", "score")]
        more += [f"p_{name}" for name in self._classes] if self._options.proba else []
        return ["path", "status", "label", "score", *more, "error"]

    def of(self, decoded: Decoded, answers: np.ndarray, counts: Counts) -> Iterator[dict[str, Any]]:
        """Yield the row of each input, and count it. answers: (n_out, k)."""
        chances = probabilities(self._opened, answers) if self._classes else answers
        for i, (path, error) in enumerate(zip(decoded.paths, decoded.errors, strict=True)):
            row: dict[str, Any] = {"path": shown(path)}
            if error:
                counts.error += 1
                yield {**row, "status": "error", "error": error}
            elif not self._classes:
                counts.ok += 1
                yield {**row, "status": "ok", "label": "", "score": _digits(answers[0, i])}
            else:
                yield {**row, **self._classified(chances[:, i], counts)}

    def _classified(self, chances: np.ndarray, counts: Counts) -> dict[str, Any]:
        order = np.argsort(-chances, kind="stable")
        best = int(order[0])
        unsure = float(chances[best]) < self._options.threshold
        counts.unsure += unsure
        counts.ok += not unsure
        row = {
            "status": "unsure" if unsure else "ok",
            "label": self._classes[best],
            "score": _digits(chances[best]),
        }
        for rank, k in enumerate(order[: self._options.topk].tolist(), start=1):
            row |= {f"label{rank}": self._classes[k], f"score{rank}": _digits(chances[k])}
        if self._options.proba:
            row |= {f"p_{name}": _digits(p) for name, p in zip(self._classes, chances, strict=True)}
        return row


def _digits(value: Any) -> float:
    """Return a score as it is written: six digits, which float32 carries."""
    return float(f"{float(value):.6g}")


class Writer(Protocol):
    """Turns rows into bytes."""

    def head(self) -> bytes:
        """What a file begins with."""

    def rows(self, rows: Iterable[dict[str, Any]]) -> bytes:
        """Return the bytes of some rows."""


class CsvWriter:
    """Comma-separated values, quoted where they must be, in UTF-8."""

    def __init__(self, columns: list[str]) -> None:
        self._columns = columns

    def head(self) -> bytes:
        """As `Writer.head`."""
        return self._written([self._columns])

    def rows(self, rows: Iterable[dict[str, Any]]) -> bytes:
        """As `Writer.rows`."""
        return self._written([[row.get(name, "") for name in self._columns] for row in rows])

    @staticmethod
    def _written(rows: list[list[Any]]) -> bytes:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(rows)
        return text.getvalue().encode("utf-8", "backslashreplace")


class JsonlWriter:
    """A JSON object on each line, without the columns that are empty."""

    def __init__(self, columns: list[str]) -> None:
        self._columns = columns

    def head(self) -> bytes:
        """As `Writer.head`."""
        return b""

    def rows(self, rows: Iterable[dict[str, Any]]) -> bytes:
        """As `Writer.rows`."""
        lines = [
            json.dumps({c: row[c] for c in self._columns if c in row}, ensure_ascii=False) for row in rows
        ]
        return "".join(f"{line}\n" for line in lines).encode("utf-8", "backslashreplace")


WRITERS: dict[str, Callable[[list[str]], Writer]] = {"csv": CsvWriter, "jsonl": JsonlWriter}
"""What writes each format."""


class Trail:
    """A hash of the inputs so far, by which a resumed run knows that they are the same."""

    def __init__(self, key: str = "") -> None:
        self.key = key

    def add(self, paths: list[str]) -> str:
        """Add inputs; return the key of all so far."""
        digest = hashlib.blake2b(self.key.encode(), digest_size=16)
        for path in paths:
            digest.update(os.fsencode(path) + b"\0")
        self.key = digest.hexdigest()
        return self.key


def predict(
    opened: Opened,
    paths: Iterable[str],
    backend: Backend,
    output: str | None,
    stdout: IO[bytes],
    options: Options,
    *,
    workers: int = 1,
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
        workers: processes that decode. Neither they nor the device change a row.
        resume: whether to go on with what an earlier run left.
        on_progress: is called with the counts after each chunk.

    Raises:
        UsageError: the options do not fit the model, or it is of a table.
        OutputError: the output cannot be written, or is of another run.
        NoInputError: there are no inputs, or none can be used.
    """
    if opened.recipe is None:
        msg = f"{opened.path}: is a model of a table, and predict scores images: evaluate it by its table"
        raise UsageError(msg)
    rows, counts, trail = Rows(opened, options), Counts(), Trail()
    writer, scorer = WRITERS[options.format](rows.columns), opened.scorer(backend)
    iterator = iter(paths)
    if output is None:
        partial: Partial | None = None
        stdout.write(writer.head())
    else:
        about = {"model": _digest(opened.path), "options": asdict(options)}
        partial = Partial.open(output, about, resume)
        if partial.state:
            counts = Counts(**partial.state["counts"])
            _skip(iterator, counts.total, partial, trail)
        else:
            partial.append(writer.head(), {"counts": asdict(counts), "trail": trail.key})
    for decoded in decode_all(iterator, opened.recipe, workers):
        written = writer.rows(rows.of(decoded, scorer(decoded.columns), counts))
        key = trail.add(decoded.paths)
        if partial is None:
            stdout.write(written)
            stdout.flush()
        else:
            partial.append(written, {"counts": asdict(counts), "trail": key})
        on_progress(counts)
    if partial is not None:
        partial.finish()
    if not counts.total:
        msg = "there are no inputs: expected images, folders, globs or a list of them"
        raise NoInputError(msg)
    return counts


def _skip(paths: Iterator[str], done: int, partial: Partial, trail: Trail) -> None:
    """Pass over the inputs that an earlier run has done, if they are the same."""
    for start in range(0, done, CHUNK):
        trail.add(list(itertools.islice(paths, min(CHUNK, done - start))))
    if trail.key != partial.state["trail"]:
        msg = f"{partial.path}: cannot be resumed: the first {done} inputs are not those it was made of"
        raise OutputError(msg)
    if done % CHUNK and (more := next(paths, None)) is not None:
        msg = (
            f"{partial.path}: cannot be resumed: it was made of {done} inputs, and now there is {shown(more)}"
        )
        raise OutputError(msg)


def _digest(path: str) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "blake2b").hexdigest()[:32]
