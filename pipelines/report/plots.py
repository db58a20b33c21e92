"""Plots: the curves of a training or a sweep as a file of their own, an SVG document."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from xpnet.charts import svg_document, sweep_charts, training_charts
from xpnet.errors import UsageError

from ..outputs import write_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from xpnet.nn import History


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
    charts = training_charts(history.curve(), metric_name, training_name)
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
    charts = sweep_charts([(settings, history.curve()) for settings, history in runs], best)
    write_text(path, svg_document("Sweep", charts))
