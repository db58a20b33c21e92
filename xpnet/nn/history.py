"""What happened during training, epoch by epoch."""

from __future__ import annotations

import math
import sys
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class Epoch:
    """One epoch.

    Attributes:
        epoch: counted from 1.
        cost: mean over the epoch's steps, each before its update, with penalties.
        learning_rate: of its steps.
        seconds: it took.
        val_cost: cost on the validation data after it, without penalties; None without validation data.
        val_metric: accuracy, or R² for regression, on the validation data after it.
        metric: the same on training examples, as many as `Settings.judged_examples` says; None if that is 0,
            and of full-batch descent, L-BFGS and sweeps, which have no epochs in that sense.
    """

    epoch: int
    cost: float
    learning_rate: float
    seconds: float
    val_cost: float | None = None
    val_metric: float | None = None
    metric: float | None = None

    @property
    def judged(self) -> float:
        """What it is judged by: validation cost, or training cost without validation data."""
        return self.cost if self.val_cost is None else self.val_cost


@dataclass
class History:
    """All epochs of a training, in order.

    Attributes:
        epochs: a record of each.
        best_epoch: the one with the lowest validation cost, or training cost without validation data;
            0 before the first.
        stopped: why training ended, in words.
        notes: what was done otherwise than asked, in words.
    """

    epochs: list[Epoch] = field(default_factory=list)
    best_epoch: int = 0
    stopped: str = ""
    notes: list[str] = field(default_factory=list)

    def add(self, record: Epoch) -> bool:
        """Record an epoch; return whether it is the best so far."""
        best = not self.epochs or record.judged < self.epochs[self.best_epoch - 1].judged
        self.epochs.append(record)
        if best:
            self.best_epoch = len(self.epochs)
        return best

    def diverged(self, cost: float, step: int) -> str:
        """Record, and return in words, that a cost was not finite; step counts from 1."""
        self.stopped = (
            f"the cost became {cost} at step {step} (epoch {len(self.epochs) + 1}): "
            "try a smaller learning rate, standardized features, or clip"
        )
        return self.stopped

    @property
    def has_diverged(self) -> bool:
        """Whether training ended because a cost was not finite."""
        return self.stopped.startswith("the cost became")

    @property
    def costs(self) -> list[float]:
        """Training cost of each epoch."""
        return [epoch.cost for epoch in self.epochs]

    @property
    def judged(self) -> list[float]:
        """What each epoch is judged by."""
        return [epoch.judged for epoch in self.epochs]

    def to_dict(self) -> dict[str, Any]:
        """Return the history as plain data, for a file, which has no word for what is no finite number.

        A validation cost stays worse than all others: the largest number. An R² is left out.
        """
        data = asdict(self)
        for epoch in data["epochs"]:
            if epoch["val_cost"] is not None and not math.isfinite(epoch["val_cost"]):
                epoch["val_cost"] = sys.float_info.max
            for name in ("val_metric", "metric"):
                if epoch[name] is not None and not math.isfinite(epoch[name]):
                    epoch[name] = None
        return data

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> History:
        """Undo `to_dict`."""
        return cls(
            [Epoch(**epoch) for epoch in data["epochs"]], data["best_epoch"], data["stopped"], data["notes"]
        )
