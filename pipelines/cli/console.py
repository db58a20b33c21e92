"""What is said to the user: messages and progress, on standard error."""

from __future__ import annotations

import json
import shutil
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ..messages import Messages
from .sparkline import Sparkline

if TYPE_CHECKING:
    from collections.abc import Iterator

REDRAW_SECONDS = 0.1
"""How often a bar is drawn on a terminal, at most, and"""

LOG_SECONDS = 10.0
"""how often a line is written where there is none."""


NEEDED = 9
"""The importance of parts of a line that are never left out."""


class Console(Messages):
    """Says things on standard error, as text or as a JSON object on each line.

    Args:
        level: 0 says only what went wrong, 1 also what was done, 2 also details.
        bars: whether to draw progress on a terminal.
        as_json: whether to write JSON.
    """

    def __init__(self, level: int = 1, bars: bool = True, as_json: bool = False) -> None:
        self.level, self.as_json = level, as_json
        self.bars = bars and level > 0 and not as_json and sys.stderr.isatty()

    def say(self, text: str) -> None:
        """Say what was done."""
        self._write("info", text, 1)

    def detail(self, text: str) -> None:
        """Say what only some want to know."""
        self._write("debug", text, 2)

    def warn(self, text: str) -> None:
        """Say what went wrong, though the work goes on."""
        self._write("warning", text, 0)

    def error(self, text: str) -> None:
        """Say what went wrong and ended the work."""
        self._write("error", text, 0)

    @contextmanager
    def progress(self, what: str, unit: str = "images") -> Iterator[Progress]:
        """Give an object to report progress to. what: is being done; unit: of what."""
        progress = Progress(self, what, unit)
        try:
            yield progress
        finally:
            progress.clear()

    def _write(self, level: str, text: str, least: int) -> None:
        if self.level < least:
            return
        if self.as_json:
            line = json.dumps({"level": level, "message": text})
        else:
            line = f"{level}: {text}" if level in ("warning", "error") else text
        print(line, file=sys.stderr, flush=True)  # noqa: T201


class Progress:
    """Progress of one piece of work: a bar on a terminal; else, for those who want details, a line at times.

    Args:
        console: where to.
        what: is being done.
        unit: of what.
    """

    def __init__(self, console: Console, what: str, unit: str) -> None:
        self._console, self._what, self._unit = console, what, unit
        self._began: tuple[float, int] | None = None
        self._drawn = time.monotonic()
        self._width = 0
        self._curve = Sparkline(12, getattr(sys.stderr, "encoding", None))

    def __call__(
        self, done: int, total: int | None = None, note: str = "", more: str = "", value: float | None = None
    ) -> None:
        """Report how many are done.

        Args:
            done: so many.
            total: of so many, if that is known.
            note: what else is to be known, and
            more: what also, where there is room.
            value: a number whose course is drawn, as a small curve on a terminal.
        """
        now = time.monotonic()
        if self._began is None:
            self._began = now, done
        if value is not None:
            self._curve.add(value)
        if now - self._drawn < (REDRAW_SECONDS if self._console.bars else LOG_SECONDS):
            return
        self._drawn = now
        parts = self._parts(done, total, note, more, now)
        if not self._console.bars:
            self._console.detail("  ".join(text for _, text in parts))
            return
        line = fitted(parts, shutil.get_terminal_size().columns - 1)
        print(f"\r{line:<{self._width}}", end="", file=sys.stderr, flush=True)  # noqa: T201
        self._width = len(line)

    def clear(self) -> None:
        """Remove the bar."""
        if self._width:
            print(f"\r{'':<{self._width}}\r", end="", file=sys.stderr, flush=True)  # noqa: T201
            self._width = 0

    def _parts(self, done: int, total: int | None, note: str, more: str, now: float) -> list[tuple[int, str]]:
        """Return what the line says, part by part, each with how important it is."""
        began, first = self._began or (now, done)
        speed = (done - first) / max(now - began, 1e-9)  # not before the first report: processes had to start
        parts = [(NEEDED, self._what)]
        if total:
            share = min(1.0, done / total)
            parts += [(1, f"[{'#' * round(24 * share):.<24}]"), (NEEDED, f"{done}/{total} {self._unit}")]
        else:
            parts.append((NEEDED, f"{done} {self._unit}"))
        parts += [(NEEDED, note), (2, more), (5, str(self._curve) if self._console.bars else "")]
        if speed:
            parts.append((4, f"{speed:.0f}/s" if speed >= 10 else f"{speed:.2f}/s"))
        if total and speed:
            parts.append((3, f"{clock((total - done) / speed)} left"))
        return [part for part in parts if part[1]]


def fitted(parts: list[tuple[int, str]], width: int) -> str:
    """Return a line of at most `width` characters: without its least important parts, then cut off.

    Args:
        parts: each with how important it is; `NEEDED` is never left out.
        width: in characters.
    """
    kept = list(parts)
    for part in sorted(parts):
        line = "  ".join(text for _, text in kept)
        if len(line) <= width or part[0] == NEEDED:
            break
        kept.remove(part)
    return "  ".join(text for _, text in kept)[:width]


def clock(seconds: float) -> str:
    """Return a time as h:mm:ss, without hours if there are none."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
