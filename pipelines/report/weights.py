"""The section on the weights of the first layer: as images, by the columns of a table, or by patches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .pictures import weights_png

if TYPE_CHECKING:
    from xpnet.features import PatchFeatures

    from ..models import Model

UNITS = 36
"""The most units that are shown: those with the largest weights."""

FEATURES = 40
"""The most columns of a table that are shown: those with the largest weights."""

FULL_COLOR_QUANTILE = 0.995
"""The quantile of a unit's absolute weights that gets the full color.

A few outliers would otherwise leave all other weights gray.
"""


def weights_section(model: Model) -> dict[str, Any]:
    """Return an image of the weights of each unit, the weight of each column of a table, or the patches."""
    W = np.asarray(model.saved.parameters["W1"], np.float64)
    W = np.where(np.isfinite(W), W, 0.0)
    names = unit_names(model)
    if model.recipe is None or model.backbone is not None:
        return _of_table(model, W, names)
    if model.patches is not None:
        return _of_patches(model.patches, W)
    norms = np.sqrt(np.sum(W**2, axis=1))
    order = np.argsort(-norms, kind="stable")[:UNITS]
    images = []
    for i in np.sort(order).tolist():
        absolute = np.abs(W[i])
        limit = float(np.quantile(absolute, FULL_COLOR_QUANTILE)) or float(absolute.max()) or 1.0
        picture = weights_png(W[i].reshape(model.recipe.shape), limit)
        images.append({"name": names[i], "picture": picture, "limit": limit})
    return {"images": images, "units": len(W), "channels": model.recipe.channels}


def _of_patches(patches: PatchFeatures, W: np.ndarray) -> dict[str, Any]:
    """Return the dictionary of patches of the image, and that of a smaller copy of it, if there is one."""
    dictionaries, first = [], 0
    part: PatchFeatures | None = patches
    while part is not None:
        own = part.count - (part.smaller.count if part.smaller else 0)
        dictionaries.append(_dictionary(part, W[:, first : first + own]))
        part, first = part.smaller, first + own
    return {"dictionaries": dictionaries, "channels": patches.shape[2], "patches": True}


def _dictionary(patches: PatchFeatures, W: np.ndarray) -> dict[str, Any]:
    """Return images of the whitened patches with the largest weights, without their mirror images.

    Args:
        patches: the patches.
        W: (n_out, n) the weights of the features that are made by them.
    """
    settings, channels = patches.settings, patches.shape[2]
    count = settings.count // 2 if settings.mirror else settings.count
    norms = np.sqrt(np.sum(W.reshape(-1, count) ** 2, axis=0))
    images = []
    for i in np.argsort(-norms, kind="stable")[:UNITS].tolist():
        patch = patches.filters[:, i].reshape(settings.size, settings.size, channels).astype(np.float64)
        limit = float(np.abs(patch).max()) or 1.0
        images.append({"name": f"patch {i + 1}", "picture": weights_png(patch, limit), "limit": limit})
    return {"images": images, "units": count, "size": settings.size, "percent": 100 * settings.scale}


def unit_names(model: Model) -> list[str]:
    """Return a name for each unit of the first layer: its class if it has one, else its number."""
    network, classes = model.saved.model, model.classes
    if network.hidden:
        return [f"unit {i}" for i in range(1, network.hidden[0].units + 1)]
    if network.output == "sigmoid" and network.n_out == 1:
        return [f"for {classes[1]}, against {classes[0]}"]
    outputs = [f"output {i}" for i in range(1, network.n_out + 1)]
    return [f"for {name}" for name in (classes if network.output == "softmax" else outputs)]


def _of_table(model: Model, W: np.ndarray, names: list[str]) -> dict[str, Any]:
    """Return the weight of each column of a table; for several units the norm of the column's weights."""
    is_one = len(W) == 1
    values = W[0] if is_one else np.sqrt(np.sum(W**2, axis=0))
    order = np.argsort(-np.abs(values), kind="stable")[:FEATURES].tolist()
    largest = float(np.abs(values).max()) or 1.0
    features = model.saved.recipe.get("features") or [f"feature {i}" for i in range(W.shape[1])]
    rows = [
        {"name": str(features[i]), "value": float(values[i]), "share": abs(float(values[i])) / largest}
        for i in order
    ]
    return {
        "rows": rows,
        "features": W.shape[1],
        "unit": names[0] if is_one and model.classes else "",
        "units": len(W),
    }
