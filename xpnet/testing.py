"""Assertions for tests, for arrays of any backend: compare values, and check gradients."""

from collections.abc import Callable
from typing import Any

import numpy as np

from xpnet.arrays import Array, namespace
from xpnet.autodiff import Node, gradients
from xpnet.backend import Backend


def assert_close(
    actual: Array,
    expected: Any,
    backend: Backend,
    *,
    rtol: float | None = None,
    atol: float = 0.0,
) -> None:
    """Raise `AssertionError` unless `actual` is an array of `backend` and equals `expected`.

    Compares the library, the device, the dtype and the shape, then the values. NaN equals NaN.

    Args:
        actual: an array.
        expected: an array of NumPy or of the backend, or numbers. The dtype of an array is compared too.
        backend: where `actual` has to be.
        rtol: largest relative difference; by default 32 times the rounding error of the dtype of `actual`, or
            0 for integers.
        atol: largest absolute difference.
    """
    library = namespace(actual)
    _require(library is backend.xp, f"an array of {library.__name__}, expected {backend.xp.__name__}")
    _require(backend.holds(actual), f"the array is on another device than {backend.device}")
    got = backend.fetch(actual)
    typed = hasattr(expected, "dtype")
    want = expected if isinstance(expected, np.ndarray | np.generic) or not typed else backend.fetch(expected)
    if typed:
        _require(got.dtype == want.dtype, f"dtype {got.dtype}, expected {want.dtype}")
    _require(got.shape == np.shape(want), f"shape {got.shape}, expected {np.shape(want)}")
    if rtol is None:
        rtol = 32 * float(np.finfo(got.dtype).eps) if got.dtype.kind == "f" else 0.0
    np.testing.assert_allclose(got, want, rtol=rtol, atol=atol)


def check_gradients(
    function: Callable[..., Node],
    *arrays: Array,
    backend: Backend,
    seed: int = 0,
    step: float = 1e-6,
    rtol: float = 1e-6,
) -> None:
    """Raise `AssertionError` unless the gradients of `function` agree with central differences.

    All inputs are moved at once in one random direction, and the output is multiplied by random weights and
    summed. So one comparison of two numbers checks all partial derivatives.

    Args:
        function: takes a node for each of `arrays`, and returns a node of any shape.
        arrays: float64 arrays of `backend`, at which the gradients are checked.
        backend: where the arrays are.
        seed: of the random direction and weights, which are the same on each backend.
        step: how far the inputs are moved along the direction.
        rtol: largest difference, relative to the larger of the two numbers. Rounding errors are allowed too.
    """
    generator = np.random.default_rng(seed)

    def random(like: Array) -> Array:
        return backend.send(generator.standard_normal(tuple(like.shape)))

    _require(bool(arrays), "check_gradients needs at least one array")
    for array in arrays:
        _require(array.dtype == backend.xp.float64, f"check_gradients needs float64, got {array.dtype}")
    nodes = [Node(array) for array in arrays]
    output = function(*nodes)
    weights = random(output.value)
    directions = [random(array) for array in arrays]
    computed = sum(
        _contract(backend, gradient, direction)
        for gradient, direction in zip(gradients(output, nodes, weights), directions, strict=True)
    )

    def moved(by: float) -> float:
        ahead = [Node(array + by * direction) for array, direction in zip(arrays, directions, strict=True)]
        return _contract(backend, function(*ahead).value, weights)

    ahead, behind = moved(step), moved(-step)
    expected = (ahead - behind) / (2 * step)
    # How large the rounding error of the difference of the two values may be.
    noise = 8 * np.finfo(np.float64).eps * max(abs(ahead), abs(behind)) / step
    _require(
        bool(abs(computed - expected) <= rtol * max(abs(expected), abs(computed)) + noise),
        f"gradient {computed!r}, central difference {expected!r}",
    )


def _contract(backend: Backend, left: Array, right: Array) -> float:
    return float(np.sum(backend.fetch(left) * backend.fetch(right)))


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise AssertionError(message)
