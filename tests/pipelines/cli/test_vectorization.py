"""The texts of each computation compute the same."""

import backends
import numpy as np
import pytest

from xpnet.backend.backend import Backend
from xpnet.pipelines.cli.vectorization import Operation, operations

OPERATIONS = operations(scale=0.001)


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
def test_every_text_computes_the_same(operation: Operation, backend: Backend) -> None:
    looped = np.array(operation.loop(*(array.tolist() for array in operation.arguments)))
    in_place = operation.in_place(*operation.arguments, *operation.buffers())
    np.testing.assert_allclose(in_place, looped, rtol=1e-9, atol=1e-12)
    sent = [backend.send(array) for array in operation.arguments]
    if backend.name == "strict":
        return  # its namespace has no `concatenate`, NumPy's and CuPy's name
    with backends.no_sync(backend):
        vectorized = operation.vectorized(backend.xp, *sent)
    np.testing.assert_allclose(backend.fetch(vectorized), looped, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
def test_in_place_makes_no_array(operation: Operation) -> None:
    buffers = operation.buffers()
    result = operation.in_place(*operation.arguments, *buffers)
    assert any(np.shares_memory(result, buffer) for buffer in buffers)
