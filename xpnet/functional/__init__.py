"""All primitives with their derivatives, and functions that bring arrays into the shapes they expect."""

from xpnet.autodiff import add, divide, matmul, multiply, negative, power, subtract, transpose
from xpnet.functional.activations import (
    identity,
    identity_derivative,
    leaky_relu,
    leaky_relu_derivative,
    log_softmax,
    relu,
    relu_derivative,
    sigmoid,
    sigmoid_derivative,
    softmax,
    softplus,
    softplus_derivative,
    tanh,
    tanh_derivative,
)
from xpnet.functional.elementwise import exp, exp_derivative, log, log_derivative
from xpnet.functional.linear import GRADIENT_FROM_OUTPUT as GRADIENT_FROM_OUTPUT
from xpnet.functional.linear import affine, dense
from xpnet.functional.losses import L1, L2, logistic_loss, softmax_cross_entropy, squared_error
from xpnet.functional.reductions import mean, sum, sum_of_absolutes, sum_of_squares  # noqa: A004
from xpnet.functional.vectors import as_column, as_row, image2vector, normalize_rows, one_hot, vector2image

__all__ = [
    "L1",
    "L2",
    "add",
    "affine",
    "as_column",
    "as_row",
    "dense",
    "divide",
    "exp",
    "exp_derivative",
    "identity",
    "identity_derivative",
    "image2vector",
    "leaky_relu",
    "leaky_relu_derivative",
    "log",
    "log_derivative",
    "log_softmax",
    "logistic_loss",
    "matmul",
    "mean",
    "multiply",
    "negative",
    "normalize_rows",
    "one_hot",
    "power",
    "relu",
    "relu_derivative",
    "sigmoid",
    "sigmoid_derivative",
    "softmax",
    "softmax_cross_entropy",
    "softplus",
    "softplus_derivative",
    "squared_error",
    "subtract",
    "sum",
    "sum_of_absolutes",
    "sum_of_squares",
    "tanh",
    "tanh_derivative",
    "transpose",
    "vector2image",
]
