"""What the user asked for, and what follows from it: the model, the labels, the way to train."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from xpnet.errors import DataError, UsageError
from xpnet.linear import is_linear_classifier
from xpnet.nn import OPTIMIZERS, SCHEDULES, Layer, LogisticRegression, Network, Settings, SoftmaxRegression

if TYPE_CHECKING:
    from ..datasets import Dataset

MODELS = ("logistic", "softmax", "network", "regression")
LBFGS = "lbfgs"
LEARNING_RATE = 0.001
BATCH_SIZE, SMALL_BATCH, FEW = 256, 32, 5000
"""Examples of a step; the second where there are fewer examples than the third."""

EPOCHS, STEPS = 20, 1000
"""Epochs, or as many more as make so many steps of them: with few examples an epoch has few."""

METRIC_EXAMPLES = 1000
"""The most training examples that the metric of each epoch is computed on: with 20,000 examples of a network
3072-512-10, that adds a fiftieth to the time of an epoch."""


@dataclass(frozen=True)
class Plan:
    """What the user asked for; None is for what follows from the data and the rest.

    Attributes:
        model: one of `MODELS`.
        hidden: layers as in "256:relu,32:relu+16:tanh".
        optimizer: one of `xpnet.nn.OPTIMIZERS`, or "lbfgs" for logistic and softmax regression.
        epochs: passes over the data in batches.
        iterations: full-batch steps instead.
        learning_rate: of the first epoch.
        batch_size: examples of a step.
        schedule: one of `xpnet.nn.SCHEDULES`.
        l2: strength of the penalty; 1 for L-BFGS by default, else 0.
        seed, dtype and all others: as in `xpnet.nn.Settings`.

    Raises:
        UsageError: choices that contradict each other.
    """

    model: str | None = None
    hidden: str | None = None
    optimizer: str | None = None
    epochs: int | None = None
    iterations: int | None = None
    learning_rate: float | None = None
    batch_size: int | None = None
    schedule: str | None = None
    l1: float | None = None
    l2: float | None = None
    dropout: float | None = None
    label_smoothing: float | None = None
    clip: float | None = None
    class_weight: str | None = None
    patience: int | None = None
    initializer: str | None = None
    seed: int = 0
    dtype: str = "float32"
    precision: str | None = None

    def __post_init__(self) -> None:
        for name, value, possible in (
            ("--model", self.model, MODELS),
            ("--optimizer", self.optimizer, (*OPTIMIZERS, LBFGS)),
            ("--schedule", self.schedule, tuple(SCHEDULES)),
        ):
            if value is not None and value not in possible:
                msg = f"{name} is {value!r}, expected one of {', '.join(possible)}"
                raise UsageError(msg)
        if self.iterations is not None and (self.epochs is not None or self.batch_size is not None):
            msg = "--iterations counts steps of all examples: leave out --epochs and --batch-size"
            raise UsageError(msg)
        if self.optimizer == LBFGS and (useless := self.only_of_descent):
            msg = f"--optimizer lbfgs has no use for {', '.join(useless)}: name another optimizer"
            raise UsageError(msg)

    @property
    def only_of_descent(self) -> list[str]:
        """The options given that L-BFGS has no use for."""
        known = {"model", "hidden", "optimizer", "iterations", "l2", "class_weight", "seed", "dtype"}
        given = [f.name for f in fields(self) if f.name not in known and getattr(self, f.name) is not None]
        return [f"--{name.replace('_', '-')}" for name in given]

    def optimizer_for(self, model: Network) -> str:
        """Return the optimizer's name: as asked for, else the one that suits the model.

        Raises:
            UsageError: L-BFGS for a network.
        """
        if self.optimizer == LBFGS and not is_linear_classifier(model):
            msg = "--optimizer lbfgs is for logistic and softmax regression"
            raise UsageError(msg)
        if self.optimizer is not None:
            return self.optimizer
        if is_linear_classifier(model) and not self.only_of_descent:
            return LBFGS
        return "sgd" if is_linear_classifier(model) and self.iterations is not None else "adam"

    def settings(self, model: Network, m: int) -> Settings:
        """Return the settings of a training by steps on m examples.

        Raises:
            ConfigurationError: a value that is not possible.
        """
        full = self.iterations is not None
        batch_size = self.batch_size or (SMALL_BATCH if m < FEW else BATCH_SIZE)
        enough = max(EPOCHS, math.ceil(STEPS / math.ceil(m / batch_size)))
        named: Any = {
            "epochs": self.iterations if full else self.epochs or enough,
            "batch_size": None if full else batch_size,
            "learning_rate": LEARNING_RATE if self.learning_rate is None else self.learning_rate,
            "optimizer": OPTIMIZERS[self.optimizer_for(model)],
            "schedule": SCHEDULES[self.schedule or "constant"],
            "initializer": self.initializer or ("zeros" if is_linear_classifier(model) else "he"),
            "patience": self.patience,
            "clip": self.clip,
            "class_weight": self.class_weight,
            "seed": self.seed,
            "dtype": self.dtype,
            "precision": self.precision or "float32",
        }
        shares: Any = {n: getattr(self, n) or 0.0 for n in ("l1", "l2", "dropout", "label_smoothing")}
        return Settings(**named, **shares)

    def is_full_batch(self, model: Network) -> bool:
        """Return whether the training is done at once, by L-BFGS or plain descent: it has no checkpoints."""
        return self.optimizer_for(model) == LBFGS or self.is_plain_descent(model)

    def is_plain_descent(self, model: Network) -> bool:
        """Return whether this is full-batch gradient descent as of `xpnet.linear.descent`."""
        involved: list[Any] = [self.l1, self.dropout, self.label_smoothing, self.clip, self.patience]
        return (
            is_linear_classifier(model)
            and self.iterations is not None
            and self.optimizer_for(model) == "sgd"
            and self.schedule in (None, "constant")
            and self.initializer in (None, "zeros")
            and self.precision in (None, "float32")
            and not any(involved)
        )


def choose_model(plan: Plan, dataset: Dataset) -> Network:
    """Return the network that the plan asks for, or that fits the labels.

    Raises:
        UsageError: the plan and the data do not fit together.
        ConfigurationError: a hidden layer that cannot be.
    """
    n_x, n_classes = dataset.data.n_x, len(dataset.classes)
    if dataset.classes and len(present := np.unique(dataset.Y)) < 2:
        msg = f"all examples are of the class {dataset.classes[int(present[0])]}: expected two or more"
        raise DataError(msg)
    hidden = tuple(Layer.parse(text) for text in plan.hidden.split(",")) if plan.hidden else ()
    kind = plan.model or ("regression" if not n_classes else "network" if hidden else "")
    kind = kind or ("logistic" if n_classes == 2 else "softmax")
    if kind == "logistic" and n_classes != 2:
        msg = f"--model logistic is for two classes, and the data has {n_classes}: use softmax"
        raise UsageError(msg)
    if kind in ("logistic", "softmax") and hidden:
        msg = f"--model {kind} has no hidden layers: use --model network with --hidden"
        raise UsageError(msg)
    if kind == "network" and not hidden:
        msg = "--model network needs --hidden, as in --hidden 256:relu,64:tanh"
        raise UsageError(msg)
    if kind == "logistic":
        return LogisticRegression(n_x)
    if kind == "softmax":
        return SoftmaxRegression(n_x, n_classes)
    output = "identity" if kind == "regression" else "sigmoid" if n_classes == 2 else "softmax"
    return Network(n_x, n_classes if n_classes > 2 else 1, output, hidden)
