"""Linear models: logistic and softmax regression, ridge classification, and least squares."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sklearn.base import RegressorMixin
from sklearn.exceptions import ConvergenceWarning

from xpnet.data import fit_standardizer
from xpnet.errors import ConfigurationError
from xpnet.linear import choose_penalty, classify, minimize, solve
from xpnet.nn import Network, Parameters, StopReason
from xpnet.sklearn.base import Classifier, Predictor, read_classes
from xpnet.sklearn.inputs import backend_for, draw_seed, read_samples, standardized, weights_of_classes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sklearn.utils import Tags

    from xpnet.backend import Backend
    from xpnet.data import Standardizer
    from xpnet.nn import Expectation, TrainingResult


class LinearPredictor(Predictor):
    """A predictor with a coefficient for each feature of a raw row.

    Attributes:
        coef_: (n_out, n_x), or for one target (n_x,).
        intercept_: (n_out,), or for one target a number.
    """

    coef_: np.ndarray
    intercept_: Any

    def _network(self) -> tuple[Network, Mapping[str, np.ndarray], Standardizer]:
        W = np.atleast_2d(self.coef_)
        b = np.reshape(self.intercept_, (-1, 1))
        return Network(W.shape[1], W.shape[0], "identity"), {"W1": W, "b1": b}, fit_standardizer([], "none")

    def _keep(self, parameters: Parameters, standardizer: Standardizer, backend: Backend, dtype: str) -> None:
        """Set the coefficients: those of the standardized features become those of the raw ones."""
        W, b = (backend.fetch(parameters.views[name]) for name in ("W1", "b1"))
        raw = W * standardizer.scale.T
        self.coef_ = raw.astype(dtype)
        self.intercept_ = (b[:, 0] - np.sum(raw * standardizer.mean.T, axis=1)).astype(dtype)


class LogisticRegression(Classifier, LinearPredictor):
    """Logistic regression for two classes, softmax regression for more, by L-BFGS.

    It has the same objective as scikit-learn's `LogisticRegression`, and the same names for its parameters.
    Rows of bytes (`uint8`) are not converted: one pass over them is one step.

    Args:
        C: inverse strength of the penalty on the weights, 1 / (2 C) sum W^2 beside the sum of the losses;
            `numpy.inf` for no penalty. None chooses it by cross-validation, see
            `xpnet.linear.choose_penalty`.
        tol: it has converged when no derivative of the mean loss with the penalty is larger.
        max_iter: limit of the number of iterations. A `ConvergenceWarning` says if it was reached.
        class_weight: None, "balanced", or a dict with a positive weight for each class.
        warm_start: whether `fit` starts from the coefficients of the last one.
        random_state: chooses the folds of the cross-validation.
        standardize: "auto" divides bytes by 255 and does not change floats; "none"; "unit", by 255;
            "feature", mean 0 and variance 1. The penalty is on the weights of standardized features; the
            coefficients are those of the rows as they are given.
        device: "cpu", "gpu", "gpu:N" or "auto"; see `xpnet.select`. Rows of CuPy stay where they are, and so
            does the computation. What an estimator returns is in host memory.

    Attributes:
        classes_: the classes, sorted, (n_classes,).
        coef_: (1, n_x) for two classes, otherwise (n_classes, n_x). It is float64 for rows of float64, else
            float32, as all that is computed.
        intercept_: (1,) or (n_classes,).
        C_: the inverse strength that was used.
        expected_: if it was chosen, what to expect on other samples; see `xpnet.nn.Expectation`.
        n_iter_: number of iterations.
        n_features_in_, feature_names_in_: as in scikit-learn.
    """

    def __init__(
        self,
        C: float | None = 1.0,
        *,
        tol: float = 1e-4,
        max_iter: int = 1000,
        class_weight: Any = None,
        warm_start: bool = False,
        random_state: Any = None,
        standardize: str = "auto",
        device: str = "cpu",
    ) -> None:
        self.C = C
        self.tol = tol
        self.max_iter = max_iter
        self.class_weight = class_weight
        self.warm_start = warm_start
        self.random_state = random_state
        self.standardize = standardize
        self.device = device

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Fit to samples.

        Args:
            X: rows, (m, n_x): uint8, float32 or float64; others are converted to float64.
            y: their classes, (m,).
            sample_weight: a weight for each sample, (m,), or None.

        Raises:
            ValueError, TypeError: an input or a parameter cannot be used.
            DeviceError: the device cannot be used.
        """
        goes_on = self.warm_start and hasattr(self, "coef_")
        samples = read_samples(self, X, y, sample_weight)
        if self.C is not None and not self.C > 0:
            msg = f"C is {self.C!r}, expected more than 0, or None"
            raise ConfigurationError(msg)
        classes, n_x = read_classes(samples.y), samples.X.shape[1]
        if goes_on:
            self._require_same(classes, n_x)
        self.classes_ = classes
        network, data = self._classifier(n_x), standardized(samples.X, self.standardize)
        backend = backend_for(samples.X, self.device)
        shared: Any = {
            "tolerance": self.tol,
            "class_weight": weights_of_classes(self.class_weight, self.classes_, samples.y),
            "weights": samples.relative_weights,
        }
        self.expected_: Expectation | None = None
        if self.C is None:
            expected = self.expected_ = choose_penalty(
                network,
                data,
                self._labels(samples),
                backend,
                seed=draw_seed(self.random_state),
                iterations=self.max_iter,
                dtype=samples.dtype,
                **shared,
            )
            l2 = expected.penalty
            self.C_ = 1.0 / l2 / samples.mean_weight
        else:
            self.C_ = self.C
            l2 = 1.0 / self.C / samples.mean_weight

        def minimized(start: Parameters | None, dtype: str, iterations: int) -> TrainingResult:
            return minimize(
                network,
                data,
                self._labels(samples),
                backend,
                iterations=iterations,
                l2=l2,
                start=start,
                dtype=dtype,
                **shared,
            )

        start = self._start(network, data.standardizer) if goes_on else None
        result = minimized(start, samples.dtype, self.max_iter)
        self.n_iter_ = len(result.costs) - 1
        if result.history.stop is StopReason.ROUNDING and self.n_iter_ < self.max_iter:
            # The tolerance is too small for this dtype, or for its sums.
            result = minimized(result.parameters, "float64", self.max_iter - self.n_iter_)
            self.n_iter_ += len(result.costs) - 1
        if result.history.stop is StopReason.ALL_EPOCHS:
            warnings.warn(
                f"not converged after {self.n_iter_} iterations: increase max_iter, or scale the features",
                ConvergenceWarning,
                stacklevel=2,
            )
        self._keep(result.parameters, data.standardizer, backend, samples.dtype)
        return self

    def _require_same(self, classes: np.ndarray, n_x: int) -> None:
        """Raise `ConfigurationError` unless the last fit had these classes and this number of features."""
        if self.coef_.shape[1] != n_x or not np.array_equal(classes, self.classes_):
            msg = (
                f"warm_start goes on from {self.coef_.shape[1]} features and the classes "
                f"{self.classes_.tolist()}, and now there are {n_x} and {classes.tolist()}: "
                "set warm_start=False"
            )
            raise ConfigurationError(msg)

    def _start(self, network: Network, standardizer: Standardizer) -> Parameters:
        """Return the coefficients of the last fit as parameters to start from, in host memory."""
        b = self.intercept_[:, None] + np.sum(self.coef_ * standardizer.mean.T, axis=1, keepdims=True)
        return Parameters.of(network, {"W1": self.coef_ / standardizer.scale.T, "b1": b})


