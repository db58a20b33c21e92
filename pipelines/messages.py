"""What the pipeline says while it works: whoever starts it decides what becomes of that."""

from __future__ import annotations

import contextlib
import warnings
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator


class Progress(Protocol):
    """Takes the progress of one piece of work."""

    def __call__(
        self, done: int, total: int | None = None, note: str = "", more: str = "", value: float | None = None
    ) -> None:
        """Report how many are done.

        Args:
            done: how many.
            total: how many there are, if that is known.
            note: what else the user should know.
            more: what else, if there is room for it.
            value: a number whose course is drawn, such as the cost.
        """


class Messages:
    """Messages for use from Python: warnings become Python's warnings, all others are left out.

    Attributes:
        level: 0 for warnings and errors only, 1 also for what was done, 2 also for details.
    """

    level = 1

    def say(self, text: str) -> None:
        """Say what was done."""

    def detail(self, text: str) -> None:
        """Say what only some users want to know."""

    def warn(self, text: str) -> None:
        """Say what went wrong, while the work goes on."""
        warnings.warn(text, stacklevel=2)

    def error(self, text: str) -> None:
        """Say what ended the work."""

    @contextlib.contextmanager
    def progress(self, what: str, unit: str = "images") -> Iterator[Progress]:
        """Give a function to report progress to. what: is being done; unit: what is counted."""
        del what, unit

        def ignore(
            done: int, total: int | None = None, note: str = "", more: str = "", value: float | None = None
        ) -> None:
            del done, total, note, more, value

        yield ignore
