"""Messages and progress bars on standard error."""

from __future__ import annotations

import os
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from ..messages import Messages
from .sparkline import Sparkline

if TYPE_CHECKING:
    from collections.abc import Iterator

FIRST_DRAW_SECONDS = 0.5
"""A bar is drawn only for work that takes longer than this: short commands never load rich."""

REDRAW_SECONDS = 0.1
"""The shortest time between two drawings of a bar on a terminal."""

LOG_SECONDS = 10.0
"""The shortest time between two lines of progress where standard error is not a terminal."""

BAR_WIDTH = 24
"""The width of a bar, in characters."""

CURVE_WIDTH = 12
"""The width of the curve of a value, in characters, at most."""

CONTROLS = (*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029, *range(0x202A, 0x202F), *range(0x2066, 0x206A))
"""Characters that control a terminal, separate lines, or turn the direction of writing."""

ESCAPES = {code: ascii(chr(code))[1:-1] for code in CONTROLS}
"""Each of them as it is written in a string of Python."""

REQUIRED = 9
"""The importance of a part of a line that is never left out; see `Part`."""


class Console(Messages):
    """Writes messages to standard error, as text or as one JSON object on each line.

    Args:
        level: 0 for warnings and errors, 1 also for what was done, 2 also for details.
        bars: whether to draw progress bars on a terminal.
        as_json: whether to write JSON.
    """

    def __init__(self, level: int = 1, bars: bool = True, as_json: bool = False) -> None:
        self.level, self.as_json = level, as_json
        can_draw = sys.stderr.isatty() and os.environ.get("TERM") not in ("dumb", "unknown")
        self.bars = bars and level > 0 and not as_json and can_draw
        self._progress: Progress | None = None

    def say(self, text: str) -> None:
        """Report what was done."""
        self._write("info", text, 1)

    def detail(self, text: str) -> None:
        """Report a detail."""
        self._write("debug", text, 2)

    def warn(self, text: str) -> None:
        """Report a problem after which the work goes on."""
        self._write("warning", text, 0)

    def error(self, text: str) -> None:
        """Report a problem that ended the work."""
        self._write("error", text, 0)

    @contextmanager
    def progress(self, what: str, unit: str = "images") -> Iterator[Progress]:
        """Give an object to report progress to.

        Args:
            what: the work, such as "Decoding".
            unit: what is counted.
        """
        self._progress = Progress(self, what, unit)
        try:
            yield self._progress
        finally:
            self._progress.clear()
            self._progress = None

    def _write(self, level: str, text: str, least: int) -> None:
        if self.level < least:
            return
        if self.as_json:
            import json

            line = json.dumps({"level": level, "message": text})
        else:
            line = f"{level}: {text}" if level in ("warning", "error") else text
        line = printable(line)
        if self._progress is not None:
            self._progress.clear()  # the next report draws it again, below the message
        print(line, file=sys.stderr, flush=True)  # noqa: T201


def printable(text: str) -> str:
    """Return one line with all characters that control a terminal as escapes.

    Names of files and classes are in messages: without this they could move the cursor and forge lines.
    """
    return text.translate(ESCAPES)


class Part(NamedTuple):
    """A part of a line of progress.

    Attributes:
        importance: parts of low importance are left out first, if the terminal is narrow.
        text: the part as text; "" for the bar.
        style: how rich shows it.
    """

    importance: int
    text: str
    style: str = ""


class Progress:
    """The progress of one piece of work.

    On a terminal it is a bar. Elsewhere it is a line from time to time, for those who asked for details.

    Args:
        console: where to report.
        what: the work.
        unit: what is counted.
    """

    def __init__(self, console: Console, what: str, unit: str) -> None:
        self._console, self._what, self._unit = console, what, unit
        self._first_report: tuple[float, int] | None = None
        wait = FIRST_DRAW_SECONDS - REDRAW_SECONDS if console.bars else 0.0
        self._drawn = time.monotonic() + wait
        self._live: Any = None
        self._curve = Sparkline(CURVE_WIDTH, getattr(sys.stderr, "encoding", None))

    def __call__(
        self, done: int, total: int | None = None, note: str = "", more: str = "", value: float | None = None
    ) -> None:
        """Report the progress.

        Args:
            done: how many are done.
            total: how many there are in all, or None if that is not known.
            note: a text to show beside the counts.
            more: a text that is shown only if there is room for it.
            value: a number that is drawn as a curve over time.
        """
        now = time.monotonic()
        if self._first_report is None:
            self._first_report = now, done
        if value is not None:
            self._curve.add(value)
        if now - self._drawn < (REDRAW_SECONDS if self._console.bars else LOG_SECONDS):
            return
        self._drawn = now
        parts = self._parts(done, total, note, more, now)
        if self._console.bars:
            self._draw(parts, done, total)
        else:
            self._console.detail("  ".join(part.text for part in parts))

    def clear(self) -> None:
        """Remove the bar from the terminal."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _parts(self, done: int, total: int | None, note: str, more: str, now: float) -> list[Part]:
        began, first = self._first_report or (now, done)
        # The speed is measured from the first report: before it, processes had to start.
        speed = (done - first) / max(now - began, 1e-9)
        curve = str(self._curve) if self._console.bars else ""
        parts = [
            Part(REQUIRED, self._what, "bold"),
            Part(REQUIRED, f"{done}/{total} {self._unit}" if total else f"{done} {self._unit}"),
            Part(REQUIRED, note),
            Part(2, more),
            Part(5, curve, "cyan"),
        ]
        if speed:
            parts.append(Part(4, f"{speed:.0f}/s" if speed >= 10 else f"{speed:.2f}/s", "bright_black"))
        if total and speed:
            parts.append(Part(3, f"{clock((total - done) / speed)} left", "bright_black"))
        return [part for part in parts if part.text]

    def _draw(self, parts: list[Part], done: int, total: int | None) -> None:
        from rich.console import Console as Terminal
        from rich.live import Live
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        if self._live is None:
            terminal = Terminal(file=sys.stderr, force_terminal=True)
            self._live = Live(console=terminal, auto_refresh=False, transient=True, redirect_stdout=False)
            self._live.start()
        with_bar = [parts[0], Part(1, ""), *parts[1:]] if total else parts
        shown = fitting(with_bar, self._live.console.width - 1)
        line = Table.grid(padding=(0, 2, 0, 0), pad_edge=False)
        cells: list[Any] = []
        for part in shown:
            line.add_column(no_wrap=True, overflow="crop")
            bar = ProgressBar(total=total, completed=done, width=BAR_WIDTH)
            cells.append(Text(part.text, part.style) if part.text else bar)
        line.add_row(*cells)
        self._live.update(line, refresh=True)


def fitting(parts: list[Part], width: int) -> list[Part]:
    """Return the parts of a line that fit into a width in characters.

    The least important parts are left out first. What is still too long is cut off at its end.
    """
    from rich.cells import cell_len, set_cell_size

    kept = list(parts)
    for part in sorted(parts, key=lambda each: each.importance):
        needed = sum((cell_len(each.text) or BAR_WIDTH) + 2 for each in kept) - 2
        if needed <= width or part.importance == REQUIRED:
            break
        kept.remove(part)
    cut, room = [], width
    for part in kept:
        length = cell_len(part.text) or BAR_WIDTH
        if room > 0:
            cut.append(part if length <= room else part._replace(text=set_cell_size(part.text, room)))
        room -= length + 2
    return cut


def clock(seconds: float) -> str:
    """Return a time as h:mm:ss, or as m:ss if it is shorter than an hour."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
