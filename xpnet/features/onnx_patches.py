"""Patch features as operators of ONNX. The formulas, and what the words mean, are those of `patches.py`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from xpnet.features.onnx_writer import TYPES
from xpnet.features.patches import cells, inner_shape, shrink_weights

if TYPE_CHECKING:
    from xpnet.features.onnx_writer import OnnxWriter
    from xpnet.features.patches import PatchFeatures

PLANES = (0, 3, 1, 2)
"""The order of axes that brings the channels before height and width."""


def write_patches(graph: OnnxWriter, images: str, features: PatchFeatures) -> str:
    """Add patch features to a graph.

    Args:
        graph: the graph.
        images: name of the images, (k, height, width, channels) uint8.
        features: the features.

    Returns:
        The name of the features, (k, count) float32.
    """
    planes = graph.node("Transpose", graph.node("Cast", images, to=TYPES["float32"]), perm=PLANES)
    parts, each = [], features
    while True:
        parts.append(_of_planes(graph, planes, each))
        if each.smaller is None:
            return parts[0] if len(parts) == 1 else graph.node("Concat", *parts, axis=1)
        each = each.smaller


def _of_planes(graph: OnnxWriter, planes: str, features: PatchFeatures) -> str:
    """Add the features of one copy of the images, (k, channels, height, width)."""
    settings, shape = features.settings, features.shape
    inside = inner_shape(settings, shape)
    if inside != shape:
        planes = _shrunk(graph, planes, shape, inside)
    Z = _products(graph, planes, features)
    f = graph.node("Sqrt", _pooled(graph, Z, features, inside))  # (k, 2, count, grid, grid)
    if settings.mirror:
        half, last = settings.count // 2, settings.grid
        own = _slice(graph, f, 2, 0, half)
        others = _slice(graph, _slice(graph, f, 2, half, settings.count), 4, last, -last - 1, -1)
        f = graph.node("Mul", graph.node("Add", own, others), graph.weight(np.asarray(0.5, np.float32)))
    return graph.node("Flatten", graph.node("Transpose", f, perm=(0, 3, 4, 1, 2)), axis=1)


def _shrunk(graph: OnnxWriter, planes: str, shape: tuple[int, int, int], inside: tuple[int, int, int]) -> str:
    """Add what makes images smaller. The products of whole numbers are exact, and are rounded."""
    down, across = (shrink_weights(*side) for side in zip(shape[:2], inside[:2], strict=True))
    scale, half = (graph.weight(np.asarray(value, np.float32)) for value in (1 / 256, 0.5))

    def rounded(sums: str) -> str:
        return graph.node("Floor", graph.node("Add", graph.node("Mul", sums, scale), half))

    planes = rounded(graph.node("MatMul", graph.weight(down), planes))
    return rounded(graph.node("MatMul", planes, graph.weight(across.T)))


def _products(graph: OnnxWriter, planes: str, features: PatchFeatures) -> str:
    """Add the products of all contrast-normalized patches with the dictionary, (k, count, down, across)."""
    settings, channels = features.settings, features.shape[2]
    d = settings.size**2
    # A convolution that takes one pixel of one channel at a time copies the patches, without rounding.
    each_pixel = np.tile(
        np.eye(d, dtype=np.float32).reshape(d, 1, settings.size, settings.size), (channels, 1, 1, 1)
    )
    rows = graph.node("Conv", planes, graph.weight(each_pixel), group=channels)
    rows = graph.node("Sub", rows, graph.node("ReduceMean", rows, axes=(1,), keepdims=1))
    variance = graph.node("ReduceMean", graph.node("Mul", rows, rows), axes=(1,), keepdims=1)
    contrast = graph.weight(np.asarray(settings.contrast, np.float32))
    rows = graph.node("Div", rows, graph.node("Sqrt", graph.node("Add", variance, contrast)))
    filters = features.filters.reshape(d, channels, -1).transpose(2, 1, 0).reshape(-1, d * channels, 1, 1)
    return graph.node("Conv", rows, graph.weight(filters), graph.weight(features.offsets[0]))


def _pooled(graph: OnnxWriter, Z: str, features: PatchFeatures, inside: tuple[int, int, int]) -> str:
    """Add how far products are above and below the threshold, in each cell: (k, 2, count, grid, grid)."""
    settings = features.settings
    sides = [side - settings.size + 1 for side in inside[:2]]
    down, across = (_means(side, settings.grid) for side in sides)
    weights = graph.weight(np.kron(down, across).T.astype(np.float32))
    threshold, below = (graph.weight(np.asarray(sign * settings.threshold, np.float32)) for sign in (1, -1))
    means = []
    for beyond in (graph.node("Sub", Z, threshold), graph.node("Sub", below, Z)):
        flat = graph.node("Reshape", graph.node("Relu", beyond), _shape(graph, 0, 0, sides[0] * sides[1]))
        means.append(graph.node("MatMul", flat, weights))
    shape = _shape(graph, 0, 2, settings.count, settings.grid, settings.grid)
    return graph.node("Reshape", graph.node("Concat", *means, axis=1), shape)


def _means(length: int, grid: int) -> np.ndarray:
    """Return the weights (grid, length) that average each cell along a side."""
    W = np.zeros((grid, length))
    for i, (first, end) in enumerate(cells(length, grid)):
        W[i, first:end] = 1 / (end - first)
    return W


def _shape(graph: OnnxWriter, *sides: int) -> str:
    """Add a shape. A side of 0 stays as it is."""
    return graph.weight(np.asarray(sides, np.int64))


def _slice(graph: OnnxWriter, name: str, axis: int, start: int, end: int, step: int = 1) -> str:
    places = [graph.weight(np.asarray([value], np.int64)) for value in (start, end, axis, step)]
    return graph.node("Slice", name, *places)
