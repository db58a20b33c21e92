"""Assertions for arrays of any backend: values that match, gradients that are derivatives."""

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
    """Raise `AssertionError` unless `actual` is an array of `backend` that holds `expected`.

    Compares library, device, dtype and shape, then values; NaN equals NaN.

    Args:
        actual: an array.
        expected: an array of NumPy or of the backend, whose dtype counts too; or numbers, compared as float64
            or integers of any width.
        backend: where `actual` has to live.
        rtol: largest relative difference; by default 32 rounding errors of the actual dtype.
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

    Every input is moved along one random direction at once, and the output is contracted with one random
    matrix, so one comparison of two numbers covers every partial derivative.

    Args:
        function: of nodes, one for each of `arrays`, to a node of any shape.
        arrays: float64 arrays of `backend` at which to derive.
        backend: where they live.
        seed: of the random direction, drawn on the host: the same on each backend.
        step: how far to move, absolute.
        rtol: largest difference, relative to the larger of the two, beyond rounding.
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
    # What rounding the two values may have done to their difference.
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
