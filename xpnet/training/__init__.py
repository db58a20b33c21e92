"""Training of networks: epochs and steps, evaluation, checkpoints, and several trainings at once.

`fit` trains one network; `sweep` trains one for each combination of hyperparameters.
"""

from xpnet.training.evaluation import Evaluator
from xpnet.training.sweeps import SweepResult, SweepRun, sweep
from xpnet.training.trainer import Trainer, fit

__all__ = ["Evaluator", "SweepResult", "SweepRun", "Trainer", "fit", "sweep"]
