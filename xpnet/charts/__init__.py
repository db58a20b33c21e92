"""Charts and tables as SVG and HTML, for pages, plots and notebooks.

`lines` and `histogram` make a `Chart`, which a notebook shows as a picture.
"""

from typing import TYPE_CHECKING

from xpnet.lazy import lazy_door

if TYPE_CHECKING:
    from xpnet.charts.chart import Chart as Chart
    from xpnet.charts.chart import Series as Series
    from xpnet.charts.chart import histogram as histogram
    from xpnet.charts.chart import is_drawable as is_drawable
    from xpnet.charts.chart import lines as lines
    from xpnet.charts.chart import svg_document as svg_document
    from xpnet.charts.colors import DARK as DARK
    from xpnet.charts.colors import LIGHT as LIGHT
    from xpnet.charts.colors import css_variables as css_variables
    from xpnet.charts.curves import curve_of as curve_of
    from xpnet.charts.curves import final as final
    from xpnet.charts.curves import float_or_nan as float_or_nan
    from xpnet.charts.curves import headings as headings
    from xpnet.charts.curves import sweep_charts as sweep_charts
    from xpnet.charts.curves import training_charts as training_charts
    from xpnet.charts.tables import html_table as html_table

__getattr__, __dir__, __all__ = lazy_door(
    __name__,
    {
        "chart": "Chart Series histogram is_drawable lines svg_document",
        "colors": "DARK LIGHT css_variables",
        "curves": "curve_of final float_or_nan headings sweep_charts training_charts",
        "tables": "html_table",
    },
)
