"""Optimizers: they change the parameters in place, given the gradient.

The formulas are those of PyTorch, so that both take the same steps. For example, momentum is v = beta v + g,
without a factor of 1 - beta on g.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from xpnet.arrays import cast_like, namespace
from xpnet.errors import ConfigurationError
from xpnet.kernels import dispatched

if TYPE_CHECKING:
    from xpnet.arrays import Array


@dispatched
def descend(p: Array, g: Array, *, rate: float) -> None:
    """Step p -= rate g."""
    p -= rate * g


@dispatched
def momentum(p: Array, g: Array, v: Array, *, rate: float, beta: float, nesterov: bool) -> None:
    """Step v = beta v + g; p -= rate v, or with Nesterov momentum p -= rate (g + beta v)."""
    v *= beta
    v += g
    p -= rate * (g + beta * v) if nesterov else rate * v


@dispatched
def rmsprop(p: Array, g: Array, s: Array, *, rate: float, rho: float, epsilon: float) -> None:
    """Step s = rho s + (1 - rho) g^2; p -= rate g / (sqrt(s) + epsilon)."""
    s *= rho
    s += (1.0 - rho) * (g * g)
    p -= rate * (g / (namespace(s).sqrt(s) + epsilon))


@dispatched
def adam(
    p: Array, g: Array, v: Array, s: Array, *, rate: float, beta1: float, beta2: float, epsilon: float, t: int
) -> None:
    """Step by the moments v of g and s of g^2, corrected for their start at 0 (Kingma and Ba 2015)."""
    v *= beta1
    v += (1.0 - beta1) * g
    s *= beta2
    s += (1.0 - beta2) * (g * g)
    factor, corrected = rate / (1.0 - beta1**t), (1.0 - beta2**t) ** 0.5
    if not isinstance(t, int):  # on the device, in float64: 1 - beta2^t loses digits
        factor, corrected = cast_like(factor, p), cast_like(corrected, p)
    p -= factor * (v / (namespace(s).sqrt(s) / corrected + epsilon))


def _refuse_outside(name: str, value: float) -> None:
    if not 0 <= value < 1:
        msg = f"{name} is {value}, expected at least 0 and below 1"
        raise ConfigurationError(msg)


@dataclass(frozen=True)
class GradientDescent:
    """Gradient descent without momentum.

    Attributes:
        slots: number of arrays of state, each in the shape of the parameters and 0 at the start.
    """

    slots: ClassVar[int] = 0

    def update(self, p: Array, g: Array, slots: tuple[Array, ...], rate: float, t: int) -> None:
        """Take a step: change p and the slots in place.

        Args:
            p: the parameters.
            g: their gradient, in the same shape.
            slots: the arrays of state, as many as `slots`.
            rate: the learning rate; may be an array (1, 1) or (rows, 1) on the device.
            t: number of the step, from 1; may be an array (1, 1) float64 on the device.
        """
        del slots, t
        descend(p, g, rate=rate)


@dataclass(frozen=True)
class Momentum:
    """Gradient descent with momentum.

    Attributes:
        beta: factor on the momentum in each step, at least 0 and below 1.
        nesterov: whether to use Nesterov momentum.
    """

    beta: float = 0.9
    nesterov: bool = False

    slots: ClassVar[int] = 1

    def __post_init__(self) -> None:
        _refuse_outside("beta", self.beta)

    def update(self, p: Array, g: Array, slots: tuple[Array, ...], rate: float, t: int) -> None:
        """See `GradientDescent.update`. There is one slot."""
        del t
        momentum(p, g, *slots, rate=rate, beta=self.beta, nesterov=self.nesterov)


@dataclass(frozen=True)
class RMSProp:
    """RMSProp.

    Attributes:
        rho: factor on the mean square of the gradient in each step, at least 0 and below 1.
        epsilon: added to the denominator.
    """

    rho: float = 0.99
    epsilon: float = 1e-8

    slots: ClassVar[int] = 1

    def __post_init__(self) -> None:
        _refuse_outside("rho", self.rho)

    def update(self, p: Array, g: Array, slots: tuple[Array, ...], rate: float, t: int) -> None:
        """See `GradientDescent.update`. There is one slot."""
        del t
        rmsprop(p, g, *slots, rate=rate, rho=self.rho, epsilon=self.epsilon)


@dataclass(frozen=True)
class Adam:
    """Adam; with `decay` above 0 AdamW, which applies weight decay to the parameters, not to the gradient.

    Attributes:
        beta1: factor on the first moment in each step, at least 0 and below 1.
        beta2: factor on the second moment in each step, at least 0 and below 1.
        epsilon: added to the denominator.
        decay: weight decay, at least 0.
    """

    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    decay: float = 0.0

    slots: ClassVar[int] = 2

    def __post_init__(self) -> None:
        _refuse_outside("beta1", self.beta1)
        _refuse_outside("beta2", self.beta2)
        if self.decay < 0:
            msg = f"decay is {self.decay}, expected at least 0"
            raise ConfigurationError(msg)

    def update(self, p: Array, g: Array, slots: tuple[Array, ...], rate: float, t: int) -> None:
        """See `GradientDescent.update`. There are two slots."""
        if self.decay:
            p *= 1.0 - rate * self.decay
        adam(
            p, g, *slots, rate=rate, beta1=self.beta1, beta2=self.beta2, epsilon=self.epsilon, t=t
        )  # fmt: skip


Optimizer = GradientDescent | Momentum | RMSProp | Adam
"""Any of the optimizers."""

OPTIMIZERS: dict[str, Optimizer] = {
    "sgd": GradientDescent(),
    "momentum": Momentum(),
    "nesterov": Momentum(nesterov=True),
    "rmsprop": RMSProp(),
    "adam": Adam(),
    "adamw": Adam(decay=0.01),
}
"""Optimizers with their usual settings, by name."""

UPDATE_FUNCTIONS = {"sgd": descend, "momentum": momentum, "rmsprop": rmsprop, "adam": adam}
"""The functions that change the parameters, by name. There are kernels for them."""
