"""What is doubtful about labelled data: the same image twice, or numbers that look like classes."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from .dataset import Dataset

MOST_CLASSES = 10
"""A target with at most so many different whole numbers may be meant as classes."""


def doubts_about_images(dataset: Dataset, validation: Dataset | None = None) -> list[str]:
    """Return sentences that count images that occur in two classes, or in training and validation data.

    Images are compared as they are decoded: copies of a file with another name or format count too.

    Args:
        dataset: the training data. Data that are not images have no doubts.
        validation: the validation data, or None.
    """
    if dataset.recipe is None or not dataset.classes:
        return []
    found, digests = [], _digests(dataset)
    classes: dict[bytes, set[int]] = {}
    for digest, label in zip(digests, dataset.Y[0].tolist(), strict=True):
        classes.setdefault(digest, set()).add(label)
    if twofold := [i for i, digest in enumerate(digests) if len(classes[digest]) > 1]:
        example = f", such as {dataset.names[twofold[0]]}" if dataset.names else ""
        found.append(f"{len(twofold)} images occur in more than one class{example}")
    if validation is not None:
        shared = [i for i, digest in enumerate(_digests(validation)) if digest in classes]
        if shared:
            example = f", such as {validation.names[shared[0]]}" if validation.names else ""
            found.append(
                f"{len(shared)} of {validation.data.m} validation images are also in the training "
                f"data{example}: the validation metrics are better than those on new images"
            )
    return found


def _digests(dataset: Dataset) -> list[bytes]:
    """Return a short digest of each image. Equal images have equal digests."""
    return [
        hashlib.blake2b(row.tobytes(), digest_size=16).digest()
        for block in dataset.data.blocks()
        for row in block
    ]


def doubt_about_targets(dataset: Dataset) -> str:
    """Return a sentence if the numbers of a target look like classes, or classes like numbers; else ""."""
    if dataset.classes:
        return _doubt_about_classes(dataset)
    if not dataset.features and not dataset.target:  # arrays in memory
        return ""
    values = np.unique(dataset.Y)
    if not 2 <= len(values) <= min(MOST_CLASSES, dataset.data.m // 2) or np.any(values != np.round(values)):
        return ""
    kind = "logistic" if len(values) == 2 else "softmax"
    shown = ", ".join(f"{value:.0f}" for value in values)
    return (
        f"{dataset.target} has only the values {shown}, and is used as a number: if they are classes, "
        f"give --model {kind}; if not, give --model regression"
    )


def _doubt_about_classes(dataset: Dataset) -> str:
    """Return a sentence if most names of classes are numbers and some are not, or have a decimal comma."""
    what = dataset.target or "the label"
    numbers = [name for name in dataset.classes if _is_number(name)]
    others = [name for name in dataset.classes if name not in set(numbers)]
    with_comma = [name for name in others if re.fullmatch(r"[+-]?\d+,\d+", name)]
    if with_comma and len(with_comma) >= len(others):
        return (
            f"{what} has values such as {with_comma[0]}, which are taken for names of classes: write numbers "
            "with a decimal point"
        )
    if others and len(numbers) > max(1, len(others)):
        return (
            f"{what} is a number in most examples, and {others[0]!r} in others: all are taken for names of "
            "classes. For numbers to predict, correct or remove what is none"
        )
    if numbers and not others and any("." in name for name in numbers):
        return (
            f"{what} has numbers such as {numbers[0]}, which are taken for names of classes: for numbers to "
            "predict, give --model regression"
        )
    return ""


def _is_number(name: str) -> bool:
    try:
        float(name)
    except ValueError:
        return False
    return True
