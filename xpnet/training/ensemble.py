"""Ensembles: several networks of the same configuration, computed as one.

Their parameters are stacked by rows. The first layers are one matrix product with the batch, which all runs
share. In later layers there is a matrix product for each run.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from xpnet import functional as F
from xpnet.arrays import namespace
from xpnet.autodiff import primitive
from xpnet.linear import logistic_residual, softmax_residual
from xpnet.nn import Layer, Network, Parameters, no_dropout

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from xpnet.arrays import Array


def by_run(A: Array, runs: int) -> Array:
    """Return a stacked matrix (runs n, k) as (runs, n, k)."""
    return namespace(A).reshape(A, (runs, A.shape[0] // runs, A.shape[1]))


def _stacked(A: Array) -> Array:
    """Undo `by_run`."""
    return namespace(A).reshape(A, (-1, A.shape[2]))


def ensemble_affine_pullback(
    grad: Array, Z: Array, W: Array, X: Array, b: Array, *, runs: int
) -> tuple[Any, ...]:
    """Gradient of `ensemble_affine`."""
    del Z, b
    xp, dZ = namespace(grad), by_run(grad, runs)
    return (
        lambda: _stacked(dZ @ xp.matrix_transpose(by_run(X, runs))),
        lambda: _stacked(xp.matrix_transpose(by_run(W, runs)) @ dZ),
        lambda: xp.sum(grad, axis=1, keepdims=True),
    )


@primitive(ensemble_affine_pullback)
def ensemble_affine(W: Array, X: Array, b: Array, *, runs: int) -> Array:
    """Return W X + b of each run. W: (runs n_out, n_in), X: (runs n_in, k), b: (runs n_out, 1)."""
    return _stacked(by_run(W, runs) @ by_run(X, runs)) + b


def _losses_and_dz(Z: Array, Y: Array, output: str) -> tuple[Array, Array]:
    """Return losses (runs, k), and their derivatives with respect to Z, (runs, n_out, k)."""
    xp, runs = namespace(Z), Z.shape[0] // Y.shape[0]
    if output == "softmax":
        losses, dZ = softmax_residual(Z, Y)
        return losses, by_run(dZ, runs)
    if output == "sigmoid":
        losses, dZ = logistic_residual(by_run(Z, runs), Y)
    else:
        error = by_run(Z, runs) - Y
        losses, dZ = error * error, 2.0 * error
    return xp.sum(losses, axis=1), dZ


def ensemble_loss_pullback(grad: Array, losses: Array, Z: Array, Y: Array, *, output: str) -> tuple[Any, ...]:
    """Gradient of `ensemble_loss`."""
    each = namespace(grad).reshape(grad, (losses.shape[0], 1, losses.shape[1]))
    return _stacked(_losses_and_dz(Z, Y, output)[1] * each), None


@primitive(ensemble_loss_pullback, constants=("Y",))
def ensemble_loss(Z: Array, Y: Array, *, output: str) -> Array:
    """Return the loss of each run and example, (runs, k).

    Args:
        Z: results of `Ensemble.forward`, (runs n_out, k).
        Y: labels or targets of all runs, (n_out, k), floats; for "softmax" the columns sum to 1.
        output: output activation of the networks.
    """
    return _losses_and_dz(Z, Y, output)[0]


def ensemble_sum_pullback(grad: Array, total: Array, A: Array, *, runs: int) -> tuple[Any, ...]:
    """Gradient of `ensemble_sum`."""
    del total
    xp = namespace(grad)
    return (_stacked(xp.broadcast_to(xp.reshape(grad, (runs, 1, 1)), by_run(A, runs).shape)),)


@primitive(ensemble_sum_pullback)
def ensemble_sum(A: Array, *, runs: int) -> Array:
    """Return the sum of all elements of each run, (runs, 1). A: (runs n, k)."""
    xp = namespace(A)
    return xp.sum(xp.reshape(A, (runs, -1)), axis=1, keepdims=True)


@dataclass(frozen=True)
class Ensemble:
    """Several networks of the same configuration.

    Attributes:
        model: the configuration of each network.
        runs: number of networks.
    """

    model: Network
    runs: int

    def joined(self, parts: Sequence[Parameters]) -> dict[str, Array]:
        """Return the stacked parameters by name: a copy. parts: the parameters of each run."""
        xp = namespace(parts[0].buffer)
        return {name: xp.concat([part.views[name] for part in parts], axis=0) for name in self.model.shapes}

    def split(self, parameters: Mapping[str, Array]) -> list[Parameters]:
        """Undo `joined`."""
        shapes, results = self.model.shapes, []
        for run in range(self.runs):
            rows = {name: slice(run * n, (run + 1) * n) for name, (n, _) in shapes.items()}
            results.append(
                Parameters.of(self.model, {name: parameters[name][rows[name], :] for name in shapes})
            )
        return results

    def forward(
        self, parameters: Mapping[str, Any], X: Array, drop: Callable[[Any, int], Any] = no_dropout
    ) -> Any:
        """See `Network.forward`, for the stacked parameters of all runs. Return (runs n_out, k)."""
        model, A = self.model, F.affine(parameters["W1"], X, parameters["b1"])
        for i, layer in enumerate(model.hidden, start=1):
            several = Layer(layer.groups * self.runs) if len(layer.groups) > 1 else layer
            A = drop(several.activate(A), i)
            A = ensemble_affine(parameters[f"W{i + 1}"], A, parameters[f"b{i + 1}"], runs=self.runs)
        return F.relu(A) if model.output == "relu" else A

    def targets(self, Y: Array, like: Array) -> Array:
        """Return labels in the form that `loss` takes, (n_out, k), in the dtype of `like`.

        Args:
            Y: labels or targets in the form that the model's loss takes.
            like: an array of the dtype.
        """
        return F.one_hot(Y, self.model.n_out, like.dtype) if self.model.output == "softmax" else Y

    def loss(self, Z: Any, Y: Array, smoothing: float = 0.0) -> Any:
        """Return the loss of each run and example, (runs, k).

        Args:
            Z: what `forward` returns.
            Y: what `targets` returns, (n_out, k), floats; one-hot columns for "softmax".
            smoothing: share of each label that is spread over all classes.
        """
        if smoothing:
            Y = Y * (1.0 - smoothing) + smoothing / max(2, self.model.n_out)
        return ensemble_loss(Z, Y, output=self.model.output)
