"""Read labels as WebDataset keeps them: beside `day/1.jpg` in an archive is `day/1.cls` with its class.

A file `day/1.json` may hold the class in place of that.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from xpnet.errors import ImageError

from ..images import damaged_archive, exists, passed_over_text, read_all, walk_images, why_no_image
from .labels_file import LABEL_WORDS, flaw_of_label
from .named_labels import NamedLabels
from .text_file import json_text, same_name

MAX_LABEL_BYTES = 1 << 20
"""How large a file with the label of one image may be."""


def read_webdataset(archive: str) -> NamedLabels | None:
    """Return the images of an archive with the labels beside them; None if there are no such labels.

    Args:
        archive: the archive, or a folder in one.
    """
    found, passed_over = NamedLabels(), Counter[str]()
    damaged = damaged_archive(archive)
    images = list(walk_images(archive, passed_over))
    if images and images[-1] == damaged:
        found.flaws.append((images.pop(), why_no_image(damaged)))
    files = [_file_beside(path) for path in images]
    contents = read_all([file for file in files if file], MAX_LABEL_BYTES)
    for path, file in zip(images, files, strict=True):
        try:
            label = _label(file, next(contents)) if file else ""
        except ImageError as error:
            found.flaws.append((path, f"its label cannot be read: {file.rpartition('/')[2]}: {error}"))
            continue
        flaw = flaw_of_label(label) if file else "has no label: there is no .cls beside it"
        if flaw:
            found.flaws.append((path, flaw))
        else:
            found.add(path, label)
    if not found.pairs:
        return None
    if passed_over:
        found.doubts.append(passed_over_text(archive, passed_over))
    return found


def _file_beside(path: str) -> str:
    """Return the file with the label of an image, or ""."""
    folder, slash, name = path.rpartition("/")
    key = f"{folder}{slash}{name.partition('.')[0]}"
    return next((file for file in (f"{key}.cls", f"{key}.json") if exists(file)), "")


def _label(file: str, content: bytes | ImageError) -> str:
    """Return the label in a file; "" if there is none.

    Raises:
        ImageError: it cannot be read.
    """
    if isinstance(content, ImageError):
        raise content
    try:
        if file.endswith(".cls"):
            return same_name(content.decode().strip())
        values: Any = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ImageError(str(error)) from None
    values = values if isinstance(values, dict) else {}
    label = next((values[word] for word in LABEL_WORDS if word in values), None)
    return same_name(json_text(label).strip())
