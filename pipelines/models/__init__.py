"""Trained models as users meet them: load one, predict, evaluate, save.

`load` reads a model file and returns a `Model`, whose `predict` yields a `Prediction` for each image.
"""

from typing import TYPE_CHECKING

from xpnet.lazy import lazy_door

if TYPE_CHECKING:
    from .evaluation import Evaluation as Evaluation
    from .evaluation import Metrics as Metrics
    from .model import Model as Model
    from .model import load as load
    from .onnx_export import OnnxExport as OnnxExport
    from .prediction import ERROR as ERROR
    from .prediction import STATUSES as STATUSES
    from .prediction import UNSURE as UNSURE
    from .prediction import Prediction as Prediction
    from .prediction import Predictor as Predictor
    from .row_options import DEFAULT_OPTIONS as DEFAULT_OPTIONS
    from .row_options import RowOptions as RowOptions
    from .rows import Predictions as Predictions
    from .rows import Row as Row
    from .rows import arrow_schema as arrow_schema
    from .rows import columns_for as columns_for
    from .rows import row_of as row_of
    from .stored_recipe import read_recipe as read_recipe
    from .table_inputs import TableInputs as TableInputs

__getattr__, __dir__, __all__ = lazy_door(
    __name__,
    {
        "model": "Model load",
        "evaluation": "Evaluation Metrics",
        "onnx_export": "OnnxExport",
        "prediction": "ERROR STATUSES UNSURE Prediction Predictor",
        "row_options": "DEFAULT_OPTIONS RowOptions",
        "rows": "Predictions Row arrow_schema columns_for row_of",
        "stored_recipe": "read_recipe",
        "table_inputs": "TableInputs",
    },
)
