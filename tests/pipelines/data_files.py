"""Data files for tests: what they contain, and functions that write them."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from xpnet.backend import select
from xpnet.data.column_matrix import ColumnMatrix
from xpnet.features import PatchSettings, fit_patches
from xpnet.pipelines.datasets import data_file
from xpnet.pipelines.datasets.dataset import Dataset, with_features
from xpnet.pipelines.datasets.feature_extractor import Extraction, FeatureExtractor
from xpnet.pipelines.images.recipe import Recipe

RECIPE = Recipe(2, 3)
PIXELS = np.random.default_rng(0).integers(0, 256, (7, 18), dtype=np.uint8)
LABELS = [0, 2, 1, 1, 0, 2, 2]
NAMES = ["a.jpg", "b,c.png", "d\ne", "ä/ö.jpg", "", "f", r"g\xff.jpg"]
CLASSES = ("cat", "dög", '"x", y')
SKIPPED = [("bad.jpg", "not an image"), ("wörse", "file is empty")]


def written(path: Path, kind: str = "unit", pixels: np.ndarray = PIXELS, rows: int = 3) -> Path:
    """Write a data file of 7 images, `rows` at a time; return its path."""
    with data_file.data_file_writer(path, RECIPE, kind) as writer:
        for i in range(0, len(pixels), rows):
            writer.add(pixels[i : i + rows], LABELS[i : i + rows], NAMES[i : i + rows])
        writer.finish(CLASSES, SKIPPED)
    return path


def table(kind: str, classes: tuple[str, ...]) -> Dataset:
    """Return a table of 8 examples and 3 features, for regression if there are no classes."""
    generator = np.random.default_rng(1)
    data = ColumnMatrix.of(generator.normal(40, 9, (3, 8)), kind)
    Y = generator.integers(0, 2, (1, 8)) if classes else generator.normal(size=(1, 8))
    skipped = (("t.csv: line 4", "a is 'x'"),)
    return Dataset(data, Y, classes, features=("a", "b", "ü"), target="y", skipped=skipped)


def extraction(seed: int = 0) -> Extraction:
    """Return features of few patches for the images of a data file, on the CPU."""
    smaller = PatchSettings(size=1, count=2, grid=1, samples=50, rounds=1, seed=seed, scale=0.5)
    settings = PatchSettings(size=2, count=4, grid=1, samples=50, rounds=1, seed=seed, smaller=smaller)
    return FeatureExtractor(fit_patches(PIXELS, RECIPE.shape, settings)).on(select("cpu"))


def features(path: Path) -> Dataset:
    """Return the 7 images as features, with a comparison. path: of a file that is written meanwhile."""
    compared = ({"features": "pixels", "log_loss": 0.5, "accuracy": 0.75, "examples": 7, "is_used": False},)
    images = data_file.read_data_file(written(path))
    return replace(with_features(images, extraction(), "the images"), compared=compared)


def require_equal(a: Dataset, b: Dataset) -> None:
    """Require that two datasets agree in every attribute."""
    np.testing.assert_array_equal(a.data.examples, b.data.examples)
    np.testing.assert_array_equal(a.Y, b.Y)
    assert a.data.examples.dtype == b.data.examples.dtype
    assert a.Y.dtype == b.Y.dtype
    assert a.data.standardizer == b.data.standardizer
    for name in ("classes", "recipe", "features", "target", "names", "skipped", "compared"):
        assert getattr(a, name) == getattr(b, name)
    assert (a.extractor is None) == (b.extractor is None)
    if a.extractor is not None and b.extractor is not None:
        a.extractor.require_same(b.extractor, "the other")


def wide() -> Dataset:
    """Return a table of 200 kB."""
    return Dataset(
        ColumnMatrix(np.zeros((500, 50))), np.zeros((1, 500)), (), features=("x",) * 50, target="y"
    )


def course(path: Path, part: str = "train", **changes: Any) -> Path:
    """Write a file of the course. `changes` replaces entries, or leaves them out if the value is None."""
    entries = {
        f"{part}_set_x": PIXELS.reshape(7, 2, 3, 3),
        f"{part}_set_y": np.array([0, 1, 1, 0, 0, 1, 0]),
        "list_classes": np.array([b"non-cat", b"cat"]),
    } | changes
    with h5py.File(path, "w") as file:
        for name, value in entries.items():
            if value is not None:
                file[name] = value
    return path
