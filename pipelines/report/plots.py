"""Curves as a picture, by matplotlib: `--plot` of train and sweep."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xpnet.errors import OutputError, UsageError
from xpnet.io import atomic_write

from .charts import is_wide

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from xpnet.nn import History

ENDINGS = ("png", "svg", "pdf")
"""Formats, by the ending of the file's name."""

LEGIBLE = 12
"""Runs of a sweep that are named in the legend, at most."""

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
"""Colours that the colour-blind can tell apart (Okabe and Ito, 2008)."""


def require_plot(path: str | None) -> None:
    """Refuse early what could not be drawn later. None is no picture.

    Raises:
        UsageError: the name has another ending, or matplotlib is missing.
    """
    if path is None:
        return
    if _ending(path) not in ENDINGS:
        msg = f"{path}: expected a name that ends in .{', .'.join(ENDINGS)}, which says what to draw"
        raise UsageError(msg)
    if find_spec("matplotlib") is None:
        msg = "--plot draws by matplotlib, which is missing: pip install 'xpnet[report]'"
        raise UsageError(msg)


def plot_training(path: str, history: History, metric: str, training: str = "training") -> None:
    """Draw what there is of each epoch: cost, metric, learning rate.

    Args:
        path: of the picture.
        history: how the training went.
        metric: its name.
        training: what its values on the training data are called.

    Raises:
        OutputError: the picture cannot be written.
    """
    epochs = history.epochs
    x = [epoch.epoch for epoch in epochs]
    judged = [(e.epoch, e.val_cost, e.val_metric) for e in epochs if e.val_cost is not None]
    sample = [(e.epoch, e.metric) for e in epochs if e.metric is not None]
    rates = [epoch.learning_rate for epoch in epochs]
    # One value is no curve: it is what a training of all examples at once is judged by at its end.
    names = [training] * (len(sample) > 1) + ["validation"] * (len(judged) > 1)
    axes, figure = _axes(1 + bool(names) + (max(rates) > 0))
    _line(axes[0], x, [epoch.cost for epoch in epochs], COLOURS[0], "training")
    if judged:
        _line(axes[0], [at for at, _, _ in judged], [cost for _, cost, _ in judged], COLOURS[1], "validation")
        axes[0].legend(frameon=False)
    if len(sample) > 1:
        _line(axes[1], [at for at, _ in sample], [value for _, value in sample], COLOURS[0], training)
    if len(judged) > 1:
        at, values = [at for at, _, _ in judged], [value for _, _, value in judged]
        _line(axes[1], at, values, COLOURS[1], "validation")
    if names:
        axes[1].set_ylabel(metric if len(names) > 1 else f"{metric} ({names[0]})")
    if len(names) > 1:
        axes[1].legend(frameon=False)
    if max(rates) > 0:  # L-BFGS has none
        _line(axes[-1], x, rates, COLOURS[2], "learning rate")
        axes[-1].set_ylabel("learning rate")
        axes[-1].set_ylim(bottom=0)
    axes[0].set_ylabel("cost")
    _log_if_wide(axes[0], [*history.costs, *(cost for _, cost, _ in judged)])
    _save(figure, path)


def plot_sweep(path: str, runs: Sequence[tuple[dict[str, Any], History]], best: int) -> None:
    """Draw the cost curves of a sweep on one axis; beside them, where rates differ, the cost of each rate.

    Args:
        path: of the picture.
        runs: what tells each apart, by name, with its history.
        best: index of the best.

    Raises:
        OutputError: the picture cannot be written.
    """
    rates = [apart["rate"] for apart, _ in runs if apart.get("rate", 0) > 0]
    axes, figure = _axes(1 + (len(set(rates)) > 1))
    for i, (apart, history) in enumerate(runs):
        name = ", ".join(f"{key} {value:g}" for key, value in apart.items())
        marked = (f"{name} (best)", 2.5) if i == best else (name, 1.2)
        x, costs = [epoch.epoch for epoch in history.epochs], history.costs
        style = ("-", "--", ":")[i // len(COLOURS) % 3]
        _line(axes[0], x, costs, COLOURS[i % len(COLOURS)], *marked, style=style)
    if len(runs) <= LEGIBLE:
        axes[0].legend(frameon=False)
    axes[0].set_ylabel("cost")
    _log_if_wide(axes[0], [cost for _, history in runs for cost in history.costs])
    if len(axes) > 1:
        ends = [(apart["rate"], h.judged[-1]) for apart, h in runs if h.epochs and apart["rate"] > 0]
        axes[1].scatter([rate for rate, _ in ends], [cost for _, cost in ends], color=COLOURS[0])
        axes[1].set(xscale="log", xlabel="learning rate", ylabel="cost at the end")
        _log_if_wide(axes[1], [cost for _, cost in ends])
    _save(figure, path)


def _axes(count: int) -> tuple[list[Axes], Figure]:
    # Not by pyplot, which keeps figures and looks for a screen.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5 * count, 3.6), layout="constrained")
    axes: list[Axes] = [figure.add_subplot(1, count, i + 1) for i in range(count)]
    for each in axes:
        each.grid(alpha=0.25)
        each.spines[["top", "right"]].set_visible(False)
        each.set_xlabel("epoch")
    return axes, figure


def _line(
    axes: Axes,
    x: Sequence[Any],
    y: Sequence[Any],
    colour: str,
    name: str,
    width: float = 1.6,
    style: str = "-",
) -> None:
    alone = "o" if len(x) == 1 else ""
    axes.plot(x, y, color=colour, label=name, linewidth=width, linestyle=style, marker=alone)


def _log_if_wide(axes: Axes, values: Sequence[float]) -> None:
    if is_wide(values):
        axes.set_yscale("log")


def _ending(path: str) -> str:
    return os.path.splitext(path)[1][1:].lower()


def _save(figure: Figure, path: str) -> None:
    try:
        with atomic_write(Path(path)) as temporary:
            figure.savefig(temporary, format=_ending(path), dpi=150)
    except OSError as error:
        msg = f"{path}: cannot be written: {error.strerror or error}"
        raise OutputError(msg) from error
