"""Regression targets are scaled for training, to mean 0 and standard deviation 1.

Usual learning rates are made for such targets: for prices in the hundred thousands, training would need very
many steps. After training, the last layer undoes the scaling: s (W a + b) + t = W' a + b'.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

    from xpnet.backend import Backend
    from xpnet.nn import Epoch, TrainingResult

    from ..datasets import Dataset


@dataclass(frozen=True)
class TargetScale:
    """Mean and standard deviation of the targets; 0 and 1 for classes, which are not scaled."""

    mean: float = 0.0
    deviation: float = 1.0

    @classmethod
    def of(cls, dataset: Dataset) -> TargetScale:
        """Return the scale of a dataset's targets."""
        if dataset.classes:
            return cls()
        return cls(float(dataset.Y.mean()), float(dataset.Y.std()) or 1.0)

    def scaled(self, Y: np.ndarray) -> np.ndarray:
        """Return targets at this scale. Y: (n_out, m)."""
        return Y if self == TargetScale() else (Y - self.mean) / self.deviation

    def undo(self, result: TrainingResult, backend: Backend) -> TrainingResult:
        """Return a model that predicts the targets themselves, trained at this scale.

        The parameters of its last layer are changed in place; the costs, which are squared errors, become
        those of the targets themselves.
        """
        if self == TargetScale():
            return result
        views, last = result.parameters.views, len(result.model.hidden) + 1
        with backend.activate():
            views[f"W{last}"][...] *= self.deviation
            views[f"b{last}"][...] = views[f"b{last}"] * self.deviation + self.mean
        return replace(result, history=result.history.scale_costs(self.deviation**2))

    def epoch(self, epoch: Epoch) -> Epoch:
        """Return an epoch with the costs of the targets themselves."""
        square = self.deviation**2
        val_cost = None if epoch.val_cost is None else epoch.val_cost * square
        return replace(epoch, cost=epoch.cost * square, val_cost=val_cost)
