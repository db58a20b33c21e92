"""Files of trained models: safetensors files, the model file, and predictions with a trained network.

Reading a file never executes anything in it. A file is written completely or not at all.
"""

from xpnet.io.locks import Lock, try_lock
from xpnet.io.model_file import SavedModel, read_model_file, write_model_file
from xpnet.io.scoring import Scorer, fold_standardization
from xpnet.io.tensor_file import atomic_write, read_kind, read_tensors, write_tensors

__all__ = [
    "Lock",
    "SavedModel",
    "Scorer",
    "atomic_write",
    "fold_standardization",
    "read_kind",
    "read_model_file",
    "read_tensors",
    "try_lock",
    "write_model_file",
    "write_tensors",
]
