"""Numeric tables: a CSV file with a header, one column of which is the target."""

from __future__ import annotations

import csv
import math

import numpy as np

from xpnet.data import ColumnMatrix, fit_standardizer
from xpnet.errors import DataError, NoInputError

from .dataset import Dataset


def read_table(path: str, target: str, standardize: str = "feature", on_error: str = "skip") -> Dataset:
    """Read a table; a target of numbers is for regression, one of words names classes.

    Args:
        path: of the CSV file; its first line names the columns.
        target: the column to predict; all others are features.
        standardize: kind of standardization; see `xpnet.data.standardize`.
        on_error: "skip" a line that cannot be used, or "fail".

    Raises:
        DataError: the file cannot be read, has no such column, or a line cannot be used and that is to fail.
        NoInputError: no line can be used.
    """
    skipped: list[tuple[str, str]] = []

    def skip(line: int, reason: str) -> None:
        if on_error == "fail":
            msg = f"{path}: line {line}: {reason}"
            raise DataError(msg)
        skipped.append((f"{path}: line {line}", reason))

    head, lines = _lines(path)
    if head.count(target) != 1:
        msg = f"{path}: has no single column {target!r}; its columns are {', '.join(head) or 'none'}"
        raise DataError(msg)
    at, used = head.index(target), []
    for line, cells in lines:
        if reason := _unusable(cells, head, at):
            skip(line, reason)
        else:
            used.append((line, cells))
    predicts = all(_number(cells[at]) is not None for _, cells in used)
    if predicts:  # a number that is not finite makes no class of it
        for line, cells in used:
            if not _is_finite(cells[at]):
                skip(line, f"{target} is {cells[at].strip()!r}, expected a finite number")
        used = [(line, cells) for line, cells in used if _is_finite(cells[at])]
    if not used or len(head) < 2:
        msg = f"{path}: holds no line of numbers that can be used"
        raise NoInputError(msg)
    rows = [[float(cell) for i, cell in enumerate(cells) if i != at] for _, cells in used]
    raw = ColumnMatrix(np.asarray(rows, np.float64))
    classes, Y = _targets([cells[at].strip() for _, cells in used], predicts)
    data = raw.standardized_as(fit_standardizer(raw.blocks(), standardize))
    features = tuple(name for i, name in enumerate(head) if i != at)
    return Dataset(data, Y, classes, features=features, target=target, skipped=tuple(skipped))


def _lines(path: str) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """Return the names of the columns, and the cells of each line with its number."""
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file)
            head = [name.strip() for name in next(reader, [])]
            return head, [(reader.line_num, cells) for cells in reader if cells]
    except (OSError, csv.Error, UnicodeDecodeError) as error:
        msg = f"{path}: cannot be read: {error}"
        raise DataError(msg) from error


def _unusable(cells: list[str], head: list[str], at: int) -> str:
    """Return why a line cannot be used, or nothing."""
    if len(cells) != len(head):
        return f"has {len(cells)} cells, expected {len(head)}"
    if not cells[at].strip():
        return f"{head[at]} is empty"
    for i, cell in enumerate(cells):
        if i != at and not _is_finite(cell):
            return f"{head[i]} is {cell.strip()!r}, expected a finite number"
    return ""


def _number(text: str) -> float | None:
    if "_" in text:  # 1_000 is a number to Python only
        return None
    try:
        return float(text)
    except ValueError:
        return None


def _is_finite(text: str) -> bool:
    number = _number(text)
    return number is not None and math.isfinite(number)


def _targets(targets: list[str], predicts: bool) -> tuple[tuple[str, ...], np.ndarray]:
    """Return class names and their indices, or no names and numbers."""
    if predicts:
        return (), np.asarray([[float(text) for text in targets]], np.float64)
    classes = tuple(sorted(set(targets)))
    index = {name: i for i, name in enumerate(classes)}
    return classes, np.asarray([[index[text] for text in targets]], np.int64)
