"""Write a model as an ONNX file, after a comparison with what xpnet itself computes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from xpnet.errors import ModelFileError, OutputError, UsageError
from xpnet.features import run_onnx
from xpnet.io import atomic_write

from .onnx_graph import onnx_of
from .prediction import class_probabilities

if TYPE_CHECKING:
    from collections.abc import Callable

    from xpnet.features import Interface, OnnxFile
    from xpnet.io import SavedModel

    from ..datasets import FeatureExtractor
    from ..images import Recipe

TOLERANCE = 1e-5
"""How far a probability may be from xpnet's own; or a predicted number, as a share of the largest one."""

BACKBONE_TOLERANCE = 1e-3
"""The same for a model over a backbone: a deep network adds up what each layer rounds."""

EXAMPLES, BATCH = 32, 4
"""How many random examples are compared, and how many of them onnxruntime takes at a time."""

EXAMPLE_NUMBERS = 1 << 24
"""The most numbers in all of these examples. Of very large images there are fewer."""


@dataclass(frozen=True)
class OnnxExport:
    """An ONNX file that was written.

    Attributes:
        path: the file.
        takes: what the network takes.
        gives: what it gives.
        examples: how many random examples were compared with xpnet's own predictions.
        difference: the largest difference of a probability; of a predicted number as a share of the largest
            one. None if nothing was compared.
        same_labels: for how many examples the predicted class is the same; None for regression.
        unchecked: why nothing was compared; "" otherwise.
    """

    path: str
    takes: Interface
    gives: Interface
    examples: int = 0
    difference: float | None = None
    same_labels: int | None = None
    unchecked: str = ""


def export_onnx(
    path: str,
    saved: SavedModel,
    recipe: Recipe | None,
    extractor: FeatureExtractor | None,
    classes: tuple[str, ...],
    compute: Callable[[np.ndarray], np.ndarray],
    file: OnnxFile | None = None,
) -> OnnxExport:
    """Write a model as an ONNX file, completely or not at all.

    Args:
        path: the file.
        saved: the model.
        recipe: how an image becomes a column; None for a model of a table.
        extractor: what turns the pixels into features; None if nothing does.
        classes: the names of the classes; empty for regression.
        compute: xpnet's own outputs (n_out, k) for raw examples (k, n_x).
        file: the backbone's, if the extractor is one.

    Raises:
        UsageError: the extractor is a backbone that takes one image at a time, or onnxruntime is missing.
        ModelFileError: the file would be too large, or onnxruntime predicts something else than xpnet.
        OutputError: the file cannot be written.
    """
    content, takes, gives = onnx_of(saved, recipe, extractor, classes, file)
    examples = _random_examples(saved, recipe)
    done = OnnxExport(path, takes, gives)
    try:
        found = run_onnx(content, examples.reshape(-1, *takes.shape[1:]), BATCH)
    except UsageError as error:
        done = replace(done, unchecked=str(error))
    else:
        tolerance = TOLERANCE if file is None else BACKBONE_TOLERANCE
        done = _compared(done, found, compute(examples), classes, tolerance)
    try:
        with atomic_write(Path(path)) as temporary:
            temporary.write_bytes(content)
    except OSError as error:
        msg = f"{path}: cannot be written: {error.strerror or error}"
        raise OutputError(msg) from error
    return done


def _random_examples(saved: SavedModel, recipe: Recipe | None) -> np.ndarray:
    """Return examples (k, n_x): images of any brightness and contrast, or rows around the mean."""
    n_x = saved.model.n_x if recipe is None else recipe.n_x
    k, rng = max(1, min(EXAMPLES, EXAMPLE_NUMBERS // n_x)), np.random.default_rng(0)
    noise = rng.standard_normal((k, n_x), np.float32)
    if recipe is None:
        standardizer = saved.standardizer
        dtype = saved.parameters["W1"].dtype
        return np.asarray(standardizer.mean.T + noise / standardizer.scale.T, dtype)
    brightness, contrast = rng.uniform(0, 256, (k, 1)), 2 ** rng.uniform(0, 8, (k, 1))
    return np.asarray(np.clip(brightness + contrast * noise, 0, 255), np.uint8)


def _compared(
    done: OnnxExport, found: np.ndarray, outputs: np.ndarray, classes: tuple[str, ...], tolerance: float
) -> OnnxExport:
    """Return the export with what a comparison found, or refuse it.

    Args:
        done: the export.
        found: what onnxruntime computed, (k, n).
        outputs: what xpnet computed, (n_out, k).
        classes: the names of the classes.
        tolerance: the largest difference that rounding may make.
    """
    expected = (class_probabilities(outputs, classes) if classes else outputs).T
    largest = 1.0 if classes else float(np.max(np.abs(expected), initial=1e-30))
    difference = float(np.max(np.abs(found - expected))) / largest
    if not difference <= tolerance:  # also if it is a NaN
        msg = (
            f"{done.path}: is not written, because onnxruntime predicts something else than xpnet: the "
            f"largest difference is {difference:.1e}, expected at most {tolerance:.0e}. If the weights are "
            "very large, train the model with --dtype float64"
        )
        raise ModelFileError(msg)
    same = int(np.sum(found.argmax(axis=1) == expected.argmax(axis=1))) if classes else None
    return replace(done, examples=len(found), difference=difference, same_labels=same)
