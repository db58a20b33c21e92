"""Features: what turns an image into numbers that a linear model can use.

`fit_patches` learns a dictionary of small patches from images, and returns the features of each image by it.
`open_backbone` opens a network in an ONNX file, whose embeddings are the features.
"""

from xpnet.features.backbone import (
    Backbone,
    BackboneInput,
    BackboneTransform,
    image_size,
    open_backbone,
    require_finite,
)
from xpnet.features.normalization import (
    COLORS,
    Normalization,
    find_normalization,
    usual_normalizations,
)
from xpnet.features.onnx_backbone import write_backbone
from xpnet.features.onnx_file import OnnxFile, find_embedding, parse_onnx, read_onnx
from xpnet.features.onnx_patches import write_patches
from xpnet.features.onnx_runtime import run_onnx
from xpnet.features.onnx_weights import with_own_weights
from xpnet.features.onnx_writer import TYPES, Interface, OnnxWriter
from xpnet.features.patches import (
    BLOCK_IMAGES,
    PatchFeatures,
    PatchSettings,
    PatchTransform,
    fit_patches,
    inner_shape,
    patch_rows,
    pool_cells,
)

__all__ = [
    "BLOCK_IMAGES",
    "COLORS",
    "TYPES",
    "Backbone",
    "BackboneInput",
    "BackboneTransform",
    "Interface",
    "Normalization",
    "OnnxFile",
    "OnnxWriter",
    "PatchFeatures",
    "PatchSettings",
    "PatchTransform",
    "find_embedding",
    "find_normalization",
    "fit_patches",
    "image_size",
    "inner_shape",
    "open_backbone",
    "parse_onnx",
    "patch_rows",
    "pool_cells",
    "read_onnx",
    "require_finite",
    "run_onnx",
    "usual_normalizations",
    "with_own_weights",
    "write_backbone",
    "write_patches",
]
