"""Files of trained models: safetensors in and out, the model file, and scoring with it.

Nothing that is read can execute anything, and a file is written whole or not at all.
"""

from xpnet.io.model_file import SavedModel, read_model_file, write_model_file
from xpnet.io.scoring import Scorer
from xpnet.io.tensor_file import atomic_write, read_kind, read_tensors, write_tensors

__all__ = [
    "SavedModel",
    "Scorer",
    "atomic_write",
    "read_kind",
    "read_model_file",
    "read_tensors",
    "write_model_file",
    "write_tensors",
]
