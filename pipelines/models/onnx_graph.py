"""A trained model as an ONNX file: from bytes of images, or numbers of a table, to probabilities."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from xpnet.features import TYPES, Interface, OnnxWriter
from xpnet.io import fold_standardization
from xpnet.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable

    from xpnet.features import OnnxFile
    from xpnet.io import SavedModel
    from xpnet.nn import Layer, Network

    from ..datasets import FeatureExtractor
    from ..images import Recipe

BATCH = "batch"
"""The name of the axis of examples, of which there may be any number."""

LEAKY_SLOPE = 0.01
"""The slope of the activation leaky_relu below 0."""


def onnx_of(
    saved: SavedModel,
    recipe: Recipe | None,
    extractor: FeatureExtractor | None,
    classes: tuple[str, ...],
    file: OnnxFile | None = None,
) -> tuple[bytes, Interface, Interface]:
    """Return a model as the bytes of an ONNX file, with what the file takes and gives.

    Args:
        saved: the model.
        recipe: how an image becomes a column; None for a model of a table.
        extractor: what turns the pixels into features; None if nothing does.
        classes: the names of the classes; empty for regression.
        file: the backbone's, if the extractor is one.

    Raises:
        UsageError: the extractor is a backbone that takes one image at a time, or onnxruntime is missing.
        ModelFileError: the file would be too large.
    """
    used, prefix = (file.graph.names(), f"xpnet_{file.size_and_hash()[1][:16]}_") if file else (set(), "")
    taken, given = _interface(saved, recipe, used)
    graph, dtype = OnnxWriter(prefix), saved.parameters["W1"].dtype.name
    A = taken.name
    if recipe is not None:
        A = graph.node("Flatten", A, axis=1) if extractor is None else extractor.write_onnx(graph, A, file)
        A = graph.node("Cast", A, to=TYPES[dtype])
    _write_network(graph, A, saved, given.name, centers=recipe is None or extractor is not None)
    metadata = {
        "classes": json.dumps(list(classes)),
        "recipe": json.dumps(saved.recipe if recipe is None else recipe.to_dict()),
        "xpnet_version": __version__,
    }
    return graph.to_bytes([taken], [given], metadata, ("xpnet", __version__)), taken, given


def _interface(saved: SavedModel, recipe: Recipe | None, used: set[str]) -> tuple[Interface, Interface]:
    """Return what the ONNX file of a model takes and gives. used: names that tensors in it have."""
    model, dtype = saved.model, saved.parameters["W1"].dtype.name

    def free(name: str) -> str:
        return free(f"{name}_") if name in used else name

    if recipe is None:
        shape: tuple[int | str, ...] = (BATCH, model.n_x)
        taken = Interface("features", dtype, shape, "one row of features for each example")
    else:
        colors = "RGB" if recipe.channels == 3 else "gray"
        size = f"{recipe.width} x {recipe.height} pixels"
        told = f"{colors} images, resized to {size} before ({recipe.resize_mode})"
        taken = Interface(free("images"), "uint8", (BATCH, *recipe.shape), told)
    if model.output in ("sigmoid", "softmax"):
        count = 2 if model.output == "sigmoid" and model.n_out == 1 else model.n_out
        told = "the probability of every class"
        return taken, Interface(free("probabilities"), dtype, (BATCH, count), told)
    return taken, Interface(free("values"), dtype, (BATCH, model.n_out), "the predicted numbers")


def _write_network(graph: OnnxWriter, A: str, saved: SavedModel, output: str, *, centers: bool) -> None:
    """Add the layers of a network to a graph.

    With any c, W x̂ + b = (W scale^T) (x - c) + (b - W ((mean - c) scale)). For bytes, c is 0. Floats may be
    far from 0: for them, c is the mean as it is after rounding.

    Args:
        graph: the graph.
        A: what the network takes, (k, n_x).
        saved: the network.
        output: the name of what it gives.
        centers: whether the mean is subtracted before the product.
    """
    parameters, standardizer = saved.parameters, saved.standardizer
    W, b = parameters["W1"], parameters["b1"]
    dtype = W.dtype.name
    if centers and standardizer.mean.any():
        c = standardizer.mean.astype(dtype)
        A = graph.node("Sub", A, graph.weight(c.T))
        standardizer = replace(standardizer, mean=standardizer.mean - c)
    W, shift = fold_standardization(W, standardizer, dtype)
    b = (b - shift).astype(dtype)
    for i, layer in enumerate(saved.model.hidden, start=1):
        A = _layer(graph, A, W, b, layer)
        W, b = parameters[f"W{i + 1}"], parameters[f"b{i + 1}"]
    _output(graph, _affine(graph, A, W, b), saved.model, output, W.dtype)


def _output(graph: OnnxWriter, Z: str, model: Network, name: str, dtype: np.dtype) -> None:
    """Add the output layer's activation; of a sigmoid, the probabilities of both classes."""
    if model.output == "softmax":
        graph.node("Softmax", Z, output=name, axis=1)
    elif model.output == "sigmoid" and model.n_out == 1:
        p = graph.node("Sigmoid", Z)
        graph.node("Concat", graph.node("Sub", _number(graph, 1.0, dtype), p), p, output=name, axis=1)
    else:
        operator = {"sigmoid": "Sigmoid", "relu": "Relu", "identity": "Identity"}[model.output]
        graph.node(operator, Z, output=name)


def _affine(graph: OnnxWriter, A: str, W: np.ndarray, b: np.ndarray) -> str:
    """Add A W^T + b^T, (k, n_out). A: (k, n_in), W: (n_out, n_in), b: (n_out, 1)."""
    return graph.node("Gemm", A, graph.weight(W), graph.weight(b[:, 0]), transB=1)


def _layer(graph: OnnxWriter, A: str, W: np.ndarray, b: np.ndarray, layer: Layer) -> str:
    """Add a hidden layer: each group of units with its own activation."""
    parts, start = [], 0
    for units, activation in layer.groups:
        rows = slice(start, start + units)
        parts.append(ACTIVATIONS[activation](graph, _affine(graph, A, W[rows], b[rows]), W.dtype))
        start += units
    return parts[0] if len(parts) == 1 else graph.node("Concat", *parts, axis=1)


def _number(graph: OnnxWriter, value: float, dtype: np.dtype) -> str:
    return graph.weight(np.asarray(value, dtype))


def _leaky_relu(graph: OnnxWriter, Z: str, dtype: np.dtype) -> str:
    """Add max(z, z / 100). The operator LeakyRelu takes no float64 in onnxruntime."""
    return graph.node("Max", Z, graph.node("Mul", Z, _number(graph, LEAKY_SLOPE, dtype)))


def _softplus(graph: OnnxWriter, Z: str, dtype: np.dtype) -> str:
    """Add max(z, 0) + log(1 + e^-|z|). The operator Softplus takes no float64 in onnxruntime."""
    e = graph.node("Exp", graph.node("Neg", graph.node("Abs", Z)))
    log = graph.node("Log", graph.node("Add", e, _number(graph, 1.0, dtype)))
    return graph.node("Add", graph.node("Relu", Z), log)


ACTIVATIONS: dict[str, Callable[[OnnxWriter, str, np.dtype], str]] = {
    "sigmoid": lambda graph, Z, _: graph.node("Sigmoid", Z),
    "tanh": lambda graph, Z, _: graph.node("Tanh", Z),
    "relu": lambda graph, Z, _: graph.node("Relu", Z),
    "leaky_relu": _leaky_relu,
    "softplus": _softplus,
    "identity": lambda _, Z, __: Z,
}
"""What adds an activation to a graph, by its name in `xpnet.nn`."""
