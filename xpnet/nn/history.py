"""The history of a training, epoch by epoch, and its result."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from xpnet.nn.network import Network
    from xpnet.nn.parameters import Parameters


class StopReason(StrEnum):
    """Why a training ended."""

    ALL_EPOCHS = "all-epochs"
    """All epochs or iterations are done. L-BFGS has not converged then."""

    NO_IMPROVEMENT = "no-improvement"
    """The cost did not fall for `Settings.patience` epochs."""

    CONVERGED = "converged"
    """No derivative of the cost is larger than the tolerance."""

    ROUNDING = "rounding"
    """No step lowers the cost any further: the dtype is not precise enough."""

    DIVERGED = "diverged"
    """A cost was not finite."""


class Method(StrEnum):
    """How a model was trained."""

    AUTODIFF = "autodiff"
    """Gradients by the computation graph."""

    FUSED = "fused"
    """Full-batch gradient descent; each step reads the raw examples once."""

    GRAM = "gram"
    """Full-batch gradient descent with the Gram matrix of the examples, X^T X."""

    LBFGS = "lbfgs"
    """L-BFGS on all examples."""

    LBFGS_REDUCED = "lbfgs-reduced"
    """L-BFGS on coordinates of the examples in an orthonormal basis; see `xpnet.linear.reduced`."""

    RIDGE = "ridge"
    """A ridge classifier in closed form; see `xpnet.linear.ridge`."""

    LEAST_SQUARES = "least-squares"
    """Linear regression in closed form, without steps."""


@dataclass(frozen=True)
class Epoch:
    """The record of one epoch; for full-batch training of one iteration.

    Attributes:
        epoch: number of the epoch, from 1.
        cost: mean cost of the epoch's steps with penalties, each before its update. For L-BFGS the cost
            after the iteration; its first record is the start.
        learning_rate: learning rate of the steps; for L-BFGS the length of the step.
        seconds: duration.
        val_cost: cost on the validation data after the epoch, without penalties; None without such data.
        val_metric: accuracy (R² for regression) on the validation data after the epoch.
        metric: the same metric on `Settings.metric_examples` training examples; None if that is 0.
    """

    epoch: int
    cost: float
    learning_rate: float
    seconds: float
    val_cost: float | None = None
    val_metric: float | None = None
    metric: float | None = None


COLUMNS = tuple(column.name for column in fields(Epoch))
"""Names of the attributes of `Epoch`."""


class History(Sequence[Epoch]):
    """The epochs of a training, in order; one column for each attribute of `Epoch`.

    Args:
        epochs: the epochs so far.

    Attributes:
        best_epoch: the epoch with the lowest validation cost, or training cost without validation data;
            0 before the first.
        stop: why training ended; None while it is going on.
        stopped: the same as a sentence.
        notes: sentences about settings that could not be used as given.
    """

    def __init__(self, epochs: Sequence[Epoch] = ()) -> None:
        self._columns: dict[str, list[Any]] = {name: [getattr(e, name) for e in epochs] for name in COLUMNS}
        self.best_epoch = 0
        self.stop: StopReason | None = None
        self.stopped = ""
        self.notes: list[str] = []

    @classmethod
    def of_costs(
        cls, costs: Sequence[float], learning_rates: Sequence[float], seconds: Sequence[float]
    ) -> History:
        """Return the history of a full-batch training. Its last iteration counts as the best."""
        history, count = cls(), len(costs)
        history._columns |= {
            "epoch": list(range(1, count + 1)),
            "cost": list(costs),
            "learning_rate": list(learning_rates),
            "seconds": list(seconds),
            **{name: [None] * count for name in ("val_cost", "val_metric", "metric")},
        }
        history.best_epoch = count
        return history

    def __len__(self) -> int:
        return len(self._columns["epoch"])

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        return Epoch(*(column[index] for column in self._columns.values()))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, History) and self.to_dict() == other.to_dict()

    __hash__ = None  # type: ignore[assignment]

    def column(self, name: str) -> list[Any]:
        """Return an attribute of all epochs. name: one of `COLUMNS`."""
        return list(self._columns[name])

    @property
    def costs(self) -> list[float]:
        """Training cost of each epoch."""
        return self.column("cost")

    @property
    def criterion(self) -> list[float]:
        """Cost by which epochs are compared: the validation cost, or the training cost without such data."""
        pairs = zip(self._columns["val_cost"], self._columns["cost"], strict=True)
        return [cost if val_cost is None else val_cost for val_cost, cost in pairs]

    def add(self, epoch: Epoch) -> bool:
        """Add the record of an epoch; return whether it is the best so far."""
        for name, column in self._columns.items():
            column.append(getattr(epoch, name))
        best = self.best_epoch == 0 or self._criterion(-1) < self._criterion(self.best_epoch - 1)
        if best:
            self.best_epoch = len(self)
        return best

    def set_last(self, **values: float | None) -> None:
        """Change attributes of the last epoch."""
        for name, value in values.items():
            self._columns[name][-1] = value

    def scale_costs(self, factor: float) -> History:
        """Return the same history with all costs multiplied by a factor."""
        scaled = History()
        scaled._columns = {name: list(column) for name, column in self._columns.items()}
        for name in ("cost", "val_cost"):
            scaled._columns[name] = [None if v is None else v * factor for v in self._columns[name]]
        scaled.best_epoch, scaled.stop, scaled.stopped = self.best_epoch, self.stop, self.stopped
        scaled.notes = list(self.notes)
        return scaled

    def end(self, stop: StopReason, stopped: str) -> None:
        """Record why training ended, also as a sentence."""
        self.stop, self.stopped = stop, stopped

    def diverge(self, cost: float, step: int, what: str = "the cost") -> str:
        """Record that a number is not finite; return that as a sentence.

        Args:
            cost: the number.
            step: the step after which it was computed, counted from 1.
            what: what the number is.
        """
        self.end(
            StopReason.DIVERGED,
            f"{what} became {cost} at step {step} (epoch {len(self) + 1}): "
            "try a smaller learning rate, standardized features, or clip",
        )
        return self.stopped

    @property
    def has_diverged(self) -> bool:
        """Whether training ended because a cost was not finite."""
        return self.stop is StopReason.DIVERGED

    def _criterion(self, index: int) -> float:
        val_cost = self._columns["val_cost"][index]
        return _comparable(self._columns["cost"][index] if val_cost is None else val_cost)

    def curve(self) -> dict[str, list[float]]:
        """Return the columns that charts show, as numbers: NaN for None."""
        from xpnet.charts import curve_of

        return curve_of(self._columns)

    def _repr_svg_(self) -> str | None:
        """Return charts of the epochs as a notebook shows them; None before the first epoch."""
        from xpnet.charts import svg_document, training_charts

        charts = training_charts(self.curve(), "accuracy or R²") if len(self) else []
        return svg_document("Training", charts) if charts else None

    def to_dict(self) -> dict[str, Any]:
        """Return the history as plain data with finite numbers only, for a file.

        A validation cost that is not finite becomes the largest float, so that it stays worse than all
        others. A metric that is not finite, such as R² of equal targets, becomes None.
        """

        def finite(name: str, value: Any) -> Any:
            if value is None or math.isfinite(value):
                return value
            return sys.float_info.max if name == "val_cost" else None

        return {
            "epochs": [{name: finite(name, getattr(e, name)) for name in COLUMNS} for e in self],
            "best_epoch": self.best_epoch,
            "stop": self.stop,
            "stopped": self.stopped,
            "notes": self.notes,
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> History:
        """Undo `to_dict`.

        Raises:
            KeyError, TypeError, ValueError: the data is not a history.
        """
        history = cls([Epoch(**epoch) for epoch in data["epochs"]])
        history.best_epoch, history.stopped, history.notes = (
            data["best_epoch"],
            data["stopped"],
            data["notes"],
        )
        history.stop = None if data["stop"] is None else StopReason(data["stop"])
        numbers = [value for column in history._columns.values() for value in column if value is not None]
        is_valid = (
            history.column("epoch") == list(range(1, len(history) + 1))
            and all(type(value) in (int, float) and abs(value) <= sys.float_info.max for value in numbers)
            and None not in history.costs + history.column("learning_rate") + history.column("seconds")
            and type(history.best_epoch) is int
            and min(1, len(history)) <= history.best_epoch <= len(history)
            and isinstance(history.notes, list)
            and all(isinstance(text, str) for text in [history.stopped, *history.notes])
        )
        if not is_valid:
            msg = "not a history: expected numbered epochs of finite numbers, the best of them, and texts"
            raise ValueError(msg)
        return history


def _comparable(cost: float) -> float:
    """Return inf for NaN, which is neither lower nor higher than another number."""
    return math.inf if math.isnan(cost) else float(cost)


@dataclass(frozen=True)
class PenaltyCurve:
    """How well models with different penalties predict left-out examples.

    Attributes:
        measure: what the error is, "log loss" or "squared error".
        penalties: the penalties that were tried, ascending.
        errors: the mean error for each of them.
    """

    measure: str
    penalties: tuple[float, ...]
    errors: tuple[float, ...]

    @classmethod
    def of(cls, measure: str, tried: Mapping[float, float]) -> PenaltyCurve:
        """Return the curve of errors by penalty. It has no errors that are not finite."""
        penalties = tuple(sorted(penalty for penalty, error in tried.items() if math.isfinite(error)))
        return cls(measure, penalties, tuple(tried[penalty] for penalty in penalties))


@dataclass(frozen=True)
class Expectation:
    """What to expect of a classifier on examples that it was not trained on.

    Attributes:
        accuracy: the share of left-out examples that were classified right.
        error: its standard error.
        log_loss: the mean of -log(probability of the right class) of the left-out examples.
        examples: how many examples were left out.
        by: "leave-one-out", "a held-out tenth", or "5-fold cross-validation".
        penalty: the penalty that was chosen; see `xpnet.linear.classify` and `choose_penalty`.
        tried: the penalties that were tried; None if that was not recorded.
        seed: the seed by which examples were chosen to be left out; None if each was left out alone.
    """

    accuracy: float
    error: float
    log_loss: float
    examples: int
    by: str
    penalty: float
    tried: PenaltyCurve | None = None
    seed: int | None = None

    @classmethod
    def of_left_out(
        cls, is_right: np.ndarray, log_loss: float, *, weights: np.ndarray | None, **others: Any
    ) -> Expectation:
        """Return what to expect by left-out examples.

        Args:
            is_right: whether the class of each was predicted, (k,).
            log_loss: their log loss.
            weights: their weights, (k,), or None.
            others: the other attributes.
        """
        accuracy, count = float(np.average(is_right, weights=weights)), is_right.size
        error = math.sqrt(max(accuracy * (1 - accuracy), 0.25 / count) / count)
        return cls(accuracy=accuracy, error=error, log_loss=log_loss, examples=count, **others)


@dataclass(frozen=True)
class RegressionExpectation:
    """What to expect of a regression on examples that it was not trained on.

    Attributes:
        rmse: root of the mean squared error of left-out examples, in the unit of the targets.
        error: its standard error.
        r_squared: R² of the left-out examples; NaN if all targets are equal.
        examples: how many examples were left out.
        by: "leave-one-out".
        penalty: the penalty l2 that was chosen; see `xpnet.linear.solve`.
        tried: the penalties that were tried; None if that was not recorded.
    """

    rmse: float
    error: float
    r_squared: float
    examples: int
    by: str
    penalty: float
    tried: PenaltyCurve | None = None


@dataclass(frozen=True)
class TrainingResult:
    """A trained model, and how it was trained.

    Attributes:
        model: the configuration of the network.
        parameters: the trained parameters, on their device.
        history: the epochs; for full-batch training the iterations.
        method: how the model was trained.
        reason: why this method was chosen, as a sentence.
        expected: what to expect on other examples; None if the method does not say.
    """

    model: Network
    parameters: Parameters
    history: History
    method: Method = Method.AUTODIFF
    reason: str = field(default="")
    expected: Expectation | RegressionExpectation | None = None

    @property
    def costs(self) -> np.ndarray:
        """Training cost of each epoch or iteration, (epochs,) float64."""
        return np.asarray(self.history.costs, dtype=np.float64)
