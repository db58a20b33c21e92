"""Images and models for the tests of the pipelines."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from xpnet.backend.backend import select
from xpnet.data.standardize import fit_standardizer
from xpnet.io.model_file import SavedModel, write_model_file
from xpnet.nn.network import Layer, Network
from xpnet.nn.parameters import initialize
from xpnet.pipelines.images.recipe import Recipe

COLORS = {"blue": (30, 60, 200), "green": (40, 190, 60), "red": (210, 50, 40)}
CLASSES = tuple(COLORS)


def picture(name: str, seed: int, size: tuple[int, int] = (40, 30)) -> Image.Image:
    """Return an image (width, height) in the color of a class, with noise."""
    noise = np.random.default_rng(seed).normal(0, 40, (size[1], size[0], 3))
    return Image.fromarray(np.clip(np.asarray(COLORS[name]) + noise, 0, 255).astype(np.uint8))


def draw_classes(folder: Path, count: int, seed: int = 0) -> Path:
    """Save `count` images of each class into a subfolder per class; return the folder."""
    for k, name in enumerate(CLASSES):
        (folder / name).mkdir(parents=True)
        for i in range(count):
            picture(name, seed + 1000 * k + i).save(folder / name / f"{i:04}.jpg")
    return folder


def draw_many(folder: Path, count: int, damaged: Sequence[int] = ()) -> Path:
    """Make `count` image files quickly: all but the first 30 are hard links to these. Return the folder.

    damaged: the numbers of files that are no images.
    """
    folder.mkdir(parents=True)
    originals = []
    for i in range(min(count, 30)):
        originals.append(folder / f"{i:06}.jpg")
        picture(CLASSES[i % 3], i).save(originals[-1])
    for i in range(len(originals), count):
        os.link(originals[i % 30], folder / f"{i:06}.jpg")
    for i in damaged:
        path = folder / f"{i:06}.jpg"
        path.unlink()  # others are links to the same file
        path.write_bytes(b"no image")
    return folder


def save_model(path: Path, seed: int = 1, recipe: Recipe | None = None) -> Path:
    """Save a network with its initial parameters, without training; return the path of the model file."""
    recipe = recipe or Recipe(8, 8)
    model = Network(recipe.n_x, 3, "softmax", (Layer.parse("5:tanh"),))
    parameters = initialize(model, select("cpu"), seed=seed)
    views = {name: np.array(view) for name, view in parameters.views.items()}
    write_model_file(path, SavedModel(model, views, fit_standardizer([], "unit"), CLASSES, recipe.to_dict()))
    return path
