"""Targets of regression at a scale that learning rates are meant for.

Prices in the hundred thousands would need as many steps of a usual learning rate to come near. So they are
brought to mean 0 and deviation 1 for training, which the last layer undoes: s (W a + b) + t = W' a + b'.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from xpnet.nn import History

if TYPE_CHECKING:
    from xpnet.backend import Backend
    from xpnet.nn import Epoch, Network, Parameters

    from ..datasets import Dataset


@dataclass(frozen=True)
class TargetScale:
    """What targets are divided by, after their mean was subtracted. 1 and 0 for classes."""

    mean: float = 0.0
    deviation: float = 1.0

    @classmethod
    def of(cls, dataset: Dataset) -> TargetScale:
        """Return the scale of a dataset's targets."""
        if dataset.classes:
            return cls()
        return cls(float(dataset.Y.mean()), float(dataset.Y.std()) or 1.0)

    def scaled(self, dataset: Dataset) -> Dataset:
        """Return a dataset with targets at that scale."""
        return (
            dataset if self == TargetScale() else replace(dataset, Y=(dataset.Y - self.mean) / self.deviation)
        )

    def undo(self, model: Network, parameters: Parameters, backend: Backend) -> None:
        """Change the parameters of the last layer, in place, so that the answers are the targets' again."""
        if self == TargetScale():
            return
        views, last = parameters.views, len(model.hidden) + 1
        with backend.activate():
            views[f"W{last}"][...] *= self.deviation
            views[f"b{last}"][...] = views[f"b{last}"] * self.deviation + self.mean

    def history(self, history: History) -> History:
        """Return a history with costs, which are squared errors, of the targets themselves."""
        epochs = [self.epoch(epoch) for epoch in history.epochs]
        return History(epochs, history.best_epoch, history.stopped, history.notes)

    def epoch(self, epoch: Epoch) -> Epoch:
        """Return an epoch with costs of the targets themselves."""
        square = self.deviation**2
        val_cost = None if epoch.val_cost is None else epoch.val_cost * square
        return replace(epoch, cost=epoch.cost * square, val_cost=val_cost)
