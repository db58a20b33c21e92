"""Learned features: what turns an image into numbers that a linear model can use.

`fit_patches` learns a dictionary of small patches from images, and returns the features of each image by it.
"""

from xpnet.features.patches import (
    BLOCK_IMAGES,
    PatchFeatures,
    PatchSettings,
    PatchTransform,
    fit_patches,
    patch_rows,
    pool_cells,
)

__all__ = [
    "BLOCK_IMAGES",
    "PatchFeatures",
    "PatchSettings",
    "PatchTransform",
    "fit_patches",
    "patch_rows",
    "pool_cells",
]
