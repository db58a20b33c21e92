"""What the page shows of the first layer's weights: as images, or by the columns of a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .pictures import weights_png

if TYPE_CHECKING:
    from ..models import Model

UNITS = 36
"""Units that are shown, at most: those with the largest weights."""

FEATURES = 40
"""Columns of a table that are shown, at most."""

FULL = 0.995
"""The share of a unit's weights whose colours differ: a few outliers would leave all else grey."""


def weights(opened: Model) -> dict[str, Any]:
    """Return images of the weights of each unit, or for a table the weight of each column."""
    W = np.asarray(opened.saved.parameters["W1"], np.float64)
    W = np.where(np.isfinite(W), W, 0.0)
    names = unit_names(opened)
    if opened.recipe is None:
        return _of_table(opened, W, names)
    size = np.sqrt(np.sum(W**2, axis=1))
    order = np.argsort(-size, kind="stable")[:UNITS]
    images = []
    for i in np.sort(order).tolist():
        absolute = np.abs(W[i])
        limit = float(np.quantile(absolute, FULL)) or float(absolute.max()) or 1.0
        picture = weights_png(W[i].reshape(opened.recipe.shape), limit)
        images.append({"name": names[i], "picture": picture, "limit": limit})
    return {"images": images, "units": len(W), "channels": opened.recipe.channels}


def unit_names(opened: Model) -> list[str]:
    """Return a name for each unit of the first layer: the class it speaks for, where it does."""
    model, classes = opened.saved.model, opened.class_names
    if model.hidden:
        return [f"unit {i}" for i in range(1, model.hidden[0].units + 1)]
    if model.output == "sigmoid" and model.n_out == 1:
        return [f"for {classes[1]}, against {classes[0]}"]
    named = classes if model.output == "softmax" else [f"output {i}" for i in range(1, model.n_out + 1)]
    return [f"for {name}" for name in named]


def _of_table(opened: Model, W: np.ndarray, names: list[str]) -> dict[str, Any]:
    """Return the weight of each column of a table; of several units the length of its weights."""
    one = len(W) == 1
    values = W[0] if one else np.sqrt(np.sum(W**2, axis=0))
    order = np.argsort(-np.abs(values), kind="stable")[:FEATURES].tolist()
    most = float(np.abs(values).max()) or 1.0
    features = opened.saved.recipe.get("features") or [f"feature {i}" for i in range(W.shape[1])]
    rows = [
        {"name": str(features[i]), "value": float(values[i]), "share": abs(float(values[i])) / most}
        for i in order
    ]
    return {
        "rows": rows,
        "features": W.shape[1],
        "unit": names[0] if one and opened.class_names else "",
        "units": len(W),
    }
