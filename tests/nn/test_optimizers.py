"""Optimizers, compared with their formulas in plain Python, and with PyTorch."""

import math
from collections.abc import Callable

import backends
import numpy as np
import pytest

from xpnet.backend import Backend
from xpnet.errors import ConfigurationError
from xpnet.nn import OPTIMIZERS, Adam, Momentum, Optimizer, RMSProp
from xpnet.testing import assert_close

GRADIENTS = np.random.default_rng(0).standard_normal((12, 5, 3))
START = np.random.default_rng(1).standard_normal((5, 3))
RATE = 0.05


def by_hand(name: str) -> Callable[[float, list[float]], float]:
    """Return a function that follows one parameter through its gradients, in plain Python."""

    def run(p: float, gs: list[float]) -> float:
        v = s = 0.0
        for t, g in enumerate(gs, start=1):
            if name == "sgd":
                p -= RATE * g
            elif name in ("momentum", "nesterov"):
                v = 0.9 * v + g
                p -= RATE * (g + 0.9 * v if name == "nesterov" else v)
            elif name == "rmsprop":
                s = 0.99 * s + 0.01 * g * g
                p -= RATE * g / (math.sqrt(s) + 1e-8)
            else:
                if name == "adamw":
                    p -= RATE * 0.01 * p
                v, s = 0.9 * v + 0.1 * g, 0.999 * s + 0.001 * g * g
                p -= RATE * (v / (1 - 0.9**t)) / (math.sqrt(s / (1 - 0.999**t)) + 1e-8)
        return p

    return run


def descend(optimizer: Optimizer, backend: Backend, dtype: str) -> np.ndarray:
    p = backend.send(START.copy(), dtype=dtype)
    slots = tuple(backend.xp.zeros_like(p) for _ in range(optimizer.slots))
    sent = [backend.send(g, dtype=dtype) for g in GRADIENTS]
    before = backend.crossings.total
    with backends.no_sync(backend):
        for t, g in enumerate(sent, start=1):
            optimizer.update(p, g, slots, RATE, t)
    assert backend.crossings.total == before
    for g, copy in zip(sent, GRADIENTS, strict=True):
        np.testing.assert_array_equal(backend.fetch(g), copy.astype(dtype))
    return p


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_steps_are_those_of_the_formula(name: str, backend: Backend, dtype: str) -> None:
    p = descend(OPTIMIZERS[name], backend, dtype)
    run = by_hand(name)
    want = np.array([[run(START[i, j], GRADIENTS[:, i, j].tolist()) for j in range(3)] for i in range(5)])
    assert_close(p, want.astype(dtype), backend, rtol=1e-4 if dtype == "float32" else 1e-12, atol=1e-6)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_steps_are_those_of_pytorch(name: str) -> None:
    torch = pytest.importorskip("torch")
    parameter = torch.nn.Parameter(torch.tensor(START))
    make = {
        "sgd": lambda: torch.optim.SGD([parameter], lr=RATE),
        "momentum": lambda: torch.optim.SGD([parameter], lr=RATE, momentum=0.9),
        "nesterov": lambda: torch.optim.SGD([parameter], lr=RATE, momentum=0.9, nesterov=True),
        "rmsprop": lambda: torch.optim.RMSprop([parameter], lr=RATE),
        "adam": lambda: torch.optim.Adam([parameter], lr=RATE),
        "adamw": lambda: torch.optim.AdamW([parameter], lr=RATE),
    }
    theirs = make[name]()
    for g in GRADIENTS:
        parameter.grad = torch.tensor(g)
        theirs.step()
    ours = descend(OPTIMIZERS[name], backends.make("numpy"), "float64")
    np.testing.assert_allclose(ours, parameter.detach().numpy(), rtol=1e-10)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Momentum(beta=1.0), "beta is 1.0, expected at least 0 and below 1"),
        (lambda: RMSProp(rho=-0.1), "rho is -0.1"),
        (lambda: Adam(beta2=float("nan")), "beta2 is nan"),
        (lambda: Adam(decay=-1), "decay is -1, expected at least 0"),
    ],
)
def test_settings_out_of_range_are_refused(make: Callable, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        make()
