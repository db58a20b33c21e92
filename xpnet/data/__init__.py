"""Examples: raw columns with their standardization, batches on a device, and splits.

The raw examples are never changed: batches are standardized on the device.
"""

from xpnet.data.batches import Batch, Batches, Resident, Streamed, Subset, gather, make_batches
from xpnet.data.column_matrix import ColumnMatrix
from xpnet.data.device_matrix import DeviceMatrix, on_device
from xpnet.data.mapped_rows import mapping_of, scratch
from xpnet.data.split import stratified_folds, stratified_split
from xpnet.data.standardize import (
    STANDARDIZATIONS,
    Moments,
    Standardizer,
    fit_standardizer,
    standardizer_from_moments,
)

__all__ = [
    "STANDARDIZATIONS",
    "Batch",
    "Batches",
    "ColumnMatrix",
    "DeviceMatrix",
    "Moments",
    "Resident",
    "Standardizer",
    "Streamed",
    "Subset",
    "fit_standardizer",
    "gather",
    "make_batches",
    "mapping_of",
    "on_device",
    "scratch",
    "standardizer_from_moments",
    "stratified_folds",
    "stratified_split",
]
