"""The objective of a training step: the mean loss with weights and label smoothing, plus penalties."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from xpnet import functional as F
from xpnet.errors import ConfigurationError
from xpnet.nn.dropout import Dropout, no_dropout

if TYPE_CHECKING:
    from xpnet.arrays import Array
    from xpnet.autodiff import Node
    from xpnet.backend import Backend
    from xpnet.data import Batch
    from xpnet.nn.network import Network
    from xpnet.nn.settings import Settings


class Objective:
    """The cost J of a batch, as a node of the computation graph.

    Args:
        model: the network.
        settings: penalties, label smoothing, dropout and its seed.
        backend: the device.
        m: number of training examples, by which the penalties are divided.

    Raises:
        ConfigurationError: label smoothing for a regression, or dropout without hidden layers.
    """

    def __init__(self, model: Network, settings: Settings, backend: Backend, m: int) -> None:
        self._model, self._m = model, m
        self._l1, self._l2, self._smoothing = settings.l1 / m, settings.l2 / (2 * m), settings.label_smoothing
        if self._smoothing and model.output not in ("sigmoid", "softmax"):
            msg = f"label_smoothing is for classifiers, not for an output of {model.output!r}"
            raise ConfigurationError(msg)
        if settings.dropout and not model.hidden:
            msg = "dropout is for hidden units, and this model has none: use l2 instead"
            raise ConfigurationError(msg)
        self._dropout = Dropout(settings.dropout, settings.seed, backend) if settings.dropout else None

    def __call__(self, nodes: dict[str, Node], batch: Batch, step: int) -> Node:
        """Return J.

        Args:
            nodes: the parameters, by name.
            batch: the examples.
            step: number of the step, from 0, for the dropout.
        """
        loss = self._losses(self._model.forward(nodes, batch.X, self._drop(step)), batch.Y)
        if batch.weights is not None:
            loss = loss * batch.weights
        J: Node = F.mean(loss)
        if loss.shape[0] > 1:  # several outputs: the sum of their losses
            J = J * float(loss.shape[0])
        if self._l1 or self._l2:
            J = self._penalized(J, nodes)
        return J

    def _losses(self, Z: Node, Y: Array) -> Any:
        epsilon = self._smoothing
        if not epsilon:
            return self._model.loss(Z, Y)
        if self._model.output == "sigmoid":
            return F.logistic_loss(Z, Y * (1.0 - epsilon) + 0.5 * epsilon)
        # A smoothed label is (1 - epsilon) times the label, plus epsilon / n for each of n classes.
        uniform = F.mean(F.log_softmax(Z), axis=0)
        return (1.0 - epsilon) * F.softmax_cross_entropy(Z, Y) - epsilon * uniform

    def _drop(self, step: int) -> Any:
        dropout = self._dropout
        if dropout is None:
            return no_dropout
        return lambda A, layer: A * dropout.mask(A.value, step, layer)

    def _penalized(self, J: Node, nodes: dict[str, Node]) -> Node:
        for name, node in nodes.items():
            if name.startswith("W"):
                if self._l1:
                    J = J + self._l1 * F.sum_of_absolutes(node)
                if self._l2:
                    J = J + self._l2 * F.sum_of_squares(node)
        return J
