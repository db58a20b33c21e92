"""Trained models as users meet them: load one, predict, evaluate, save.

`load` reads a model file and returns a `Model`, whose `predict` yields a `Prediction` for each image.
"""

from typing import TYPE_CHECKING

from xpnet.lazy import lazy_door

if TYPE_CHECKING:
    from .evaluation import Evaluation as Evaluation
    from .model import Model as Model
    from .model import load as load
    from .prediction import ERROR as ERROR
    from .prediction import STATUSES as STATUSES
    from .prediction import UNSURE as UNSURE
    from .prediction import Prediction as Prediction
    from .prediction import Predictor as Predictor
    from .prediction import RowOptions as RowOptions
    from .table_inputs import TableInputs as TableInputs

__getattr__, __dir__, __all__ = lazy_door(
    __name__,
    {
        "model": "Model load",
        "evaluation": "Evaluation",
        "prediction": "ERROR STATUSES UNSURE Prediction Predictor RowOptions",
        "table_inputs": "TableInputs",
    },
)
