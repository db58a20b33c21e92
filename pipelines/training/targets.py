"""Scaling of regression targets to mean 0 and standard deviation 1 for the training.

The usual learning rates suit such targets. With prices of several hundred thousand, for example, a training
would need very many steps. After the training, the last layer undoes the scaling: s (W a + b) + t is
W' a + b' with W' = s W and b' = s b + t.
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
    """The scale of regression targets. Classes are not scaled: they have the default values.

    Attributes:
        mean: mean of the targets.
        deviation: standard deviation of the targets.
    """

    mean: float = 0.0
    deviation: float = 1.0

    @classmethod
    def of(cls, dataset: Dataset) -> TargetScale:
        """Return the scale of the targets of a dataset."""
        if dataset.classes:
            return cls()
        return cls(float(dataset.Y.mean()), float(dataset.Y.std()) or 1.0)

    def scaled(self, Y: np.ndarray) -> np.ndarray:
        """Return scaled targets, (n_out, m). Y: targets, (n_out, m)."""
        return Y if self == TargetScale() else (Y - self.mean) / self.deviation

    def undo(self, result: TrainingResult, backend: Backend) -> TrainingResult:
        """Return a model for unscaled targets, from one that was trained on scaled targets.

        The parameters of the last layer are changed in place. The costs in the history, which are squared
        errors, become those of the unscaled targets.
        """
        if self == TargetScale():
            return result
        views, last = result.parameters.views, len(result.model.hidden) + 1
        with backend.activate():
            views[f"W{last}"][...] *= self.deviation
            views[f"b{last}"][...] = views[f"b{last}"] * self.deviation + self.mean
        return replace(result, history=result.history.scale_costs(self.deviation**2))

    def epoch(self, epoch: Epoch) -> Epoch:
        """Return the record of an epoch with the costs of the unscaled targets."""
        square = self.deviation**2
        val_cost = None if epoch.val_cost is None else epoch.val_cost * square
        return replace(epoch, cost=epoch.cost * square, val_cost=val_cost)
