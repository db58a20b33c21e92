"""Labelled images of a folder or an archive: list them, and decode them into a data file or into memory."""

from __future__ import annotations

import os
import re
import unicodedata
import warnings
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from xpnet.data import ColumnMatrix, fit_standardizer, scratch
from xpnet.errors import DataError, NoInputError, UsageError

from ..images import (
    archives_named,
    class_folders,
    count_images_in,
    damaged_archive,
    decode_all,
    file_names,
    is_archive,
    is_folder,
    joined,
    passed_over_text,
    path_text,
    subfolders,
    walk_images,
    why_no_image,
)
from .data_file import data_file_writer
from .dataset import Dataset, without_unused_classes
from .endings import PARQUET_SUFFIXES
from .feature_extractor import standardized_features
from .labels_file import read_labels
from .metadata_file import PARTS, read_metadata, require_one_part
from .named_labels import NamedLabels
from .parquet_labels import read_parquet_labels
from .text_file import same_name
from .webdataset import read_webdataset

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..images import Decoders, Recipe
    from .feature_extractor import Extraction


NOT_CLASSES = (
    "__macosx", "@eadir", "lost+found", "$recycle.bin", "system volume information", "__pycache__"
)  # fmt: skip
"""Names of subfolders, in lower case, that other programs make. They are not classes."""


PART_OF_NAME = re.compile(r"[-_.]")
"""What may follow the part of a dataset in the name of a file, such as `train-00000-of-00002.parquet`."""


@dataclass(frozen=True)
class LabelledImages:
    """The paths and classes of images that are not decoded yet.

    Attributes:
        items: (path, class index) of each image, in order.
        classes: the names of the classes, by class index.
        warnings: what is doubtful about them.
        flaws: (path, reason) of each input that cannot be used, because it has no label for example.
    """

    items: list[tuple[str, int]]
    classes: tuple[str, ...]
    warnings: tuple[str, ...] = ()
    flaws: tuple[tuple[str, str], ...] = ()


def list_labelled_images(folder: str, labels: str | None = None, target: str | None = None) -> LabelledImages:
    """List the images of a folder or an archive with their classes.

    Args:
        folder: without `labels`, the folder has a subfolder for each class, or archives. An archive has the
            same, perhaps in another folder, or a label beside each image: see `webdataset.py`. Or there is
            a file with the labels: see `metadata_file.py`.
        labels: a file with lines path,label. The paths are relative to the folder.
        target: the name of the column with the labels, in a file of labels; None for one with a usual name.

    Raises:
        DataError: the folder or the file of labels cannot be read, or the subfolders are parts of a dataset.
        NoInputError: there are no images.
        UsageError: `target` is given, and there is no file of labels.
    """
    found = read_metadata(folder, target) if labels is None else read_labels(folder, labels, target)
    if found is None:
        archives = _archives_as_data(folder)
        if target is not None and not any(path.lower().endswith(PARQUET_SUFFIXES) for path in archives):
            msg = f"{folder}: is a folder: leave out --target, which names a column of a file of labels"
            raise UsageError(msg)
        parts = [_from_archive(path, target) for path in archives] or [_from_subfolders(folder)]
        found = NamedLabels.merged(parts)
    names = sorted(found.classes)
    index = {name: i for i, name in enumerate(names)}
    if not found.pairs:
        msg = f"{folder}: contains no images"
        raise NoInputError(msg)
    doubts = list(dict.fromkeys(found.doubts))
    spellings: dict[str, list[str]] = {}
    for name in names:
        spellings.setdefault(unicodedata.normalize("NFKC", name).casefold(), []).append(name)
    doubts += [
        f"{labels or folder}: has the classes {', '.join(alike)}: are they the same?"
        for alike in spellings.values()
        if len(alike) > 1
    ]
    items = [(path, index[name]) for path, name in found.pairs]
    return LabelledImages(items, tuple(map(path_text, names)), tuple(doubts), tuple(found.flaws))


def _archives_as_data(folder: str) -> list[str]:
    """Return the archives with the images: those that a path names, or in a folder without subfolders."""
    if archives := archives_named(folder):
        return archives
    if not is_folder(folder) or subfolders(folder):
        return []
    names = [name for name in file_names(folder) if is_archive(name)]
    parts = {part for name in names if (part := PART_OF_NAME.split(name.lower())[0]) in PARTS}
    if len(parts) > 1:
        msg = (
            f"{folder}: its files are of the parts {', '.join(sorted(parts))} of a dataset: give a pattern "
            f"for one, such as '{joined(folder, min(parts))}*', and validate with another: --val"
        )
        raise DataError(msg)
    return [path for name in names if is_folder(path := joined(folder, name))]


