"""The assertions of xpnet.testing fail when they should."""

from typing import Any

import backends
import numpy as np
import pytest

from xpnet import functional as F
from xpnet.autodiff import primitive
from xpnet.backend.backend import Backend
from xpnet.testing import assert_close, check_gradients


def test_what_is_equal_passes(backend: Backend) -> None:
    assert_close(backend.send([[1.0, np.nan]]), [[1.0, np.nan]], backend)
    assert_close(backend.send([[1.0]]), backend.send([[1.0]]), backend)
    assert_close(backend.send([[1.0 + 1e-9]]), [[1.0]], backend, rtol=1e-8)


@pytest.mark.parametrize(
    ("actual", "expected", "message"),
    [
        (np.ones((1, 2)), np.ones((1, 2), "float32"), "dtype float64, expected float32"),
        (np.ones((1, 2)), np.ones((2, 1)), r"shape \(1, 2\), expected \(2, 1\)"),
        (np.ones((1, 1)), np.ones(()), r"shape \(1, 1\), expected \(\)"),
        (np.ones((1, 2)), [[1.0, 1.0 + 1e-9]], "Not equal to tolerance"),
        (np.array([[1]]), [[2]], "Not equal to tolerance"),
        (np.array([[np.nan]]), [[1.0]], "Not equal|nan location mismatch"),
    ],
)
def test_what_differs_fails(actual: Any, expected: Any, message: str, backend: Backend) -> None:
    with pytest.raises(AssertionError, match=message):
        assert_close(backend.send(actual), expected, backend)


def test_an_array_of_another_library_fails() -> None:
    with pytest.raises(AssertionError, match="an array of numpy, expected fakecupy"):
        assert_close(np.ones((1, 1)), [[1.0]], backends.make("fake"))


def test_an_array_on_another_device_fails() -> None:
    array_api_strict = pytest.importorskip("array_api_strict")

    elsewhere = array_api_strict.asarray([[1.0]], device=array_api_strict.Device("CPU_DEVICE"))
    with pytest.raises(AssertionError, match="on another device"):
        assert_close(elsewhere, [[1.0]], backends.make("strict"))


def test_a_forgotten_half_is_found(backend: Backend) -> None:
    """A derivative that is wrong by a constant factor does not pass."""

    def wrong_pullback(grad: Any, a: Any, z: Any) -> tuple[Any, ...]:
        return (2.0 * grad * a * (1.0 - a),)

    @primitive(wrong_pullback)
    def wrong(z: Any) -> Any:
        return F.sigmoid.function(z)

    z = backend.send(np.random.default_rng(0).standard_normal((3, 4)))
    check_gradients(F.sigmoid, z, backend=backend)
    with pytest.raises(AssertionError, match=r"gradient .*, central difference"):
        check_gradients(wrong, z, backend=backend)


@pytest.mark.parametrize("size", [1e-7, 1.0, 1e7])
def test_a_small_error_in_a_gradient_of_any_size_is_found(size: float, backend: Backend) -> None:
    def off_pullback(grad: Any, a: Any, z: Any) -> tuple[Any, ...]:
        return (grad * (size * 1.001),)

    @primitive(off_pullback)
    def off(z: Any) -> Any:
        return z * size

    z = backend.send(np.random.default_rng(0).standard_normal((3, 4)))
    with pytest.raises(AssertionError, match=r"gradient .*, central difference"):
        check_gradients(off, z, backend=backend)


def test_every_element_of_a_gradient_counts(backend: Backend) -> None:
    """Errors that cancel in the sum of all derivatives do not cancel in a random direction."""

    def shifted_pullback(grad: Any, a: Any, z: Any) -> tuple[Any, ...]:
        return (grad * 1.0 + (z - z + F.sum(grad)) * 0.0 + (grad[:, ::-1] - grad) * 0.5,)

    @primitive(shifted_pullback)
    def shifted(z: Any) -> Any:
        return z * 1.0

    with pytest.raises(AssertionError, match="central difference"):
        check_gradients(shifted, backend.send(np.ones((1, 2))), backend=backend)


def test_something_must_be_checked(backend: Backend) -> None:
    with pytest.raises(AssertionError, match="at least one array"):
        check_gradients(lambda: None, backend=backend)


def test_gradients_are_checked_in_float64(backend: Backend) -> None:
    with pytest.raises(AssertionError, match="needs float64"):
        check_gradients(F.sigmoid, backend.send(np.ones((1, 1), "float32")), backend=backend)
