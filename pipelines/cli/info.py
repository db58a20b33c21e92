"""Say what a file is, of all that xpnet writes: data, models, checkpoints, predictions, cost curves."""

from __future__ import annotations

import csv
import os
from collections import Counter
from typing import TYPE_CHECKING, Any

from xpnet.errors import DataError, XpnetError

from ..predictions import first_line, read_predictions

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..predictions import Row

LONG = ("costs", "counts", "curve", "sweep")
"""What a model's file says of its training that is too long for a line; `costs` in older ones."""


def describe(path: str) -> dict[str, Any]:
    """Return what a file says of itself, as plain data with its "kind".

    Raises:
        DataError, ModelFileError: it cannot be read, or is of no kind that xpnet writes.
    """
    if os.path.exists(path) and not os.path.isfile(path):  # a pipe would be waited for
        msg = f"{path}: cannot be read: it is no file, which xpnet info takes"
        raise DataError(msg)
    try:
        return _described(path)
    except XpnetError:
        raise
    except OSError as error:
        msg = f"{path}: cannot be read: {error.strerror or error}"
        raise DataError(msg) from error
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError, csv.Error) as error:
        # What a damaged file, or another program's, may hold where ours has something else.
        reason = " ".join(str(error).split()) or type(error).__name__
        msg = f"{path}: cannot be read as a file that xpnet writes: {reason}"
        raise DataError(msg) from error


def _described(path: str) -> dict[str, Any]:
    start = first_line(path)
    if start.startswith(b"\x89HDF\r\n"):
        from ..datasets import describe_data_file as describe_data

        return describe_data(path)
    if start[8:9] == b"{":
        return _tensors(path)
    found = read_predictions(path, start)
    if found is not None:
        return _predictions(*found)
    if b"epoch,cost," in start:
        return _curves(path)
    msg = f"{path}: is none of the files that xpnet writes"
    raise DataError(msg)


def to_text(description: dict[str, Any]) -> str:
    """Return a description as text, a line for each fact."""
    kind, lines = description["kind"], [f"Kind: {description['kind']}"]
    if kind in ("images", "table", "the course's layout"):
        lines += _data_lines(description)
    else:
        lines += [f"{name}: {_shown(value)}" for name, value in description.items() if name != "kind"]
    return "\n".join(lines)


def _data_lines(description: dict[str, Any]) -> list[str]:
    m, n_x, recipe = description["m"], description["n_x"], description.get("recipe")
    lines = [f"Number of examples: m = {m}", f"Features of each: n_x = {n_x}"]
    if recipe:
        shape = tuple(description["shape"])
        size = f"num_px = {shape[0]}" if shape[0] == shape[1] else f"{shape[1]} x {shape[0]} pixels"
        lines.append(f"Each image: {size}, shape {shape} ({recipe['resize_mode']}, by {recipe['decoder']})")
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


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        told = {name: part for name, part in value.items() if part not in (None, "", [])}
        return ", ".join(f"{name} {_shown(part)}" for name, part in told.items())
    if isinstance(value, list):
        return ", ".join(map(_shown, value))
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _tensors(path: str) -> dict[str, Any]:
    from xpnet.errors import ModelFileError
    from xpnet.io import read_model_file, read_tensors

    try:
        saved = read_model_file(path)
    except ModelFileError as error:
        if "'checkpoint'" not in str(error):
            raise
        found, _ = read_tensors(path, "checkpoint")
        epochs = found["history"]["epochs"]
        last = epochs[-1] if epochs else {}
        return {"kind": "checkpoint", "epochs": len(epochs), "steps": found["step"], "last": last}
    history = {name: value for name, value in saved.history.items() if name not in LONG}
    return {
        "kind": "model",
        "network": saved.model.to_dict(),
        "parameters": sum(array.size for array in saved.parameters.values()),
        "dtype": str(saved.parameters["W1"].dtype),
        "standardized": saved.standardizer.kind,
        "classes": list(saved.classes),
        "recipe": saved.recipe,
        "training": history,
        "versions": saved.versions,
    }


def _predictions(columns: list[str], rows: Iterable[Row]) -> dict[str, Any]:
    statuses: Counter[str] = Counter()
    labels: Counter[str] = Counter()
    for row in rows:
        statuses[str(row.get("status"))] += 1
        if row.get("status") == "ok" and "label" in row:
            labels[str(row["label"])] += 1
    return {
        "kind": "predictions",
        "rows": statuses.total(),
        "columns": columns,
        "status": dict(statuses.most_common()),
        "label": dict(labels.most_common()),
    }


def _curves(path: str) -> dict[str, Any]:
    with open(path, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return {"kind": "cost curves", "rows": len(rows), "last": rows[-1] if rows else {}}
