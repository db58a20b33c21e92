"""Cross-validation: it chooses the penalty of logistic or softmax regression by examples that are left out.

The examples are dealt into folds. For each penalty and each fold, a model is trained on the examples of the
other folds, and predicts those of this one. Left-out examples have the weight 0, so no fold is a copy of the
data. The penalties are tried from the largest to the smallest, because smaller ones need more iterations; the
search ends when they make it worse.

Each model starts from zeros, as the model of all examples will. To go on from the model of the last penalty
takes half the iterations, but can end elsewhere, because L-BFGS ends near the minimum and not in it. Then the
losses would be those of models that nobody trains.

The penalty with the least log loss is taken. That is what the training minimizes, and it counts how sure a
model was of each answer. The accuracy counts which answers were right, and is the same for many penalties.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from xpnet.arrays import namespace
from xpnet.data import stratified_folds
from xpnet.errors import ConfigurationError, DivergenceError
from xpnet.linear.fused import RESIDUALS
from xpnet.linear.lbfgs import PenalizedCost, minimize_cost, most_iterations, require_valid_minimization
from xpnet.linear.objective import LinearObjective
from xpnet.linear.reduced import ReducedObjective, is_worthwhile
from xpnet.nn import Expectation, PenaltyCurve, example_weights

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from xpnet.arrays import Array
    from xpnet.backend import Backend
    from xpnet.data import ColumnMatrix, DeviceMatrix
    from xpnet.linear.sums import MakeSums
    from xpnet.nn import Network

PENALTIES = (
    1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1e3, 3e3, 1e4, 3e4, 1e5,
)  # fmt: skip
"""Penalties that are tried. A penalty is the inverse variance that one expects of the weights: features of
variance 1 have weights that are rarely outside of these, for any number of examples."""

FOLDS = 5
"""Default number of folds."""

MAX_WORSE = 2
"""The search ends after this many penalties in a row that are clearly worse than the best one."""


def choose_penalty(
    model: Network,
    data: ColumnMatrix | DeviceMatrix,
    Y: np.ndarray,
    backend: Backend,
    *,
    penalties: Sequence[float] = PENALTIES,
    folds: int = FOLDS,
    seed: int = 0,
    iterations: int | None = None,
    tolerance: float = 1e-4,
    class_weight: str | tuple[float, ...] | None = None,
    weights: np.ndarray | None = None,
    dtype: str = "float32",
    make_sums: MakeSums | None = None,
    on_progress: Callable[[int, float], object] | None = None,
) -> Expectation:
    """Choose the penalty l2 of `minimize` by cross-validation, and say what to expect of the model.

    Args:
        model: logistic or softmax regression, a network without hidden layers.
        data: the examples.
        Y: their labels (1, m), in host memory.
        backend: where to compute.
        penalties: the penalties to try, more than 0.
        folds: the number of folds; see `xpnet.data.stratified_folds`.
        seed: seed of the folds.
        iterations: limit of the number of iterations for each penalty and fold; see `minimize`.
        tolerance: see `minimize`.
        class_weight: None, "balanced", or a weight for each class. They count in the choice, not in what to
            expect.
        weights: a positive weight for each example, (1, m), in host memory; None for equal weights. They
            count in both.
        dtype: dtype of the arithmetic, "float32" or "float64".
        make_sums: see `minimize`.
        on_progress: called after each iteration with the number of all iterations so far, and the cost.

    Returns:
        What to expect, with the penalty and the log loss of all that were tried.

    Raises:
        ConfigurationError: the model is not logistic or softmax regression, or a setting is out of range.
        ShapeError, DtypeError: the data or the labels cannot be used, or no class has two examples.
        DivergenceError: the log loss is not finite for any penalty.
    """
    if not len(penalties) or not all(0 < l2 < math.inf for l2 in penalties):
        msg = f"penalties are {tuple(penalties)!r}, expected numbers more than 0"
        raise ConfigurationError(msg)
    require_valid_minimization(iterations, tolerance, 0.0)
    with backend.activate():
        objective = LinearObjective.of(
            model, data, Y, backend,
            class_weight=class_weight, weights=weights, dtype=dtype, make_sums=make_sums,
        )  # fmt: skip
        fold = stratified_folds(Y, folds, seed)
        models = _FoldModels(objective, fold, iterations, tolerance, on_progress)
        combined = example_weights(model, Y, class_weight, weights)
        best, tried = _compared(models, penalties, None if combined is None else combined[0, fold >= 0])
    own = None if weights is None else weights[0, fold >= 0]
    return Expectation.of_left_out(
        best.is_right,
        float(np.average(best.losses, weights=own)),
        weights=own,
        by=f"{fold.max() + 1}-fold cross-validation",
        penalty=best.l2,
        tried=PenaltyCurve.of("log loss", tried),
        seed=seed,
    )


@dataclass(frozen=True)
class _LeftOut:
    """The losses (k,) of the left-out examples with a penalty, and whether their class was predicted."""

    l2: float
    losses: np.ndarray
    is_right: np.ndarray


def _compared(
    models: _FoldModels, penalties: Sequence[float], weights: np.ndarray | None
) -> tuple[_LeftOut, dict[float, float]]:
    """Return the best of the penalties, and the log loss of all that were tried.

    weights: of the left-out examples, (k,), or None.
    """
    tried: dict[float, float] = {}
    best: _LeftOut | None = None
    worse = 0
    for l2 in sorted(set(penalties), reverse=True):
        found = models.predictions(l2)
        tried[l2] = float(np.average(found.losses, weights=weights))
        if math.isfinite(tried[l2]) and (best is None or tried[l2] < tried[best.l2]):
            best, worse = found, 0
        elif best is not None:
            worse = worse + 1 if _is_clearly_more(found.losses, best.losses, weights) else 0
        if worse == MAX_WORSE:
            break
    if best is None:
        msg = "the log loss of left-out examples is not finite for any penalty: try standardized features"
        raise DivergenceError(msg, step=1)
    return best, tried


def _is_clearly_more(losses: np.ndarray, others: np.ndarray, weights: np.ndarray | None) -> bool:
    """Return whether the mean of losses is more than that of others, by more than a standard error."""
    gaps = (losses - others) * (1.0 if weights is None else weights)
    return float(gaps.mean()) > float(gaps.std()) / math.sqrt(len(gaps))


class _FoldModels:
    """A model for each fold, which is trained on the examples of the other folds.

    Args:
        objective: the objective on all examples.
        fold: the fold of each example, (m,), or -1 for those that are never left out.
        iterations, tolerance, on_progress: see `choose_penalty`.
    """

    def __init__(
        self,
        objective: LinearObjective,
        fold: np.ndarray,
        iterations: int | None,
        tolerance: float,
        on_progress: Callable[[int, float], object] | None,
    ) -> None:
        is_reduced = is_worthwhile(objective)
        # The coordinates of all examples are also coordinates of those of some folds.
        self._objective = ReducedObjective(objective).objective if is_reduced else objective
        self._fold, self._tolerance, self._on_progress = fold, tolerance, on_progress
        self._limit = iterations or most_iterations(reduced=is_reduced)
        self._costs = [
            PenalizedCost(self._without(k), 0.0, reduced=is_reduced) for k in range(int(fold.max()) + 1)
        ]
        within = self._objective
        self._zeros = within.zeros(within.model.n_out, within.data.n_x + 1)
        self._done = 0

    def _without(self, k: int) -> LinearObjective:
        """Return the objective on the examples that are not in fold k."""
        within = self._objective
        kept = within.backend.send((self._fold != k)[None], dtype=within.dtype)
        return replace(within, weights=kept if within.weights is None else kept * within.weights)

    def predictions(self, l2: float) -> _LeftOut:
        """Train all models with a penalty; return what each predicts for the examples of its fold."""
        pairs = [cost.split(self._trained(cost, l2)) for cost in self._costs]
        W, b = (namespace(self._zeros).concat(parts, axis=0) for parts in zip(*pairs, strict=True))
        within = self._objective
        residual, fetch, n_out = RESIDUALS[within.model.output], within.backend.fetch, within.model.n_out
        losses, is_right = np.empty(within.data.m), np.empty(within.data.m, bool)
        for part, Z in within.logits(W, b):
            own = self._fold[part], np.arange(part.stop - part.start)
            labels = within.labels[:, part]
            losses[part] = fetch(residual(Z, labels)[0])[own]
            is_right[part] = fetch(_predicted(Z, n_out) == _predicted(labels, n_out))[own]
        return _LeftOut(l2, losses[self._fold >= 0], is_right[self._fold >= 0])

    def _trained(self, cost: PenalizedCost, l2: float) -> Array:
        """Return the parameters that minimize a cost with a penalty."""
        cost.l2 = l2
        P, history = minimize_cost(cost, self._zeros, self._limit, self._tolerance, self._progress)
        self._done += len(history) - 1
        return P

    def _progress(self, done: int, cost: float) -> None:
        if self._on_progress is not None:
            self._on_progress(self._done + done, cost)


def _predicted(Z: Array, n_out: int) -> Array:
    """Return the class of each example, (runs, k). Z: logits, or labels 0 and 1, (runs n_out, k)."""
    if n_out == 1:
        return Z > 0.0
    xp = namespace(Z)
    return xp.argmax(xp.reshape(Z, (-1, n_out, Z.shape[1])), axis=1)
