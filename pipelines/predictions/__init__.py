"""Predictions: a row for each input, in a file that a killed run can resume.

Also reads such files, and scores again the inputs that failed.
"""

from typing import TYPE_CHECKING

from xpnet.lazy import lazy_door

if TYPE_CHECKING:
    from .formats import FORMATS as FORMATS
    from .formats import Row as Row
    from .formats import first_line as first_line
    from .formats import read_predictions as read_predictions
    from .jobs import PredictJob as PredictJob
    from .jobs import format_for as format_for
    from .jobs import run_prediction as run_prediction

__getattr__, __dir__, __all__ = lazy_door(
    __name__,
    {
        "formats": "FORMATS Row first_line read_predictions",
        "jobs": "PredictJob format_for run_prediction",
    },
)
