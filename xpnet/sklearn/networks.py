"""Networks, trained in epochs of mini-batches, at once or part by part."""

from __future__ import annotations

from numbers import Integral
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sklearn.base import RegressorMixin
from sklearn.utils.validation import check_is_fitted

from xpnet.data import ColumnMatrix
from xpnet.errors import ConfigurationError, ShapeError
from xpnet.nn import OPTIMIZERS, Layer, Network, Parameters, Settings
from xpnet.sklearn.base import Classifier, Predictor, read_classes
from xpnet.sklearn.inputs import (
    Samples,
    backend_for,
    draw_seed,
    read_samples,
    standardized,
    weights_of_classes,
)
from xpnet.training import Trainer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sklearn.utils import Tags

    from xpnet.data import Standardizer
    from xpnet.nn import History


class NetworkPredictor(Predictor):
    """A predictor that is a network.

    Attributes:
        parameters_: weights W1, W2, ... (n_out, n_in) and biases b1, b2, ... (n_out, 1), by name.
        network_: the configuration of the network.
        standardizer_: the standardization of the rows.
        history_: the cost of each epoch; see `xpnet.nn.History`.
        n_iter_: number of epochs.
    """

    hidden: Any
    activation: str
    optimizer: str
    learning_rate: float
    l2: float
    dropout: float
    batch_size: int | None
    epochs: int
    patience: int | None
    warm_start: bool
    random_state: Any
    standardize: str
    network_: Network
    parameters_: dict[str, np.ndarray]
    standardizer_: Standardizer
    history_: History

    def _network(self) -> tuple[Network, Mapping[str, np.ndarray], Standardizer]:
        return self.network_, self.parameters_, self.standardizer_

    def _layers(self) -> tuple[Layer, ...]:
        """Return the hidden layers of the parameters `hidden` and `activation`."""
        sizes = (self.hidden,) if isinstance(self.hidden, Integral) else tuple(self.hidden)
        return tuple(Layer.parse(f"{size}:{self.activation}") for size in sizes)

    def _settings(self, **changes: Any) -> Settings:
        if self.optimizer not in OPTIMIZERS:
            msg = f"optimizer is {self.optimizer!r}, expected one of {', '.join(OPTIMIZERS)}"
            raise ConfigurationError(msg)
        given = {
            "epochs": self.epochs,
            "batch_size": self.batch_size,
            "learning_rate": self.learning_rate,
            "optimizer": OPTIMIZERS[self.optimizer],
            "l2": self.l2,
            "dropout": self.dropout,
            "patience": self.patience,
        }
        return Settings(**(given | changes))

    def _fit(self, network: Network, samples: Samples, Y: np.ndarray, class_weight: Any = None) -> None:
        """Train a network. With `warm_start` it starts from the parameters of the last fit."""
        again = self._goes_on()
        data = standardized(samples.X, self.standardize)
        if again:
            data = data.standardized_as(self.standardizer_)
        settings = self._settings(
            l2=self.l2 / samples.mean_weight,
            seed=self._draw_seed(),
            dtype=samples.dtype,
            class_weight=class_weight,
        )
        start = Parameters.of(network, self.parameters_) if again else None
        backend, weights = backend_for(samples.X, self.device), samples.relative_weights
        trainer = Trainer(network, data, Y, backend, settings, start=start, weights=weights)
        while not trainer.is_done():
            trainer.epoch()
        trainer.restore_best()
        self.standardizer_ = data.standardizer
        self._keep(trainer)

    def _partial_fit(
        self, network: Network, samples: Samples, Y: np.ndarray, class_weight: Any = None
    ) -> None:
        """Train one epoch more. On equal samples, some calls do what `fit` does in as many epochs."""
        first = not hasattr(self, "parameters_")
        if first:
            self.standardizer_ = standardized(samples.X, self.standardize).standardizer
        settings = self._settings(
            patience=None,
            seed=self._draw_seed() if first else self._seed,
            dtype=samples.dtype if first else self.parameters_["W1"].dtype.name,
            class_weight=class_weight,
        )
        data = ColumnMatrix(samples.X, self.standardizer_)
        trainer = Trainer(
            network, data, Y, backend_for(samples.X, self.device), settings, weights=samples.weights
        )
        if not first:
            trainer.restore(self._state, self._steps, self.history_)
        trainer.epoch()
        self._keep(trainer)

    def _goes_on(self) -> bool:
        """Return whether `fit` goes on from the last one."""
        return bool(self.warm_start) and hasattr(self, "parameters_")

    def _refuse_change(self, name: str, before: Any, now: Any) -> None:
        """Raise `ConfigurationError` if a fitted network would have to be another one to go on."""
        if before != now:
            msg = f"a fitted network goes on with the same {name}: it is {before}, and now {now}"
            raise ConfigurationError(msg)

    def _draw_seed(self) -> int:
        """Return the seed of a training, and keep it for the parts that may follow."""
        self._seed = draw_seed(self.random_state)
        return self._seed

    def _keep(self, trainer: Trainer) -> None:
        """Keep the parameters and the state of the optimizer in host memory."""
        fetch = trainer.backend.fetch
        self.network_ = trainer.model
        self.parameters_ = {name: fetch(view).copy() for name, view in trainer.parameters.views.items()}
        self._state = {name: fetch(array) for name, array in trainer.state.items() if name != "best"}
        self._steps, self.history_ = trainer.t, trainer.history
        self.n_iter_ = len(self.history_)


