"""Say what a file is, of all that xpnet writes: data, models, checkpoints, predictions, cost curves."""

from __future__ import annotations

import csv
import json
from collections import Counter
from typing import TYPE_CHECKING, Any

from pipelines.errors import DataError
from pipelines.formats import Csv, Parquet

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pipelines.formats import Row


def describe(path: str) -> dict[str, Any]:
    """Return what a file says of itself, as plain data with its "kind".

    Raises:
        DataError, ModelFileError: it cannot be read, or is of no kind that xpnet writes.
    """
    try:
        with open(path, "rb") as file:
            start = file.read(4096)
    except OSError as error:
        msg = f"{path}: cannot be read: {error.strerror or error}"
        raise DataError(msg) from error
    if start.startswith(b"\x89HDF\r\n\x1a\n"):
        from pipelines.store import describe as describe_data

        return describe_data(path)
    if start[8:9] == b"{":
        return _tensors(path)
    line = start.partition(b"\n")[0].decode("utf-8", "replace")
    if start.startswith(b"PAR1"):
        columns = _parquet_columns(path)
        return _predictions(columns, Parquet(columns).read(path))
    if line.startswith("path,status,"):
        columns = next(csv.reader([line]))
        return _predictions(columns, Csv(columns).read(path))
    if line.startswith('{"path": '):
        columns = list(json.loads(line))
        return _predictions(columns, _lines(path))
    if "epoch,cost," in line:
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
        return ", ".join(f"{name} {_shown(part)}" for name, part in value.items())
    if isinstance(value, list):
        return ", ".join(map(_shown, value))
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _tensors(path: str) -> dict[str, Any]:
    from xpnet.errors import ModelFileError
    from xpnet.modelfile import load
    from xpnet.tensorfile import read

    try:
        saved = load(path)
    except ModelFileError as error:
        if "'checkpoint'" not in str(error):
            raise
        found, _ = read(path, "checkpoint")
        epochs = found["history"]["epochs"]
        return {"kind": "checkpoint", "epochs": len(epochs), "steps": found["step"], "last": epochs[-1]}
    history = {name: value for name, value in saved.history.items() if name != "costs"}
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


def _lines(path: str) -> Iterable[Row]:
    with open(path, encoding="utf-8") as file:
        for line in file:
            try:
                yield json.loads(line)
            except ValueError as error:
                msg = f"{path}: holds a line that is no JSON: {error}"
                raise DataError(msg) from error


def _parquet_columns(path: str) -> list[str]:
    Parquet([])  # which says what to install if it is missing
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return list(pq.read_schema(path).names)
    except (OSError, pa.ArrowException) as error:
        msg = f"{path}: cannot be read as Parquet: {error}"
        raise DataError(msg) from error


def _curves(path: str) -> dict[str, Any]:
    with open(path, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return {"kind": "cost curves", "rows": len(rows), "last": rows[-1] if rows else {}}
