"""Read labels as WebDataset keeps them: beside `day/1.jpg` in an archive is `day/1.cls` with its class.

A file `day/1.json` may hold the class in place of that.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from xpnet.errors import ImageError

from ..images import damaged_archive, exists, passed_over_text, read_content, walk_images, why_no_image
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
    without: list[str] = []
    for path in walk_images(archive, passed_over):
        if path == damaged_archive(archive):
            found.flaws.append((path, why_no_image(path)))
            continue
        try:
            label = _label_beside(path)
        except ImageError as error:
            found.flaws.append((path, str(error)))
            continue
        if label is None:
            without.append(path)
        elif flaw := flaw_of_label(label):
            found.flaws.append((path, flaw))
        else:
            found.add(path, label)
    if not found.pairs:
        return None
    found.flaws += [(path, "has no label: there is no .cls beside it") for path in without]
    if passed_over:
        found.doubts.append(passed_over_text(archive, passed_over))
    return found


def _label_beside(path: str) -> str | None:
    """Return the label in a file beside an image; None if there is no such file, or it has no label.

    Raises:
        ImageError: it cannot be read.
    """
    folder, slash, name = path.rpartition("/")
    key = f"{folder}{slash}{name.partition('.')[0]}"
    if exists(f"{key}.cls"):
        try:
            text = read_content(f"{key}.cls", MAX_LABEL_BYTES).decode()
        except (ImageError, ValueError) as error:
            msg = f"its label cannot be read: {key.rpartition('/')[2]}.cls: {error}"
            raise ImageError(msg) from None
        return same_name(text.strip())
    if exists(f"{key}.json"):
        try:
            values: Any = json.loads(read_content(f"{key}.json", MAX_LABEL_BYTES))
        except (ImageError, ValueError, RecursionError) as error:
            msg = f"its label cannot be read: {key.rpartition('/')[2]}.json: {error}"
            raise ImageError(msg) from None
        values = values if isinstance(values, dict) else {}
        label = next((values[word] for word in LABEL_WORDS if word in values), None)
        return same_name(json_text(label).strip()) if label is not None else None
    return None
