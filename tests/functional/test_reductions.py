"""Sums and means."""

import numpy as np
import pytest

from xpnet import functional as F
from xpnet.backend.backend import Backend
from xpnet.errors import ShapeError
from xpnet.testing import assert_close


def test_a_sum_keeps_the_rank(backend: Backend, dtype: str) -> None:
    x = np.arange(6, dtype=dtype).reshape(2, 3)
    sent = backend.send(x)
    for function, expected in [(F.sum, np.sum), (F.mean, np.mean)]:
        assert_close(function(sent, axis=0), expected(x, axis=0, keepdims=True), backend)
        assert_close(function(sent, axis=1), expected(x, axis=1, keepdims=True), backend)
        assert_close(function(sent, axis=-1), expected(x, axis=1, keepdims=True), backend)
        assert_close(function(sent), expected(x), backend)


@pytest.mark.parametrize("function", [F.sum, F.mean, F.softmax, F.log_softmax], ids=lambda f: f.__name__)
@pytest.mark.parametrize("axis", [2, -3, "0", (0, 1), 0.5])
def test_an_axis_that_is_not_there_is_refused(function: F.sum, axis: object, backend: Backend) -> None:
    with pytest.raises(ShapeError, match=rf"{function.__name__}: axis is .*, and x has shape \(2, 3\)"):
        function(backend.send(np.ones((2, 3))), axis=axis)
