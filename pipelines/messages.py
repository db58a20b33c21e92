"""Messages and progress of the work, below all packages of the pipeline.

The command line shows them on a terminal (`cli/console.py`); a program that uses xpnet decides for itself.
"""

from __future__ import annotations

import contextlib
import warnings
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator


class Progress(Protocol):
    """A function that takes the progress of one piece of work."""

    def __call__(
        self, done: int, total: int | None = None, note: str = "", more: str = "", value: float | None = None
    ) -> None:
        """Report the progress.

        Args:
            done: how many are done.
            total: how many there are in all, or None if that is not known.
            note: a text to show beside the counts.
            more: a text that is shown only if there is room for it.
            value: a number that is drawn as a curve over time, such as the cost.
        """


class Messages:
    """Messages for use from Python: warnings become Python's warnings, all other messages are dropped.

    Attributes:
        level: 0 for warnings and errors, 1 also for what was done, 2 also for details.
    """

    level = 1

    def say(self, text: str) -> None:
        """Report what was done. Level 1."""

    def detail(self, text: str) -> None:
        """Report a detail. Level 2."""

    def warn(self, text: str) -> None:
        """Report a problem after which the work goes on. Level 0."""
        warnings.warn(text, stacklevel=2)

    def error(self, text: str) -> None:
        """Report a problem that ended the work. Level 0."""

    @contextlib.contextmanager
    def progress(self, what: str, unit: str = "images") -> Iterator[Progress]:
        """Give a function to report progress to.

        Args:
            what: the work, such as "Decoding".
            unit: what is counted.
        """
        del what, unit

        def ignore(
            done: int, total: int | None = None, note: str = "", more: str = "", value: float | None = None
        ) -> None:
            del done, total, note, more, value

        yield ignore
