"""Features: what turns an image into numbers that a linear model can use.

`fit_patches` learns a dictionary of small patches from images, and returns the features of each image by it.
`open_backbone` opens a network in an ONNX file, whose embeddings are the features.
"""

from typing import TYPE_CHECKING

from xpnet.lazy import lazy_door

if TYPE_CHECKING:
    from xpnet.features.backbone import Backbone as Backbone
    from xpnet.features.backbone import BackboneInput as BackboneInput
    from xpnet.features.backbone import BackboneTransform as BackboneTransform
    from xpnet.features.backbone import image_size as image_size
    from xpnet.features.backbone import open_backbone as open_backbone
    from xpnet.features.backbone import require_finite as require_finite
    from xpnet.features.normalization import COLORS as COLORS
    from xpnet.features.normalization import Normalization as Normalization
    from xpnet.features.normalization import find_normalization as find_normalization
    from xpnet.features.normalization import usual_normalizations as usual_normalizations
    from xpnet.features.onnx_backbone import write_backbone as write_backbone
    from xpnet.features.onnx_file import OnnxFile as OnnxFile
    from xpnet.features.onnx_file import find_embedding as find_embedding
    from xpnet.features.onnx_file import parse_onnx as parse_onnx
    from xpnet.features.onnx_file import read_onnx as read_onnx
    from xpnet.features.onnx_patches import write_patches as write_patches
    from xpnet.features.onnx_runtime import run_onnx as run_onnx
    from xpnet.features.onnx_weights import with_own_weights as with_own_weights
    from xpnet.features.onnx_writer import TYPES as TYPES
    from xpnet.features.onnx_writer import Interface as Interface
    from xpnet.features.onnx_writer import OnnxWriter as OnnxWriter
    from xpnet.features.patches import BLOCK_IMAGES as BLOCK_IMAGES
    from xpnet.features.patches import PatchFeatures as PatchFeatures
    from xpnet.features.patches import PatchSettings as PatchSettings
    from xpnet.features.patches import PatchTransform as PatchTransform
    from xpnet.features.patches import fit_patches as fit_patches
    from xpnet.features.patches import inner_shape as inner_shape
    from xpnet.features.patches import patch_rows as patch_rows
    from xpnet.features.patches import pool_cells as pool_cells

__getattr__, __dir__, __all__ = lazy_door(
    __name__,
    {
        "backbone": "Backbone BackboneInput BackboneTransform image_size open_backbone require_finite",
        "normalization": "COLORS Normalization find_normalization usual_normalizations",
        "onnx_backbone": "write_backbone",
        "onnx_file": "OnnxFile find_embedding parse_onnx read_onnx",
        "onnx_patches": "write_patches",
        "onnx_runtime": "run_onnx",
        "onnx_weights": "with_own_weights",
        "onnx_writer": "TYPES Interface OnnxWriter",
        "patches": (
            "BLOCK_IMAGES PatchFeatures PatchSettings PatchTransform fit_patches inner_shape "
            "patch_rows pool_cells"
        ),
    },
)
