"""Models as users meet them: load a model file, score examples, evaluate.

`load` reads the file; a `Model` knows its classes and how its images are decoded.
"""

from typing import TYPE_CHECKING

from xpnet.lazy import lazy_door

if TYPE_CHECKING:
    from .evaluation import answers_of as answers_of
    from .evaluation import classified as classified
    from .evaluation import evaluate as evaluate
    from .evaluation import judged as judged
    from .evaluation import open_labelled as open_labelled
    from .model import Model as Model
    from .model import load as load
    from .rows import STATUSES as STATUSES
    from .rows import Counts as Counts
    from .rows import RowOptions as RowOptions
    from .rows import Rows as Rows

__getattr__, __dir__, __all__ = lazy_door(
    __name__,
    {
        "model": "Model load",
        "evaluation": "answers_of classified evaluate judged open_labelled",
        "rows": "STATUSES Counts RowOptions Rows",
    },
)
