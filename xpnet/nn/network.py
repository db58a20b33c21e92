"""Networks: their configuration, and forward propagation."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from xpnet import functional as F
from xpnet.arrays import Array, namespace
from xpnet.autodiff import Node, Primitive, primitive
from xpnet.errors import ConfigurationError, ShapeError
from xpnet.functional import GRADIENT_FROM_OUTPUT
from xpnet.nn.dropout import no_dropout

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

ACTIVATIONS: dict[str, Primitive] = {
    "sigmoid": F.sigmoid,
    "tanh": F.tanh,
    "relu": F.relu,
    "leaky_relu": F.leaky_relu,
    "softplus": F.softplus,
    "identity": F.identity,
}
"""Activation functions of hidden units, by name."""

LOSSES: dict[str, Primitive] = {
    "sigmoid": F.logistic_loss,
    "softmax": F.softmax_cross_entropy,
    "identity": F.squared_error,
    "relu": F.squared_error,
}
"""Loss function for each output activation."""


@dataclass(frozen=True)
class Layer:
    """A hidden layer: groups of units side by side, each group with its own activation.

    Attributes:
        groups: pairs of a number of units and the name of their activation.

    Raises:
        ConfigurationError: there is no group, a group has no units, or an activation is unknown.
    """

    groups: tuple[tuple[int, str], ...]

    def __post_init__(self) -> None:
        if not self.groups:
            msg = "a layer has no units: expected at least one group, such as (64, 'relu')"
            raise ConfigurationError(msg)
        for units, activation in self.groups:
            if units < 1:
                msg = f"a group of {units} units: expected at least 1"
                raise ConfigurationError(msg)
            if activation not in ACTIVATIONS:
                msg = f"activation is {activation!r}, expected one of {', '.join(ACTIVATIONS)}"
                raise ConfigurationError(msg)

    @property
    def units(self) -> int:
        """Number of units in all groups."""
        return sum(units for units, _ in self.groups)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the layer that a string describes.

        Args:
            text: "64:tanh", or "32:relu+16:tanh" for two groups. Without an activation it is relu.

        Raises:
            ConfigurationError: the string does not describe a layer.
        """
        groups = []
        for group in text.split("+"):
            units, _, activation = group.strip().partition(":")
            if not units.isdecimal():
                msg = f"layer {text!r}: expected UNITS:ACTIVATION, as in 64:tanh or 32:relu+16:tanh"
                raise ConfigurationError(msg)
            groups.append((int(units), activation or "relu"))
        return cls(tuple(groups))

    def __str__(self) -> str:
        return "+".join(f"{units}:{activation}" for units, activation in self.groups)

    def forward(self, W: Any, A: Any, b: Any) -> Any:
        """Return the activations of W A + b, (units, m). W: (units, n_in), A: (n_in, m), b: (units, 1)."""
        if len(self.groups) == 1 and self.groups[0][1] in GRADIENT_FROM_OUTPUT:
            return F.dense(W, A, b, activation=self.groups[0][1])
        return self.activate(F.affine(W, A, b))

    def activate(self, Z: Array | Node) -> Any:
        """Return the activations of Z, (units, m)."""
        if len(self.groups) == 1:
            return ACTIVATIONS[self.groups[0][1]](Z)
        return activate_groups(Z, groups=self.groups)


def _rows(groups: tuple[tuple[int, str], ...]) -> Iterator[tuple[slice, Primitive]]:
    start = 0
    for units, activation in groups:
        yield slice(start, start + units), ACTIVATIONS[activation]
        start += units


def activate_groups_pullback(
    grad: Array, A: Array, Z: Array, *, groups: tuple[tuple[int, str], ...]
) -> tuple[Any, ...]:
    """Gradient of `activate_groups`: the gradients of the groups, stacked by rows."""
    pulled = [f.pull_arrays(grad[rows, :], A[rows, :], Z[rows, :])[0] for rows, f in _rows(groups)]
    return (namespace(grad).concat(pulled, axis=0),)


@primitive(activate_groups_pullback)
def activate_groups(Z: Array, *, groups: tuple[tuple[int, str], ...]) -> Array:
    """Apply to each group of rows its own activation. Z: (units, m), float."""
    return namespace(Z).concat([f(Z[rows, :]) for rows, f in _rows(groups)], axis=0)


