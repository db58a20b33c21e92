"""The plan of a training: the choices of the user, and the model and settings that follow from them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

import numpy as np

from xpnet.errors import DataError, UsageError
from xpnet.features import COLORS
from xpnet.linear import is_linear_classifier, is_solvable
from xpnet.nn import OPTIMIZERS, SCHEDULES, Layer, LogisticRegression, Network, Settings, SoftmaxRegression

if TYPE_CHECKING:
    from ..datasets import Dataset

MODELS = ("logistic", "softmax", "network", "regression")
"""Names of the kinds of models."""

LBFGS = "lbfgs"
"""Name of the optimizer L-BFGS, which is not one of `xpnet.nn.OPTIMIZERS`."""

AUTO = "auto"
"""The penalty that cross-validation chooses, for L-BFGS."""

RIDGE = "ridge"
"""Name of ridge classification, which is not one of `xpnet.nn.OPTIMIZERS`."""

FEATURES = ("none", "patches", "auto")
"""What the network takes: the pixels, learned features of patches, or what suits the data best."""

BACKBONE_SUFFIX = ".onnx"
"""The end of the name of a backbone, which is given in place of one of `FEATURES`."""

BACKBONE_OPTIONS = ("features_output", "features_mean", "features_std", "features_colors", "embed")
"""The choices that are for a backbone alone."""

PATCHES_OPTIONS = {
    "mirror": "--mirror and --no-mirror are",
    "patches": "--patches is",
    "budget": "--budget is",
}
"""The choices that are for patches alone, and the beginning of the sentence that says so."""

PATCHES_SIZE = "32"
"""Default image size for `--features patches`, in pixels."""

LEARNING_RATE = 0.001
"""Default learning rate."""

SMALL_DATASET = 5000
"""A training set with fewer examples than this has the smaller default batch size."""

BATCH_SIZE = 256
"""Default batch size."""

SMALL_BATCH_SIZE = 32
"""Default batch size for fewer than `SMALL_DATASET` examples."""

MIN_EPOCHS = 20
"""Default number of epochs, if they have at least `MIN_STEPS` steps."""

MIN_STEPS = 1000
"""Default number of steps for small training sets: they get more than `MIN_EPOCHS` epochs."""

METRIC_EXAMPLES = 1000
"""Limit of the number of training examples for the metric of each epoch.

