"""A small curve in one line of text: how a number went so far."""

from __future__ import annotations

import math

BARS, ASCII = "▁▂▃▄▅▆▇█", "_.-~=+*#"
"""Low to high; the second where the first cannot be written."""


class Sparkline:
    """The course of a number, in as many characters as asked for; keeps a few numbers, however many come.

    Args:
        width: characters, at most.
        encoding: of where it is written.
    """

    def __init__(self, width: int = 16, encoding: str | None = "utf-8") -> None:
        self._width, self._levels = width, levels(encoding)
        self._values: list[float] = []
        self._came, self._each = 0, 1  # numbers so far, and every how many-th of them is kept

    def add(self, value: float) -> None:
        """Take the next number; one that is not finite is left out."""
        if not math.isfinite(value):
            return
        if self._came % self._each == 0:
            self._values.append(value)
        else:
            self._values[-1] = value  # so that the curve ends with the latest
        self._came += 1
        if len(self._values) > 4 * self._width:
            del self._values[1:-1:2]
            self._each *= 2

    def __str__(self) -> str:
        last, count = len(self._values) - 1, min(self._width, len(self._values))
        if count < 2:
            return ""
        shown = [self._values[round(i * last / (count - 1))] for i in range(count)]
        low, high = min(shown), max(shown)
        scale = (len(self._levels) - 1) / (high - low) if high > low else 0.0
        return "".join(self._levels[round((value - low) * scale)] for value in shown)


def levels(encoding: str | None) -> str:
    """Return the characters to draw with that an encoding has."""
    try:
        BARS.encode(encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return ASCII
    return BARS
