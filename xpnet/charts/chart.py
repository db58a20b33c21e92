"""Charts as SVG: line charts, dots and histograms, for pages, plots and notebooks.

`lines` and `histogram` compute where everything lies; `Chart.svg` draws it for a page, and `svg_document`
draws several, with titles and legends, as a file or a picture in a notebook. All text is escaped. The light
colors are attributes of the elements, so a drawing looks right without any style sheet. The class names are
for style sheets that replace the colors.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING

from xpnet.charts.colors import DARK, LIGHT, SERIES_COLORS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

WIDTH, HEIGHT = 400, 240
"""Size of a chart, in the units of its drawing."""

LEFT, RIGHT, TOP, BOTTOM = 60, 384, 26, 200
"""Edges of the area inside a chart where the data is drawn."""

LOG_RATIO = 50.0
"""An axis of positive values is logarithmic if the largest is more than this many times the smallest."""

LARGEST = 1e100
"""The largest absolute value that is drawn; the smallest is 1 / LARGEST, or 0."""

TICKS = 5
"""About how many ticks an axis has."""

MOST_DECADES = 8
"""The most ticks of a logarithmic axis."""

SMALL_DOTS = 50
"""From this number of dots, a series has smaller ones."""

LEGEND_RUNS = 12
"""The most series that a legend names; of more it names the best."""

GAP, TITLE_HEIGHT = 16, 30
"""Space around each chart, and height of its title above it, in SVG units."""

LEGEND_TOP, LEGEND_ROW = 10, 18
"""Space above the first row of a legend, and height of a row."""

SWATCH_WIDTH, CHARACTER_WIDTH = 30, 6
"""Width of the sample of a series before its name, and about the width of a character of the name."""


@dataclass(frozen=True)
class Series:
    """Values to draw: a line, or dots.

    Attributes:
        name: its name in the legend.
        x: horizontal values.
        y: vertical values, as many. Values that cannot be drawn, such as NaN, leave a gap.
        shape: "line", "dots", or "guide" for a thin line to compare with.
        strong: whether the line is thicker than the others.
        note: what follows the name in the legend, such as " (best)".
    """

    name: str
    x: Sequence[float]
    y: Sequence[float]
    shape: str = "line"
    strong: bool = False
    note: str = ""


@dataclass(frozen=True)
class DrawnSeries:
    """A series in the coordinates of the drawing.

    Attributes:
        name: its name in the legend.
        summary: what it shows, as a sentence for people who do not see the drawing.
        path: the line as an SVG path; empty if there is none.
        dots: x and y of the centre of each dot.
        look: number of its color.
        dashed: whether the line is dashed, because an earlier series has the same color.
        shape, strong, note: as in `Series`.
    """

    name: str
    summary: str
    path: str
    dots: list[tuple[float, float]]
    look: int
    dashed: bool
    shape: str
    strong: bool
    note: str

    @property
    def classes(self) -> str:
        """The names of its CSS classes."""
        names = {"dashed": self.dashed, "guide": self.shape == "guide", "strong": self.strong}
        return " ".join([f"look-{self.look}", *(name for name, is_set in names.items() if is_set)])

    def svg(self) -> str:
        """Return the SVG of the line and the dots."""
        radius = 3.5 if len(self.dots) < SMALL_DOTS else 2.5
        dots = "".join(f'<circle cx="{x}" cy="{y}" r="{radius}"/>' for x, y in self.dots)
        return self._group(self._line(self.path) if self.path else "", dots)

    def swatch(self) -> str:
        """Return the SVG of a sample of it for the legend, 24 wide and 8 high."""
        if self.dots:
            return self._group("", '<circle cx="12" cy="4" r="3.5"/>')
        return self._group(self._line("M0,4H24"), "")

    def _group(self, line: str, dots: str) -> str:
        return f'<g class="{self.classes}" fill="{LIGHT[f"c{self.look}"]}">{line}{dots}</g>'

    def _line(self, path: str) -> str:
        is_guide = self.shape == "guide"
        color = LIGHT["muted" if is_guide else f"c{self.look}"]
        width = 1 if is_guide else 3 if self.strong else 1.75
        dashes = ' stroke-dasharray="3 4"' if is_guide else ' stroke-dasharray="6 4"' if self.dashed else ""
        return (
            f'<path class="line" fill="none" stroke="{color}" stroke-width="{width}" '
            f'stroke-linejoin="round"{dashes} d="{path}"/>'
        )


@dataclass(frozen=True)
class Chart:
    """A chart in the coordinates of its drawing.

    Attributes:
        title: what the chart shows.
        x_label: name of the horizontal axis.
        y_label: name of the vertical axis.
        x_ticks: position and text of each tick of the horizontal axis.
        y_ticks: position and text of each tick of the vertical axis.
        series: lines and dots.
        bars: left, top, width and height of each bar.
    """

    title: str
    x_label: str
    y_label: str
    x_ticks: list[tuple[float, str]]
    y_ticks: list[tuple[float, str]]
    series: list[DrawnSeries] = field(default_factory=list)
    bars: list[tuple[float, float, float, float]] = field(default_factory=list)

    @property
    def description(self) -> str:
        """What the chart shows, as sentences for people who do not see it."""
        axes = f"Horizontal axis: {self.x_label}. Vertical axis: {self.y_label}."
        return " ".join([axes, *(series.summary for series in self.series)])

    def _repr_svg_(self) -> str:
        """Return the chart as a notebook shows it."""
        return svg_document(self.title, [self])

    def svg(self, marker: str = "") -> str:
        """Return the chart as an SVG element for a page. marker: id of a dot that a script moves."""
        edges = f'data-left="{LEFT}" data-right="{RIGHT}" data-top="{TOP}" data-bottom="{BOTTOM}"'
        dot = f'<circle id="{escape(marker)}" class="marker" r="6" cx="{LEFT}" cy="{BOTTOM}" {edges}/>'
        return (
            f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img"><title>Chart: {escape(self.title)}</title>'
            f"<desc>{escape(self.description)}</desc>\n{self.content()}\n{dot if marker else ''}</svg>"
        )

    def content(self) -> str:
        """Return the SVG elements of the chart: grid, ticks, labels and data."""
        line, muted = LIGHT["line"], LIGHT["muted"]
        grid = [f'<path d="M{LEFT},{y}H{RIGHT}"/>' for y, _ in self.y_ticks]
        y_texts = [svg_text(text, LEFT - 6, y + 4) for y, text in self.y_ticks]
        x_texts = [svg_text(text, x, BOTTOM + 16) for x, text in self.x_ticks]
        x_texts.append(svg_text(self.x_label, (LEFT + RIGHT) / 2, HEIGHT - 5))
        bars = [
            f'<rect class="bar" fill="{LIGHT["c0"]}" x="{x}" y="{y}" width="{width}" height="{height}"/>'
            for x, y, width, height in self.bars
        ]
        axis = f'<path class="axis" stroke="{muted}" d="M{LEFT},{BOTTOM}H{RIGHT}"/>'
        parts = [
            f'<g class="grid" fill="none" stroke="{line}">{"".join(grid)}{axis}</g>',
            f'<g class="muted" fill="{muted}" text-anchor="end">{"".join(y_texts)}</g>',
            f'<g class="muted" fill="{muted}" text-anchor="middle">{"".join(x_texts)}</g>',
            f'<g class="muted" fill="{muted}">{svg_text(self.y_label, 4, 13)}</g>',
            *bars,
            *(series.svg() for series in self.series),
        ]
        return "\n".join(parts)


@dataclass(frozen=True)
class Axis:
    """The scale of an axis: it maps values to positions.

    Attributes:
        low: the smallest value.
        high: the largest value, more than `low`.
        start: position of the smallest value.
        end: position of the largest value.
        log: whether the axis is logarithmic.
    """

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    @classmethod
    def over(
        cls, values: Sequence[float], start: float, end: float, *, log: bool = False, tight: bool = False
    ) -> Axis:
        """Return an axis for all values that can be drawn; it has a length even for one value or none.

        Args:
            values: what will be drawn.
            start: position of the smallest value.
            end: position of the largest value.
            log: whether the axis is logarithmic.
            tight: whether the axis ends exactly at the smallest and largest value.
        """
        shown = [v for v in values if is_drawable(v) and (v > 0 or not log)]
        low, high = (min(shown), max(shown)) if shown else (1.0, 1.0)
        half = (high - low) / 2
        if half <= 1e-9 * max(abs(low), abs(high)):
            around = (low / 2, low * 2) if log else (min(0.0, 2 * low), max(0.0, 2 * low) or 1.0)
            return cls(*around, start, end, log)
        if log or tight:
            return cls(low, high, start, end, log)
        return cls(0.0 if 0 <= low <= half else low - half / 10, high + half / 10, start, end)

    def __call__(self, value: float) -> float:
        """Return the position of a value."""
        low, high, value = map(self._scaled, (self.low, self.high, value))
        return round(self.start + (value - low) / (high - low) * (self.end - self.start), 1)

    def holds(self, value: float) -> bool:
        """Return whether a value has a position."""
        return is_drawable(value) and (value > 0 or not self.log)

    def _scaled(self, value: float) -> float:
        return math.log10(value) if self.log else value

    def ticks(self) -> list[tuple[float, str]]:
        """Return position and text of each tick."""
        values = _log_ticks(self.low, self.high) if self.log else []
        values = values if len(values) > 1 else _linear_ticks(self.low, self.high)
        return [(self(value), f"{value:g}") for value in values]


def lines(
    title: str,
    x_label: str,
    y_label: str,
    series: Sequence[Series],
    *,
    log_x: bool = False,
    log_y: bool | None = None,
    limits: tuple[float, float] | None = None,
) -> Chart:
    """Return a chart of lines and dots.

    Args:
        title: what the chart shows.
        x_label: name of the horizontal axis.
        y_label: name of the vertical axis.
        series: what to draw.
        log_x: whether the horizontal axis is logarithmic.
        log_y: whether the vertical axis is logarithmic; None to choose it by `needs_log`.
        limits: smallest and largest value of both axes; None for those of the series.
    """
    xs, ys = [v for s in series for v in s.x], [v for s in series for v in s.y]
    log = needs_log(ys) if log_y is None else log_y
    x = Axis(*limits, LEFT, RIGHT) if limits else Axis.over(xs, LEFT, RIGHT, log=log_x, tight=True)
    y = Axis(*limits, BOTTOM, TOP) if limits else Axis.over(ys, BOTTOM, TOP, log=log)
    drawn = [_drawn(s, x, y, i) for i, s in enumerate(series)]
    return Chart(title, x_label, y_label, x.ticks(), y.ticks(), drawn)


def histogram(
    title: str, x_label: str, y_label: str, counts: Sequence[int], low: float, high: float
) -> Chart:
    """Return a histogram: a bar for each count of values, in equal parts of the range from low to high."""
    x, y = Axis(low, high, LEFT, RIGHT), Axis(0.0, max(1, *counts) * 1.05, BOTTOM, TOP)
    width = (RIGHT - LEFT) / len(counts)
    bars = [
        (round(LEFT + i * width + 0.5, 1), y(count), round(width - 1, 1), round(BOTTOM - y(count), 1))
        for i, count in enumerate(counts)
        if count
    ]
    return Chart(title, x_label, y_label, x.ticks(), y.ticks(), bars=bars)


def needs_log(values: Sequence[float]) -> bool:
    """Return whether values are positive and so far apart that only a logarithmic axis shows them all."""
    shown = [value for value in values if is_drawable(value)]
    return bool(shown) and min(shown) > 0 and max(shown) > LOG_RATIO * min(shown)


def is_drawable(value: float) -> bool:
    """Return whether a value can be drawn: finite, and neither too large nor too close to 0."""
    return value == 0 or 1 / LARGEST <= abs(value) <= LARGEST


def _drawn(series: Series, x: Axis, y: Axis, index: int) -> DrawnSeries:
    values = list(zip(series.x, series.y, strict=True))
    points = [(x(a), y(b)) if x.holds(a) and y.holds(b) else None for a, b in values]
    path, pen = [], "M"
    for point in points:
        if point is not None:
            path.append(f"{pen}{point[0]:g},{point[1]:g}")
        pen = "M" if point is None else "L"
    alone = series.shape == "line" and len(points) == 1
    shown = [b for (_, b), point in zip(values, points, strict=True) if point is not None]
    return DrawnSeries(
        name=series.name,
        summary=f"{series.name}: {_summary(series.shape, shown)}.",
        path="" if series.shape == "dots" else "".join(path),
        dots=[point for point in points if point is not None] if series.shape == "dots" or alone else [],
        look=index % SERIES_COLORS,
        dashed=index // SERIES_COLORS % 2 == 1,
        shape=series.shape,
        strong=series.strong,
        note=series.note,
    )


def _summary(shape: str, values: Sequence[float]) -> str:
    if shape == "dots" or not values:
        return f"{len(values)} points"
    return f"from {values[0]:.4g} to {values[-1]:.4g}"


def _linear_ticks(low: float, high: float) -> list[float]:
    """Return round numbers from `low` to `high`, about `TICKS` of them."""
    rough = (high - low) / TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= rough * 0.99)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(i * step / power, 6) * power for i in range(first, last + 1)]


def _log_ticks(low: float, high: float) -> list[float]:
    """Return powers of ten from `low` to `high`; for a short range also 2 and 5 times each power."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)

    def multiples(factors: Iterable[int]) -> list[float]:
        values = [factor * 10.0**power for power in powers for factor in factors]
        return [value for value in values if low * 0.999 <= value <= high * 1.001]

    decades = multiples((1,))
    return decades[:: -(-len(decades) // MOST_DECADES)] if len(decades) > 2 else multiples((1, 2, 5))


def svg_text(text: str, x: float, y: float) -> str:
    """Return a text element whose baseline starts at a position."""
    return f'<text x="{x:g}" y="{y:g}">{escape(text)}</text>'


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
