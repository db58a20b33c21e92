"""Training: epochs and steps, evaluation, checkpoints, and several trainings at once.

`fit` trains one network; `sweep` trains one for each combination of hyperparameters.
"""

from xpnet.training.checkpoints import load_checkpoint, save_checkpoint
from xpnet.training.evaluation import Evaluator
from xpnet.training.fitting import fit
from xpnet.training.sweeps import SweepResult, SweepRun, sweep

__all__ = [
    "Evaluator",
    "SweepResult",
    "SweepRun",
    "fit",
    "load_checkpoint",
    "save_checkpoint",
    "sweep",
]
