"""Numeric tables: a CSV file with a header, one column of which is the target."""

from __future__ import annotations

import csv
import math

import numpy as np

from pipelines.dataset import Dataset
from pipelines.errors import DataError, NoInputError
from xpnet.matrix import ColumnMatrix
from xpnet.standardize import fit


def read_table(path: str, target: str, standardize: str = "feature", on_error: str = "skip") -> Dataset:
    """Read a table; a target of numbers is for regression, one of words names classes.

    Args:
        path: of the CSV file; its first line names the columns.
        target: the column to predict; all others are features.
        standardize: kind of standardization; see `xpnet.standardize`.
        on_error: "skip" a line that cannot be used, or "fail".

    Raises:
        DataError: the file cannot be read, has no such column, or a line cannot be used and that is to fail.
        NoInputError: no line can be used.
    """
    rows: list[list[float]] = []
    targets: list[str] = []
    skipped: list[tuple[str, str]] = []
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file)
            head = [name.strip() for name in next(reader, [])]
            if head.count(target) != 1:
                msg = f"{path}: has no single column {target!r}; its columns are {', '.join(head) or 'none'}"
                raise DataError(msg)
            at = head.index(target)
            for cells in reader:
                if not cells:
                    continue
                if reason := _unusable(cells, head, at):
                    where = f"{path}: line {reader.line_num}"
                    if on_error == "fail":
                        msg = f"{where}: {reason}"
                        raise DataError(msg)
                    skipped.append((where, reason))
                    continue
                rows.append([float(cell) for i, cell in enumerate(cells) if i != at])
                targets.append(cells[at].strip())
    except (OSError, csv.Error, UnicodeDecodeError) as error:
        msg = f"{path}: cannot be read: {error}"
        raise DataError(msg) from error
    if not rows or not rows[0]:
        msg = f"{path}: holds no line of numbers that can be used"
        raise NoInputError(msg)
    raw = ColumnMatrix(np.asarray(rows, np.float64))
    features = tuple(name for i, name in enumerate(head) if i != at)
    classes, Y = _targets(targets)
    data = raw.standardized_as(fit(raw.blocks(), standardize))
    return Dataset(data, Y, classes, features=features, target=target, skipped=tuple(skipped))


def _unusable(cells: list[str], head: list[str], at: int) -> str:
    """Return why a line cannot be used, or nothing."""
    if len(cells) != len(head):
        return f"has {len(cells)} cells, expected {len(head)}"
    if not cells[at].strip():
        return f"{head[at]} is empty"
    for i, cell in enumerate(cells):
        if i != at and not _is_number(cell):
            return f"{head[i]} is {cell.strip()!r}, expected a finite number"
    return ""


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _targets(targets: list[str]) -> tuple[tuple[str, ...], np.ndarray]:
    """Return class names and their indices, or no names and numbers."""
    if all(_is_number(text) for text in targets):
        return (), np.asarray([targets], np.float64)
    classes = tuple(sorted(set(targets)))
    index = {name: i for i, name in enumerate(classes)}
    return classes, np.asarray([[index[text] for text in targets]], np.int64)
