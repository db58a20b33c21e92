"""The sections on features, training, penalty and sweep, from the summary in the model file.

Files of older versions have other names: "judged" for "metrics", "judged_examples" for "metric_examples",
"apart" for "compared", and there "rate" for "learning_rate".
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, TypeVar

from xpnet.charts import Series, curve_of, final, float_or_nan, headings, lines, sweep_charts, training_charts
from xpnet.errors import DataError

from ..training import metric_name, training_name

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from xpnet.charts import Chart

    from ..models import Model

OLD_COSTS = 100
"""The number of costs, about, that a model file of an older version keeps instead of a curve."""

OLD_NAMES = {"rate": "learning_rate"}
"""Names of compared hyperparameters in files of older versions, with today's names."""

Found = TypeVar("Found")


def training_section(model: Model) -> dict[str, Any] | None:
    """Return charts and a table of the training's curve, or None if the model file has none.

    Raises:
        DataError: the summary of the training is damaged.
    """
    return _read(model, _training)


def penalty_section(model: Model) -> dict[str, Any] | None:
    """Return which penalty was chosen, how good the others were, and what to expect; None if none was chosen.

    Raises:
        DataError: the summary of the training is damaged.
    """
    return _read(model, lambda history, _: _penalty(history))


def features_section(model: Model) -> dict[str, Any] | None:
    """Return how well the features suit the data that were compared before the training; None if none were.

    Raises:
        DataError: the summary of the training is damaged.
    """
    return _read(model, lambda history, _: _features(history))


def sweep_section(model: Model) -> dict[str, Any] | None:
    """Return charts and a table of the sweep whose best run the model is, or None if there was no sweep.

    Raises:
        DataError: the summary of the sweep is damaged.
    """
    return _read(model, _sweep)


def final_results(model: Model) -> dict[str, dict[str, float]]:
    """Return cost and metric after the training, by data: "training", "validation"; empty if not known.

    Raises:
        DataError: the summary of the training is damaged.
    """
    return _read(model, lambda history, _: _final_results(history))


def training_counts(model: Model) -> list[int]:
    """Return how many examples of each class the model was trained on; empty if not known.

    Raises:
        DataError: the summary of the training is damaged.
    """
    return _read(model, lambda history, _: [int(count) for count in history.get("counts", [])])


def _read(model: Model, read: Callable[[dict[str, Any], str], Found]) -> Found:
    """Return what a function reads from the summary, given the name of the metric."""
    try:
        return read(model.saved.history, metric_name(model.classes))
    except (AttributeError, KeyError, TypeError, ValueError, LookupError) as error:
        msg = f"{model.name}: its summary of the training is damaged: {type(error).__name__}: {error}"
        raise DataError(msg) from error