def _from_archive(archive: str, target: str | None) -> NamedLabels:
    """Return the images of an archive, with the labels beside them, or else by folders.

    `target` names the column of labels in a Parquet file.
    """
    if archive.lower().endswith(PARQUET_SUFFIXES):
        return read_parquet_labels(archive, target)
    return read_webdataset(archive) or _from_subfolders(_with_classes(archive.rstrip("/")))


def _with_classes(folder: str) -> str:
    """Return the folder in an archive that has the subfolders of the classes: it may lie in others."""
    paths = [path.removeprefix(f"{folder}/") for path in walk_images(folder, Counter()) if path != folder]
    within = {path.rpartition("/")[0] for path in paths}
    if not within:
        return folder
    around = os.path.commonpath(within) if len(within) > 1 else os.path.dirname(*within)
    return f"{folder}/{around}" if around else folder


def _from_subfolders(folder: str) -> NamedLabels:
    """Return the images in the subfolders of a folder, which are the classes."""
    names = list(class_folders(folder))
    found, doubts = NamedLabels(), list[str]()
    if others := [name for name in names if name.lower() in NOT_CLASSES]:
        doubts.append(f"{folder}: left out {', '.join(others)}, which is no class")
    names = [name for name in names if name not in others]
    if not names:
        msg = f"{folder}: has no subfolders: expected one for each class, with the name of the class"
        raise NoInputError(msg)
    require_one_part(folder, names)
    if parts := [name for name in names if name.lower() in PARTS]:
        doubts.append(f"{folder}: the subfolders {', '.join(parts)} are used as classes: are they?")
    first: dict[str, str] = {}  # the first folder of each class
    passed_over: Counter[str] = Counter()
    deeper: list[set[str]] = []  # for each subfolder, its own subfolders, if all of its images are in them
    for name in names:
        label = same_name(name)
        if first.setdefault(label, name) != name:
            doubts.append(f"{folder}: two subfolders have the name {label}: they are one class")
        within = joined(folder, name)
        paths = list(walk_images(within, passed_over))
        found.pairs += [(path, label) for path in paths]
        found.classes.add(label)
        below = {os.path.relpath(path, within).split(os.sep)[0] for path in paths if _is_deeper(path, within)}
        deeper.append(below if below and all(_is_deeper(path, within) for path in paths) else set())
    if damaged := damaged_archive(folder):
        found.flaws.append((damaged, why_no_image(damaged)))
    loose = count_images_in(folder, passed_over)
    if passed_over:
        doubts.append(passed_over_text(folder, passed_over))
    if loose:
        doubts.append(f"{folder}: {loose} images beside the subfolders have no class, and are not used")
    if all(deeper) and (len(deeper) == 1 or set.intersection(*deeper)):
        examples = sorted(set.union(*deeper))[:5]
        doubts.append(
            f"{folder}: the images of every class are in subfolders of it, such as {', '.join(examples)}: "
            "if those are the classes, give the folder above them"
        )
    found.doubts = doubts
    return found


def _is_deeper(path: str, folder: str) -> bool:
    return path != folder and os.path.dirname(path) != folder  # a folder that cannot be listed is one path


class SkippedInputs:
    """Collects the inputs that cannot be used, or raises an error for the first one.

    Args:
        on_error: "skip" collects them, "fail" raises.

    Attributes:
        found: (path, reason) of each input.
    """

    def __init__(self, on_error: str) -> None:
        self.found: list[tuple[str, str]] = []
        self._fails = on_error == "fail"

    def add(self, path: str, reason: str) -> None:
        """Add an input.

        Raises:
            DataError: `on_error` is "fail".
        """
        if self._fails:
            msg = f"{path_text(path)}: {reason} (use --on-error skip to leave out such inputs)"
            raise DataError(msg)
        self.found.append((path_text(path), reason))


