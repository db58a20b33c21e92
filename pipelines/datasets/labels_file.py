"""Read the labels of images from a file with lines path,label: CSV, JSON lines or Parquet."""

from __future__ import annotations

import os

from xpnet.errors import DataError

from ..images import exists, is_remote, joined, name_text, path_text
from .endings import PARQUET_SUFFIXES
from .named_labels import NamedLabels
from .parquet_lines import read_parquet_lines
from .text_file import JSON_LINES_SUFFIXES, json_text, quoted, read_cells, read_json_lines, same_name

PATH_WORDS = (
    "path", "file", "filename", "file_name", "filepath", "file_path", "image", "images", "img", "image_path",
    "image_name", "image_file", "image_id", "id", "name", "picture", "photo",
)  # fmt: skip
"""Names of the column of paths, as the header of a labels file may have them."""

LABEL_WORDS = (
    "label", "labels", "class", "classes", "class_name", "classname", "category", "target", "y", "tag",
    "tags", "type", "species", "breed", "diagnosis",
)  # fmt: skip
"""Names of the column of labels."""


def read_labels(folder: str, labels: str, target: str | None = None) -> NamedLabels:
    """Return each image in a labels file with its label.

    A header is left out. A path is the one of the file that exists, if it is written with other spaces,
    backslashes or accents there.

    Args:
        folder: the paths are relative to it.
        labels: the file: CSV, JSON lines or Parquet.
        target: the name of the column of labels, which a header must have; None for one with a usual name.

    Raises:
        DataError: the file cannot be read, a line is not path,label, an image has two labels, or there is no
            column `target`.
    """
    lines = _lines(labels)
    finder = _Finder(folder)
    width, path_at, label_at = 2, 0, 1
    places = _header(lines, finder) if target is None and lines else _named(labels, lines, target)
    if places is not None:
        path_at, label_at = places
        width = len(lines[0][1])
        lines = lines[1:]
    found = NamedLabels()
    first_lines: dict[str, tuple[int, str]] = {}
    repeated = 0
    for line, cells in lines:
        while len(cells) > width and not cells[-1].strip():  # a delimiter at the end of the line
            cells.pop()
        if len(cells) != width or not cells[path_at].strip() or not cells[label_at].strip():
            msg = f"{labels}: line {line} is {path_text(','.join(cells))}, expected path,label"
            raise DataError(msg)
        cell, label = cells[path_at], cells[label_at]
        path, label = finder.find(cell), _checked_label(labels, line, label)
        place = os.path.normpath(path)
        if place not in first_lines:
            first_lines[place] = line, label
            found.add(path, label)
        elif first_lines[place][1] == label:
            repeated += 1
        else:
            other, known = first_lines[place]
            msg = (
                f"{labels}: line {line}: {path_text(cell.strip())} has the label {quoted(label)}, and is "
                f"already listed in line {other} with the label {quoted(known)}: expected one label for each "
                "image"
            )
            raise DataError(msg)
    if repeated:
        found.doubts.append(f"{labels}: lists {repeated} images more than once; each is used once")
    return found


def column_names(labels: str) -> list[str]:
    """Return what stands in the first line of a labels file, which may be the names of its columns.

    Raises:
        DataError: the file cannot be read.
    """
    lines = _lines(labels)
    return [cell.strip() for cell in lines[0][1]] if lines else []


def label_column(columns: list[str]) -> int | None:
    """Return the index of the column of labels, if one has a usual name."""
    words = [_word(cell) for cell in columns]
    return next((words.index(word) for word in LABEL_WORDS if word in words), None)


def _lines(labels: str) -> list[tuple[int, list[str]]]:
    """Return (line number, cells) of each line. Those with values by names follow a line with the names."""
    if not labels.lower().endswith(JSON_LINES_SUFFIXES + PARQUET_SUFFIXES):
        return read_cells(labels, keep_bytes=True)
    is_parquet = labels.lower().endswith(PARQUET_SUFFIXES)
    lines = read_parquet_lines(labels) if is_parquet else read_json_lines(labels)
    names = list(dict.fromkeys(name for _, values in lines for name in values))
    found = [(0, list(map(json_text, names)))] if names else []
    return found + [(line, [json_text(values.get(name)) for name in names]) for line, values in lines]


