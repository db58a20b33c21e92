"""Training from files to files: read the data, choose the model, train, save, evaluate.

A plan holds what the user asked for, and what follows from the data.
"""

from typing import TYPE_CHECKING

from xpnet.lazy import lazy_door

if TYPE_CHECKING:
    from .plan import Plan as Plan
    from .runs import Result as Result
    from .runs import TrainJob as TrainJob
    from .runs import run_sweep as run_sweep
    from .runs import run_training as run_training
    from .summary import training_name as training_name

__getattr__, __dir__, __all__ = lazy_door(
    __name__,
    {
        "plan": "Plan",
        "runs": "Result TrainJob run_sweep run_training",
        "summary": "training_name",
    },
)
