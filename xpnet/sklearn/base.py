"""What estimators share: scores of rows, and what a classifier makes of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted

from xpnet import functional as F
from xpnet.errors import ShapeError
from xpnet.io import Scorer
from xpnet.nn import Network
from xpnet.sklearn.inputs import Samples, backend_for, read_rows

if TYPE_CHECKING:
    from collections.abc import Mapping

    from xpnet.data import Standardizer


class Predictor(BaseEstimator, ABC):
    """An estimator that predicts from rows."""

    device: str

    @abstractmethod
    def _network(self) -> tuple[Network, Mapping[str, np.ndarray], Standardizer]:
        """Return the fitted network with its parameters by name, and the standardization of its rows."""

    def _scores(self, X: Any) -> np.ndarray:
        """Return what the network computes before its output activation, (n_out, m)."""
        check_is_fitted(self)
        rows = read_rows(self, X)
        network, parameters, standardizer = self._network()
        scores = Network(network.n_x, network.n_out, "identity", network.hidden)
        dtype = parameters["W1"].dtype.name
        return Scorer(scores, parameters, standardizer, backend_for(rows, self.device), dtype)(rows)


class Classifier(ClassifierMixin, Predictor):
    """A predictor of classes.

    Attributes:
        classes_: the classes, sorted, (n_classes,).
    """

    classes_: np.ndarray

    def decision_function(self, X: Any) -> np.ndarray:
        """Return the logits: of two classes those of the second one, (m,), otherwise (m, n_classes).

        Args:
            X: rows, (m, n_x).
        """
        Z = self._scores(X)
        return Z[0] if len(Z) == 1 else Z.T

    def predict(self, X: Any) -> np.ndarray:
        """Return the most probable class of each row, (m,).

        Args:
            X: rows, (m, n_x).
        """
        indices = self._logits(X).argmax(axis=0)
        found: np.ndarray = self.classes_[indices]
        return found

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return the probabilities of all classes, (m, n_classes), in the order of `classes_`.

        Args:
            X: rows, (m, n_x).
        """
        probabilities: np.ndarray = F.softmax(self._logits(X)).T
        return probabilities

    def predict_log_proba(self, X: Any) -> np.ndarray:
        """Return the logarithms of the probabilities, (m, n_classes).

        Args:
            X: rows, (m, n_x).
        """
        logarithms: np.ndarray = F.log_softmax(self._logits(X)).T
        return logarithms

    def _logits(self, X: Any) -> np.ndarray:
        """Return a logit for each class, (n_classes, m). Of two classes, the first one has 0."""
        Z = self._scores(X)
        return np.concatenate([0 * Z, Z]) if len(Z) == 1 else Z

    def _labels(self, samples: Samples) -> np.ndarray:
        """Return the indices of the classes of samples, (1, m).

        Raises:
            ShapeError: a label is none of `classes_`.
        """
        indices = np.searchsorted(self.classes_, samples.y).clip(max=len(self.classes_) - 1)
        known = self.classes_[indices] == samples.y
        if not np.all(known):
            msg = f"y holds {samples.y[~known][0]!r}, which is none of the classes {self.classes_.tolist()}"
            raise ShapeError(msg)
        return indices[None]

    def _classifier(self, n_x: int, hidden: Any = ()) -> Network:
        """Return a network with one output for two classes, or one for each of more classes."""
        if len(self.classes_) == 2:
            return Network(n_x, 1, "sigmoid", hidden)
        return Network(n_x, len(self.classes_), "softmax", hidden)


def read_classes(y: np.ndarray) -> np.ndarray:
    """Return the classes in y, sorted.

    Raises:
        ValueError: y holds numbers that are no classes.
        ShapeError: y holds one class only.
    """
    check_classification_targets(y)
    classes: np.ndarray = np.unique(y)
    if len(classes) < 2:
        msg = f"y holds one class, {classes[0]!r}: expected at least two classes"
        raise ShapeError(msg)
    return classes
