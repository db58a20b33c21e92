"""Read the labels of images from a CSV file with lines path,label."""

from __future__ import annotations

import os

from xpnet.errors import DataError

from ..images import exists, name_text, path_text
from .named_labels import NamedLabels
from .text_file import quoted, read_cells, same_name

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


def read_labels(folder: str, labels: str) -> NamedLabels:
    """Return each image in a labels file with its label.

    A header is left out. A path is the one of the file that exists, if it is written with other spaces,
    backslashes or accents there.

    Args:
        folder: the paths are relative to it.
        labels: the CSV file.

    Raises:
        DataError: the file cannot be read, a line is not path,label, or an image has two labels.
    """
    lines = read_cells(labels, keep_bytes=True)
    finder = _Finder(folder)
    width, path_at, label_at = 2, 0, 1
    if lines and (places := _header(lines, finder)) is not None:
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
    path_word = next((word for word in PATH_WORDS if word in words), None)
    label_word = next((word for word in LABEL_WORDS if word in words), None)
    if path_word and label_word:
        return words.index(path_word), words.index(label_word)
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
        forms = dict.fromkeys((cell, stripped, stripped.replace("\\", "/")))
        for form in forms:
            path = os.path.join(self._folder, form)
            if exists(path):
                return path
        if not stripped.isascii():
            for form in forms:
                if found := self._look_alike(form):
                    return found
        return os.path.join(self._folder, stripped)

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