class RidgeClassifier(Classifier, LinearPredictor):
    """Ridge classification in closed form: it chooses its penalty, and has probabilities.

    The penalty is the one with the least squared error on left-out samples; see `xpnet.linear.classify`.

    Args:
        class_weight: None, "balanced", or a dict with a positive weight for each class.
        random_state: chooses the samples to hold out, where leaving out each of them would take too long.
        standardize: see `LogisticRegression`.
        device: see `LogisticRegression`.

    Attributes:
        expected_: what to expect on other samples; see `xpnet.nn.Expectation`. It has the penalty.
        classes_, coef_, intercept_, n_features_in_, feature_names_in_: see `LogisticRegression`.
    """

    def __init__(
        self,
        *,
        class_weight: Any = None,
        random_state: Any = None,
        standardize: str = "auto",
        device: str = "cpu",
    ) -> None:
        self.class_weight = class_weight
        self.random_state = random_state
        self.standardize = standardize
        self.device = device

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Fit to samples; see `LogisticRegression.fit`."""
        samples = read_samples(self, X, y, sample_weight)
        self.classes_ = read_classes(samples.y)
        data, backend = standardized(samples.X, self.standardize), backend_for(samples.X, self.device)
        result = classify(
            self._classifier(data.n_x),
            data,
            self._labels(samples),
            backend,
            class_weight=weights_of_classes(self.class_weight, self.classes_, samples.y),
            weights=samples.relative_weights,
            dtype=samples.dtype,
            seed=draw_seed(self.random_state),
        )
        self._keep(result.parameters, data.standardizer, backend, samples.dtype)
        self.expected_ = result.expected
        return self


class LinearRegression(RegressorMixin, LinearPredictor):
    """Least squares in closed form, with or without a penalty, for one or several targets.

    Args:
        alpha: strength of the penalty alpha sum W^2 beside the sum of the squared errors. None chooses it by
            exact leave-one-out.
        standardize: see `LogisticRegression`.
        device: see `LogisticRegression`.

    Attributes:
        coef_: (n_x,), or for several targets (n_out, n_x).
        intercept_: a number, or (n_out,).
        alpha_: the penalty that was used.
        expected_: if it was chosen, what to expect on other samples; see `xpnet.nn.RegressionExpectation`.
        n_features_in_, feature_names_in_: as in scikit-learn.
    """

    def __init__(self, alpha: float | None = 0.0, *, standardize: str = "auto", device: str = "cpu") -> None:
        self.alpha = alpha
        self.standardize = standardize
        self.device = device

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Fit to samples.

        Args:
            X: rows, (m, n_x): uint8, float32 or float64; others are converted to float64.
            y: targets, (m,) or (m, n_out).
            sample_weight: a weight for each sample, (m,), or None.

        Raises:
            ValueError, TypeError: an input or a parameter cannot be used; there are also more than 4096
                samples of more than 4096 features.
            DeviceError: the device cannot be used.
        """
        samples = read_samples(self, X, y, sample_weight, multi_output=True, y_numeric=True)
        data, backend = standardized(samples.X, self.standardize), backend_for(samples.X, self.device)
        targets = samples.y.reshape(len(samples.y), -1).T
        result = solve(
            Network(data.n_x, len(targets), "identity"),
            data,
            targets,
            backend,
            l2=None if self.alpha is None else 2.0 * self.alpha / samples.mean_weight,
            weights=samples.relative_weights,
            dtype=samples.dtype,
        )
        self._keep(result.parameters, data.standardizer, backend, samples.dtype)
        if samples.y.ndim == 1:
            self.coef_, self.intercept_ = self.coef_[0], self.intercept_[0]
        self.expected_ = result.expected
        chosen = 0.0 if result.expected is None else result.expected.penalty / 2 * samples.mean_weight
        self.alpha_ = chosen if self.alpha is None else self.alpha
        return self

    def predict(self, X: Any) -> np.ndarray:
        """Return the predicted numbers, (m,), or for several targets (m, n_out).

        Args:
            X: rows, (m, n_x).
        """
        found = self._scores(X)
        return found[0] if np.ndim(self.coef_) == 1 else found.T

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
