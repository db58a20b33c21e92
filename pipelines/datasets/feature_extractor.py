"""What turns the pixels of images into features: patches or a backbone, as files hold them."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from xpnet.backend import select
from xpnet.data import ColumnMatrix, Standardizer, fit_standardizer
from xpnet.errors import DataError, ModelFileError
from xpnet.features import (
    Backbone,
    PatchFeatures,
    PatchSettings,
    parse_onnx,
    read_onnx,
    require_finite,
    write_backbone,
    write_patches,
)

from .endings import HDF5_SUFFIXES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from xpnet.backend import Backend
    from xpnet.features import OnnxFile, OnnxWriter

CONTENT = "backbone"
"""The name of the array with the bytes of a backbone."""

FOLDERS = "XPNET_BACKBONES"
"""The environment variable with folders of backbones, separated as in PATH."""

BLOCK_IMAGES = 256
"""How many images are turned into features at a time."""

LEAST_DEVIATION = 1e-3
"""The least deviation of a feature that is taken for full, as a share of the median one."""


@dataclass(frozen=True, eq=False)
class FeatureExtractor:
    """What turns the pixels of an image into features: a dictionary of patches, or a backbone.

    Attributes:
        patches: the dictionary; None for a backbone.
        backbone: the network whose embeddings are the features; None for patches.
        content: the bytes of the backbone's file, (1, n) uint8, if they are kept with it; else None.
    """

    patches: PatchFeatures | None = None
    backbone: Backbone | None = None
    content: np.ndarray | None = None

    @property
    def _made_by(self) -> PatchFeatures | Backbone:
        made_by = self.patches or self.backbone
        assert made_by is not None  # noqa: S101  (one of both is given)
        return made_by

    @property
    def count(self) -> int:
        """Number of features of an image."""
        return self._made_by.count

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape of the images, (height, width, channels)."""
        return self._made_by.shape

    @property
    def name(self) -> str:
        """What messages call it."""
        return f"the backbone {self.backbone.name}" if self.backbone else "a dictionary of patches"

    def to_dict(self) -> dict[str, Any]:
        """Return its description as plain data: one entry, "patches" or "backbone"."""
        if self.patches is not None:
            return {"patches": self.patches.settings.to_dict()}
        return {"backbone": self.backbone.to_dict()} if self.backbone else {}

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """The arrays that belong to the description, by name."""
        if self.patches is not None:
            return self.patches.arrays
        return {} if self.content is None else {CONTENT: self.content}

    @classmethod
    def of(
        cls, described: Mapping[str, Any], arrays: Mapping[str, np.ndarray], shape: tuple[int, int, int]
    ) -> FeatureExtractor | None:
        """Return the extractor of a description and arrays, or None if there is none.

        Args:
            described: what `to_dict` returned, perhaps with other entries.
            arrays: what `arrays` returned.
            shape: of the images, (height, width, channels).

        Raises:
            DataError, ConfigurationError, ShapeError, DtypeError: they are damaged, or do not fit each other.
        """
        patches, backbone = described.get("patches"), described.get("backbone")
        if backbone is not None:
            if not isinstance(backbone, dict) or not set(arrays) <= {CONTENT}:
                names = ", ".join(sorted(arrays)) or "none"
                kind = type(backbone).__name__
                msg = f"its backbone is {kind} with the arrays {names}, expected a description"
                raise DataError(msg)
            found = cls(backbone=Backbone.from_dict(backbone), content=arrays.get(CONTENT))
            if found.shape != shape:
                msg = f"its backbone takes images {found.shape}, and its recipe gives {shape}"
                raise DataError(msg)
            return found
        if patches is None and not arrays:
            return None
        if not isinstance(patches, dict):
            msg = f"its patches are {patches!r}, expected settings"
            raise DataError(msg)
        return cls(patches=PatchFeatures.of(PatchSettings.from_dict(patches), shape, arrays))

    def require_same(self, other: FeatureExtractor, name: str) -> None:
        """Raise `DataError` unless another extractor gives the same features.

        Args:
            other: the extractor of some data.
            name: the data, for the message.
        """
        mine, others = self.backbone, other.backbone
        if mine is not None and others is not None:
            is_same = replace(others, name=mine.name) == mine
        else:
            is_same = self.to_dict() == other.to_dict() and all(
                np.array_equal(array, other.arrays[key]) for key, array in self.arrays.items()
            )
        if not is_same:
            expected = f"those by {self.name}" if self.name != other.name else "those by another one"
            msg = (
                f"{name}: holds features by {other.name}, expected {expected}: make them by xpnet preprocess "
                "with --features FILE, where FILE is the model, or the data file that it was trained on"
            )
            raise DataError(msg)

    def backbone_file(self, path: str | None = None, folders: Iterable[str] = ()) -> OnnxFile | None:
        """Return the file of the backbone, or None if there is no backbone.

        Args:
            path: as for `on`.
            folders: as for `on`.

        Raises:
            ModelFileError: it is missing or damaged, or another one.
        """
        return None if self.backbone is None else find_backbone(self.backbone, self.content, path, folders)

    def write_onnx(self, graph: OnnxWriter, images: str, file: OnnxFile | None) -> str:
        """Add the extractor to the graph of an ONNX file.

        Args:
            graph: the graph.
            images: name of the images, (k, height, width, channels) uint8.
            file: what `backbone_file` returned.

        Returns:
            The name of the features, (k, count) float32.

        Raises:
            UsageError: onnxruntime is not installed, or the backbone takes one image at a time.
            ModelFileError: onnxruntime cannot use the backbone, or the whole would be too large.
        """
        if self.patches is not None:
            return write_patches(graph, images, self.patches)
        assert self.backbone is not None  # noqa: S101  (one of both is given)
        assert file is not None  # noqa: S101  (it is the backbone's)
        return write_backbone(graph, images, self.backbone.on(select("cpu"), file), file)

    def on(self, backend: Backend, path: str | None = None, folders: Iterable[str] = ()) -> Extraction:
        """Return the extractor on a device, ready for images.

        Args:
            backend: the device.
            path: the model file or data file that describes the extractor, or None. A backbone may lie
                beside it.
            folders: more folders that may hold the file of a backbone.

        Raises:
            ModelFileError: the file of the backbone is missing or damaged, or another one.
            UsageError, DeviceError: onnxruntime is not installed, or cannot use the device.
        """
        file = self.backbone_file(path, folders)
        if self.backbone is not None and file is not None:
            return Extraction(self, self.backbone.on(backend, file))
        assert self.patches is not None  # noqa: S101  (one of both is given)
        return Extraction(self, self.patches.on(backend))