@dataclass(frozen=True)
class Network:
    """The configuration of a network of any depth, without its parameters.

    Attributes:
        n_x: number of features.
        n_out: number of outputs: for "softmax" the number of classes; 1 for two classes by "sigmoid".
        output: activation of the output: "sigmoid" (two classes), "softmax" (two or more), "identity" or
            "relu" (regression).
        hidden: hidden layers; none for logistic and softmax regression.

    Raises:
        ConfigurationError: a size is below 1, the output is unknown, or "softmax" has fewer than two classes.
    """

    n_x: int
    n_out: int
    output: str
    hidden: tuple[Layer, ...] = ()

    def __post_init__(self) -> None:
        if self.output not in LOSSES:
            msg = f"output is {self.output!r}, expected one of {', '.join(LOSSES)}"
            raise ConfigurationError(msg)
        least = 2 if self.output == "softmax" else 1
        if self.n_x < 1 or self.n_out < least:
            msg = f"{self.n_x} features and {self.n_out} outputs: expected at least 1 and {least}"
            raise ConfigurationError(msg)

    @property
    def shapes(self) -> dict[str, tuple[int, int]]:
        """Shapes of the parameters by name, in the order of the buffer: W1, b1, W2, b2, ..."""
        sizes = [self.n_x, *(layer.units for layer in self.hidden), self.n_out]
        shapes = {}
        for i, (n_in, n_out) in enumerate(itertools.pairwise(sizes), start=1):
            shapes[f"W{i}"] = (n_out, n_in)
            shapes[f"b{i}"] = (n_out, 1)
        return shapes

    @property
    def widest(self) -> int:
        """Number of units of the layer with the most of them, the output included."""
        return max([self.n_out, *(layer.units for layer in self.hidden)])

    @property
    def loss(self) -> Primitive:
        """The loss function: takes the result of `forward` and labels, returns the loss of each example."""
        return LOSSES[self.output]

    def forward(
        self, parameters: Mapping[str, Any], X: Array, drop: Callable[[Any, int], Any] = no_dropout
    ) -> Any:
        """Return what the loss takes, (n_out, m): the logits Z, or for regression the output.

        Args:
            parameters: arrays or nodes by name.
            X: standardized columns, (n_x, m).
            drop: dropout; called with the activations and the number (from 1) of each hidden layer.

        Raises:
            ShapeError: X has another number of features.
        """
        if X.shape[0] != self.n_x:
            msg = f"X has shape {tuple(X.shape)}, and the model expects {self.n_x} features: one row for each"
            raise ShapeError(msg)
        A = X
        for i, layer in enumerate(self.hidden, start=1):
            A = drop(layer.forward(parameters[f"W{i}"], A, parameters[f"b{i}"]), i)
        last = len(self.hidden) + 1
        Z = F.affine(parameters[f"W{last}"], A, parameters[f"b{last}"])
        return F.relu(Z) if self.output == "relu" else Z

    def activate_output(self, Z: Array) -> Array:
        """Return probabilities (or for regression predicted numbers), (n_out, m). Z: result of `forward`."""
        if self.output == "sigmoid":
            return F.sigmoid(Z)
        return F.softmax(Z) if self.output == "softmax" else Z

    def to_dict(self) -> dict[str, Any]:
        """Return the configuration as plain data, for a file."""
        return {
            "n_x": self.n_x,
            "n_out": self.n_out,
            "output": self.output,
            "hidden": [str(layer) for layer in self.hidden],
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Network:
        """Undo `to_dict`.

        Raises:
            ConfigurationError: the data is not a configuration.
        """
        try:
            sizes, output = (data["n_x"], data["n_out"]), str(data["output"])
            hidden = tuple(Layer.parse(text) for text in data["hidden"])
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            msg = f"not a model's configuration: {type(error).__name__}: {error}"
            raise ConfigurationError(msg) from error
        if not all(type(size) is int for size in sizes):
            msg = f"not a model's configuration: n_x and n_out are {sizes}, expected whole numbers"
            raise ConfigurationError(msg)
        return Network(*sizes, output, hidden)


class LogisticRegression(Network):
    """Logistic regression for two classes: one sigmoid unit."""

    def __init__(self, n_x: int) -> None:
        super().__init__(n_x, 1, "sigmoid")


class SoftmaxRegression(Network):
    """Softmax regression for two or more classes: one softmax layer."""

    def __init__(self, n_x: int, n_classes: int) -> None:
        super().__init__(n_x, n_classes, "softmax")
