"""The recipe that a model file stores. It is read before the rest of the file, to begin to decode images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from xpnet.errors import DataError
from xpnet.io import read_description

from ..images import Recipe

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

OF_EXTRACTORS = ("patches", "backbone")
"""Keys of a stored recipe that say how pixels become features: see `FeatureExtractor`."""


def read_recipe(path: str | os.PathLike[str]) -> Recipe | None:
    """Return how an image becomes a column for the model of a file; None for a model of a table.

    Only the beginning of the file is read. This module imports little, so it takes a few milliseconds.

    Raises:
        ModelFileError: the file cannot be read, or is not a model file.
        DataError: the recipe is from a newer version.
    """
    stored = read_description(path, "model").get("recipe")
    try:
        return image_recipe(stored) if isinstance(stored, dict) else None
    except DataError as error:
        msg = f"{path}: {error}"
        raise DataError(msg) from error


def image_recipe(stored: Mapping[str, Any]) -> Recipe | None:
    """Return how an image becomes a column, from the recipe of a model file; None for a table's.

    Raises:
        DataError: the recipe is from a newer version.
    """
    of_images = {key: value for key, value in stored.items() if key not in OF_EXTRACTORS}
    return Recipe.from_dict(of_images) if "decoder" in of_images else None
