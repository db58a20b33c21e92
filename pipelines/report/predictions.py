"""What the page shows of predictions: how many of what, a gallery, and what failed with its reason."""

from __future__ import annotations

import csv
import math
import os
import random
import re
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from xpnet.errors import DataError, UsageError, XpnetError

from ..images import path_text, strip_common_folder
from ..models import STATUSES
from ..predictions import first_line, read_predictions
from .charts import histogram, usable
from .pictures import side_for, thumbnails

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from ..models import Model
    from ..predictions import Row

GALLERY = 10_000
"""Rows that the gallery shows, at most; of more a sample."""

FAILED = 1000
"""Inputs that failed and are named with their reasons, at most."""

MOST_TEXT = 4096
"""Characters of a path or a reason, at most; no system has longer paths."""

PICTURE_BYTES = 26_000_000
"""Text of all thumbnails, at most: with the rest, the page stays below 30 MB."""

PROBED, DEEPEST = 200, 30
"""Paths by which it is found where images have moved to, and leading folders that may be left out."""

BARS = 40
"""Of the histogram of scores."""


@dataclass
class Scored:
    """What a file of predictions holds.

    Attributes:
        path: of the file.
        statuses: how often each occurs, and
        labels: the same.
        failed: path and reason of inputs that failed, the first of them.
        rows: number and row of those that the gallery shows, in order.
        count: of all rows.
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


def read(path: str, opened: Model) -> Scored:
    """Read a file of predictions, row by row. Of many rows a sample is kept, the same each time.

    Raises:
        DataError: it cannot be read, or is something else.
        UsageError: its rows are of another model.
    """
    try:
        found = read_predictions(path, first_line(path)) if os.path.isfile(path) else None
        if found is None:
            what = "is no file of predictions" if os.path.exists(path) else "there is no such file"
            msg = f"{path}: {what}: expected one of xpnet predict"
            raise DataError(msg)
        return _collected(path, found[1], opened)
    except XpnetError:
        raise
    except (OSError, ValueError, TypeError, RecursionError, csv.Error) as error:
        msg = f"{path}: cannot be read as predictions: {error}"
        raise DataError(msg) from error


def _collected(path: str, rows: Iterable[Row], opened: Model) -> Scored:
    classes = {path_text(name) for name in opened.class_names}
    scored, chance = Scored(path), random.Random(0)  # noqa: S311  (a sample, no secret)
    for number, row in enumerate(rows):
        kept = _checked(f"{path}: row {number + 1}", row, classes, opened)
        scored.statuses[kept["status"]] += 1
        if kept["label"]:
            scored.labels[kept["label"]] += 1
        if kept["status"] == "error" and len(scored.failed) < FAILED:
            scored.failed.append((kept["path"], kept["error"]))
        # Each row is kept with the same chance, however many will come (Vitter's algorithm R).
        if number < GALLERY:
            scored.rows.append((number, kept))
        elif (place := chance.randrange(number + 1)) < GALLERY:
            scored.rows[place] = (number, kept)
        scored.count = number + 1
    scored.rows.sort(key=lambda item: item[0])
    return scored


def _checked(where: str, row: Row, classes: set[str], opened: Model) -> Row:
    """Return path, status, label, score and error of a row; refuse what no run with this model wrote."""
    status, label, score = row.get("status"), row.get("label", ""), row.get("score", "")
    if status not in STATUSES:
        msg = f"{where} has the status {status!r}, expected {', '.join(STATUSES)}"
        raise DataError(msg)
    failed = status == "error"
    if not failed and (label not in classes if classes else label):
        what = f"the label {label!r}" if label else "no label"
        msg = f"{where} has {what}, so it was not written with {opened.path}"
        raise UsageError(msg)
    try:
        number = float("nan" if failed or score == "" else score)
    except (TypeError, ValueError) as error:
        msg = f"{where} has the score {score!r}, expected a number"
        raise DataError(msg) from error
    return {
        "path": str(row.get("path", ""))[:MOST_TEXT],
        "status": status,
        "label": "" if failed else label,
        "score": number if math.isfinite(number) else None,
        "error": str(row.get("error", ""))[:MOST_TEXT],
    }


def summary(scored: Scored) -> dict[str, Any]:
    """Return counts by status and label, and the histogram of the scores that the gallery shows."""
    scores = [row["score"] for _, row in scored.rows if row["score"] is not None and usable(row["score"])]
    chart = None
    if scores:
        low, high = (0.0, 1.0) if scored.labels else (min(scores), max(scores))
        high = high if high > low else low + 1.0
        counts = [0] * BARS
        for score in scores:
            counts[min(BARS - 1, max(0, int((score - low) / (high - low) * BARS)))] += 1
        chart = histogram("How often scores occur", "score", counts, low, high)
    most = max(scored.labels.values(), default=1)
    return {
        "file": path_text(scored.path),
        "count": scored.count,
        "shown": len(scored.rows),
        "statuses": [(name, scored.statuses[name]) for name in STATUSES if scored.statuses[name]],
        "labels": [(name, count, count / most) for name, count in scored.labels.most_common()],
        "chart": chart,
    }


def gallery(
    scored: Scored, folder: str | None, workers: int, on_progress: Callable[[int, int], object]
) -> dict[str, Any]:
    """Return the rows of the gallery by column, with thumbnails where there are pictures.

    Args:
        scored: what to show.
        folder: where the images are now; None for where the rows say.
        workers: processes that decode.
        on_progress: is called with the number of images done, and of all.
    """
    rows = [row for _, row in scored.rows]
    labels = sorted({row["label"] for row in rows if row["label"]})
    index = {name: i for i, name in enumerate(labels)}
    wanted = [i for i, row in enumerate(rows) if row["status"] != "error"]
    paths = located([rows[i]["path"] for i in wanted], folder)
    pictures, why = [""] * len(rows), [row["error"] for row in rows]
    total = missing = left_out = 0
    made = thumbnails(paths, side_for(len(wanted)), workers)
    for done, (i, (picture, reason)) in enumerate(zip(wanted, made, strict=True), start=1):
        total += len(picture)
        if reason:
            missing, why[i] = missing + 1, f"no picture: {reason}"
        elif total > PICTURE_BYTES:
            left_out, why[i] = left_out + 1, "picture left out: the page would be too large"
        else:
            pictures[i] = picture
        on_progress(done, len(wanted))
    below, names = strip_common_folder([row["path"] for row in rows])
    return {
        "below": below,
        "data": {
            "path": names,
            "status": [STATUSES.index(row["status"]) for row in rows],
            "label": [index.get(row["label"], -1) for row in rows],
            "score": [row["score"] for row in rows],
            "why": why,
            "picture": pictures,
            "labels": labels,
            "statuses": list(STATUSES),
        },
        "labels": labels,
        "missing": missing,
        "left_out": left_out,
    }


def located(paths: Sequence[str], folder: str | None) -> list[str]:
    """Return where images are, from the paths in the rows.

    Args:
        paths: as they are written, with bytes that are no UTF-8 as escapes.
        folder: where the images are now. The rows' paths may have begun with other folders: as many as leave
            the most paths that exist are left out, the same number of each.
    """
    raw = [_raw(path) for path in paths]
    if folder is None:
        return raw
    parts = [path.replace("\\", "/").split("/") if os.sep == "\\" else path.split("/") for path in raw]
    probed = parts[:: max(1, len(parts) // PROBED)]

    def moved(path: list[str], skipped: int) -> str:
        return os.path.join(folder, *[part for part in path[min(skipped, len(path) - 1) :] if part])

    deepest = min(DEEPEST, max((len(path) for path in probed), default=0))
    hits = [sum(os.path.exists(moved(path, skipped)) for path in probed) for skipped in range(deepest)]
    skipped = hits.index(max(hits)) if hits else 0
    return [moved(path, skipped) for path in parts]


def _raw(path: str) -> str:
    r"""Undo `xpnet.pipelines.images.inputs.path_text`, where a file of that very name does not exist: \xNN becomes a byte."""
    if "\\x" not in path or os.path.lexists(path):
        return path
    escaped = re.sub(rb"\\x([89a-f][0-9a-f])", lambda m: bytes([int(m[1], 16)]), os.fsencode(path))
    return os.fsdecode(escaped)
