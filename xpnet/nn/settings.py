"""The settings of a training, in one frozen object."""

from dataclasses import dataclass

from xpnet.errors import ConfigurationError
from xpnet.nn.optimizers import OPTIMIZERS, Optimizer
from xpnet.nn.schedules import SCHEDULES, Schedule

PRECISIONS = ("float32", "tf32")
"""Precisions of products of float32 matrices. The last one rounds the factors, and needs a GPU."""


@dataclass(frozen=True)
class Settings:
    """The settings of a training.

    Attributes:
        epochs: number of passes over the examples.
        batch_size: examples in a step; None for all of them.
        learning_rate: learning rate of the first epoch.
        optimizer: the optimizer.
        schedule: the schedule of the learning rate.
        l1: strength of the penalty l1 / m * sum |W|.
        l2: strength of the penalty l2 / (2 m) * sum W^2.
        dropout: share of the hidden units to drop in each step, at least 0 and below 1.
        label_smoothing: share of each label that is spread over all classes, at least 0 and below 1.
        clip: limit of the Euclidean norm of the whole gradient, or None.
        class_weight: None, "balanced", or a weight for each class.
        patience: number of epochs without a lower validation cost (training cost without validation data)
            after which to stop and restore the best parameters; None to run all epochs and keep the last
            parameters.
        initializer: "he", "xavier" or "zeros"; see `initialize`.
        seed: seed of the initial weights, the order of the examples, and the dropout.
        dtype: dtype of the parameters and the arithmetic, "float32" or "float64".
        precision: precision of products of float32 matrices: "float32"; or on a GPU "tf32", which rounds the
            factors to 11 significant bits, and sums in float32.
        cuda_graph: whether to record a step as a CUDA graph, and launch it as a whole. That makes small
            networks faster, because their kernels take less time than their launches. None: if it is possible
            and gives the same bits. True: raise an error if it is not possible. It cannot be combined with
            dropout, whose masks differ from step to step. Examples that do not stay on the device, and a
            smaller last batch, are trained without it. On a CPU it has no effect.
        resident_bytes: size limit of raw examples that stay on the device. Larger ones are sent in chunks in
            each epoch. None: see `xpnet.data.DeviceMatrix`. On a CPU that changes no bit of the result,
            unless the examples are in a mapped file: then they are shuffled in runs of neighbours, to read
            them fast. On a GPU it may change last digits, because chunks are trained without a CUDA graph:
            in one, it is the device that computes Adam's corrections of the bias.
        metric_examples: limit of the number of training examples on which the metric is computed after each
            epoch; 0 for none. `seed` chooses them. It does not change the training. Not for sweeps.

    Raises:
        ConfigurationError: a value is out of range, or two settings contradict each other.
    """

    epochs: int = 10
    batch_size: int | None = 256
    learning_rate: float = 0.001
    optimizer: Optimizer = OPTIMIZERS["adam"]
    schedule: Schedule = SCHEDULES["constant"]
    l1: float = 0.0
    l2: float = 0.0
    dropout: float = 0.0
    label_smoothing: float = 0.0
    clip: float | None = None
    class_weight: str | tuple[float, ...] | None = None
    patience: int | None = None
    initializer: str = "he"
    seed: int = 0
    dtype: str = "float32"
    precision: str = "float32"
    cuda_graph: bool | None = None
    resident_bytes: int | None = None
    metric_examples: int = 0

    def __post_init__(self) -> None:
        least_one = {"epochs": self.epochs, "batch_size": self.batch_size, "patience": self.patience}
        positive = {"learning_rate": self.learning_rate, "clip": self.clip}
        for name, value in least_one.items():
            if value is not None and (not isinstance(value, int) or value < 1):
                msg = f"{name} is {value!r}, expected a whole number of at least 1"
                raise ConfigurationError(msg)
        for name, number in positive.items():
            if number is not None and not 0 < number < float("inf"):
                msg = f"{name} is {number!r}, expected more than 0"
                raise ConfigurationError(msg)
        if not isinstance(self.metric_examples, int) or self.metric_examples < 0:
            msg = f"metric_examples is {self.metric_examples!r}, expected a whole number of at least 0"
            raise ConfigurationError(msg)
        for name, strength in {"l1": self.l1, "l2": self.l2}.items():
            if not 0 <= strength < float("inf"):
                msg = f"{name} is {strength!r}, expected at least 0"
                raise ConfigurationError(msg)
        for name, share in {"dropout": self.dropout, "label_smoothing": self.label_smoothing}.items():
            if not 0 <= share < 1:
                msg = f"{name} is {share!r}, expected at least 0 and below 1"
                raise ConfigurationError(msg)
        if self.dtype not in ("float32", "float64"):
            msg = f"dtype is {self.dtype!r}, expected 'float32' or 'float64'"
            raise ConfigurationError(msg)
        if self.cuda_graph and self.dropout:
            msg = "a CUDA graph repeats a recorded step, but dropout differs in each step: use one of them"
            raise ConfigurationError(msg)
        if self.precision not in PRECISIONS:
            msg = f"precision is {self.precision!r}, expected one of {', '.join(PRECISIONS)}"
            raise ConfigurationError(msg)
        if self.precision != "float32" and self.dtype != "float32":
            msg = (
                f"precision is {self.precision!r}, which needs float32 arithmetic, but dtype is "
                f"{self.dtype!r}: change one of them"
            )
            raise ConfigurationError(msg)
