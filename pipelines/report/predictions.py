"""The sections on a file of predictions: counts, the gallery, and the inputs that failed."""

from __future__ import annotations

import csv
import math
import os
import random
import re
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from xpnet.charts import histogram, is_drawable
from xpnet.errors import DataError, UsageError, XpnetError

from ..images import exists, name_text, path_text, strip_common_folder
from ..models import STATUSES
from ..predictions import first_line, read_predictions
from .pictures import side_for, thumbnails

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from ..images import Decoders
    from ..models import Model, Row

GALLERY_ROWS = 10_000
"""The most rows that the gallery shows; of more rows it shows a sample."""

FAILED_ROWS = 1000
"""The most failed inputs that are listed with their reasons."""

TEXT_LENGTH = 4096
"""The most characters of a path or a reason; operating systems do not have longer paths."""

PICTURE_BYTES = 26_000_000
"""The most characters of all thumbnails together; with everything else, the page stays below 30 MB."""

PROBED_PATHS = 200
"""The number of paths, about, that are looked for when images have moved to another folder."""

MOVED_FOLDERS = 30
"""The most leading folders of a path that may differ when images have moved."""

BARS = 40
"""Number of bars of the histogram of scores."""


@dataclass
class Predictions:
    """What the page shows of a file of predictions.

    Attributes:
        path: of the file.
        statuses: number of rows with each status.
        labels: number of rows with each label.
        failed: path and reason of the first failed inputs.
        rows: number and row of each row in the gallery, in the order of the file.
        count: number of all rows.
    """

    path: str
    statuses: Counter[str] = field(default_factory=Counter)
    labels: Counter[str] = field(default_factory=Counter)
    failed: list[tuple[str, str]] = field(default_factory=list)
    rows: list[tuple[int, Row]] = field(default_factory=list)
    count: int = 0

    @property
    def is_sampled(self) -> bool:
        """Whether the gallery shows only some of the rows."""
        return len(self.rows) < self.count


def read(path: str, model: Model) -> Predictions:
    """Read a file of predictions row by row. Of many rows it keeps a sample, always the same one.

    Raises:
        DataError: the file cannot be read, or is not a file of predictions.
        UsageError: its rows were written with another model.
    """
    try:
        opened = read_predictions(path, first_line(path)) if os.path.isfile(path) else None
        if opened is None:
            what = "is not a file of predictions" if os.path.exists(path) else "there is no such file"
            msg = f"{path}: {what}: expected a file that xpnet predict wrote"
            raise DataError(msg)
        return _collected(path, opened[1], model)
    except XpnetError:
        raise
    except (OSError, ValueError, TypeError, RecursionError, csv.Error) as error:
        msg = f"{path}: cannot be read as predictions: {error}"
        raise DataError(msg) from error


def _collected(path: str, rows: Iterable[Row], model: Model) -> Predictions:
    classes = {name_text(name) for name in model.classes}
    found, generator = Predictions(path), random.Random(0)  # noqa: S311  (a sample, not a secret)
    for number, row in enumerate(rows):
        checked = _checked(f"{path}: row {number + 1}", row, classes, model)
        found.statuses[checked["status"]] += 1
        if checked["label"]:
            found.labels[checked["label"]] += 1
        if checked["status"] == "error" and len(found.failed) < FAILED_ROWS:
            found.failed.append((checked["path"], checked["error"]))
        # Every row is kept with the same probability, whatever the number of rows (Vitter's algorithm R).
        if number < GALLERY_ROWS:
            found.rows.append((number, checked))
        elif (place := generator.randrange(number + 1)) < GALLERY_ROWS:
            found.rows[place] = (number, checked)
        found.count = number + 1
    found.rows.sort(key=lambda item: item[0])
    return found


def _checked(where: str, row: Row, classes: set[str], model: Model) -> Row:
    """Return path, status, label, score and error of a row; refuse a row that is not of this model."""
    status, label, score = row.get("status"), row.get("label", ""), row.get("score", "")
    if status not in STATUSES:
        msg = f"{where} has the status {status!r}, expected {', '.join(STATUSES)}"
        raise DataError(msg)
    is_failed = status == "error"
    if not is_failed and (label not in classes if classes else label):
        what = f"the label {label!r}, which is not a class of the model" if label else "no label"
        msg = f"{where} has {what}: it was not written with {model.name}"
        raise UsageError(msg)
    try:
        number = float("nan" if is_failed or score == "" else score)
    except (TypeError, ValueError) as error:
        msg = f"{where} has the score {score!r}, expected a number"
        raise DataError(msg) from error
    return {
        "path": str(row.get("path", ""))[:TEXT_LENGTH],
        "status": status,
        "label": "" if is_failed else label,
        "score": number if math.isfinite(number) else None,
        "error": str(row.get("error", ""))[:TEXT_LENGTH],
    }