@dataclass(frozen=True, eq=False)
class Extraction:
    """A feature extractor on a device.

    Attributes:
        extractor: the extractor.
        transform: turns images (k, n_x) uint8 into features (k, count) float32, in host memory.
    """

    extractor: FeatureExtractor
    transform: Callable[[np.ndarray], np.ndarray]

    def blocks(
        self, images: np.ndarray, on_progress: Callable[[int, int], object] | None = None
    ) -> Iterator[np.ndarray]:
        """Yield the features of images (m, n_x) uint8, in order, in blocks (k, count) float32.

        Raises:
            DataError: a feature is a NaN or an infinity.
        """
        for start in range(0, len(images), BLOCK_IMAGES):
            part = images[start : start + BLOCK_IMAGES]
            yield self.checked(self.transform(part))
            if on_progress is not None:
                on_progress(start + len(part), len(images))

    def checked(self, features: np.ndarray) -> np.ndarray:
        """Return features (m, count), or raise `DataError` if one of them is a NaN or an infinity."""
        if self.extractor.backbone is not None:  # patches always give finite numbers
            require_finite(features, self.extractor.backbone.name)
        return features


def standardized_features(features: np.ndarray) -> ColumnMatrix:
    """Return features (m, n) with their standardization."""
    data = ColumnMatrix(features)
    return data.standardized_as(features_standardizer(data))


def features_standardizer(data: ColumnMatrix) -> Standardizer:
    """Return the standardization of features: those that hardly differ between examples are not enlarged."""
    found = fit_standardizer(data.blocks(), "feature")
    most = 1.0 / (LEAST_DEVIATION * float(np.median(1.0 / found.scale)))
    return replace(found, scale=np.minimum(found.scale, most))


def find_backbone(
    backbone: Backbone, content: np.ndarray | None, path: str | None, folders: Iterable[str]
) -> OnnxFile:
    """Return the file of a backbone.

    Args:
        backbone: the backbone.
        content: its bytes, if they are kept with its description.
        path: the model file or data file that describes it, or None.
        folders: more folders that may hold it.

    Raises:
        ModelFileError: it is missing or damaged, or there is only another network of that name.
    """
    name = path or "the model"
    if content is not None:
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
    kind = "data file" if name.lower().endswith(HDF5_SUFFIXES) else "model file"
    msg = (
        f"{name}: its backbone {backbone.name} ({backbone.size} bytes, SHA-256 {backbone.sha256[:12]}...) "
        f"is missing: put it beside the {kind}, or into a folder that {FOLDERS} names"
    )
    raise ModelFileError(msg)


def _folders(path: str | None, folders: Iterable[str]) -> Iterator[str]:
    """Yield where a backbone may be."""
    if path is not None:
        yield os.path.dirname(path)
    yield from folders
    yield ""  # the working directory
    yield from filter(None, os.environ.get(FOLDERS, "").split(os.pathsep))
