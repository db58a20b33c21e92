"""Learning-rate schedules: a factor on the initial learning rate for each epoch."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from xpnet.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class Constant:
    """The same learning rate in all epochs."""

    def factor(self, epoch: int, epochs: int, costs: Sequence[float]) -> float:
        """Return the factor on the initial learning rate in an epoch.

        Args:
            epoch: number of the epoch, from 0.
            epochs: number of all epochs.
            costs: validation cost (training cost without validation data) of each epoch so far.
        """
        del epoch, epochs, costs
        return 1.0


@dataclass(frozen=True)
class Step:
    """The learning rate is multiplied by `gamma` after every `every` epochs.

    Raises:
        ConfigurationError: an attribute is out of range.
    """

    every: int = 10
    gamma: float = 0.1

    def __post_init__(self) -> None:
        if self.every < 1 or not 0 < self.gamma <= 1:
            msg = (
                f"step: every is {self.every} and gamma is {self.gamma}, "
                "expected every >= 1 and 0 < gamma <= 1"
            )
            raise ConfigurationError(msg)

    def factor(self, epoch: int, epochs: int, costs: Sequence[float]) -> float:
        """See `Constant.factor`."""
        del epochs, costs
        return float(self.gamma ** (epoch // self.every))


@dataclass(frozen=True)
class Cosine:
    """The factor falls along half a cosine, from 1 in the first epoch to `floor` after the last."""

    floor: float = 0.0

    def factor(self, epoch: int, epochs: int, costs: Sequence[float]) -> float:
        """See `Constant.factor`."""
        del costs
        return self.floor + (1 - self.floor) * 0.5 * (1 + math.cos(math.pi * epoch / epochs))


@dataclass(frozen=True)
class Plateau:
    """The learning rate is multiplied by `gamma` whenever the cost did not fall for `patience` epochs.

    Raises:
        ConfigurationError: an attribute is out of range.
    """

    patience: int = 5
    gamma: float = 0.5

    def __post_init__(self) -> None:
        if self.patience < 1 or not 0 < self.gamma <= 1:
            msg = (
                f"plateau: patience is {self.patience} and gamma is {self.gamma}, "
                "expected patience >= 1 and 0 < gamma <= 1"
            )
            raise ConfigurationError(msg)

    def factor(self, epoch: int, epochs: int, costs: Sequence[float]) -> float:
        """See `Constant.factor`."""
        del epoch, epochs
        factor, best, waited = 1.0, math.inf, 0
        for cost in costs:
            if cost < best:
                best, waited = cost, 0
                continue
            waited += 1
            if waited == self.patience:
                factor, waited = factor * self.gamma, 0
        return factor


Schedule = Constant | Step | Cosine | Plateau
"""Any of the learning-rate schedules."""

SCHEDULES: dict[str, Schedule] = {
    "constant": Constant(),
    "step": Step(),
    "cosine": Cosine(),
    "plateau": Plateau(),
}
"""Schedules with their usual settings, by name."""
