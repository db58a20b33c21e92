"""Training of linear models on all examples at once.

For logistic and softmax regression, whose cost is convex, there are gradient descent, L-BFGS with a penalty
chosen by cross-validation, and ridge classification in closed form; for linear regression there is the closed
form.
"""

from xpnet.linear.cross_validation import choose_penalty
from xpnet.linear.descent import (
    METHODS,
    choose_method,
    descend,
    make_stepper,
    require_valid_descent,
    run_descent,
    unstack_parameters,
)
from xpnet.linear.fused import (
    RESIDUALS,
    FusedPass,
    Sums,
    linear_loss_and_gradient,
    logistic_residual,
    softmax_residual,
)
from xpnet.linear.lbfgs import minimize
from xpnet.linear.least_squares import is_solvable, solve
from xpnet.linear.objective import LinearObjective, is_linear_classifier
from xpnet.linear.ridge import MAX_FEATURES, classify, is_by_example, is_ridge_solvable
from xpnet.linear.sums import LocalSums, MakeSums, PartialSum, partial_sums, shard_rows, tree_sum
from xpnet.linear.symmetric import add_products

__all__ = [
    "MAX_FEATURES",
    "METHODS",
    "RESIDUALS",
    "FusedPass",
    "LinearObjective",
    "LocalSums",
    "MakeSums",
    "PartialSum",
    "Sums",
    "add_products",
    "choose_method",
    "choose_penalty",
    "classify",
    "descend",
    "is_by_example",
    "is_linear_classifier",
    "is_ridge_solvable",
    "is_solvable",
    "linear_loss_and_gradient",
    "logistic_residual",
    "make_stepper",
    "minimize",
    "partial_sums",
    "require_valid_descent",
    "run_descent",
    "shard_rows",
    "softmax_residual",
    "solve",
    "tree_sum",
    "unstack_parameters",
]