For a network 3072-512-10 and 20,000 examples this takes 2 % of the time of an epoch.
"""


@dataclass(frozen=True)
class Plan:
    """The choices of the user. None: chosen from the data and the other choices.

    Attributes:
        model: one of `MODELS`.
        hidden: hidden layers, such as "256:relu,32:relu+16:tanh"; see `xpnet.nn.Layer`.
        features: one of `FEATURES`, or the path of a backbone, an ONNX file; None for "auto" if no
            other choice says how to train, else "none".
        features_output: of a backbone, the name of the tensor with the embedding; None to find it.
        features_mean: of a backbone, the mean of red, green and blue, where white is 1; None to find it.
        features_std: of a backbone, the deviation of red, green and blue; None to find it.
        features_colors: of a backbone, the order of its channels, "rgb" or "bgr"; None to find it.
        embed: whether the model file holds the backbone itself.
        mirror: whether mirror images are alike, for patches; None for what is better on left-out images.
        patches: number of patches in the dictionary; None for as many as suit the number of examples.
        budget: how many minutes the training may take: patches are as many as that allows. None: a few
            minutes at most, the same patches on every machine.
        optimizer: one of `xpnet.nn.OPTIMIZERS`, or "lbfgs" or "ridge" for logistic and softmax regression.
        epochs: number of passes over the data, in batches.
        iterations: number of full-batch steps; not together with `epochs` or `batch_size`.
        learning_rate: learning rate of the first epoch.
        batch_size: number of examples in a step.
        schedule: one of `xpnet.nn.SCHEDULES`.
        l2: strength of the penalty, or "auto" for what is best on left-out examples: by cross-validation for
            L-BFGS, by leave-one-out for linear regression in closed form. By default 1 for L-BFGS, what is
            best for linear regression in closed form, else 0.
        all others: see `xpnet.nn.Settings`.

    Raises:
        UsageError: a name is unknown, or choices contradict each other.
    """

    model: str | None = None
    hidden: str | None = None
    features: str | None = None
    features_output: str | None = None
    features_mean: Sequence[float] | None = None
    features_std: Sequence[float] | None = None
    features_colors: str | None = None
    embed: bool | None = None
    mirror: bool | None = None
    patches: int | None = None
    budget: float | None = None
    optimizer: str | None = None
    epochs: int | None = None
    iterations: int | None = None
    learning_rate: float | None = None
    batch_size: int | None = None
    schedule: str | None = None
    l1: float | None = None
    l2: float | str | None = None
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
            ("--features", None if self.backbone else self.features, FEATURES),
            ("--features-colors", self.features_colors, COLORS),
            ("--optimizer", self.optimizer, (*OPTIMIZERS, LBFGS, RIDGE)),
            ("--schedule", self.schedule, tuple(SCHEDULES)),
        ):
            if value is not None and value not in possible:
                or_file = f", or an ONNX file, *{BACKBONE_SUFFIX}" if name == "--features" else ""
                msg = f"{name} is {value!r}, expected one of {', '.join(possible)}{or_file}"
                raise UsageError(msg)
        self._require_kinds()
        given = [name for name in BACKBONE_OPTIONS if getattr(self, name) not in (None, False)]
        if given and self.backbone is None:
            names = ", ".join(f"--{name.replace('_', '-')}" for name in given)
            msg = f"{names}: for a backbone, as in --features model.onnx: leave out, or name one"
            raise UsageError(msg)
        if self.iterations is not None and (self.epochs is not None or self.batch_size is not None):
            msg = "--iterations uses all examples in each step: leave out --epochs and --batch-size"
            raise UsageError(msg)
        for name, sentence in PATCHES_OPTIONS.items():
            if getattr(self, name) is not None and not self.wants_patches:
                msg = f"{sentence} for --features patches: leave out"
                raise UsageError(msg)
        if self.patches is not None and self.budget is not None:
            msg = "--budget decides how many patches there are, and --patches says it: give one of them"
            raise UsageError(msg)
        if self.optimizer in (LBFGS, RIDGE) and (unused := self.not_for(self.optimizer)):
            msg = (
                f"--optimizer {self.optimizer} does not use {', '.join(unused)}: "
                f"leave {'it' if len(unused) == 1 else 'them'} out, or choose another optimizer"
            )
            raise UsageError(msg)

    def _require_kinds(self) -> None:
        """Raise `UsageError` for values of another kind. The command line refuses them itself."""
        least_of = {"epochs": 1, "iterations": 1, "batch_size": 1, "patience": 1, "seed": 0, "patches": 2}
        for name, least in least_of.items():
            value: Any = getattr(self, name)
            is_whole = isinstance(value, Integral) and not isinstance(value, bool)
            if value is not None and not (is_whole and value >= least):
                msg = f"{name} is {value!r}, expected a whole number, {least} or more"
                raise UsageError(msg)
        for name in ("learning_rate", "l1", "l2", "dropout", "label_smoothing", "clip", "budget"):
            value = getattr(self, name)
            if value is None or (name == "l2" and isinstance(value, str) and value == AUTO):
                continue
            if isinstance(value, bool) or not isinstance(value, Real):
                or_auto = f" or {AUTO!r}" if name == "l2" else ""
                msg = f"{name} is {value!r}, expected a number{or_auto}"
                raise UsageError(msg)
        if self.patches is not None and self.patches % 2:
            msg = f"patches is {self.patches}, expected an even number, because of the mirror images"
            raise UsageError(msg)
        if self.budget is not None and not 0 < self.budget < math.inf:
            msg = f"budget is {self.budget!r} minutes, expected more than 0"
            raise UsageError(msg)
        for name in ("features_mean", "features_std"):
            value = getattr(self, name)
            is_list = isinstance(value, Sequence) and not isinstance(value, str)
            if value is not None and not (is_list and all(isinstance(v, Real) for v in value)):
                msg = f"{name} is {value!r}, expected a list of numbers, such as [0.5, 0.5, 0.5]"
                raise UsageError(msg)
        if self.hidden is not None and not isinstance(self.hidden, str):
            msg = f"hidden is {self.hidden!r}, expected text such as '256:relu,32:tanh'"
            raise UsageError(msg)

    @property
    def chosen_features(self) -> str:
        """One of `FEATURES`: the choice of the user, or the default."""
        if self.features is not None:
            return self.features
        known = {"class_weight", "seed", "dtype", *PATCHES_OPTIONS}
        others = (getattr(self, f.name) for f in fields(self) if f.name not in known)
        # By identity: a penalty of 0 is a choice, and equal to False.
        return "auto" if all(value is None or value is False for value in others) else "none"

    @property
    def wants_patches(self) -> bool:
        """Whether images may become features of patches."""
        return self.chosen_features in ("patches", "auto")

    @property
    def backbone(self) -> str | None:
        """The path of the backbone, an ONNX file, that gives the features; None if there is none."""
        is_file = isinstance(self.features, str) and self.features.lower().endswith(BACKBONE_SUFFIX)
        return self.features if is_file else None

    def not_for(self, optimizer: str) -> list[str]:
        """Return the options of the command line that were given, but that L-BFGS or ridge does not use."""
        known = {
            "model",
            "hidden",
            "features",
            "optimizer",
            "class_weight",
            "seed",
            "dtype",
            *PATCHES_OPTIONS,
        }
        known |= {"iterations", "l2"} if optimizer == LBFGS else set()
        known.update(BACKBONE_OPTIONS)
        given = [f.name for f in fields(self) if f.name not in known and getattr(self, f.name) is not None]
        return [f"--{name.replace('_', '-')}" for name in given]

    def optimizer_for(self, model: Network) -> str:
        """Return the name of the optimizer: the choice of the user, or the default for the model.

        Raises:
            UsageError: L-BFGS or ridge for a network.
        """
        if self.optimizer in (LBFGS, RIDGE) and not is_linear_classifier(model):
            msg = f"--optimizer {self.optimizer} is for logistic and softmax regression"
            raise UsageError(msg)
        if self.optimizer is not None:
            return self.optimizer
        is_learned = self.chosen_features == "patches" or self.backbone is not None
        if is_linear_classifier(model) and is_learned and not self.not_for(RIDGE):
            return RIDGE
        if is_linear_classifier(model) and not self.not_for(LBFGS):
            return LBFGS
        return "sgd" if is_linear_classifier(model) and self.iterations is not None else "adam"

    def require_penalty(self, model: Network, m: int) -> None:
        """Raise `UsageError` if the penalty is to be chosen for a training that cannot do that.

        Args:
            model: the network.
            m: number of examples.
        """
        if self.l2 == AUTO and not self.is_closed_form(model, m) and self.optimizer_for(model) != LBFGS:
            msg = (
                "--l2 auto chooses the penalty of linear models that are trained by lbfgs or in closed form, "
                f"and this training is by {self.optimizer_for(model)}: give a number, as in --l2 1, or leave "
                "out the options of other trainings"
            )
            raise UsageError(msg)

    def settings(self, model: Network, m: int) -> Settings:
        """Return the settings of a training on m examples (not for L-BFGS and ridge).

        Raises:
            ConfigurationError: a value is out of range.
        """
        full = self.iterations is not None
        batch_size = self.batch_size or min(m, SMALL_BATCH_SIZE if m < SMALL_DATASET else BATCH_SIZE)
        enough = max(MIN_EPOCHS, math.ceil(MIN_STEPS / math.ceil(m / batch_size)))
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

    def is_full_batch(self, model: Network, m: int) -> bool:
        """Return whether the training uses all examples at once: closed form, L-BFGS or full-batch descent.

        Such a training has no checkpoints.

        Args:
            model: the network.
            m: number of examples.
        """
        is_whole = self.optimizer_for(model) in (LBFGS, RIDGE)
        return is_whole or self.is_plain_descent(model) or self.is_closed_form(model, m)

    def is_closed_form(self, model: Network, m: int) -> bool:
        """Return whether the training solves linear regression exactly: no choice asks for steps.

        Args:
            model: the network.
            m: number of examples.
        """
        asked = self.optimizer is not None or self.iterations is not None or self.class_weight is not None
        return is_solvable(model, m) and not asked and not self.not_for(LBFGS)

    def is_plain_descent(self, model: Network) -> bool:
        """Return whether the training can be done by `xpnet.linear.descend`."""
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
    """Return the configuration of the model: the choice of the user, or the default for the labels.

    Raises:
        UsageError: the plan does not fit the data.
        DataError: all examples have the same class, or a regression has fewer than two examples.
        ConfigurationError: a hidden layer is not valid.
    """
    model = _model_for(plan, dataset)
    plan.require_penalty(model, dataset.data.m)
    return model


def _model_for(plan: Plan, dataset: Dataset) -> Network:
    n_x, m, n_classes = dataset.data.n_x, dataset.data.m, len(dataset.classes)
    if dataset.classes and len(present := np.unique(dataset.Y)) < 2:
        msg = f"all examples have the class {dataset.classes[int(present[0])]}: expected two or more classes"
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
    if kind == "regression" and m < 2:
        msg = f"there is {m} example: a regression needs at least 2"
        raise DataError(msg)
    if kind == "logistic":
        return LogisticRegression(n_x)
    if kind == "softmax":
        return SoftmaxRegression(n_x, n_classes)
    output = "identity" if kind == "regression" else "sigmoid" if n_classes == 2 else "softmax"
    return Network(n_x, n_classes if n_classes > 2 else 1, output, hidden)
