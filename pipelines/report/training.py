"""What the page shows of the training and of the sweep, from the summary in the model file."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, TypeVar

from xpnet.errors import DataError

from ..training import training_name
from .charts import Chart, Series, lines

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ..models import Model

NAMES = {
    "epoch": "epoch",
    "cost": "training cost",
    "val_cost": "validation cost",
    "metric": "training",
    "val_metric": "validation",
    "learning_rate": "learning rate",
}
"""Words for the columns of a curve."""


def training(opened: Model) -> dict[str, Any] | None:
    """Return charts and a table of the training's curve, or None if the file has none.

    Raises:
        DataError: the file's summary of the training is none.
    """
    return _read(opened, _training)


def sweep(opened: Model) -> dict[str, Any] | None:
    """Return charts and a table of the sweep that the model is the best of, or None if there was none.

    Raises:
        DataError: the file's summary of the sweep is none.
    """
    return _read(opened, _sweep)


def ends(opened: Model) -> dict[str, Any]:
    """Return cost and metric at the end of the training, by what was judged, and the classes' counts.

    Raises:
        DataError: the file's summary of the training is none.
    """
    return _read(opened, _ends)


def metric_name(opened: Model) -> str:
    """Return the name of the metric that training and validation are judged by."""
    return "accuracy" if opened.class_names else "R²"


Found = TypeVar("Found")


def _read(opened: Model, read: Callable[[dict[str, Any], str], Found]) -> Found:
    """Return what is read of the summary, with the metric's name; whatever is wrong with it is one error."""
    try:
        return read(opened.saved.history, metric_name(opened))
    except (AttributeError, KeyError, TypeError, ValueError, LookupError) as error:
        msg = f"{opened.path}: its summary of the training is damaged: {type(error).__name__}: {error}"
        raise DataError(msg) from error


def _ends(history: Mapping[str, Any], _: str) -> dict[str, Any]:
    judged = {
        str(name): {"cost": _number(end["cost"]), "metric": _number(end["metric"])}
        for name, end in dict(history.get("judged", {})).items()
    }
    return {"judged": judged, "counts": [int(count) for count in history.get("counts", [])]}


def _training(history: Mapping[str, Any], metric: str) -> dict[str, Any] | None:
    curve = _curve(history.get("curve") or _of_costs(history))
    if not curve.get("epoch"):
        return None
    words = NAMES | {name: f"{NAMES[name]} {metric}" for name in ("metric", "val_metric")}
    x, charts = curve["epoch"], []
    if len(x) > 1:
        costs = [Series("training", x, curve["cost"])]
        if _is_curve(curve.get("val_cost", [])):
            costs.append(Series("validation", x, curve["val_cost"]))
        charts.append(lines("Cost of each epoch", "epoch", "cost", costs))
        if series := _metrics(history, curve):
            # One curve has no legend: the title says whose it is.
            whose = f": {series[0].name}" if len(series) == 1 else ""
            charts.append(lines(f"{metric.capitalize()} of each epoch{whose}", "epoch", metric, series))
        if any(rate > 0 for rate in curve.get("learning_rate", [])):
            rates = [Series("learning rate", x, curve["learning_rate"])]
            charts.append(lines("Learning rate of each epoch", "epoch", "learning rate", rates, log_y=False))
    return {
        "charts": charts,
        "head": [words[name] for name in curve],
        "rows": list(zip(*curve.values(), strict=True)),
        "of": int(dict(history.get("last", {})).get("epoch", x[-1])),
    }


def _metrics(history: Mapping[str, Any], curve: Mapping[str, list[float]]) -> list[Series]:
    """Return what there is of the metric: of training and validation, each a curve or nothing."""
    x, series = curve["epoch"], []
    if _is_curve(curve.get("metric", [])):
        name = training_name(history.get("judged_examples") or 0, int(history.get("m", 0)))
        series.append(Series(name, x, curve["metric"]))
    if _is_curve(curve.get("val_metric", [])):
        series.append(Series("validation", x, curve["val_metric"]))
        end = _number(history.get("judged", {}).get("training", {}).get("metric"))
        if len(series) == 1 and math.isfinite(end):  # older files, and full-batch training, know it alone
            series.append(Series("training, at the end", [x[0], x[-1]], [end, end], "guide"))
    return series


def _sweep(history: Mapping[str, Any], metric: str) -> dict[str, Any] | None:
    if "sweep" not in history:
        return None
    found = history["sweep"]
    runs = [(dict(run["apart"]), bool(run["best"]), _curve(run["curve"])) for run in found["runs"]]
    names = list(runs[0][0]) if runs else []
    series = [
        Series(
            ", ".join(f"{name} {float(value):g}" for name, value in apart.items()),
            c["epoch"],
            c.get("cost", []),
            strong=best,
        )
        for apart, best, c in runs
    ]
    charts: list[Chart] = [lines("Cost of each epoch of each run", "epoch", "cost", series)]
    rows = []
    for apart, best, curve in runs:
        ends = [curve[name][-1] if curve.get(name) else None for name in ("cost", "val_cost", "val_metric")]
        rows.append([*(apart[name] for name in names), *ends, "best" if best else ""])
    if "rate" in names and len({row[names.index("rate")] for row in rows}) > 1:
        charts.append(_by_rate(rows, names))
    head = [*names, "training cost", "validation cost", f"validation {metric}", ""]
    return {"charts": charts, "head": head, "rows": rows, "of": int(found["count"])}


def _by_rate(rows: list[list[Any]], names: list[str]) -> Chart:
    at, first = names.index("rate"), len(names)
    ends = [
        Series(what, [float(row[at]) for row in rows], [_number(row[first + i]) for row in rows], "dots")
        for i, what in enumerate(("training", "validation"))
        if any(row[first + i] is not None for row in rows)
    ]
    return lines("Cost at the end by learning rate", "learning rate", "cost at the end", ends, log_x=True)


def _curve(columns: Mapping[str, Any]) -> dict[str, list[float]]:
    return {name: [_number(value) for value in columns[name]] for name in NAMES if name in columns}


def _of_costs(history: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Return the curve of a file of an older version: about a hundred costs, evenly from the first."""
    costs = list(history.get("costs", []))
    step = max(1, -(-int(dict(history.get("last", {})).get("epoch", 0)) // 100))
    return {"epoch": [1 + i * step for i in range(len(costs))], "cost": costs}


def _number(value: Any) -> float:
    return float("nan") if value is None else float(value)


def _is_curve(values: list[float]) -> bool:
    """Return whether more than one value is a number: one alone was taken at the end."""
    return sum(map(math.isfinite, values)) > 1
