"""How many predictions have each status."""

from __future__ import annotations

import sys
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..models import Prediction


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
