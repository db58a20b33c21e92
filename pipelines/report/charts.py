"""Geometry of charts: where ticks, lines and bars lie. The templates draw them, and escape all text."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

WIDTH, HEIGHT = 400, 240
LEFT, RIGHT, TOP, BOTTOM = 60, 384, 26, 200
"""The box of the data, in a drawing of that size."""

WIDE = 50.0
"""The largest value over the smallest, from which an axis of costs is logarithmic."""

LOOKS = 6
"""Colours of lines; from there on they come again, dashed."""

LARGEST = 1e100
"""The largest number that is drawn; one over it is the smallest."""

TICKS = 5
"""Ticks of an axis, about."""


@dataclass(frozen=True)
class Series:
    """One line, or some dots, of a chart.

    Attributes:
        name: what it shows.
        x: where, and
        y: how high; what cannot be shown is left out.
        shape: "line", "dots" or "guide", a thin line to compare with.
        strong: whether it stands out.
    """

    name: str
    x: Sequence[float]
    y: Sequence[float]
    shape: str = "line"
    strong: bool = False


@dataclass(frozen=True)
class Drawn:
    """A series in the drawing's coordinates.

    Attributes:
        name: what it shows.
        path: of a line, in SVG's words.
        dots: centres of dots.
        look: number of its colour.
        dashed: whether the colour was taken before.
        shape, strong: as in `Series`.
    """

    name: str
    path: str
    dots: list[tuple[float, float]]
    look: int
    dashed: bool
    shape: str
    strong: bool


@dataclass(frozen=True)
class Chart:
    """What a template draws.

    Attributes:
        title: what the chart shows, as text for those who do not see it.
        x_label: of the axis, and
        y_label: of the other.
        x_ticks: place and text of each, and
        y_ticks: of the other axis.
        series: lines and dots.
        bars: left, top, width and height of each.
    """

    title: str
    x_label: str
    y_label: str
    x_ticks: list[tuple[float, str]]
    y_ticks: list[tuple[float, str]]
    series: list[Drawn] = field(default_factory=list)
    bars: list[tuple[float, float, float, float]] = field(default_factory=list)


@dataclass(frozen=True)
class Axis:
    """A scale from values to places.

    Attributes:
        low: the least value, and
        high: the greatest.
        start: place of the least, and
        end: of the greatest.
        log: whether equal factors lie equally far apart.
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
        """Return an axis that holds those of some values that can be shown; it is never empty.

        Args:
            values: to be shown.
            start: place of the least, and
            end: of the greatest.
            log: whether equal factors lie equally far apart.
            tight: whether to leave no margin.
        """
        shown = [v for v in values if usable(v) and (v > 0 or not log)]
        low, high = (min(shown), max(shown)) if shown else (1.0, 1.0)
        half = (high - low) / 2
        if half <= 1e-9 * max(abs(low), abs(high)):
            around = (low / 2, low * 2) if log else (min(0.0, 2 * low), max(0.0, 2 * low) or 1.0)
            return cls(*around, start, end, log)
        if log or tight:
            return cls(low, high, start, end, log)
        return cls(0.0 if 0 <= low <= half else low - half / 10, high + half / 10, start, end)

    def __call__(self, value: float) -> float:
        """Return the place of a value."""
        low, high, value = map(self._scaled, (self.low, self.high, value))
        return round(self.start + (value - low) / (high - low) * (self.end - self.start), 1)

    def holds(self, value: float) -> bool:
        """Return whether a value has a place."""
        return usable(value) and (value > 0 or not self.log)

    def _scaled(self, value: float) -> float:
        return math.log10(value) if self.log else value

    def ticks(self) -> list[tuple[float, str]]:
        """Return place and text of each tick."""
        values = _decades(self.low, self.high) if self.log else []
        values = values if len(values) > 1 else _round(self.low, self.high)
        return [(self(value), f"{value:g}") for value in values]


def lines(
    title: str,
    x_label: str,
    y_label: str,
    series: Sequence[Series],
    *,
    log_x: bool = False,
    log_y: bool | None = None,
    within: tuple[float, float] | None = None,
) -> Chart:
    """Return a chart of lines and dots.

    Args:
        title: what it shows.
        x_label: of the axis, and
        y_label: of the other.
        series: what to draw.
        log_x: whether the axis is logarithmic, and
        log_y: the other; None for whether its values are positive and far apart.
        within: least and greatest value of both axes, or None for what the series need.
    """
    xs, ys = [v for s in series for v in s.x], [v for s in series for v in s.y]
    log = is_wide(ys) if log_y is None else log_y
    x = Axis(*within, LEFT, RIGHT) if within else Axis.over(xs, LEFT, RIGHT, log=log_x, tight=True)
    y = Axis(*within, BOTTOM, TOP) if within else Axis.over(ys, BOTTOM, TOP, log=log)
    drawn = [_drawn(s, x, y, i) for i, s in enumerate(series)]
    return Chart(title, x_label, y_label, x.ticks(), y.ticks(), drawn)


def histogram(title: str, x_label: str, counts: Sequence[int], low: float, high: float) -> Chart:
    """Return a chart of bars: how often values lie in equal parts of a range."""
    x, y = Axis(low, high, LEFT, RIGHT), Axis(0.0, max(1, *counts) * 1.05, BOTTOM, TOP)
    width = (RIGHT - LEFT) / len(counts)
    bars = [
        (round(LEFT + i * width + 0.5, 1), y(count), round(width - 1, 1), round(BOTTOM - y(count), 1))
        for i, count in enumerate(counts)
        if count
    ]
    return Chart(title, x_label, "images", x.ticks(), y.ticks(), bars=bars)


def is_wide(values: Sequence[float]) -> bool:
    """Return whether values are positive, and so far apart that only a logarithmic axis shows them all."""
    shown = [value for value in values if usable(value)]
    return bool(shown) and min(shown) > 0 and max(shown) > WIDE * min(shown)


def usable(value: float) -> bool:
    """Return whether a value can be shown: a finite number, and no absurd one."""
    return value == 0 or 1 / LARGEST <= abs(value) <= LARGEST


def _drawn(series: Series, x: Axis, y: Axis, index: int) -> Drawn:
    points = [
        (x(a), y(b)) if x.holds(a) and y.holds(b) else None for a, b in zip(series.x, series.y, strict=True)
    ]
    path, pen = [], "M"
    for point in points:
        if point is not None:
            path.append(f"{pen}{point[0]:g},{point[1]:g}")
        pen = "M" if point is None else "L"
    alone = series.shape == "line" and len(points) == 1
    dots = [point for point in points if point is not None] if series.shape == "dots" or alone else []
    line = "" if series.shape == "dots" else "".join(path)
    look, again = index % LOOKS, index // LOOKS % 2 == 1
    return Drawn(series.name, line, dots, look, again, series.shape, series.strong)


def _round(low: float, high: float) -> list[float]:
    """Return round numbers from `low` to `high`, about `TICKS` of them."""
    rough = (high - low) / TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= rough * 0.99)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(i * step / power, 6) * power for i in range(first, last + 1)]


def _decades(low: float, high: float) -> list[float]:
    """Return powers of ten from `low` to `high`; of a short range also twice and five times them."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    every: Callable[[Sequence[int]], list[float]] = lambda factors: [  # noqa: E731
        factor * 10.0**power
        for power in range(first, last + 1)
        for factor in factors
        if low * 0.999 <= factor * 10.0**power <= high * 1.001
    ]
    found = every((1,))
    return found[:: -(-len(found) // 8)] if len(found) > 2 else every((1, 2, 5))
