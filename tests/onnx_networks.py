"""Tiny networks in ONNX files, for tests; and their embeddings by NumPy."""

from pathlib import Path
from typing import Any

import numpy as np
import optional

onnx = optional.module("onnx")
helper = optional.module("onnx.helper")
numpy_helper = optional.module("onnx.numpy_helper")
onnxruntime = optional.module("onnxruntime")

SIDE, WIDTH, CLASSES = 12, 6, 10

TYPES = {np.dtype("float32"): 1, np.dtype("uint8"): 2, np.dtype("float16"): 10, np.dtype("float64"): 11}


def weights(seed: int = 0, channels: int = 3) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    found = {
        "kernel": rng.normal(size=(WIDTH, channels, 3, 3)),
        "W": rng.normal(size=(CLASSES, WIDTH)),
        "b": rng.normal(size=(CLASSES,)),
    }
    return {name: array.astype(np.float32) for name, array in found.items()}


def save(
    path: Path,
    nodes: list[Any],
    arrays: dict[str, np.ndarray],
    outputs: dict[str, tuple[Any, ...]],
    shape: tuple[Any, ...] = ("batch", 3, SIDE, SIDE),
    dtype: Any = np.float32,
    metadata: dict[str, str] | None = None,
    name: str = "images",
) -> Path:
    """Write a network that takes `images`."""
    assert onnxruntime.get_available_providers()  # skips the test where it is missing
    kinds = {
        key: TYPES[np.dtype(np.float16 if np.dtype(dtype) == np.float16 else np.float32)] for key in outputs
    }
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info(name, TYPES[np.dtype(dtype)], shape)],
        [helper.make_tensor_value_info(key, kinds[key], sides) for key, sides in outputs.items()],
        [numpy_helper.from_array(array, key) for key, array in arrays.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    for key, value in (metadata or {}).items():
        entry = model.metadata_props.add()
        entry.key, entry.value = key, value
    onnx.save(model, str(path))
    return path


def trunk(source: str = "images") -> list[Any]:
    """Return a convolution, an activation and the mean over the image: `pooled` (batch, WIDTH)."""
    return [
        helper.make_node("Conv", [source, "kernel"], ["maps"], strides=[2, 2]),
        helper.make_node("Relu", ["maps"], ["active"]),
        helper.make_node("GlobalAveragePool", ["active"], ["mean"]),
        helper.make_node("Flatten", ["mean"], ["pooled"]),
    ]


def head(source: str = "pooled", output: str = "scores") -> Any:
    return helper.make_node("Gemm", [source, "W", "b"], [output], transB=1)


def classifier(path: Path, batch: Any = "batch", seed: int = 0, **options: Any) -> Path:
    """Write a classifier: a trunk, and a linear layer."""
    return save(
        path, [*trunk(), head()], weights(seed), {"scores": (batch, CLASSES)},
        (batch, 3, SIDE, SIDE), **options,
    )  # fmt: skip


def pooled(given: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Return what `trunk` computes, (k, WIDTH), of images (k, channels, height, width)."""
    windows = np.lib.stride_tricks.sliding_window_view(given, (3, 3), axis=(2, 3))[:, :, ::2, ::2]
    maps = np.einsum("kcyxij,wcij->kwyx", windows.astype(np.float64), kernel.astype(np.float64))
    return np.maximum(maps, 0).mean(axis=(2, 3))


def imagenet(images: np.ndarray) -> np.ndarray:
    """Return images (k, height, width, 3) as networks of ImageNet take them."""
    mean, deviation = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    return ((images / 255 - mean) / deviation).transpose(0, 3, 1, 2)


def some_images(count: int = 5, side: int = SIDE, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (count, side, side, channels), dtype=np.uint8)


def with_weights_in(path: Path, location: str) -> Path:
    """Let a network have its kernel in another file, which is not written."""
    model = onnx.load(str(path))
    for weight in model.graph.initializer:
        if weight.name == "kernel":
            place = [("location", location), ("offset", "0"), ("length", str(len(weight.raw_data)))]
            for key, value in place:
                entry = weight.external_data.add()
                entry.key, entry.value = key, value
            weight.data_location = 1
            weight.ClearField("raw_data")
    path.write_bytes(model.SerializeToString())
    return path
