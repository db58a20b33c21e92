"""Read a table: a CSV file with a header line. One column is the target, all others are numeric features."""

from __future__ import annotations

import csv
import math

import numpy as np

from xpnet.data import ColumnMatrix, fit_standardizer
from xpnet.errors import DataError, NoInputError

from .dataset import Dataset


def read_table(path: str, target: str, standardize: str = "feature", on_error: str = "skip") -> Dataset:
    """Read a table. If all targets are numbers, it is for regression; otherwise the targets are classes.

    Args:
        path: the CSV file. Its first line has the names of the columns.
        target: the name of the column to predict. All other columns are features.
        standardize: the kind of standardization, one of `xpnet.data.STANDARDIZATIONS`.
        on_error: what to do with a line that cannot be used: "skip" it, or "fail".

    Raises:
        DataError: the file cannot be read or does not have the target column, or `on_error` is "fail" and a
            line cannot be used.
        NoInputError: no line can be used.
    """
    skipped: list[tuple[str, str]] = []

    def skip(line: int, reason: str) -> None:
        if on_error == "fail":
            msg = f"{path}: line {line}: {reason}"
            raise DataError(msg)
        skipped.append((f"{path}: line {line}", reason))

    header, lines = _lines(path)
    if header.count(target) != 1:
        columns = ", ".join(header) or "none"
        msg = (
            f"{path}: expected one column {target!r}, found {header.count(target)}; its columns are {columns}"
        )
        raise DataError(msg)
    target_index, used = header.index(target), []
    for line, cells in lines:
        if reason := _unusable(cells, header, target_index):
            skip(line, reason)
        else:
            used.append((line, cells))
    is_regression = all(_number(cells[target_index]) is not None for _, cells in used)
    if is_regression:  # NaN and infinity are skipped here: they do not turn the numbers into classes
        for line, cells in used:
            if not _is_finite(cells[target_index]):
                skip(line, f"{target} is {cells[target_index].strip()!r}, expected a finite number")
        used = [(line, cells) for line, cells in used if _is_finite(cells[target_index])]
    if len(header) < 2:
        msg = f"{path}: has only the column {target}, expected at least one more: a feature"
        raise NoInputError(msg)
    if not used:
        msg = f"{path}: has no line that can be used: expected numbers in all columns but {target}"
        raise NoInputError(msg)
    rows = [[float(cell) for i, cell in enumerate(cells) if i != target_index] for _, cells in used]
    raw = ColumnMatrix(np.asarray(rows, np.float64))
    classes, Y = _targets([cells[target_index].strip() for _, cells in used], is_regression)
    data = raw.standardized_as(fit_standardizer(raw.blocks(), standardize))
    features = tuple(name for i, name in enumerate(header) if i != target_index)
    return Dataset(data, Y, classes, features=features, target=target, skipped=tuple(skipped))


def _lines(path: str) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """Return the names of the columns, and (line number, cells) of each line that is not empty."""
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file)
            header = [name.strip() for name in next(reader, [])]
            return header, [(reader.line_num, cells) for cells in reader if cells]
    except (OSError, csv.Error, UnicodeDecodeError) as error:
        msg = f"{path}: cannot be read: {error}"
        raise DataError(msg) from error


def _unusable(cells: list[str], header: list[str], target_index: int) -> str:
    """Return why a line cannot be used, or "" if it can."""
    if len(cells) != len(header):
        return f"has {len(cells)} cells, expected {len(header)}"
    if not cells[target_index].strip():
        return f"{header[target_index]} is empty"
    for i, cell in enumerate(cells):
        if i != target_index and not _is_finite(cell):
            return f"{header[i]} is {cell.strip()!r}, expected a finite number"
    return ""


def _number(text: str) -> float | None:
    if "_" in text:  # float() accepts 1_000, but no other program does
        return None
    try:
        return float(text)
    except ValueError:
        return None


def _is_finite(text: str) -> bool:
    number = _number(text)
    return number is not None and math.isfinite(number)


def _targets(targets: list[str], is_regression: bool) -> tuple[tuple[str, ...], np.ndarray]:
    """Return (class names, class indices (1, m) int64), or for regression ((), targets (1, m) float64)."""
    if is_regression:
        return (), np.asarray([[float(text) for text in targets]], np.float64)
    classes = tuple(sorted(set(targets)))
    index = {name: i for i, name in enumerate(classes)}
    return classes, np.asarray([[index[text] for text in targets]], np.int64)
