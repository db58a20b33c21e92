"""The backbone of a model: find its file, which is in the model file, beside it, or in a known folder."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from xpnet.errors import DataError, ModelFileError
from xpnet.features import Backbone, parse_onnx, read_onnx

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from xpnet.features import OnnxFile
    from xpnet.io import SavedModel

EMBEDDED = "backbone"
"""The name of the array with the bytes of a backbone in a model file."""

FOLDERS = "XPNET_BACKBONES"
"""The environment variable with folders of backbones, separated as in PATH."""


def backbone_of(saved: SavedModel) -> Backbone | None:
    """Return the backbone that a model file describes, or None.

    Raises:
        DataError, ConfigurationError: its description is damaged.
    """
    described = saved.recipe.get("backbone")
    if described is None:
        return None
    if not isinstance(described, dict) or not set(saved.features) <= {EMBEDDED}:
        names = ", ".join(sorted(saved.features)) or "none"
        msg = f"its backbone is {type(described).__name__} with the arrays {names}, expected a description"
        raise DataError(msg)
    return Backbone.from_dict(described)


def find_backbone(
    backbone: Backbone, saved: SavedModel, path: str | None, folders: Iterable[str]
) -> OnnxFile:
    """Return the file of a backbone.

    Args:
        backbone: the backbone.
        saved: the model, whose file may hold the backbone.
        path: the model file, or None.
        folders: more folders that may hold it.

    Raises:
        ModelFileError: it is missing or damaged, or there is only another network of that name.
    """
    name = path or "the model"
    if (content := saved.features.get(EMBEDDED)) is not None:
        file = parse_onnx(f"{name} ({backbone.name} in it)", content.tobytes())
        backbone.require(file)
        return file
    other: ModelFileError | None = None
    for folder in _folders(path, folders):
        place = os.path.join(folder, backbone.name)
        if not os.path.isfile(place):
            continue
        try:
            file = read_onnx(place)
            backbone.require(file)
        except ModelFileError as error:
            other = other or error
        else:
            return file
    if other is not None:
        raise other
    msg = (
        f"{name}: its backbone {backbone.name} ({backbone.size} bytes, SHA-256 {backbone.sha256[:12]}...) "
        f"is missing: put it beside the model file, or into a folder that {FOLDERS} names"
    )
    raise ModelFileError(msg)


def _folders(path: str | None, folders: Iterable[str]) -> Iterator[str]:
    """Yield where a backbone may be."""
    if path is not None:
        yield os.path.dirname(path)
    yield from folders
    yield ""  # the working directory
    yield from filter(None, os.environ.get(FOLDERS, "").split(os.pathsep))