def predictions_section(found: Predictions) -> dict[str, Any]:
    """Return counts by status and by label, and the histogram of the scores in the gallery."""
    scores = [row["score"] for _, row in found.rows if row["score"] is not None]
    scores = [score for score in scores if is_drawable(score)]
    chart = None
    if scores:
        low, high = (0.0, 1.0) if found.labels else (min(scores), max(scores))
        high = high if high > low else low + 1.0
        counts = [0] * BARS
        for score in scores:
            counts[min(BARS - 1, max(0, int((score - low) / (high - low) * BARS)))] += 1
        chart = histogram("Distribution of the scores", "score", "images", counts, low, high)
    most = max(found.labels.values(), default=1)
    return {
        "file": path_text(found.path),
        "count": found.count,
        "shown": len(found.rows),
        "statuses": [(name, found.statuses[name]) for name in STATUSES if found.statuses[name]],
        "labels": [(name, count, count / most) for name, count in found.labels.most_common()],
        "chart": chart,
    }


def failed_section(found: Predictions) -> dict[str, Any] | None:
    """Return the inputs that failed, or None if there are none."""
    if not found.failed:
        return None
    return {"rows": found.failed, "count": found.statuses["error"]}


def gallery_section(
    found: Predictions, folder: str | None, workers: Decoders, on_progress: Callable[[int, int], object]
) -> dict[str, Any]:
    """Return the rows of the gallery by column, with thumbnails of the images that can be read.

    Args:
        found: the predictions.
        folder: where the images are now; None if they are where the rows say.
        workers: processes that decode.
        on_progress: called with the number of images done, and the number of all.
    """
    rows = [row for _, row in found.rows]
    labels = sorted({row["label"] for row in rows if row["label"]})
    index = {name: i for i, name in enumerate(labels)}
    decodable = [i for i, row in enumerate(rows) if row["status"] != "error"]
    paths = located([rows[i]["path"] for i in decodable], folder)
    pictures, reasons = [""] * len(rows), [row["error"] for row in rows]
    total = missing = left_out = 0
    made = thumbnails(paths, side_for(len(decodable)), workers, from_servers=folder is not None)
    for done, (i, (picture, reason)) in enumerate(zip(decodable, made, strict=True), start=1):
        total += len(picture)
        if reason:
            missing, reasons[i] = missing + 1, f"no picture: {reason}"
        elif total > PICTURE_BYTES:
            left_out, reasons[i] = left_out + 1, "picture left out: the page would be too large"
        else:
            pictures[i] = picture
        on_progress(done, len(decodable))
    common, names = strip_common_folder([row["path"] for row in rows])
    return {
        "folder": common,
        "data": {
            "path": names,
            "status": [STATUSES.index(row["status"]) for row in rows],
            "label": [index.get(row["label"], -1) for row in rows],
            "score": [row["score"] for row in rows],
            "reason": reasons,
            "picture": pictures,
            "labels": labels,
            "statuses": list(STATUSES),
        },
        "labels": labels,
        "missing": missing,
        "left_out": left_out,
    }


def located(paths: Sequence[str], folder: str | None) -> list[str]:
    """Return where the images of some rows are.

    Args:
        paths: as the rows have them; bytes that are not UTF-8 are escaped.
        folder: where the images are now, or None if they have not moved. The leading folders of the paths
            may have changed. So many of them are left out, from all paths alike, that most files are found.
    """
    raw = [_unescaped(path) for path in paths]
    if folder is None:
        return raw
    parts = [path.replace("\\", "/").split("/") if os.sep == "\\" else path.split("/") for path in raw]
    probed = parts[:: max(1, len(parts) // PROBED_PATHS)]

    def moved(path: list[str], skipped: int) -> str:
        return os.path.join(folder, *[part for part in path[min(skipped, len(path) - 1) :] if part])

    deepest = min(MOVED_FOLDERS, max((len(path) for path in probed), default=0))
    hits = [sum(exists(moved(path, skipped)) for path in probed) for skipped in range(deepest)]
    skipped = hits.index(max(hits)) if hits else 0
    return [moved(path, skipped) for path in parts]


def _unescaped(path: str) -> str:
    r"""Undo `path_text`: each \xNN becomes a byte, unless a file has exactly this name."""
    if "\\x" not in path or exists(path):
        return path
    escaped = re.sub(rb"\\x([89a-f][0-9a-f])", lambda m: bytes([int(m[1], 16)]), os.fsencode(path))
    return os.fsdecode(escaped)
