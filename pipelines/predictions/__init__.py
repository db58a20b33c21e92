"""Files of predictions: one row for each input. A killed run can be resumed, and failed inputs scored again.

`run_prediction` does what the command `xpnet predict` does; `read_predictions` reads such a file.
"""

from typing import TYPE_CHECKING

from xpnet.lazy import lazy_door

if TYPE_CHECKING:
    from .counts import Counts as Counts
    from .formats import FORMATS as FORMATS
    from .formats import first_line as first_line
    from .formats import read_predictions as read_predictions
    from .jobs import PredictJob as PredictJob
    from .jobs import format_for as format_for
    from .jobs import run_prediction as run_prediction
    from .parts import ScoreTask as ScoreTask
    from .parts import part_of as part_of
    from .predict import write_predictions as write_predictions
    from .retry import retry_errors as retry_errors

__getattr__, __dir__, __all__ = lazy_door(
    __name__,
    {
        "formats": "FORMATS first_line read_predictions",
        "counts": "Counts",
        "parts": "ScoreTask part_of",
        "predict": "write_predictions",
        "retry": "retry_errors",
        "jobs": "PredictJob format_for run_prediction",
    },
)
