"""A backbone as a part of an ONNX file: what is done to an image before it, and to its embedding after it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from xpnet.errors import UsageError
from xpnet.features.backbone import BackboneInput, byte_table
from xpnet.features.onnx_weights import with_own_weights
from xpnet.features.onnx_writer import TYPES

if TYPE_CHECKING:
    from xpnet.features.backbone import BackboneTransform
    from xpnet.features.onnx_file import OnnxFile
    from xpnet.features.onnx_writer import OnnxWriter


def write_backbone(graph: OnnxWriter, images: str, transform: BackboneTransform, file: OnnxFile) -> str:
    """Add a whole backbone to a graph, with its weights.

    Args:
        graph: the graph.
        images: name of the images, (k, height, width, channels) uint8.
        transform: the backbone, on any device.
        file: its file.

    Returns:
        The name of the embeddings, (k, count) float32.

    Raises:
        UsageError: the backbone takes one image at a time.
        ModelFileError: a file with its weights cannot be read, or the whole would be too large.
    """
    given, backbone = BackboneInput.of(file), transform.backbone
    if given.is_single:
        msg = (
            f"{file.path}: takes one image at a time, so a model over it cannot be exported: export the "
            "network itself with a batch of any size, and train with that file"
        )
        raise UsageError(msg)
    if given.dtype != "uint8":
        table = byte_table(backbone.mean, backbone.deviation, given.dtype)
        first = 256 * np.arange(backbone.channels, dtype=np.int32)
        places = graph.node("Add", graph.node("Cast", images, to=TYPES["int32"]), graph.weight(first))
        images = graph.node("Gather", graph.weight(table.reshape(-1)), places, axis=0)
    if backbone.colors == "bgr":
        order = np.arange(backbone.channels, dtype=np.int64)[::-1]
        images = graph.node("Gather", images, graph.weight(order), axis=3)
    graph.node("Transpose", images, output=given.name, perm=(0, 3, 1, 2) if given.is_nchw else (0, 1, 2, 3))
    graph.include(with_own_weights(file))
    embedding = graph.node("Cast", backbone.tensor, to=TYPES["float32"])
    if transform.mean_axes:
        if transform.mean_axes[0] == 1:  # the features are on the last axis
            last = 1 + len(transform.mean_axes)
            embedding = graph.node("Transpose", embedding, perm=(0, last, *transform.mean_axes))
        embedding = graph.node("GlobalAveragePool", embedding)
    return graph.node("Flatten", embedding, axis=1)
