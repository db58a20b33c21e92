"""Neural networks: models, parameters, the objective, optimizers, and the settings of a training.

Logistic and softmax regression are networks without hidden layers.
"""

from xpnet.nn.dropout import Dropout, no_dropout
from xpnet.nn.history import (
    Epoch,
    Expectation,
    History,
    Method,
    PenaltyCurve,
    RegressionExpectation,
    StopReason,
    TrainingResult,
)
from xpnet.nn.labels import example_weights, labels_for_loss, require_labels, require_trainable_labels
from xpnet.nn.network import Layer, LogisticRegression, Network, SoftmaxRegression
from xpnet.nn.objective import Objective
from xpnet.nn.optimizers import (
    OPTIMIZERS,
    UPDATE_FUNCTIONS,
    Adam,
    GradientDescent,
    Momentum,
    Optimizer,
    RMSProp,
)
from xpnet.nn.parameters import Parameters, initialize
from xpnet.nn.schedules import SCHEDULES, Constant, Cosine, Plateau, Schedule, Step
from xpnet.nn.settings import PRECISIONS, Settings

__all__ = [
    "OPTIMIZERS",
    "PRECISIONS",
    "SCHEDULES",
    "UPDATE_FUNCTIONS",
    "Adam",
    "Constant",
    "Cosine",
    "Dropout",
    "Epoch",
    "Expectation",
    "GradientDescent",
    "History",
    "Layer",
    "LogisticRegression",
    "Method",
    "Momentum",
    "Network",
    "Objective",
    "Optimizer",
    "Parameters",
    "PenaltyCurve",
    "Plateau",
    "RMSProp",
    "RegressionExpectation",
    "Schedule",
    "Settings",
    "SoftmaxRegression",
    "Step",
    "StopReason",
    "TrainingResult",
    "example_weights",
    "initialize",
    "labels_for_loss",
    "no_dropout",
    "require_labels",
    "require_trainable_labels",
]
