"""Plots: the curves of a training or a sweep as a file of their own, an SVG document."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xpnet.errors import UsageError

from ..outputs import write_text
from .charts import HEIGHT, LEFT, WIDTH, svg_text
from .colors import DARK, LIGHT, SERIES_COLORS
from .curves import COLUMNS, curve_of, sweep_charts, training_charts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from xpnet.nn import History

    from .charts import Chart, DrawnSeries
    from .curves import Curve

LEGEND_RUNS = 12
"""The most series that a legend names; of more it names the best."""

GAP, TITLE_HEIGHT = 16, 30
"""Space around each chart, and height of its title above it, in SVG units."""

LEGEND_TOP, LEGEND_ROW = 10, 18
"""Space above the first row of a legend, and height of a row."""

SWATCH_WIDTH, CHARACTER_WIDTH = 30, 6
"""Width of the sample of a series before its name, and about the width of a character of the name."""


def require_plot(path: str | None) -> None:
    """Refuse early a plot that could not be drawn later.

    Args:
        path: file of the plot, or None for no plot.

    Raises:
        UsageError: the name does not end in .svg.
    """
    if path is not None and not path.lower().endswith(".svg"):
        name = Path(path).with_suffix(".svg") if Path(path).name else Path("FILE.svg")
        msg = (
            f"--plot {path!r}: plots are SVG files, which browsers and office programs open: "
            f"name it {str(name)!r}"
        )
        raise UsageError(msg)


def plot_training(path: str, history: History, metric_name: str, training_name: str = "training") -> None:
    """Draw the cost, the metric and the learning rate of each epoch.

    Args:
        path: file to write, SVG.
        history: epochs of the training; one or more.
        metric_name: name of the metric, such as "accuracy".
        training_name: name of the metric's curve on the training data.

    Raises:
        OutputError: the file cannot be written.
    """
    charts = training_charts(_curve(history), metric_name, training_name)
    write_text(path, svg_document("Training", charts))


def plot_sweep(path: str, runs: Sequence[tuple[Mapping[str, Any], History]], best: int) -> None:
    """Draw the cost curves of a sweep, and the final cost by learning rate if that differs.

    Args:
        path: file to write, SVG.
        runs: of each run the settings that differ, by name, and its history.
        best: index of the best run.

    Raises:
        OutputError: the file cannot be written.
    """
    charts = sweep_charts([(settings, _curve(history)) for settings, history in runs], best)
    write_text(path, svg_document("Sweep", charts))


def _curve(history: History) -> Curve:
    return curve_of({name: history.column(name) for name in COLUMNS})


def svg_document(title: str, charts: Sequence[Chart]) -> str:
    """Return charts side by side as one SVG document, each with its title and its legend.

    The light colors are attributes, which all viewers know. A style sheet replaces them by dark ones where
    the user prefers those.

    Args:
        title: what the document shows, for people who do not see it.
        charts: from left to right; one or more.
    """
    drawn, height = [], 0.0
    for i, chart in enumerate(charts):
        legend, legend_height = _legend(chart.series)
        height = max(height, TITLE_HEIGHT + HEIGHT + legend_height + GAP)
        drawn.append(
            f'<g transform="translate({GAP + i * (WIDTH + GAP)},{TITLE_HEIGHT})">\n'
            f'<g font-size="15" font-weight="600">{svg_text(chart.title, 4, -8)}</g>\n'
            f'{chart.content()}\n<g transform="translate(0,{HEIGHT})">{legend}</g>\n</g>\n'
        )
    width = GAP + len(charts) * (WIDTH + GAP)
    description = " ".join(f"{chart.title}. {chart.description}" for chart in charts)
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height:g}" '
        f'viewBox="0 0 {width} {height:g}" role="img" font-family="Helvetica, Arial, sans-serif" '
        f'font-size="12" fill="{LIGHT["text"]}">\n'
        f"<title>{escape(title)}</title>\n<desc>{escape(description)}</desc>\n"
        f"<style>{_dark_style()}</style>\n"
        f'<rect class="background" fill="{LIGHT["surface"]}" width="100%" height="100%"/>\n'
        f"{''.join(drawn)}</svg>\n"
    )


def _legend(series: Sequence[DrawnSeries]) -> tuple[str, float]:
    """Return the legend of a chart as SVG, and its height. One series alone has none: the title names it."""
    named = series if len(series) <= LEGEND_RUNS else [each for each in series if each.strong]
    if len(series) < 2 or not named:
        return "", 0
    texts = [each.name + each.note for each in named]
    column_width = SWATCH_WIDTH + CHARACTER_WIDTH * max(map(len, texts)) + GAP
    columns = max(1, int((WIDTH - LEFT + GAP) / column_width))
    entries = []
    for i, (each, text) in enumerate(zip(named, texts, strict=True)):
        x, y = LEFT + i % columns * column_width, LEGEND_TOP + i // columns * LEGEND_ROW
        entry = each.swatch() + svg_text(text, SWATCH_WIDTH, 8)
        entries.append(f'<g transform="translate({x:g},{y})">{entry}</g>')
    return "".join(entries), LEGEND_TOP - (-len(named) // columns) * LEGEND_ROW


def _dark_style() -> str:
    """Return a style sheet with dark colors, for users who prefer them."""
    fills = {".background": "surface", "text": "text", ".muted text": "muted", ".bar": "c0"}
    strokes = {".grid path": "line", ".grid .axis": "muted"}
    for i in range(SERIES_COLORS):
        fills[f".look-{i}"] = strokes[f".look-{i} .line"] = f"c{i}"
    strokes[".guide .line"] = "muted"
    rules = [f"{selector} {{ fill: {DARK[name]} }}" for selector, name in fills.items()]
    rules += [f"{selector} {{ stroke: {DARK[name]} }}" for selector, name in strokes.items()]
    return f"@media (prefers-color-scheme: dark) {{ {' '.join(rules)} }}"
