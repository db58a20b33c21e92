"""The parameter buffer, its views and their initial values."""

import numpy as np
import pytest

from xpnet.backend import Backend, select
from xpnet.errors import ConfigurationError, ShapeError
from xpnet.nn import Layer, LogisticRegression, Network, Parameters, initialize

MIXED = Network(4, 3, "softmax", (Layer.parse("5:relu+2:tanh"), Layer.parse("3:sigmoid")))


def test_views_share_the_buffer(backend: Backend) -> None:
    p = initialize(MIXED, backend)
    for view in p.views.values():
        view[...] = 1.0
    np.testing.assert_array_equal(backend.fetch(p.buffer), 1.0)


def test_a_buffer_of_another_size_is_refused(backend: Backend) -> None:
    with pytest.raises(ShapeError, match=r"parameters have shape \(3, 1\), expected \(4, 1\)"):
        Parameters(LogisticRegression(3), backend.send(np.ones((3, 1))))


@pytest.mark.parametrize(("kind", "variance"), [("he", 2 / 400), ("xavier", 2 / (400 + 300)), ("zeros", 0)])
def test_initial_variance(kind: str, variance: float, backend: Backend, dtype: str) -> None:
    p = initialize(Network(400, 300, "softmax"), backend, kind, dtype=dtype)
    W = backend.fetch(p.views["W1"])
    assert W.dtype == dtype
    assert W.var() == pytest.approx(variance, rel=0.02)
    assert abs(W.mean()) < 1e-3
    assert not backend.fetch(p.views["b1"]).any()


def test_a_seed_gives_the_same_start_on_every_backend(backend: Backend) -> None:
    here = backend.fetch(initialize(MIXED, backend, seed=5).buffer)
    np.testing.assert_array_equal(here, initialize(MIXED, select("cpu"), seed=5).buffer)
    assert (here != backend.fetch(initialize(MIXED, backend, seed=6).buffer)).any()


def test_an_unknown_initializer_is_refused(backend: Backend) -> None:
    with pytest.raises(ConfigurationError, match="initializer is 'lecun', expected one of zeros, he, xavier"):
        initialize(MIXED, backend, "lecun")
