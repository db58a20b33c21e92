"""Predictions as rows of a table, and how many of them have each status."""

from __future__ import annotations

import sys
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from ..images import name_text, path_text

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..models import Model, Prediction, RowOptions

Row = dict[str, Any]
"""The cells of a row by the names of their columns. Empty cells are left out."""


@dataclass
class Counts:
    """How many predictions have each status."""

    ok: int = 0
    unsure: int = 0
    error: int = 0

    @classmethod
    def from_dict(cls, data: Any) -> Counts | None:
        """Return the counts in plain data, as `dataclasses.asdict` makes it; None for other data."""
        names = [field.name for field in fields(cls)]
        if not isinstance(data, dict) or set(data) != set(names):
            return None
        if not all(type(count) is int and 0 <= count < sys.maxsize for count in data.values()):
            return None
        counts = cls(**data)
        return counts if counts.total <= sys.maxsize else None

    @property
    def total(self) -> int:
        """All predictions."""
        return self.ok + self.unsure + self.error

    def add(self, status: str) -> None:
        """Count one prediction, by its status."""
        setattr(self, status, getattr(self, status) + 1)

    def __add__(self, others: Counts) -> Counts:
        """Return the counts of these predictions and others."""
        return Counts(self.ok + others.ok, self.unsure + others.unsure, self.error + others.error)

    def add_all(self, predictions: Iterable[Prediction]) -> None:
        """Count some predictions."""
        for prediction in predictions:
            self.add(prediction.status)


def columns_for(model: Model, options: RowOptions) -> list[str]:
    """Return the names of the columns in order."""
    classes, of_file = model.classes, ["frames"] if model.recipe else []
    ranks = range(1, min(options.topk, len(classes)) + 1)
    ranked = [f"{name}{rank}" for rank in ranks for name in ("label", "score")]
    each_class = [f"p_{name_text(name)}" for name in classes] if options.proba else []
    return ["path", "status", "label", "score", *ranked, *each_class, *of_file, "error"]


def row_of(prediction: Prediction) -> Row:
    """Return the row of a prediction. Names that are not valid UTF-8 are written as `path_text` does."""
    row: Row = {"path": path_text(prediction.path), "status": prediction.status}
    if prediction.label is not None:
        row["label"] = name_text(prediction.label)
    if prediction.score is not None:
        row["score"] = prediction.score
    for rank, (label, probability) in enumerate(prediction.top, start=1):
        row |= {f"label{rank}": name_text(label), f"score{rank}": probability}
    for label, probability in prediction.probabilities.items():
        row[f"p_{name_text(label)}"] = probability
    if prediction.frames is not None:
        row["frames"] = prediction.frames
    if prediction.error:
        row["error"] = prediction.error
    return row
