"""Predictions for raw examples, compared with the network on standardized examples."""

import numpy as np
import pytest
from optional import given, settings, st

from xpnet.backend import Backend, select
from xpnet.data import STANDARDIZATIONS, ColumnMatrix
from xpnet.errors import ShapeError
from xpnet.io import Scorer, scoring
from xpnet.nn import Layer, LogisticRegression, Network, SoftmaxRegression, initialize

MODELS = [
    LogisticRegression(12),
    SoftmaxRegression(12, 3),
    Network(12, 1, "sigmoid", (Layer.parse("7:relu+3:tanh"), Layer.parse("5"))),
    Network(12, 2, "identity", (Layer.parse("6:tanh"),)),
    Network(12, 1, "relu"),
]


def scored(
    model: Network, data: ColumnMatrix, backend: Backend, dtype: str = "float64"
) -> tuple[Scorer, np.ndarray]:
    """Return a scorer, and what the network says of the standardized matrix."""
    host = select("cpu")
    parameters = initialize(model, host, seed=1, dtype="float64")
    parameters.buffer[...] += 0.1
    want = model.activate_output(model.forward(parameters.views, data.standardized()))
    return Scorer(model, parameters.views, data.standardizer, backend, dtype), want


@pytest.mark.parametrize("model", MODELS, ids=lambda m: f"{m.output}{len(m.hidden)}")
@pytest.mark.parametrize("kind", STANDARDIZATIONS)
@pytest.mark.parametrize("raw", ["uint8", "float32", "float64"])
def test_outputs_are_those_of_the_standardized_matrix(
    model: Network, kind: str, raw: str, backend: Backend
) -> None:
    examples = np.random.default_rng(0).integers(0, 256, (37, 12)).astype(raw)
    data = ColumnMatrix.of(examples.T, kind, channels=3)
    scorer, want = scored(model, data, backend)
    np.testing.assert_allclose(
        scorer(data.examples), want, rtol=1e-5 if raw == "float32" else 1e-9, atol=1e-12
    )


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 95), st.integers(1, 70))
def test_other_examples_change_no_bit(first: int, size: int) -> None:
    examples = np.random.default_rng(0).integers(0, 256, (96, 3 * 32 * 32), dtype=np.uint8)
    data = ColumnMatrix.of(examples.T, "unit")
    model = Network(3072, 3, "softmax", (Layer.parse("20"),))
    scorer = Scorer(model, initialize(model, select("cpu"), seed=1).views, data.standardizer, select("cpu"))
    part = slice(first, first + size)
    np.testing.assert_array_equal(scorer(examples[part], first), scorer(examples)[:, part])


@pytest.mark.parametrize("raw", ["float32", "float64"])
def test_floats_far_from_zero_keep_their_digits(raw: str, backend: Backend) -> None:
    """Times in seconds since 1970: in float32 the mean's rounding would be all that is left."""
    noise = np.random.default_rng(0).standard_normal((50, 12)) * 100
    base = 1.7e9 if raw == "float64" else 1e6
    data = ColumnMatrix.of((base + np.round(noise)).astype(raw).T, "feature")
    scorer, want = scored(LogisticRegression(12), data, backend, "float32")
    np.testing.assert_allclose(scorer(data.examples), want, rtol=1e-4 if raw == "float64" else 1e-3)


def test_no_examples_have_no_outputs() -> None:
    data = ColumnMatrix.of(np.ones((12, 1)))
    scorer, _ = scored(MODELS[1], data, select("cpu"))
    assert scorer(np.zeros((0, 12), np.uint8)).shape == (3, 0)


def test_other_features_are_refused() -> None:
    data = ColumnMatrix.of(np.ones((12, 1)))
    scorer, _ = scored(MODELS[0], data, select("cpu"))
    with pytest.raises(ShapeError, match="examples have 11 features, and the model expects 12"):
        scorer(np.zeros((1, 11)))


@pytest.mark.parametrize("raw", ["uint8", "float64"])
@pytest.mark.parametrize("first", [0, 5, 1030])
def test_begin_returns_the_same_as_a_call(raw: str, first: int, backend: Backend) -> None:
    examples = np.random.default_rng(0).integers(0, 256, (1200, 12)).astype(raw)
    scorer, _ = scored(MODELS[2], ColumnMatrix.of(examples.T, "unit"), backend)
    waits = [scorer.begin(examples[start : start + 500], first + start) for start in (0, 500, 1000)]
    want = scorer(examples, first)
    np.testing.assert_array_equal(np.concatenate([wait() for wait in waits], axis=1), want)


@pytest.mark.parametrize(("limit", "block"), [(32 << 20, 16), (4 * 12 * 5, 5), (1, 1)])
def test_a_block_is_limited_in_bytes(limit: int, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(scoring.BLOCK_BYTES, "cpu", limit)
    data = ColumnMatrix.of(np.random.default_rng(0).integers(0, 256, (12, 37)).astype("uint8"), "feature")
    scorer, want = scored(MODELS[1], data, select("cpu"), "float32")
    assert scorer.block == block
    np.testing.assert_allclose(scorer(data.examples, first=3), want, rtol=1e-5)
