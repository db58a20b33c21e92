"""Read the labels of an image folder as Hugging Face has them: in `metadata.csv`, `.jsonl` or `.parquet`.

The column `file_name` has paths relative to the folder of that file. A file for all parts of a dataset may
lie in the folder above them. In an archive, the folder with the file may be in another one.
"""

from __future__ import annotations

import os
from collections import Counter

from xpnet.errors import DataError

from ..images import exists, is_archive, joined, subfolders, walk_images
from .labels_file import column_names, label_column, read_labels
from .named_labels import NamedLabels

NAMES = ("metadata.csv", "metadata.jsonl", "metadata.parquet")
"""The names of such files."""

PATHS = "file_name"
"""The name of the column of paths."""

PARTS = (
    "train", "training", "trainset", "val", "valid", "validation", "dev", "test", "testing", "testset",
    "eval", "evaluation", "holdout",
)  # fmt: skip
"""Names of the parts of a dataset, in lower case."""


def read_metadata(folder: str, target: str | None = None) -> NamedLabels | None:
    """Return the images of a folder that a file of metadata lists, with their labels.

    Args:
        folder: the folder, or an archive, or a folder in one.
        target: the name of the column of labels; None for one with a usual name.

    Returns:
        None if there is no such file, or it has no column of labels.

    Raises:
        DataError: the file cannot be read, has no column `target`, or lists the images of several parts.
    """
    folder = folder.rstrip("/")
    if (path := _metadata_in(folder)) is not None:
        used = os.path.dirname(path)
    elif os.path.basename(folder).lower() in PARTS and (path := _metadata_in(os.path.dirname(folder))):
        used = folder
    else:
        return None
    columns = column_names(path)
    if PATHS not in columns or (target is None and label_column(columns) is None):
        return None
    found = read_labels(os.path.dirname(path), path, target)
    if used == folder != os.path.dirname(path):
        found = _within(folder, found)
    require_one_part(used, _parts_of(used, found))
    listed = {os.path.normpath(image) for image, _ in found.pairs}
    if others := sum(os.path.normpath(image) not in listed for image in walk_images(used, Counter())):
        found.doubts.append(f"{used}: {others} images are not in {path}, and are not used")
    return found


def _metadata_in(folder: str) -> str | None:
    """Return the file of metadata in a folder, or in the only folder of an archive."""
    places = [folder]
    if os.path.isfile(folder) and is_archive(folder) and len(names := subfolders(folder)) == 1:
        places.append(joined(folder, names[0]))
    paths = [joined(place, name) for place in places for name in NAMES]
    return next(filter(exists, paths), None)


def _within(folder: str, found: NamedLabels) -> NamedLabels:
    """Return those of some images that are in a folder."""
    start = os.path.join(os.path.normpath(folder), "")
    pairs = [pair for pair in found.pairs if os.path.normpath(pair[0]).startswith(start)]
    return NamedLabels(pairs, {label for _, label in pairs}, found.doubts, found.flaws)


def _parts_of(folder: str, found: NamedLabels) -> list[str]:
    """Return the names in a folder that lead to some images."""
    return sorted({os.path.relpath(path, folder).partition(os.sep)[0] for path, _ in found.pairs})


def require_one_part(folder: str, names: list[str]) -> None:
    """Raise `DataError` if all subfolders of a folder, of which there are some, are parts of a dataset."""
    if names and all(name.lower() in PARTS for name in names):
        msg = (
            f"{folder}: its subfolders {', '.join(names)} are parts of a dataset, not classes: give one of "
            f"them, such as {joined(folder, names[0])}, and validate with another: --val"
        )
        raise DataError(msg)
