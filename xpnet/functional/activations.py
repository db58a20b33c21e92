"""Activation functions and their derivatives.

They keep the dtype, and are exact for large positive and large negative numbers too.
"""

from typing import Any

from xpnet.arrays import (
    Array,
    cast_like,
    namespace,
    require_axis,
    require_elements,
    require_floats,
    require_matrix,
    require_number,
)
from xpnet.autodiff import primitive


def sigmoid_pullback(grad: Array, a: Array, z: Array) -> tuple[Any, ...]:
    """Gradient of `sigmoid`: grad * a * (1 - a).

    1 - a is exact where a is at least 1/2. Where a is rounded to 1 it is 0, and the exact derivative is not
    quite: `sigmoid_derivative` has it, for one more exponential.
    """
    del z
    return (grad * a * (1.0 - a),)


@primitive(sigmoid_pullback)
def sigmoid(z: Array) -> Array:
    """Logistic function 1 / (1 + e^-z), elementwise. z: any shape, float."""
    xp = namespace(z)
    # Both exponents are <= 0, so nothing overflows. Large negative z keep their relative precision.
    return xp.exp(xp.minimum(z, 0.0)) / (1.0 + xp.exp(-xp.abs(z)))


def sigmoid_derivative(z: Array) -> Array:
    """Derivative of the sigmoid at z, s (1 - s) with s = sigmoid(z), elementwise. z: any shape, float."""
    z = require_floats("sigmoid_derivative", "z", z)
    return sigmoid(z) * sigmoid(-z)  # sigmoid(-z) = 1 - sigmoid(z), without cancellation


def tanh_pullback(grad: Array, a: Array, z: Array) -> tuple[Any, ...]:
    """Gradient of `tanh`: grad * (1 - a^2).

    It is computed as (1 - a)(1 + a), because 1 - |a| is exact where |a| is at least 1/2. The square of an a
    near 1 or -1 would be rounded, and the subtraction would leave little more than the rounding error.
    """
    del z
    return (grad * ((1.0 - a) * (1.0 + a)),)


@primitive(tanh_pullback)
def tanh(z: Array) -> Array:
    """Hyperbolic tangent, elementwise. z: any shape, float."""
    return namespace(z).tanh(z)


def tanh_derivative(z: Array) -> Array:
    """Derivative of tanh at z, 1 - tanh(z)^2, elementwise. z: any shape, float."""
    z = require_floats("tanh_derivative", "z", z)
    z = namespace(z).clip(z, -400.0, 400.0)  # outside, the result is 0 anyway, and 2z might overflow
    return 4.0 * sigmoid_derivative(2.0 * z)  # tanh(z) = 2 sigmoid(2z) - 1


def relu_pullback(grad: Array, a: Array, z: Array) -> tuple[Any, ...]:
    """Gradient of `relu`: grad where a > 0, else 0."""
    del z
    return (grad * cast_like(a > 0, grad),)


@primitive(relu_pullback)
def relu(z: Array) -> Array:
    """Rectified linear unit max(z, 0), elementwise. z: any shape, float."""
    return namespace(z).maximum(z, 0.0)


def relu_derivative(z: Array) -> Array:
    """Derivative of relu at z: 1 where z > 0, else 0 (also at 0), elementwise. z: any shape, float."""
    z = require_floats("relu_derivative", "z", z)
    return cast_like(z > 0, z)


def leaky_relu_pullback(grad: Array, a: Array, z: Array, *, slope: float = 0.01) -> tuple[Any, ...]:
    """Gradient of `leaky_relu`: grad where z > 0, else slope * grad."""
    del a
    return (namespace(z).where(z > 0, grad, slope * grad),)


@primitive(leaky_relu_pullback)
def leaky_relu(z: Array, *, slope: float = 0.01) -> Array:
    """Leaky rectified linear unit: z where z > 0, else slope * z, elementwise. z: any shape, float."""
    require_number("leaky_relu", "slope", slope)
    return namespace(z).where(z > 0, z, slope * z)


def leaky_relu_derivative(z: Array, *, slope: float = 0.01) -> Array:
    """Derivative of leaky_relu at z: 1 where z > 0, else slope (also at 0). z: any shape, float."""
    z = require_floats("leaky_relu_derivative", "z", z)
    xp = namespace(z)
    return xp.where(z > 0, xp.ones_like(z), slope)


def softplus_pullback(grad: Array, a: Array, z: Array) -> tuple[Any, ...]:
    """Gradient of `softplus`: grad * sigmoid(z)."""
    del a
    return (grad * sigmoid(z),)


@primitive(softplus_pullback)
def softplus(z: Array) -> Array:
    """Softplus log(1 + e^z), a smooth form of relu, elementwise. z: any shape, float."""
    xp = namespace(z)
    return xp.maximum(z, 0.0) + xp.log1p(xp.exp(-xp.abs(z)))


def softplus_derivative(z: Array) -> Array:
    """Derivative of softplus at z, which is sigmoid(z), elementwise. z: any shape, float."""
    z = require_floats("softplus_derivative", "z", z)
    return sigmoid(z)


def identity_pullback(grad: Array, a: Array, z: Array) -> tuple[Any, ...]:
    """Gradient of `identity`: grad."""
    del a, z
    return (grad,)


@primitive(identity_pullback)
def identity(z: Array) -> Array:
    """Identity, the linear activation: returns z itself, not a copy. z: any shape, float."""
    return z


def identity_derivative(z: Array) -> Array:
    """Derivative of identity at z: ones. z: any shape, float."""
    z = require_floats("identity_derivative", "z", z)
    return namespace(z).ones_like(z)


def softmax_pullback(grad: Array, a: Array, z: Array, *, axis: int = 0) -> tuple[Any, ...]:
    """Gradient of `softmax`: a * (grad - sum(grad * a))."""
    del z
    xp = namespace(a)
    return (a * (grad - xp.sum(grad * a, axis=axis, keepdims=True)),)


@primitive(softmax_pullback)
def softmax(z: Array, *, axis: int = 0) -> Array:
    """Softmax e^z / sum(e^z) along `axis`. z: (n_classes, m), float.

    With axis 0 each column (the logits of one example) sums to 1, with axis 1 each row.
    """
    require_matrix("softmax", "z", z)
    require_axis("softmax", z, axis)
    require_elements("softmax", "z", z, axis)
    xp = namespace(z)
    e = xp.exp(z - xp.max(z, axis=axis, keepdims=True))
    return e / xp.sum(e, axis=axis, keepdims=True)


def log_softmax_pullback(grad: Array, a: Array, z: Array, *, axis: int = 0) -> tuple[Any, ...]:
    """Gradient of `log_softmax`: grad - softmax(z) * sum(grad)."""
    del z
    xp = namespace(a)
    return (grad - xp.exp(a) * xp.sum(grad, axis=axis, keepdims=True),)


@primitive(log_softmax_pullback)
def log_softmax(z: Array, *, axis: int = 0) -> Array:
    """Logarithm of the softmax along `axis`; finite also where the softmax rounds to 0.

    z: (n_classes, m), float.
    """
    require_matrix("log_softmax", "z", z)
    require_axis("log_softmax", z, axis)
    require_elements("log_softmax", "z", z, axis)
    xp = namespace(z)
    shifted = z - xp.max(z, axis=axis, keepdims=True)
    return shifted - xp.log(xp.sum(xp.exp(shifted), axis=axis, keepdims=True))
