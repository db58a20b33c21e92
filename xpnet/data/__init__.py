"""Examples: raw columns with their standardization, batches on a device, and splits.

The raw bytes are kept as they are; standardization is applied on the way.
"""

from xpnet.data.batches import CHUNK_BYTES, Batch, Resident, Streamed, fits_on_device, gather, make_batches
from xpnet.data.column_matrix import ColumnMatrix
from xpnet.data.split import stratified_split
from xpnet.data.standardize import (
    STANDARDIZATIONS,
    Moments,
    Standardizer,
    fit_standardizer,
    standardizer_from_moments,
)

__all__ = [
    "Batch",
    "CHUNK_BYTES",
    "ColumnMatrix",
    "Moments",
    "Resident",
    "STANDARDIZATIONS",
    "Standardizer",
    "Streamed",
    "fit_standardizer",
    "fits_on_device",
    "gather",
    "make_batches",
    "standardizer_from_moments",
    "stratified_split",
]