class NetworkClassifier(Classifier, NetworkPredictor):
    """A network that classifies.

    Its parameters have the names of `xpnet.Settings`, which says more about them.

    Args:
        hidden: numbers of units of the hidden layers; `()` for logistic or softmax regression.
        activation: of the hidden units: "relu", "tanh", "sigmoid", "leaky_relu", "softplus" or "identity".
        optimizer: "adam", "adamw", "sgd", "momentum", "nesterov" or "rmsprop".
        learning_rate: learning rate.
        l2: strength of the penalty l2 / 2 sum W^2 beside the sum of the losses.
        dropout: share of the hidden units to drop in each step.
        batch_size: samples in a step; None for all of them.
        epochs: limit of the number of passes over the samples.
        patience: number of epochs without a lower cost after which it ends, with the parameters of the
            lowest one; None to run all epochs.
        class_weight: None, "balanced", or a dict with a positive weight for each class.
        warm_start: whether `fit` starts from the parameters of the last one.
        random_state: chooses the initial weights, the order of the samples and the dropout.
        standardize: see `LogisticRegression`. What `partial_fit` is given first decides for all parts.
        device: see `LogisticRegression`.

    Attributes:
        classes_: the classes, sorted, (n_classes,).
        parameters_: weights W1, W2, ... (n_out, n_in) and biases b1, b2, ... (n_out, 1), by name.
        network_: the configuration of the network.
        standardizer_: the standardization of the rows.
        history_: the cost of each epoch; see `xpnet.nn.History`.
        n_iter_: number of epochs.
        n_features_in_, feature_names_in_: as in scikit-learn.
    """

    def __init__(
        self,
        hidden: Any = (64,),
        *,
        activation: str = "relu",
        optimizer: str = "adam",
        learning_rate: float = 0.001,
        l2: float = 0.0,
        dropout: float = 0.0,
        batch_size: int | None = 256,
        epochs: int = 200,
        patience: int | None = 10,
        class_weight: Any = None,
        warm_start: bool = False,
        random_state: Any = None,
        standardize: str = "auto",
        device: str = "cpu",
    ) -> None:
        self.hidden = hidden
        self.activation = activation
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.l2 = l2
        self.dropout = dropout
        self.batch_size = batch_size
        self.epochs = epochs
        self.patience = patience
        self.class_weight = class_weight
        self.warm_start = warm_start
        self.random_state = random_state
        self.standardize = standardize
        self.device = device

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Fit to samples; see `LogisticRegression.fit`.

        Raises:
            DivergenceError: a cost or a parameter is not finite.
        """
        samples = read_samples(self, X, y, sample_weight)
        classes = read_classes(samples.y)
        if self._goes_on():
            self._refuse_change("classes", self.classes_.tolist(), classes.tolist())
        self.classes_ = classes
        network = self._classifier(samples.X.shape[1], self._layers())
        if self._goes_on():
            self._refuse_change("network", self.network_, network)
        weights = weights_of_classes(self.class_weight, self.classes_, samples.y)
        self._fit(network, samples, self._labels(samples), weights)
        return self

    def partial_fit(self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None) -> Self:
        """Train one epoch on some samples, and go on from there with the next ones.

        Args:
            X: rows, (m, n_x).
            y: their classes, (m,).
            classes: all classes that will come; necessary in the first call.
            sample_weight: a weight for each sample, (m,), or None.

        Raises:
            ValueError, TypeError: an input or a parameter cannot be used.
            DivergenceError: a cost or a parameter is not finite.
        """
        first = not hasattr(self, "parameters_")
        samples = read_samples(self, X, y, sample_weight, reset=first)
        if first:
            if classes is None:
                msg = "partial_fit needs all classes in its first call: classes=..."
                raise ConfigurationError(msg)
            self.classes_ = read_classes(np.asarray(classes))
        elif classes is not None:
            self._refuse_change("classes", self.classes_.tolist(), np.unique(classes).tolist())
        network = self._classifier(samples.X.shape[1], self._layers()) if first else self.network_
        known = np.concatenate([self.classes_, samples.y])
        weights = weights_of_classes(self.class_weight, self.classes_, known)
        self._partial_fit(network, samples, self._labels(samples), weights)
        return self


class NetworkRegressor(RegressorMixin, NetworkPredictor):
    """A network that predicts one or several numbers.

    The targets are standardized inside, so their unit does not matter. Parameters and other attributes are
    those of `NetworkClassifier`, without the ones that are about classes.

    Attributes:
        target_mean_: means of the targets, (n_out, 1). What `partial_fit` is given first decides.
        target_scale_: deviations of the targets, (n_out, 1); likewise.
    """

    def __init__(
        self,
        hidden: Any = (64,),
        *,
        activation: str = "relu",
        optimizer: str = "adam",
        learning_rate: float = 0.001,
        l2: float = 0.0,
        dropout: float = 0.0,
        batch_size: int | None = 256,
        epochs: int = 200,
        patience: int | None = 10,
        warm_start: bool = False,
        random_state: Any = None,
        standardize: str = "auto",
        device: str = "cpu",
    ) -> None:
        self.hidden = hidden
        self.activation = activation
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.l2 = l2
        self.dropout = dropout
        self.batch_size = batch_size
        self.epochs = epochs
        self.patience = patience
        self.warm_start = warm_start
        self.random_state = random_state
        self.standardize = standardize
        self.device = device

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Fit to samples; see `LinearRegression.fit`.

        Raises:
            DivergenceError: a cost or a parameter is not finite.
        """
        samples = self._read(X, y, sample_weight, reset=True)
        network = Network(samples.X.shape[1], samples.y.shape[1], "identity", self._layers())
        if self._goes_on():
            self._refuse_change("network", self.network_, network)
        else:
            self._standardize_targets(samples)
        self._fit(network, samples, self._targets(samples))
        return self

    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train one epoch on some samples, and go on from there with the next ones.

        Args:
            X: rows, (m, n_x).
            y: targets, (m,) or (m, n_out).
            sample_weight: a weight for each sample, (m,), or None.

        Raises:
            ValueError, TypeError: an input or a parameter cannot be used.
            DivergenceError: a cost or a parameter is not finite.
        """
        first = not hasattr(self, "parameters_")
        samples = self._read(X, y, sample_weight, reset=first)
        if first:
            self._standardize_targets(samples)
            network = Network(samples.X.shape[1], samples.y.shape[1], "identity", self._layers())
        else:
            network = self.network_
            self._refuse_change("number of targets", network.n_out, samples.y.shape[1])
        self._partial_fit(network, samples, self._targets(samples))
        return self

    def predict(self, X: Any) -> np.ndarray:
        """Return the predicted numbers, (m,), or for several targets (m, n_out).

        Args:
            X: rows, (m, n_x).
        """
        check_is_fitted(self)
        Z = self._scores(X)
        found: np.ndarray = (Z * self.target_scale_ + self.target_mean_).astype(Z.dtype)
        return found[0] if self._is_flat else found.T

    def _read(self, X: Any, y: Any, sample_weight: Any, *, reset: bool) -> Samples:
        """Check samples; their targets become (m, n_out)."""
        samples = read_samples(self, X, y, sample_weight, reset=reset, multi_output=True, y_numeric=True)
        self._is_flat = samples.y.ndim == 1
        return Samples(samples.X, samples.y.reshape(len(samples.y), -1).astype(np.float64), samples.weights)

    def _standardize_targets(self, samples: Samples) -> None:
        """Set mean and deviation of the targets. A constant target has the deviation 1."""
        w = None if samples.weights is None else samples.weights[0]
        mean = np.average(samples.y, axis=0, weights=w)
        deviation = np.sqrt(np.average((samples.y - mean) ** 2, axis=0, weights=w))
        self.target_mean_ = mean[:, None]
        self.target_scale_ = np.where(deviation > 0, deviation, 1.0)[:, None]
        if not np.isfinite(self.target_scale_).all():
            msg = "the squares of the targets are too large for numbers: scale the targets"
            raise ShapeError(msg)

    def _targets(self, samples: Samples) -> np.ndarray:
        """Return the standardized targets, (n_out, m)."""
        standardized: np.ndarray = (samples.y.T - self.target_mean_) / self.target_scale_
        return standardized

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