def _final_results(history: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    return {
        str(name): {each: float_or_nan(result[each]) for each in ("cost", "metric")}
        for name, result in dict(history.get("metrics", history.get("judged", {}))).items()
    }


def _training(history: Mapping[str, Any], metric: str) -> dict[str, Any] | None:
    curve = curve_of(history.get("curve") or _curve_of_old_costs(history))
    epochs = curve.get("epoch")
    if not epochs:
        return None
    charts = []
    if len(epochs) > 1:
        examples = history.get("metric_examples", history.get("judged_examples")) or 0
        name = training_name(examples, int(history.get("m", 0)))
        known = _final_results(history).get("training", {})
        charts = training_charts(curve, metric, name, known.get("metric", float("nan")))
    return {
        "charts": charts,
        "head": headings(curve, metric),
        "rows": list(zip(*curve.values(), strict=True)),
        "epochs": int(dict(history.get("last", {})).get("epoch", epochs[-1])),
    }


def _penalty(history: Mapping[str, Any]) -> dict[str, Any] | None:
    expected = dict(history.get("expected") or {})
    if not expected:
        return None
    penalty, error = float_or_nan(expected["penalty"]), float_or_nan(expected["error"])
    if "accuracy" in expected:
        accuracy = float_or_nan(expected["accuracy"])
        facts = {
            "Accuracy": f"{100 * accuracy:.1f} % ± {100 * error:.1f}",
            "Log loss": f"{float_or_nan(expected['log_loss']):.4g}",
        }
    else:
        facts = {
            "RMSE": f"{float_or_nan(expected['rmse']):.5g} ± {error:.2g}",
            "R²": f"{float_or_nan(expected['r_squared']):.4g}",
        }
    tried = dict(history.get("penalties") or {})  # older files have none
    pairs = zip(tried.get("penalties", []), tried.get("errors", []), strict=True)
    known = [(float_or_nan(each), float_or_nan(error)) for each, error in pairs]
    measure = str(tried.get("measure", ""))
    return {
        "penalty": penalty,
        "by": str(expected["by"]),
        "examples": int(expected["examples"]),
        "facts": facts,
        "measure": measure,
        "chart": _penalty_chart(measure, known, penalty),
        "rows": [[each, error, "chosen" if each == penalty else ""] for each, error in known],
    }


def _penalty_chart(measure: str, known: list[tuple[float, float]], chosen: float) -> Chart | None:
    """Return the chart of errors by penalty. The penalty 0 has no place on its logarithmic axis."""
    drawn = [pair for pair in known if pair[0] > 0]
    if len(drawn) < 2:
        return None
    best = [pair for pair in drawn if pair[0] == chosen]
    series = [Series("penalties that were tried", [x for x, _ in drawn], [y for _, y in drawn])]
    if best:
        series.append(Series("chosen", [x for x, _ in best], [y for _, y in best], "dots"))
    title = f"{measure.capitalize()} of left-out examples by penalty"
    return lines(title, "penalty", measure, series, log_x=True)


def _features(history: Mapping[str, Any]) -> dict[str, Any] | None:
    found = [dict(each) for each in history.get("compared", [])]
    losses = [float_or_nan(each["log_loss"]) for each in found]
    largest = max([loss for loss in losses if math.isfinite(loss)], default=0.0)
    if len(found) < 2 or largest <= 0:
        return None
    rows = [
        {
            "name": str(each["features"]),
            "log_loss": loss,
            "accuracy": float_or_nan(each["accuracy"]),
            "is_used": bool(each["is_used"]),
            "share": min(1.0, max(0.0, loss / largest)) if math.isfinite(loss) else 0.0,
        }
        for each, loss in zip(found, losses, strict=True)
    ]
    return {"rows": rows, "examples": int(found[0]["examples"])}


def _sweep(history: Mapping[str, Any], metric: str) -> dict[str, Any] | None:
    if "sweep" not in history:
        return None
    sweep = history["sweep"]
    runs = [(_compared(run), curve_of(run["curve"])) for run in sweep["runs"]]
    is_best = [bool(run["best"]) for run in sweep["runs"]]
    names = list(runs[0][0]) if runs else []
    words = [name.replace("_", " ") for name in names]
    rows = [
        [
            *(settings[name] for name in names),
            *(final(curve, column) for column in ("cost", "val_cost", "val_metric")),
            "best" if best else "",
        ]
        for (settings, curve), best in zip(runs, is_best, strict=True)
    ]
    return {
        "charts": sweep_charts(runs, is_best.index(True) if any(is_best) else -1),
        "head": [*words, "training cost", "validation cost", f"validation {metric}", ""],
        "rows": rows,
        "runs": int(sweep["count"]),
    }


def _compared(run: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of the compared hyperparameters of a run of a sweep, by name."""
    values = dict(run["compared"] if "compared" in run else run["apart"])
    return {OLD_NAMES.get(str(name), str(name)): value for name, value in values.items()}


def _curve_of_old_costs(history: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Return the curve of a file of an older version: costs at equal distances, the first of epoch 1."""
    costs = list(history.get("costs", []))
    epochs = int(dict(history.get("last", {})).get("epoch", 0))
    step = max(1, -(-epochs // OLD_COSTS))
    return {"epoch": [1 + i * step for i in range(len(costs))], "cost": costs}
