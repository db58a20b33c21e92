"""Estimators for scikit-learn: linear models, networks and patch features, on a CPU or a GPU.

Rows are samples. The extra `sklearn` installs scikit-learn, which this package needs.
"""

try:
    import sklearn  # noqa: F401
except ModuleNotFoundError as error:
    msg = "xpnet.sklearn needs scikit-learn, which is not installed: pip install 'xpnet[sklearn]'"
    raise ModuleNotFoundError(msg, name="sklearn") from error

from xpnet.sklearn.linear import LinearRegression, LogisticRegression, RidgeClassifier
from xpnet.sklearn.networks import NetworkClassifier, NetworkRegressor
from xpnet.sklearn.patches import PatchTransformer

__all__ = [
    "LinearRegression",
    "LogisticRegression",
    "NetworkClassifier",
    "NetworkRegressor",
    "PatchTransformer",
    "RidgeClassifier",
]