def _named(labels: str, lines: list[tuple[int, list[str]]], target: str | None) -> tuple[int, int] | None:
    """Return the indices of the columns of paths and labels, if the latter has the name `target`.

    Raises:
        DataError: there is no such column.
    """
    if target is None:
        return None
    columns = [same_name(cell.strip()) for cell in lines[0][1]] if lines else []
    if same_name(target) not in columns:
        msg = f"{labels}: has no column {target!r}; its columns are {path_text(', '.join(columns)) or 'none'}"
        raise DataError(msg)
    label_at, words = columns.index(same_name(target)), [_word(cell) for cell in columns]
    usual = [words.index(word) for word in PATH_WORDS if word in words and words.index(word) != label_at]
    return (usual[0] if usual else int(label_at == 0)), label_at


def _checked_label(labels: str, line: int, label: str) -> str:
    """Return a label in the form in which names are compared, or refuse it."""
    label = same_name(label.strip())
    if flaw := flaw_of_label(label):
        msg = f"{labels}: line {line}: {flaw}"
        raise DataError(msg)
    return label


def flaw_of_label(label: str) -> str:
    """Return why a label cannot be the name of a class; "" if it can."""
    if not label:
        return "the label is empty"
    if name_text(label) != label:
        return f"the label {name_text(label)} is not UTF-8: save the file as UTF-8"
    if not label.isprintable():
        return f"the label {quoted(label)} has a line end or a control character: check the quotation marks"
    return ""


def _word(cell: str) -> str:
    return cell.strip().casefold().replace(" ", "_").replace("-", "_")


def _header(lines: list[tuple[int, list[str]]], finder: _Finder) -> tuple[int, int] | None:
    """Return the indices of the columns of paths and labels, if the first line has their names, else None.

    The names need not be known ones if there are two columns: then the first cell must look like no file.
    """
    first = lines[0][1]
    if first[0].strip() and exists(finder.find(first[0])):
        return None
    words = [_word(cell) for cell in first]
    path_word, label_at = next((word for word in PATH_WORDS if word in words), None), label_column(first)
    if path_word and label_at is not None:
        return words.index(path_word), label_at
    if len(first) != 2 or os.path.splitext(words[0])[1]:
        return None
    next_has_suffix = len(lines) > 1 and bool(os.path.splitext(lines[1][1][0].strip())[1])
    return (0, 1) if next_has_suffix or words[0] in PATH_WORDS or words[1] in LABEL_WORDS else None


class _Finder:
    """Finds files whose paths are written a little differently from their names.

    Args:
        folder: the paths are relative to it.
    """

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._listed: dict[str, dict[str, str]] = {}

    def find(self, cell: str) -> str:
        """Return the path of the file, or, if there is none, the path as it is written, without spaces."""
        stripped = cell.strip()
        if is_remote(self._folder):  # to ask for each would take long
            return joined(self._folder, stripped.replace("\\", "/"))
        forms = dict.fromkeys((cell, stripped, stripped.replace("\\", "/")))
        for form in forms:
            path = joined(self._folder, form)
            if exists(path):
                return path
        if not stripped.isascii():
            for form in forms:
                if found := self._look_alike(form):
                    return found
        return joined(self._folder, stripped)

    def _look_alike(self, form: str) -> str:
        """Return the path of a file whose name looks the same, or ""."""
        path = self._folder
        for part in form.split("/"):
            here = os.path.join(path, part) if part else path or "/"
            if not os.path.lexists(here):
                name = self._names(path).get(same_name(part))
                if name is None:
                    return ""
                here = os.path.join(path, name)
            path = here
        return path

    def _names(self, folder: str) -> dict[str, str]:
        """Return the names in a folder, by the form in which names are compared."""
        if folder not in self._listed:
            try:
                names = sorted(os.listdir(folder))
            except OSError:
                names = []
            self._listed[folder] = {same_name(name): name for name in names}
        return self._listed[folder]
