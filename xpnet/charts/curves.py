"""Charts of the curves of a training and of a sweep, for the page and for the plots."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from xpnet.charts.chart import Chart, Series, lines

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

COLUMNS = {
    "epoch": "epoch",
    "cost": "training cost",
    "val_cost": "validation cost",
    "metric": "training",
    "val_metric": "validation",
    "learning_rate": "learning rate",
}
"""The columns of a curve in the order in which a table shows them, with their headings."""

Curve = dict[str, list[float]]
"""The epochs of a training by column: names as in `COLUMNS`, one value for each epoch, NaN for none."""


def curve_of(columns: Mapping[str, Any]) -> Curve:
    """Return the curve of columns that may lack some, or hold None.

    Raises:
        TypeError, ValueError: a value is not a number.
    """
    return {name: [float_or_nan(value) for value in columns[name]] for name in COLUMNS if name in columns}


def float_or_nan(value: Any) -> float:
    """Return a value as a number, NaN for None."""
    return math.nan if value is None else float(value)


def headings(curve: Curve, metric: str) -> list[str]:
    """Return the heading of each column of a curve. metric: name of the metric."""
    named = COLUMNS | {name: f"{COLUMNS[name]} {metric}" for name in ("metric", "val_metric")}
    return [named[name] for name in curve]


def training_charts(
    curve: Curve, metric: str, training_name: str = "training", final_metric: float = math.nan
) -> list[Chart]:
    """Return charts of the cost, the metric and the learning rate of each epoch, as far as they are known.

    Args:
        curve: of the training.
        metric: name of the metric.
        training_name: name of the metric's curve on the training data.
        final_metric: metric on the training data after the training; drawn if that is all that is known.
    """
    epochs = curve["epoch"]
    costs = [Series("training", epochs, curve["cost"])]
    if _has_curve(curve, "val_cost"):
        costs.append(Series("validation", epochs, curve["val_cost"]))
    charts = [lines("Cost of each epoch", "epoch", "cost", costs)]
    if metrics := _metric_series(curve, training_name, final_metric):
        # One series has no legend, so its name is in the title.
        whose = f": {metrics[0].name}" if len(metrics) == 1 else ""
        charts.append(
            lines(f"{metric[:1].upper()}{metric[1:]} of each epoch{whose}", "epoch", metric, metrics)
        )
    if any(rate > 0 for rate in curve.get("learning_rate", [])):
        rates = [Series("learning rate", epochs, curve["learning_rate"])]
        charts.append(lines("Learning rate of each epoch", "epoch", "learning rate", rates, log_y=False))
    return charts


def sweep_charts(runs: Sequence[tuple[Mapping[str, Any], Curve]], best: int) -> list[Chart]:
    """Return a chart of the cost curves of a sweep, and the final costs by learning rate if that differs.

    Args:
        runs: of each run the settings that differ, by name, and its curve.
        best: index of the best run; less than 0 if it is not among them.
    """
    series = [
        Series(
            ", ".join(f"{name.replace('_', ' ')} {float(value):g}" for name, value in settings.items()),
            curve["epoch"],
            curve.get("cost", []),
            strong=i == best,
            note=" (best)" if i == best else "",
        )
        for i, (settings, curve) in enumerate(runs)
    ]
    charts = [lines("Cost of each epoch of each run", "epoch", "cost", series)]
    rates = [float(settings.get("learning_rate", math.nan)) for settings, _ in runs]
    if len({rate for rate in rates if rate > 0}) > 1:
        finals = {
            name: [float_or_nan(final(curve, column)) for _, curve in runs]
            for name, column in (("training", "cost"), ("validation", "val_cost"))
        }
        dots = [
            Series(name, rates, values, "dots")
            for name, values in finals.items()
            if any(map(math.isfinite, values))
        ]
        charts.append(lines("Final cost by learning rate", "learning rate", "final cost", dots, log_x=True))
    return charts


def final(curve: Curve, column: str) -> float | None:
    """Return the last value of a column, or None if there is none."""
    values = curve.get(column)
    return values[-1] if values else None


def _metric_series(curve: Curve, training_name: str, final_metric: float) -> list[Series]:
    """Return the curves of the metric: on the training data and on the validation data, if known."""
    epochs, series = curve["epoch"], []
    if _has_curve(curve, "metric"):
        series.append(Series(training_name, epochs, curve["metric"]))
    if _has_curve(curve, "val_metric"):
        series.append(Series("validation", epochs, curve["val_metric"]))
        if len(series) == 1 and math.isfinite(final_metric):
            ends = [epochs[0], epochs[-1]]
            series.append(Series("training, at the end", ends, [final_metric] * 2, "guide"))
    return series


def _has_curve(curve: Curve, column: str) -> bool:
    """Return whether a column has more than one value: full-batch training has one, measured at its end."""
    return sum(map(math.isfinite, curve.get(column, []))) > 1
