"""xpnet: folders of images in, predictions out; one array library `xp` that is NumPy or CuPy.

import xpnet

model = xpnet.train("clothing/train", val_split=0.2, output="clothes.safetensors")
for row in model.predict("clothing/test"):
    print(row.path, row.label, row.score, row.error)
"""

from typing import TYPE_CHECKING

from xpnet.lazy import lazy_door
from xpnet.version import __version__ as __version__

if TYPE_CHECKING:
    from xpnet import functional as functional
    from xpnet.autodiff import Node as Node
    from xpnet.autodiff import Primitive as Primitive
    from xpnet.autodiff import draw as draw
    from xpnet.autodiff import gradients as gradients
    from xpnet.autodiff import primitive as primitive
    from xpnet.backend import Backend as Backend
    from xpnet.backend import select as select
    from xpnet.data import ColumnMatrix as ColumnMatrix
    from xpnet.data import DeviceMatrix as DeviceMatrix
    from xpnet.errors import ArrayTypeError as ArrayTypeError
    from xpnet.errors import ConfigurationError as ConfigurationError
    from xpnet.errors import DataError as DataError
    from xpnet.errors import DeviceError as DeviceError
    from xpnet.errors import DivergenceError as DivergenceError
    from xpnet.errors import DtypeError as DtypeError
    from xpnet.errors import GraphError as GraphError
    from xpnet.errors import ImageError as ImageError
    from xpnet.errors import ModelFileError as ModelFileError
    from xpnet.errors import NoInputError as NoInputError
    from xpnet.errors import OutputError as OutputError
    from xpnet.errors import ShapeError as ShapeError
    from xpnet.errors import UsageError as UsageError
    from xpnet.errors import WorkerError as WorkerError
    from xpnet.errors import XpnetError as XpnetError
    from xpnet.linear import descend as descend
    from xpnet.linear import minimize as minimize
    from xpnet.nn import Layer as Layer
    from xpnet.nn import LogisticRegression as LogisticRegression
    from xpnet.nn import Network as Network
    from xpnet.nn import Settings as Settings
    from xpnet.nn import SoftmaxRegression as SoftmaxRegression
    from xpnet.nn import TrainingResult as TrainingResult
    from xpnet.pipelines.models import Model as Model
    from xpnet.pipelines.models import OnnxExport as OnnxExport
    from xpnet.pipelines.models import Prediction as Prediction
    from xpnet.pipelines.models import Predictions as Predictions
    from xpnet.pipelines.models import load as load
    from xpnet.pipelines.training import train as train
    from xpnet.training import fit as fit
    from xpnet.training import sweep as sweep

__getattr__, __dir__, __all__ = lazy_door(
    __name__,
    {
        "autodiff": "Node Primitive draw gradients primitive",
        "backend": "Backend select",
        "data": "ColumnMatrix DeviceMatrix",
        "errors": "ArrayTypeError ConfigurationError DataError DeviceError DivergenceError DtypeError "
        "GraphError ImageError ModelFileError NoInputError OutputError ShapeError UsageError WorkerError "
        "XpnetError",
        "functional": "",
        "linear": "descend minimize",
        "nn": "Layer LogisticRegression Network Settings SoftmaxRegression TrainingResult",
        "pipelines.models": "Model OnnxExport Prediction Predictions load",
        "pipelines.training": "train",
        "training": "fit sweep",
    },
)