def write_images(
    source: LabelledImages,
    output: str,
    recipe: Recipe,
    *,
    standardize: str = "unit",
    workers: Decoders = 1,
    on_error: str = "skip",
    extraction: Extraction | None = None,
    on_progress: Callable[[int, int], object] = lambda done, total: None,  # noqa: ARG005
    on_warning: Callable[[str], object] = warnings.warn,
) -> tuple[int, list[tuple[str, str]]]:
    """Decode labelled images into a data file. The images are never all in memory.

    Args:
        source: the images.
        output: the file to write. It appears when it is complete.
        recipe: how an image becomes a column.
        standardize: the kind of standardization, one of `xpnet.data.STANDARDIZATIONS`.
        workers: the number of processes that decode.
        on_error: what to do with an image that cannot be decoded: "skip" it, or "fail".
        extraction: turns the images into features, which are written in their place; None keeps the images.
        on_progress: called with the number of images done so far, and the number of all images.
        on_warning: called with each warning, such as a class without images, which is left out.

    Returns:
        The number of images in the file, and (path, reason) of each image that was skipped.

    Raises:
        DataError: `on_error` is "fail" and an image cannot be decoded; or a feature is a NaN or an infinity.
        NoInputError: no image can be decoded.
        OutputError: the file cannot be written.
        WorkerError: the processes that decode cannot be started.
    """
    for warning in source.warnings:
        on_warning(warning)
    extractor = None if extraction is None else extraction.extractor
    with data_file_writer(output, recipe, standardize, extractor) as writer:

        def add(columns: np.ndarray, labels: list[int], paths: list[str]) -> None:
            if extraction is not None:
                columns = extraction.checked(extraction.transform(columns))
            writer.add(columns, labels, paths)

        count, skipped, libraries = _decode(source, recipe, workers, on_error, add, on_progress)
        writer.finish(source.classes, skipped, on_warning=on_warning, libraries=libraries)
    return count, skipped


def load_images(
    source: LabelledImages,
    recipe: Recipe,
    *,
    standardize: str = "unit",
    workers: Decoders = 1,
    on_error: str = "skip",
    extraction: Extraction | None = None,
    on_progress: Callable[[int, int], object] = lambda done, total: None,  # noqa: ARG005
    on_warning: Callable[[str], object] = warnings.warn,
    memory: int | None = None,
) -> Dataset:
    """Decode labelled images. Arguments and errors are those of `write_images`, and `memory`.

    It is how many bytes may be in memory, None for half of the machine's. More are in a temporary file.

    Raises:
        OutputError: there is no room for that.
    """
    for warning in source.warnings:
        on_warning(warning)
    if extraction is None:
        examples = scratch((len(source.items), recipe.n_x), np.uint8, memory)
    else:
        examples = scratch((len(source.items), extraction.extractor.count), np.float32, memory)
    labels: list[int] = []
    names: list[str] = []

    def add(columns: np.ndarray, new_labels: list[int], paths: list[str]) -> None:
        if extraction is not None:
            columns = extraction.transform(columns)
        examples[len(labels) : len(labels) + len(columns)] = columns
        labels.extend(new_labels)
        names.extend(paths)

    count, skipped, libraries = _decode(source, recipe, workers, on_error, add, on_progress)
    if extraction is None:
        raw = ColumnMatrix(examples[:count])
        data = raw.standardized_as(fit_standardizer(raw.blocks(), standardize, recipe.channels))
    else:
        data = standardized_features(extraction.checked(examples[:count]))
    indices, classes = without_unused_classes(np.asarray(labels, np.int64), source.classes, on_warning)
    return Dataset(
        data,
        indices[None],
        classes,
        replace(recipe, libraries=libraries),
        names=tuple(names),
        skipped=tuple(skipped),
        extractor=None if extraction is None else extraction.extractor,
    )


def _decode(
    source: LabelledImages,
    recipe: Recipe,
    workers: Decoders,
    on_error: str,
    add: Callable[[np.ndarray, list[int], list[str]], object],
    on_progress: Callable[[int, int], object],
) -> tuple[int, list[tuple[str, str]], dict[str, str]]:
    """Decode all images, and pass those that succeed to `add` in blocks: columns (k, n_x), labels, paths.

    Returns and raises the same as `write_images`, and returns the libraries that decoded them.
    """
    skipped, done, count = SkippedInputs(on_error), 0, 0
    for path, reason in source.flaws:
        skipped.add(path, reason)
    libraries: dict[str, str] = {}
    for chunk in decode_all((path for path, _ in source.items), recipe, workers):
        good = [i for i, error in enumerate(chunk.errors) if not error]
        for i, error in enumerate(chunk.errors):
            if error:
                skipped.add(chunk.paths[i], error)
        columns = chunk.columns if len(good) == len(chunk.paths) else chunk.columns[good]
        if good:
            labels = [source.items[done + i][1] for i in good]
            add(columns, labels, [path_text(chunk.paths[i]) for i in good])
        libraries = chunk.libraries or libraries
        done += len(chunk.paths)
        count += len(good)
        on_progress(done, len(source.items))
    if not count:
        path, reason = skipped.found[0]
        msg = f"none of {done + len(source.flaws)} images can be used; the first is {path}: {reason}"
        raise NoInputError(msg)
    return count, skipped.found, libraries
