"""Results as text for people, and as JSON for programs."""

from __future__ import annotations

import json
import math
import sys
from typing import TYPE_CHECKING, Any

from ..outputs import finite
from .console import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from xpnet.nn import Expectation, RegressionExpectation

    from ..models import OnnxExport
    from ..training import TrainOutcome
    from .console import Console

MOST_NAMED = 20
"""How many skipped inputs are named one by one without --verbose."""

WIDE = 10_000
"""Limit of the width of a table, in characters. It is so wide that rich never cuts off or wraps a cell."""


def to_json(report: Any) -> str:
    """Return a report as indented JSON. JSON has no NaN and no infinity: they become null."""
    return json.dumps(finite(report), indent=2)


def text_table(
    rows: Sequence[Sequence[Any]], left: int = 1, has_head: bool = True, marked: int | None = None
) -> str:
    """Return rows as a table. On a terminal its head is bold; elsewhere it is plain text.

    Args:
        rows: rows of equal length. None becomes "-".
        left: how many columns are aligned to the left; the others are aligned to the right.
        has_head: whether the first row is the head.
        marked: the index of a row that stands out, or None.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
    for i in range(len(rows[0])):
        table.add_column(justify="left" if i < left else "right", no_wrap=True)
    for i, row in enumerate(rows):
        style = "bold" if has_head and i == 0 else "green" if i == marked else None
        table.add_row(*(Text(_cell(cell)) for cell in row), style=style)
    # The last argument is given: rich would else look into the environment, and could color a file.
    console = Console(file=sys.stdout, width=WIDE, force_terminal=sys.stdout.isatty())
    with console.capture() as captured:
        console.print(table)
    return "\n".join(line.rstrip() for line in captured.get().splitlines())


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.6g}" if isinstance(value, float) else printable(str(value))


def report_skipped(console: Console, skipped: Sequence[tuple[str, str]]) -> None:
    """Warn of the inputs that were left out, each with the reason."""
    if not skipped:
        return
    named = skipped if console.level > 1 else skipped[:MOST_NAMED]
    for name, reason in named:
        console.warn(f"skipped {name}: {reason}")
    more = " (-v names them)" if len(named) < len(skipped) else ""
    inputs = "1 input" if len(skipped) == 1 else f"{len(skipped)} inputs"
    console.warn(f"{inputs} skipped in total{more}")


def export_text(done: OnnxExport) -> str:
    """Return what an ONNX file takes and gives, and what its comparison with xpnet found, as text."""
    lines = [
        f"{name}: {each.name}, {each.dtype} ({', '.join(map(str, each.shape))}): {each.doc}"
        for name, each in (("Takes", done.takes), ("Gives", done.gives))
    ]
    if done.difference is not None:
        of = "probabilities differ by" if done.same_labels is not None else "numbers differ, relatively, by"
        found = f"{of} at most {done.difference:.1e}"
        if done.same_labels is not None:
            found += f", {done.same_labels} of {done.examples} labels are the same"
        lines.append(f"Compared with xpnet on {done.examples} random examples: {found}")
    return "\n".join([*lines, f"Saved: {done.path}"])


def description_text(description: dict[str, Any]) -> str:
    """Return the description of a file as text, one line for each fact."""
    kind, lines = description["kind"], [f"Kind: {description['kind']}"]
    if kind in ("images", "features", "table", "the course's layout"):
        lines += _data_lines(description)
    else:
        for name, value in description.items():
            if name == "training":
                lines += [
                    "training:",
                    *(f"  {each}: {_fact(part)}" for each, part in value.items() if part is not None),
                ]
            elif name != "kind":
                lines.append(f"{name}: {_fact(value)}")
    return "\n".join(map(printable, lines))


def _patches_text(patches: dict[str, Any]) -> str:
    """Return settings of patches as text."""
    size, grid = patches["size"], patches["grid"]
    return f"{patches['count']} patches of {size} x {size} pixels, in {grid} x {grid} cells"


def _data_lines(description: dict[str, Any]) -> list[str]:
    m, n_x, recipe = description["m"], description["n_x"], description.get("recipe")
    lines = [f"Number of examples: m = {m}", f"Features of each: n_x = {n_x}"]
    if recipe:
        shape = tuple(description["shape"])
        size = f"num_px = {shape[0]}" if shape[0] == shape[1] else f"{shape[1]} x {shape[0]} pixels"
        frame = f", frame {recipe['frame']}" if recipe.get("frame", 1) > 1 else ""
        how = f"{recipe['resize_mode']}, by {recipe['decoder']}{frame}"
        lines.append(f"Each image: {size}, shape {shape} ({how})")
    if patches := description.get("patches"):
        alike = ", mirror images are alike" if patches["mirror"] else ""
        lines.append(f"Features: {_patches_text(patches)}{alike}")
        if smaller := patches.get("smaller"):
            percent = f"{100 * smaller['scale']:.3g} %"
            lines.append(f"Features of the image at {percent} of its size: {_patches_text(smaller)}")
    if backbone := description.get("backbone"):
        lines.append(f"Features: {backbone['count']} numbers by the backbone {backbone['name']}")
    lines.append(f"X: {(n_x, m)} {description['dtype']}, standardized: {description['standardize']}")
    lines.append(f"Y: {(1, m)}")
    if description["classes"]:
        counts = zip(description["classes"], description["counts"], strict=True)
        lines.append("Classes: " + ", ".join(f"{name}: {count}" for name, count in counts))
    elif description.get("target"):
        lines.append(f"To predict: {description['target']}")
    if description["skipped"]:
        lines.append(f"Skipped: {len(description['skipped'])}")
    return lines


def _fact(value: Any) -> str:
    if isinstance(value, dict):
        known = {name: part for name, part in value.items() if part not in (None, "", [])}
        return ", ".join(f"{name} {_fact(part)}" for name, part in known.items())
    if isinstance(value, list):
        return ", ".join(map(_fact, value))
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def training_text(outcome: TrainOutcome) -> str:
    """Return the outcome of a training as text: the data, the model, the method, the metrics, the file."""
    from ..training import metric_name

    history = outcome.result.history
    lines = description_text(outcome.dataset.describe()).splitlines()[1:]
    if outcome.job.val_split is not None and outcome.validation is not None:
        held, left = outcome.validation.data.m, outcome.dataset.data.m
        lines.append(f"Held back for validation: {held} of {held + left}")
    lines.append(f"Model: {_model(outcome)}")
    lines.append(f"Trained by {outcome.method}: {history.stopped}")
    if outcome.restored_best:
        lines.append(f"Kept: the weights of epoch {history.best_epoch}, the best")
    metric = metric_name(outcome.dataset.classes)
    for name, (cost, value) in outcome.metrics.items():
        as_text = f"{100 * value:.2f} %" if outcome.dataset.classes else f"{value:.6f}"
        lines.append(f"{name.capitalize()} cost: {cost:.6f}, {metric}: {as_text}")
    if outcome.result.expected is not None:
        lines.append(f"Expected on new data: {_expected(outcome.result.expected)}")
    lines.append(f"Saved: {outcome.job.output}")
    return "\n".join(map(printable, lines))


def _expected(expected: Expectation | RegressionExpectation) -> str:
    from xpnet.nn import RegressionExpectation

    if isinstance(expected, RegressionExpectation):
        found = f"RMSE {expected.rmse:.6g} ± {expected.error:.2g}"
        found += "" if math.isnan(expected.r_squared) else f", R² {expected.r_squared:.4f}"
    else:
        found = (
            f"accuracy {100 * expected.accuracy:.1f} % ± {100 * expected.error:.1f}, "
            f"log loss {expected.log_loss:.3f}"
        )
    return f"{found} (by {expected.by})"


def _model(outcome: TrainOutcome) -> str:
    model = outcome.result.model
    layers = [str(model.n_x), *map(str, model.hidden), f"{model.n_out}:{model.output}"]
    return " -> ".join(layers)


def sweep_report(outcome: TrainOutcome) -> dict[str, Any]:
    """Return the outcome of a sweep as plain data."""
    from ..training import metric_name

    done = outcome.sweep
    assert done is not None  # noqa: S101  (`sweep_job` returns one)
    rows = []
    for run in done.runs:
        last, settings = run.history[-1:], run.settings
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
        "metric": metric_name(outcome.dataset.classes),
        "has_validation": outcome.validation is not None,
        "runs": rows,
        "output": outcome.job.output,
    }


def sweep_text(outcome: TrainOutcome) -> str:
    """Return the outcome of a sweep as text."""
    report, done = sweep_report(outcome), outcome.sweep
    assert done is not None  # noqa: S101  (`sweep_job` returns one)
    head = ["learning rate", "l2", "seed", "cost", "validation cost", f"validation {report['metric']}", ""]
    names = ("learning_rate", "l2", "seed", "cost", "val_cost", "val_metric")
    rows, best = [head], None
    for i, (row, run) in enumerate(zip(report["runs"], done.runs, strict=True), start=1):
        # The cost of a run that diverged is its last finite one.
        note = "best" if row["best"] else "diverged" if run.history.has_diverged else ""
        best = i if row["best"] else best
        rows.append([*(row[name] for name in names), note])
    together = " together" if len(done.runs) > 1 else ""
    lines = [
        text_table(rows, marked=best),
        "",
        f"Trained{together} by the method {done.method}: {done.reason}",
    ]
    if outcome.validation is None:
        lines.append(
            "The best has the lowest cost on the training data. To choose by how well a model predicts new "
            "data, give validation data with --val or --val-split."
        )
    if outcome.job.output:
        lines.append(f"Saved the best: {outcome.job.output}")
    return "\n".join(lines)


def _threshold(found: dict[str, Any]) -> str:
    if found["threshold"] is None:
        return f"Threshold for {found['class']}: none has this precision"
    return (
        f"Threshold for {found['class']}: {found['threshold']:.6f} "
        f"(precision {found['precision']:.4f}, recall {found['recall']:.4f})"
    )


def evaluation_text(report: dict[str, Any]) -> str:
    """Return the metrics of an evaluation as text."""
    lines = [f"Examples: {report['m']}" + (f" ({report['skipped']} skipped)" if report["skipped"] else "")]
    if "rmse" in report:
        return "\n".join([*lines, f"RMSE: {report['rmse']:.6g}", f"R²: {report['r_squared']:.6g}"])
    lines.append(f"Accuracy: {100 * report['accuracy']:.2f} %")
    lines.append(f"Log loss: {report['log_loss']:.6f}")
    lines.append(f"Calibration error: {report['calibration_error']:.4f}")
    if "roc_auc" in report:
        lines.append(f"ROC AUC: {report['roc_auc']:.6f}")
    names, of = [row["class"] for row in report["classes"]], report["macro_f1_classes"]
    absent = f" (of {of} of the {len(names)} classes: the others do not occur)" if of < len(names) else ""
    lines.append(f"Macro F1: {report['macro_f1']:.6f}{absent}")
    lines.extend(map(_threshold, report.get("thresholds", ())))
    predicted = [sum(column) for column in zip(*report["confusion"], strict=True)]
    by_class = []
    for row, calls in zip(report["classes"], predicted, strict=True):
        is_defined = {"precision": calls > 0, "recall": row["m"] > 0, "f1": calls + row["m"] > 0}
        cells = (f"{row[name]:.4f}" if defined else None for name, defined in is_defined.items())
        by_class.append([row["class"], *cells, row["m"]])
    confusion = [[name, *counts] for name, counts in zip(names, report["confusion"], strict=True)]
    return "\n".join(
        [
            *lines,
            "",
            text_table([["class", "precision", "recall", "F1", "m"], *by_class]),
            "",
            "Confusion matrix: one row for each true class, one column for each predicted class",
            text_table([["", *names], *confusion]),
        ]
    )
