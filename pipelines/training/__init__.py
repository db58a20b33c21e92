"""Training jobs: read the data, choose the model, train it, save it, evaluate it.

A `Plan` has the choices of the user, and chooses the rest from the data.
"""

from typing import TYPE_CHECKING

from xpnet.lazy import lazy_door

if TYPE_CHECKING:
    from .api import train as train
    from .backbones import usual_images as usual_images
    from .cluster_sums import sums_on as sums_on
    from .plan import FEATURES as FEATURES
    from .plan import MODELS as MODELS
    from .plan import Plan as Plan
    from .preparation import TrainJob as TrainJob
    from .preprocessing import write_features as write_features
    from .summary import metric_name as metric_name
    from .summary import training_name as training_name
    from .sweeps import compared_values as compared_values
    from .sweeps import sweep_job as sweep_job
    from .trainer import TrainOutcome as TrainOutcome
    from .trainer import train_job as train_job

__getattr__, __dir__, __all__ = lazy_door(
    __name__,
    {
        "api": "train",
        "backbones": "usual_images",
        "cluster_sums": "sums_on",
        "plan": "FEATURES MODELS Plan",
        "preparation": "TrainJob",
        "preprocessing": "write_features",
        "summary": "metric_name training_name",
        "sweeps": "compared_values sweep_job",
        "trainer": "TrainOutcome train_job",
    },
)
