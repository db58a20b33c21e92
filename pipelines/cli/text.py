"""Results as text for people, and as JSON."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from ..outputs import finite
from .info import to_text as facts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..training import Result
    from .console import Console

NAMED = 20
"""Skipped inputs that are named one by one, without --verbose."""


def to_json(report: Any) -> str:
    """Return a report as JSON, on several lines; numbers that JSON has no word for as null."""
    return json.dumps(finite(report), indent=2)


def text_table(rows: Sequence[Sequence[Any]], left: int = 1) -> str:
    """Return rows as text in columns: the first `left` of them to the left, the others to the right."""
    cells = [[_cell(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = (
        "  ".join(
            f"{cell:<{w}}" if i < left else f"{cell:>{w}}"
            for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        )
        for row in cells
    )
    return "\n".join(line.rstrip() for line in lines)


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def report_skipped(console: Console, skipped: Sequence[tuple[str, str]]) -> None:
    """Say which inputs were left out, and why."""
    if not skipped:
        return
    shown = skipped if console.level > 1 else skipped[:NAMED]
    for name, reason in shown:
        console.warn(f"skipped {name}: {reason}")
    more = len(skipped) - len(shown)
    console.warn(f"skipped {len(skipped)} inputs in all" + (" (-v names them)" if more else ""))


def training_text(result: Result) -> str:
    """Return what came of a training: the problem, the way, cost and accuracy, the file."""
    trained = result.trained
    metric = "accuracy" if result.dataset.classes else "R²"
    lines = facts(result.dataset.describe()).splitlines()[1:]
    lines.append(f"Model: {_model(result)}")
    lines.append(f"Trained by {trained.method}: {trained.history.stopped}")
    if trained.history.best_epoch != len(trained.history.epochs) and result.restored:
        lines.append(f"Kept: the weights of epoch {trained.history.best_epoch}, the best")
    for name, (cost, value) in result.judged.items():
        as_text = f"{100 * value:.2f} %" if result.dataset.classes else f"{value:.6f}"
        lines.append(f"{name.capitalize()} cost: {cost:.6f}, {metric}: {as_text}")
    lines.append(f"Saved: {result.output}")
    return "\n".join(lines)


def _model(result: Result) -> str:
    model = result.trained.model
    layers = [str(model.n_x), *map(str, model.hidden), f"{model.n_out}:{model.output}"]
    return " -> ".join(layers)


def sweep_report(result: Result) -> dict[str, Any]:
    """Return what came of a sweep as plain data."""
    done = result.sweep
    assert done is not None  # noqa: S101  (`run_sweep` returns one)
    rows = []
    for run in done.runs:
        last, settings = run.history.epochs[-1:], run.settings
        rows.append(
            {
                "learning_rate": settings.learning_rate,
                "l2": settings.l2,
                "seed": settings.seed,
                "cost": last[0].cost if last else math.nan,
                "val_cost": last[0].val_cost if last else None,
                "val_metric": last[0].val_metric if last else None,
                "stopped": run.history.stopped,
                "best": run is done.best,
            }
        )
    return {
        "method": done.method,
        "reason": done.reason,
        "metric": "accuracy" if result.dataset.classes else "R²",
        "judged": "validation" in result.judged,
        "runs": rows,
        "output": result.output,
    }


def sweep_text(report: dict[str, Any]) -> str:
    """Return the report of a sweep as text."""
    head = ["learning rate", "l2", "seed", "cost", "validation cost", report["metric"], ""]
    rows: list[list[Any]] = [head]
    for run in report["runs"]:
        # Where a run ended by itself, its cost is the last that was a number.
        note = "best" if run["best"] else "diverged" if run["stopped"].startswith("the cost became") else ""
        names = ("learning_rate", "l2", "seed", "cost", "val_cost", "val_metric")
        rows.append([*(run[name] for name in names), note])
    lines = [text_table(rows), "", f"All at once by {report['method']}: {report['reason']}"]
    if not report["judged"]:
        lines.append("The best has the lowest training cost: --val or --val-split would judge by other data")
    if report["output"]:
        lines.append(f"Saved the best: {report['output']}")
    return "\n".join(lines)


def evaluation_text(report: dict[str, Any]) -> str:
    """Return the metrics of an evaluation as text."""
    lines = [f"Examples: {report['m']}" + (f" ({report['skipped']} skipped)" if report["skipped"] else "")]
    if "rmse" in report:
        return "\n".join([*lines, f"RMSE: {report['rmse']:.6g}", f"R²: {report['r_squared']:.6g}"])
    lines.append(f"Accuracy: {100 * report['accuracy']:.2f} %")
    lines.append(f"Log loss: {report['log_loss']:.6f}")
    if "roc_auc" in report:
        lines.append(f"ROC AUC: {report['roc_auc']:.6f}")
    lines.append(f"Macro F1: {report['macro_f1']:.6f}")
    names = [row["class"] for row in report["classes"]]
    by_class = [
        [row["class"], *(f"{row[name]:.4f}" for name in ("precision", "recall", "f1")), row["m"]]
        for row in report["classes"]
    ]
    confusion = [[name, *counts] for name, counts in zip(names, report["confusion"], strict=True)]
    return "\n".join(
        [
            *lines,
            "",
            text_table([["class", "precision", "recall", "F1", "m"], *by_class]),
            "",
            "Confusion matrix: a row for each class as it is, a column as it was predicted",
            text_table([["", *names], *confusion]),
        ]
    )
