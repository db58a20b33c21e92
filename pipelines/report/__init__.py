"""The report: one HTML page about a model, its training, its evaluation and its predictions.

Also plots: the curves of a training or a sweep as SVG files. One engine draws all charts.
"""

from typing import TYPE_CHECKING

from xpnet.lazy import lazy_door

if TYPE_CHECKING:
    from .build import ReportJob as ReportJob
    from .build import write_report as write_report
    from .plots import plot_sweep as plot_sweep
    from .plots import plot_training as plot_training
    from .plots import require_plot as require_plot

__getattr__, __dir__, __all__ = lazy_door(
    __name__,
    {
        "build": "ReportJob write_report",
        "plots": "plot_sweep plot_training require_plot",
    },
)
