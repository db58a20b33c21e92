"""A small curve in one line of text, such as █▅▃▂▁ for a falling cost. rich has nothing like it."""

from __future__ import annotations

import math

BARS = "▁▂▃▄▅▆▇█"
"""Characters for eight levels, from low to high."""

ASCII_BARS = "_.-~=+*#"
"""The same for an encoding that lacks those."""

KEPT_PER_CHARACTER = 4
"""How many numbers are kept for each character of the curve."""


class Sparkline:
    """The curve of a number over time. However many numbers come, it keeps few of them.

    Args:
        width: the number of characters, at most.
        encoding: of the stream that the curve is written to.
    """

    def __init__(self, width: int = 16, encoding: str | None = "utf-8") -> None:
        self._width, self._levels = width, levels(encoding)
        self._values: list[float] = []
        self._count, self._step = 0, 1  # how many numbers came, and that every step-th of them is kept

    def add(self, value: float) -> None:
        """Add the next number. One that is not finite is left out."""
        if not math.isfinite(value):
            return
        if self._count % self._step == 0:
            self._values.append(value)
        else:
            self._values[-1] = value  # the curve ends with the latest number
        self._count += 1
        if len(self._values) > KEPT_PER_CHARACTER * self._width:
            del self._values[1:-1:2]
            self._step *= 2

    def __str__(self) -> str:
        last, count = len(self._values) - 1, min(self._width, len(self._values))
        if count < 2:
            return ""
        shown = [self._values[round(i * last / (count - 1))] for i in range(count)]
        low, high = min(shown), max(shown)
        scale = (len(self._levels) - 1) / (high - low) if high > low else 0.0
        return "".join(self._levels[round((value - low) * scale)] for value in shown)


def levels(encoding: str | None) -> str:
    """Return the characters to draw with in an encoding."""
    try:
        BARS.encode(encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return ASCII_BARS
    return BARS
