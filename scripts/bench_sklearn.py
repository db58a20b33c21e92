"""Fit times of xpnet.sklearn.LogisticRegression beside those of scikit-learn's, at an equal objective.

Both minimize the same objective on the same pictures: ten classes, pixels divided by 255. The pictures are
drawn by this script: each is a mixture of smooth patterns, with that of its class and noise. scikit-learn
stops at its default tolerance. xpnet stops at the largest one, in steps of a tenth, at which its objective is
not higher. Rows say how far an objective is above the lowest one.
"""

import warnings
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from benching import Parts, medians, run
from sklearn.linear_model import LogisticRegression as Peer

import xpnet.sklearn

if TYPE_CHECKING:
    from collections.abc import Callable

N_CLASSES = 10
C = 0.001
TOLERANCE = 1e-4
"""Largest derivative of the mean loss with the penalty, at which scikit-learn stops."""

STEP = 0.9
"""What xpnet's tolerance is multiplied by, until its objective is not higher."""


def pictures(m: int, side: int, channels: int) -> tuple[np.ndarray, np.ndarray]:
    """Return pictures, (m, side * side * channels) uint8, and their classes, (m,)."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, N_CLASSES, m)
    waves = np.cos(np.pi * np.outer(np.arange(8), (np.arange(side) + 0.5) / side))  # the lowest frequencies
    smooth = np.einsum("iy,jx->ijyx", waves, waves).reshape(64, side * side)
    smooth /= 1.0 + np.add.outer(np.arange(8), np.arange(8)).reshape(64, 1)
    patterns = np.einsum("kp,kc->kpc", smooth, rng.standard_normal((64, channels))).reshape(64, -1)
    X = np.empty((m, side * side * channels), np.uint8)
    of_class = rng.standard_normal((N_CLASSES, 64))
    for start in range(0, m, 1000):
        part = slice(start, start + 1000)
        mixture = rng.standard_normal((len(y[part]), 64)) + 0.7 * of_class[y[part]]
        drawn = 128.0 + 25.0 * (mixture @ patterns) + 20.0 * rng.standard_normal((len(mixture), X.shape[1]))
        X[part] = drawn.clip(0, 255)
    return X, y


def objective(model: Any, unit: float, X: np.ndarray, y: np.ndarray) -> float:
    """Return the mean loss with the penalty, in float64.

    Args:
        model: a fitted classifier.
        unit: what its coefficients are multiplied by, to be those of pixels divided by 255.
        X: the pictures.
        y: their classes.
    """
    W, total = model.coef_.astype(np.float64) * unit, 0.0
    for start in range(0, len(X), 4000):
        part = slice(start, start + 4000)
        Z = X[part] / 255.0 @ W.T + model.intercept_
        Z -= Z.max(axis=1, keepdims=True)
        total += float((np.log(np.exp(Z).sum(axis=1)) - Z[np.arange(len(Z)), y[part]]).sum())
    return (total + float((W * W).sum()) / (2 * C)) / len(X)


def fits(m: int, side: int, channels: int, repeat: int) -> list[dict[str, Any]]:
    """Fit each classifier."""
    X, y = pictures(m, side, channels)
    singles = X.astype(np.float32) / np.float32(255)
    made: dict[str, tuple[Any, np.ndarray, float]] = {
        "xpnet, bytes": (xpnet.sklearn.LogisticRegression(C, tol=TOLERANCE), X, 255.0),
        "xpnet, float32": (xpnet.sklearn.LogisticRegression(C, tol=TOLERANCE), singles, 1.0),
        "scikit-learn, float32": (Peer(C=C, tol=TOLERANCE, max_iter=10_000), singles, 1.0),
    }
    theirs = objective(made["scikit-learn, float32"][0].fit(singles, y), 1.0, X, y)
    for model, data, unit in list(made.values())[:2]:
        while objective(model.fit(data, y), unit, X, y) > theirs:
            model.tol *= STEP
    ways: dict[str, Callable[[], Any]] = {
        name: partial(model.fit, data, y) for name, (model, data, _) in made.items()
    }
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # all of them converge
        seconds = medians(ways, repeat)
    found = {name: objective(model, unit, X, y) for name, (model, _, unit) in made.items()}
    return [
        {
            "how": name,
            "s": seconds[name],
            "times xpnet, bytes": seconds[name] / seconds["xpnet, bytes"],
            "tolerance": model.tol,
            "iterations": int(np.max(model.n_iter_)),
            "objective": f"{found[name]:.7f}",
            "above the lowest": found[name] / min(found.values()) - 1,
        }
        for name, (model, _, _) in made.items()
    ]


PARTS: Parts = {
    "few": ("Softmax regression, 5,000 x 3,072", partial(fits, 5000, 32, 3)),
    "many": ("Softmax regression, 60,000 x 784", partial(fits, 60_000, 28, 1)),
}


if __name__ == "__main__":
    run(__doc__, PARTS, ["scikit-learn", "scipy"])
