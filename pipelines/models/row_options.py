"""Which values a prediction holds. This module imports no NumPy: a command needs it before anything else."""

from __future__ import annotations

from dataclasses import dataclass

from xpnet.errors import UsageError


@dataclass(frozen=True)
class RowOptions:
    """Which values a prediction holds, and so which columns a row of a file has.

    Attributes:
        topk: how many of the most probable classes to give, each with its probability. 0 for none.
        proba: whether to give the probability of every class.
        min_confidence: the least score, from 0 to 1. A prediction with a lower score has the status "unsure".

    Raises:
        UsageError: a value is not possible.
    """

    topk: int = 0
    proba: bool = False
    min_confidence: float = 0.0

    def __post_init__(self) -> None:
        if self.topk < 0:
            msg = f"--topk is {self.topk}, expected 0 or more"
            raise UsageError(msg)
        if not 0 <= self.min_confidence <= 1:
            msg = f"--min-confidence is {self.min_confidence}, expected a probability from 0 to 1"
            raise UsageError(msg)


DEFAULT_OPTIONS = RowOptions()
"""Only the label and its score."""
