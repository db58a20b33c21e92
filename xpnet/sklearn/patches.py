"""Patch features of images, as a transformer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from xpnet.backend import select
from xpnet.errors import DtypeError, ShapeError
from xpnet.features import PatchSettings, fit_patches
from xpnet.sklearn.inputs import draw_seed

if TYPE_CHECKING:
    from sklearn.utils import Tags


class PatchTransformer(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Learns a dictionary of small patches of images; turns images into how much of each patch they hold.

    It needs no labels. A linear classifier of these features answers far more right than one of pixels; see
    `xpnet.features.fit_patches`.

    Args:
        shape: of the images, (height, width, channels) or (height, width), if they are given as rows; None
            if they are given as images.
        count: number of patches in the dictionary, with their mirror images.
        size: height and width of a patch, in pixels.
        grid: number of cells along the height, and along the width, in which patches are counted.
        mirror: whether an image and its mirror image have the same features. Off for text and digits.
        samples: number of patches to learn from.
        random_state: chooses these patches.
        device: see `LogisticRegression`.

    Attributes:
        features_: the features; see `xpnet.features.PatchFeatures`.
        n_features_in_, feature_names_in_: of rows, as in scikit-learn.
    """

    def __init__(
        self,
        shape: tuple[int, ...] | None = None,
        *,
        count: int = 960,
        size: int = 6,
        grid: int = 4,
        mirror: bool = True,
        samples: int = 100_000,
        random_state: Any = None,
        device: str = "cpu",
    ) -> None:
        self.shape = shape
        self.count = count
        self.size = size
        self.grid = grid
        self.mirror = mirror
        self.samples = samples
        self.random_state = random_state
        self.device = device

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn the dictionary.

        Args:
            X: uint8 images, (m, height, width, channels) or (m, height, width); with `shape` rows, (m, n_x).
            y: not used.

        Raises:
            ShapeError, DtypeError: the images cannot be used.
            ConfigurationError: a parameter is out of range.
        """
        del y
        rows, shape = self._read(X, reset=True)
        settings = PatchSettings(
            size=self.size,
            count=self.count,
            grid=self.grid,
            mirror=self.mirror,
            samples=self.samples,
            seed=draw_seed(self.random_state),
        )
        self.features_ = fit_patches(rows, shape, settings)
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Return the features of images, (m, n_features) float32.

        Args:
            X: as for `fit`.

        Raises:
            ShapeError, DtypeError: the images have another shape or dtype than those of `fit`.
            DeviceError: the device cannot be used.
        """
        check_is_fitted(self)
        rows, shape = self._read(X, reset=False)
        if shape != self.features_.shape:
            msg = f"images are {shape}, expected {self.features_.shape}, as those that were fitted to"
            raise ShapeError(msg)
        return self.features_.on(select(self.device))(rows)

    @property
    def _n_features_out(self) -> int:
        return self.features_.count

    def _read(self, X: Any, *, reset: bool) -> tuple[np.ndarray, tuple[int, int, int]]:
        """Return images as rows (m, n_x), and their shape (height, width, channels)."""
        given = self.shape is not None
        images: np.ndarray = validate_data(
            self, X, dtype=None, order="C", reset=reset, ensure_2d=given, allow_nd=not given
        )
        if images.dtype != np.uint8:
            msg = f"images are {images.dtype}, expected uint8: bytes from 0 to 255"
            raise DtypeError(msg)
        shape = images.shape[1:] if self.shape is None else tuple(self.shape)
        if len(shape) not in (2, 3):
            msg = (
                f"X has shape {images.shape}, expected images (m, height, width, channels) or "
                "(m, height, width); for rows, give the shape of the images: shape=(height, width, channels)"
            )
            raise ShapeError(msg)
        height, width, channels = (*shape, 1)[:3]
        return images.reshape(len(images), -1), (int(height), int(width), int(channels))

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False  # not any rows, but those of images
        tags.input_tags.three_d_array = True
        tags.transformer_tags.preserves_dtype = []
        return tags
