"""`xpnet info`: describe any file that xpnet writes."""

import os
from collections import Counter
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import options as o
from .console import Console

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..models import Row

LONG_ENTRIES = ("costs", "counts", "curve", "penalties", "sweep")
"""Entries of a model's training summary that are too long to print. `costs` is of older files."""

HDF5_SIGNATURE = b"\x89HDF\r\n"
"""The first bytes of every HDF5 file."""


def info(
    console: Console,
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE", help="A data file, model file, checkpoint, file of predictions or of cost curves."
        ),
    ],
    as_json: o.AsJson = False,
) -> None:
    """Describe a file that xpnet wrote."""
    from .text import description_text, to_json

    del console
    description = describe(file)
    typer.echo(to_json(description) if as_json else description_text(description))


def describe(path: str) -> dict[str, Any]:
    """Return the contents of a file in brief, as plain data; "kind" is the kind of the file.

    Raises:
        DataError, ModelFileError: it cannot be read, or xpnet writes no such file.
    """
    import csv

    from xpnet.errors import DataError, XpnetError

    if os.path.exists(path) and not os.path.isfile(path):  # reading a pipe would wait for its other end
        msg = f"{path}: cannot be read: it is not a regular file, and xpnet info describes files"
        raise DataError(msg)
    try:
        return _description(path)
    except XpnetError:
        raise
    except OSError as error:
        msg = f"{path}: cannot be read: {error.strerror or error}"
        raise DataError(msg) from error
    except (
        ValueError,
        TypeError,
        LookupError,
        AttributeError,
        ArithmeticError,
        RecursionError,
        csv.Error,
    ) as error:
        # The file is damaged, or another program's: its contents have another structure than ours.
        reason = " ".join(str(error).split()) or type(error).__name__
        msg = f"{path}: cannot be read as a file that xpnet writes: {reason}"
        raise DataError(msg) from error


def _description(path: str) -> dict[str, Any]:
    from xpnet.errors import DataError

    from ..predictions import first_line, read_predictions

    start = first_line(path)
    if start.startswith(HDF5_SIGNATURE):
        from ..datasets import describe_data_file

        return describe_data_file(path)
    with open(path, "rb") as file:
        head = file.read(9)  # not the first line: the length may have the byte of a line's end in it
    if head[8:] == b"{":  # safetensors: 8 bytes of length, then JSON
        return _tensor_file(path)
    found = read_predictions(path, start)
    if found is not None:
        return _predictions(*found)
    if b"epoch,cost," in start:
        return _cost_curves(path)
    msg = f"{path}: is not a file that xpnet writes"
    raise DataError(msg)


def _tensor_file(path: str) -> dict[str, Any]:
    """Describe a model file or a checkpoint."""
    from xpnet.io import read_kind, read_model_file, read_tensors

    if read_kind(path) == "checkpoint":
        found, _ = read_tensors(path, "checkpoint")
        epochs = found["history"]["epochs"]
        last = epochs[-1] if epochs else {}
        return {"kind": "checkpoint", "epochs": len(epochs), "steps": found["step"], "last": last}
    saved = read_model_file(path)
    return {
        "kind": "model",
        "network": saved.model.to_dict(),
        "parameters": sum(array.size for array in saved.parameters.values()),
        "dtype": str(saved.parameters["W1"].dtype),
        "standardized": saved.standardizer.kind,
        "classes": list(saved.classes),
        "recipe": saved.recipe,
        "training": {name: value for name, value in saved.history.items() if name not in LONG_ENTRIES},
        "versions": saved.versions,
    }


def _predictions(columns: list[str], rows: "Iterable[Row]") -> dict[str, Any]:
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


def _cost_curves(path: str) -> dict[str, Any]:
    import csv

    with open(path, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return {"kind": "cost curves", "rows": len(rows), "last": rows[-1] if rows else {}}
