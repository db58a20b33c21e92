"""Training of networks in epochs and steps, with evaluation and checkpoints, of one or several networks.

`fit` trains one network; `sweep` trains one for each combination of hyperparameters.
"""

from xpnet.training.evaluation import Evaluator
from xpnet.training.sweeps import SweepResult, SweepRun, sweep
from xpnet.training.trainer import Trainer, fit

__all__ = ["Evaluator", "SweepResult", "SweepRun", "Trainer", "fit", "sweep"]
