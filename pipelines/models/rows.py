"""What is said of each input: path, status, label, score, and why if it failed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from xpnet.errors import UsageError

from ..images import path_text
from .model import Model, probabilities

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..images import DecodedImages


STATUSES = ("ok", "unsure", "error")
"""What can become of an input."""


@dataclass(frozen=True)
class RowOptions:
    """What the rows look like.

    Attributes:
        topk: how many of the most probable classes to name, each with its probability; 0 for none.
        proba: whether to write the probability of every class.
        threshold: least probability of the label; below it the status is "unsure". 0 for none.

    Raises:
        UsageError: a value that is not possible.
    """

    topk: int = 0
    proba: bool = False
    threshold: float = 0.0

    def __post_init__(self) -> None:
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

    def add(self, status: str) -> None:
        """Count an input by its status."""
        setattr(self, status, getattr(self, status) + 1)


class Rows:
    """Makes rows of scores: dictionaries of column and value.

    Args:
        opened: the model.
        options: what they look like.
    """

    def __init__(self, opened: Model, options: RowOptions) -> None:
        self._opened, self._options = opened, options
        self._classes = tuple(map(path_text, opened.class_names))
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

    def of(self, decoded: DecodedImages, answers: np.ndarray, counts: Counts) -> Iterator[dict[str, Any]]:
        """Yield the row of each input, and count it. answers: (n_out, k)."""
        chances = probabilities(self._opened, answers) if self._classes else answers
        finite = np.isfinite(answers).all(axis=0).tolist()
        for i, path in enumerate(decoded.paths):
            error = decoded.errors[i] or ("" if finite[i] else "its score is not a finite number")
            row: dict[str, Any] = {"path": path_text(path)}
            if error:
                counts.add("error")
                yield {**row, "status": "error", "error": error}
            elif not self._classes:
                counts.add("ok")
                yield {**row, "status": "ok", "score": _digits(answers[0, i])}
            else:
                yield {**row, **self._classified(chances[:, i], counts)}

    def _classified(self, chances: np.ndarray, counts: Counts) -> dict[str, Any]:
        order = np.argsort(-chances, kind="stable")
        best = int(order[0])
        status = "unsure" if _digits(chances[best]) < self._options.threshold else "ok"
        counts.add(status)
        row = {
            "status": status,
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
