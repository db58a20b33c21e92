"""Files of trained models: safetensors files, the model file, and predictions with a trained network.

Reading a file never executes anything in it. A file is written completely or not at all.
"""

from typing import TYPE_CHECKING

from xpnet.lazy import lazy_door

if TYPE_CHECKING:
    from xpnet.io.locks import Lock as Lock
    from xpnet.io.locks import try_lock as try_lock
    from xpnet.io.model_file import SavedModel as SavedModel
    from xpnet.io.model_file import read_model_file as read_model_file
    from xpnet.io.model_file import write_model_file as write_model_file
    from xpnet.io.scoring import Scorer as Scorer
    from xpnet.io.scoring import fold_standardization as fold_standardization
    from xpnet.io.tensor_file import atomic_write as atomic_write
    from xpnet.io.tensor_file import read_description as read_description
    from xpnet.io.tensor_file import read_kind as read_kind
    from xpnet.io.tensor_file import read_tensors as read_tensors
    from xpnet.io.tensor_file import write_tensors as write_tensors

__getattr__, __dir__, __all__ = lazy_door(
    __name__,
    {
        "locks": "Lock try_lock",
        "model_file": "SavedModel read_model_file write_model_file",
        "scoring": "Scorer fold_standardization",
        "tensor_file": "atomic_write read_description read_kind read_tensors write_tensors",
    },
)
