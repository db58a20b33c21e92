"""Read a table: a CSV file with a header line. One column is the target, all others are numeric features."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from xpnet.data import ColumnMatrix, fit_standardizer
from xpnet.errors import DataError, NoInputError

from .dataset import Dataset
from .text_file import quoted, read_cells, same_name

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class TableRows:
    """The features of a table, without its target.

    Attributes:
        names: "line 2" and so on, for each of the m lines; or names that the file has for its rows.
        examples: (m, n_x) float64; for a file of features uint8, float32 or float64.
        errors: for each line the reason why it cannot be used; "" where it can.
        are_own: whether the names are those that the file has.
    """

    names: list[str]
    examples: np.ndarray
    errors: list[str]
    are_own: bool = False


def read_table_rows(path: str, features: Sequence[str]) -> TableRows:
    """Read the columns of a table that a model needs, to predict for its lines. No target is needed.

    Args:
        path: the CSV file. Its first line has the names of the columns.
        features: the names of the columns, in the order of the model. The table may have other columns too.

    Raises:
        DataError: the file cannot be read, or lacks a column.
        NoInputError: the table has no lines below the header.
    """
    if not features:
        msg = f"{path}: cannot be used: the model was trained on data without names of columns"
        raise DataError(msg)
    header, lines = _lines(path)
    places = [_place(path, header, same_name(name)) for name in features]
    if not lines:
        msg = f"{path}: has no lines below the names of the columns"
        raise NoInputError(msg)
    examples, errors = np.zeros((len(lines), len(places))), []
    for row, (_, cells) in zip(examples, lines, strict=True):
        errors.append(_unusable(cells, header, places))
        if not errors[-1]:
            row[:] = [float(cells[i]) for i in places]
    return TableRows([f"line {line}" for line, _ in lines], examples, errors)


def read_table(
    path: str,
    target: str,
    standardize: str = "feature",
    on_error: str = "skip",
    columns: Sequence[str] | None = None,
    ignored: Sequence[str] = (),
) -> Dataset:
    """Read a table. If all targets are numbers, it is for regression; otherwise the targets are classes.

    Args:
        path: the CSV file. Its first line has the names of the columns.
        target: the name of the column to predict.
        standardize: the kind of standardization, one of `xpnet.data.STANDARDIZATIONS`.
        on_error: what to do with a line that cannot be used: "skip" it, or "fail".
        columns: the names of the features; None for all columns but the target.
        ignored: names of columns that are no features.

    Raises:
        DataError: the file cannot be read or does not have a column that is named, or `on_error` is "fail"
            and a line cannot be used.
        NoInputError: no line can be used.
    """
    skipped: list[tuple[str, str]] = []

    def skip(line: int, reason: str) -> None:
        if on_error == "fail":
            msg = f"{path}: line {line}: {reason}"
            raise DataError(msg)
        skipped.append((f"{path}: line {line}", reason))

    header, lines = _lines(path)
    at = _place(path, header, same_name(target))
    left_out = {at, *(_place(path, header, same_name(name)) for name in ignored)}
    if columns is None:
        places = [i for i in range(len(header)) if i not in left_out]
    else:
        places = [_place(path, header, same_name(name)) for name in columns]
        places = [i for i in places if i not in left_out]
    if not places:
        has = f"has only the column {header[at]}" if len(header) < 2 else "has no column left"
        msg = f"{path}: {has}, expected at least one more: a feature"
        raise NoInputError(msg)
    for i in places:
        _place(path, header, header[i])  # a name that occurs twice is refused
    used = []
    for line, cells in lines:
        if reason := _unusable(cells, header, places, at):
            skip(line, reason)
        else:
            used.append((line, cells))
    is_regression = all(_number(cells[at]) is not None for _, cells in used)
    if is_regression:  # NaN and infinity are skipped here: they do not turn the numbers into classes
        for line, cells in used:
            if not _is_finite(cells[at]):
                skip(line, f"{header[at]} is {quoted(cells[at].strip())}, expected a finite number")
        used = [(line, cells) for line, cells in used if _is_finite(cells[at])]
    if not used:
        msg = f"{path}: has no line that can be used: {_why_none(lines, header, places, at)}"
        raise NoInputError(msg)
    raw = ColumnMatrix(np.asarray([[float(cells[i]) for i in places] for _, cells in used], np.float64))
    classes, Y = _targets([same_name(cells[at].strip()) for _, cells in used], is_regression)
    data = raw.standardized_as(fit_standardizer(raw.blocks(), standardize))
    features = tuple(header[i] for i in places)
    return Dataset(data, Y, classes, features=features, target=header[at], skipped=tuple(skipped))


def _lines(path: str) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """Return the names of the columns, and (line number, cells) of each line that is not empty."""
    lines = read_cells(path)
    header = [same_name(name.strip()) for name in lines[0][1]] if lines else []
    return header, lines[1:]


def _place(path: str, header: list[str], name: str) -> int:
    """Return the index of the column of that name.

    Raises:
        DataError: no column, or more than one, has this name.
    """
    count = header.count(name)
    if count == 0:
        msg = f"{path}: has no column {name!r}; its columns are {', '.join(header) or 'none'}"
        raise DataError(msg)
    if count > 1:
        msg = f"{path}: has {count} columns named {name!r}, expected one"
        raise DataError(msg)
    return header.index(name)


def _unusable(cells: list[str], header: list[str], places: Sequence[int], target: int | None = None) -> str:
    """Return why a line cannot be used, or "" if it can. `places` are the indices of the features."""
    if len(cells) != len(header):
        return f"has {len(cells)} cells, expected {len(header)}"
    if target is not None and not cells[target].strip():
        return f"{header[target]} is empty"
    for i in places:
        if not _is_finite(cells[i]):
            hint = ", with a decimal point" if _is_finite(cells[i].replace(",", ".", 1)) else ""
            return f"{header[i]} is {quoted(cells[i].strip())}, expected a finite number{hint}"
    return ""


def _why_none(lines: list[tuple[int, list[str]]], header: list[str], places: list[int], target: int) -> str:
    """Return why no line can be used: the first column without a number, or the error of the first line."""
    if not lines:
        return "there are only the names of the columns"
    line, first = lines[0]
    for i in places:
        if not any(len(cells) == len(header) and _is_finite(cells[i]) for _, cells in lines):
            cell = quoted(first[i].strip()) if i < len(first) else "missing"
            return (
                f"line {line}, column {header[i]}: is {cell}, and no line has a number in this column; "
                f"leave it out with --ignore-columns {header[i]}, or write numbers"
            )
    return f"line {line}: {_unusable(first, header, places, target) or 'the target is not a finite number'}"


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
