"""Patch features: how much of each patch of a dictionary is in each part of an image.

Every patch of p x p pixels of an image is brought to the same contrast, whitened, and compared with the K
patches of a dictionary, by products. Of each product z, max(z, a) and min(z, -a) are averaged over the cells
of a grid, and the square root of the averages' size is taken. The dictionary is learned from patches of the
training images, by spherical k-means (Coates and Ng, Learning Feature Representations with K-means, 2012).

The dictionary is closed under mirroring: with each patch it holds its mirror image. So the features of a
mirrored image are those of the image in another order. Their mean is used, which is the same for both images.

Patches of a smaller copy of the image, with a dictionary of their own, show larger parts of it.
"""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from xpnet.arrays import namespace
from xpnet.errors import ConfigurationError, DtypeError, ShapeError
from xpnet.kernels import dispatched, one_for_each_product
from xpnet.processors import cores

if TYPE_CHECKING:
    from collections.abc import Mapping

    from xpnet.arrays import Array
    from xpnet.backend import Backend

BLOCK_IMAGES = {"cpu": 1, "gpu": 64}
"""How many images are transformed at a time, on each kind of device.

All products have this size, so that the digits of an image do not depend on the images beside it. On a CPU
each image is one task of a thread.
"""

SAMPLE_ROWS = 5000
"""How many sampled patches are compared with the dictionary at a time."""

SHRUNK_IMAGES = 256
"""How many images are made smaller at a time, to learn from."""

SMALLER = "smaller."
"""Beginning of the names of the arrays of `PatchFeatures.smaller`."""

FLAT = 1e-3
"""A patch that is shorter than this share of the median length has no contrast: it is not learned from."""


@dataclass(frozen=True)
class PatchSettings:
    """How patch features are made.

    Attributes:
        size: height and width of a patch, in pixels.
        count: number of patches in the dictionary, with their mirror images.
        grid: number of cells along the height, and along the width.
        contrast: added to the variance of a patch, so that patches without contrast stay small.
        whitening: added to the eigenvalues of the patches' covariance.
        threshold: products below this size count as 0.
        mirror: whether an image and its mirror image have the same features. Off for text and digits.
        samples: number of patches to learn from.
        rounds: number of rounds of k-means.
        seed: seed of the sample.
        scale: height and width of the image that patches are taken of, as a share of those of the given one.
        smaller: more features, of another copy of the image; None for no more.

    Raises:
        ConfigurationError: a value is not possible.
    """

    size: int = 6
    count: int = 960
    grid: int = 4
    contrast: float = 10.0
    whitening: float = 0.1
    threshold: float = 0.25
    mirror: bool = True
    samples: int = 100_000
    rounds: int = 10
    seed: int = 0
    scale: float = 1.0
    smaller: PatchSettings | None = None

    def __post_init__(self) -> None:
        for name, most in {
            "size": 64,
            "count": 1 << 16,
            "grid": 64,
            "samples": 1 << 24,
            "rounds": 1000,
        }.items():
            value = getattr(self, name)
            if type(value) is not int or not 1 <= value <= most:
                msg = f"patches: {name} is {value!r}, expected 1 to {most}"
                raise ConfigurationError(msg)
        for name in ("contrast", "whitening", "threshold"):
            value = getattr(self, name)
            if type(value) not in (int, float) or not 0 < value < 1e9:
                msg = f"patches: {name} is {value!r}, expected more than 0"
                raise ConfigurationError(msg)
        if type(self.scale) not in (int, float) or not 0 < self.scale <= 1:
            msg = f"patches: scale is {self.scale!r}, expected more than 0, at most 1"
            raise ConfigurationError(msg)
        if type(self.mirror) is not bool or type(self.seed) is not int or self.seed < 0:
            msg = (
                f"patches: mirror is {self.mirror!r} and seed is {self.seed!r}, "
                "expected true or false, and 0 or more"
            )
            raise ConfigurationError(msg)
        if self.mirror and self.count % 2:
            msg = f"patches: count is {self.count}, expected an even number, because of the mirror images"
            raise ConfigurationError(msg)

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as plain data."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> PatchSettings:
        """Return the settings that `to_dict` gave as plain data.

        Raises:
            ConfigurationError: they are not settings that this version knows.
        """
        try:
            smaller = data.get("smaller")
            return cls(**{**data, "smaller": None if smaller is None else cls.from_dict(smaller)})
        except (AttributeError, RecursionError, TypeError) as error:
            msg = f"patches: not settings that this version knows: {error}"
            raise ConfigurationError(msg) from error


@dataclass(frozen=True, eq=False)
class PatchFeatures:
    """Learned patch features for images of one shape.

    Attributes:
        settings: how they are made.
        shape: of the images, (height, width, channels).
        filters: the whitened dictionary, (size * size * channels, count) float32.
        offsets: what is added to the products with it, (1, count) float32.
        smaller: the features of `settings.smaller`, or None.

    Raises:
        ShapeError: the images are smaller than a patch or than the grid, or an array has another shape.
        DtypeError: an array is not float32.
    """

    settings: PatchSettings
    shape: tuple[int, int, int]
    filters: np.ndarray
    offsets: np.ndarray
    smaller: PatchFeatures | None = None

    def __post_init__(self) -> None:
        _require_shape(self.settings, self.shape)
        expected = {
            "filters": (self.settings.size**2 * self.shape[2], self.settings.count),
            "offsets": (1, self.settings.count),
        }
        for name, shape in expected.items():
            array = getattr(self, name)
            if array.shape != shape:
                msg = f"patches: {name} has shape {array.shape}, expected {shape}"
                raise ShapeError(msg)
            if array.dtype != np.float32:
                msg = f"patches: {name} is {array.dtype}, expected float32"
                raise DtypeError(msg)

    @property
    def n_x(self) -> int:
        """Number of bytes of an image."""
        return int(np.prod(self.shape))

    @property
    def count(self) -> int:
        """Number of features of an image."""
        own = self.settings.grid**2 * 2 * self.settings.count // (2 if self.settings.mirror else 1)
        return own + (self.smaller.count if self.smaller else 0)

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """The arrays by name, to be stored in a file."""
        others = self.smaller.arrays if self.smaller else {}
        named = {f"{SMALLER}{name}": array for name, array in others.items()}
        return {"filters": self.filters, "offsets": self.offsets, **named}

    @classmethod
    def of(
        cls, settings: PatchSettings, shape: tuple[int, int, int], arrays: Mapping[str, np.ndarray]
    ) -> PatchFeatures:
        """Return the features whose arrays `arrays` gave.

        Raises:
            ConfigurationError: there are other arrays than the settings need.
            ShapeError, DtypeError: as for the class.
        """
        smaller = {n.removeprefix(SMALLER): a for n, a in arrays.items() if n.startswith(SMALLER)}
        own = {name: array for name, array in arrays.items() if not name.startswith(SMALLER)}
        if set(own) != {"filters", "offsets"} or bool(smaller) != (settings.smaller is not None):
            found = ", ".join(sorted(arrays)) or "none"
            msg = f"patches: has the arrays {found}, which do not fit the settings"
            raise ConfigurationError(msg)
        more = cls.of(settings.smaller, shape, smaller) if settings.smaller else None
        return cls(settings, shape, smaller=more, **own)

    def on(self, backend: Backend) -> PatchTransform:
        """Return the features on a device, ready for images."""
        return PatchTransform(self, backend)


class PatchTransform:
    """Patch features on a device.

    Args:
        features: the features.
        backend: the device.
    """

    def __init__(self, features: PatchFeatures, backend: Backend) -> None:
        self.features, self._backend = features, backend
        self._block = BLOCK_IMAGES["gpu" if backend.name == "gpu" else "cpu"]
        self._smaller = PatchTransform(features.smaller, backend) if features.smaller else None
        inside = inner_shape(features.settings, features.shape)
        with backend.activate():
            sides = zip(features.shape[:2], inside[:2], strict=True)
            self._shrink = None
            if inside != features.shape:
                self._shrink = [backend.send(shrink_weights(*side)) for side in sides]
            # The offsets are the filters' last row, which is multiplied by 1.
            self._filters = backend.send(np.concatenate([features.filters, features.offsets]))

    def __call__(self, examples: np.ndarray) -> np.ndarray:
        """Return the features of images, (m, count) float32, in host memory.

        Args:
            examples: (m, n_x) uint8: images of the features' shape, one image in each row.

        Raises:
            ShapeError: the images have another number of bytes.
            DtypeError: they are not bytes.
        """
        features, size = self.features, self._block
        _require_images(examples, features.shape)
        found = np.empty((len(examples), features.count), np.float32)

        @np.errstate(all="ignore")
        def work(start: int) -> None:
            found[start : start + size] = self._transformed(examples[start : start + size])

        starts = range(0, len(examples), size)
        threads = min(cores(), len(starts)) if self._backend.name != "gpu" else 1
        if threads < 2:
            with one_for_each_product(), self._backend.activate():
                for start in starts:
                    work(start)
            return found
        with one_for_each_product(), ThreadPoolExecutor(threads) as pool:
            list(pool.map(work, starts))
        return found

    def _transformed(self, examples: np.ndarray) -> np.ndarray:
        """Return the features of at most a block of images."""
        k, backend = len(examples), self._backend
        if k < self._block:
            examples = np.concatenate([examples, np.zeros((self._block - k, self.features.n_x), np.uint8)])
        images = backend.send(examples.reshape(self._block, *self.features.shape))
        return backend.fetch(self._of_block(images))[:k]

    def _of_block(self, given: Array) -> Array:
        """Return the features of a block of images on the device, (block, count)."""
        xp, settings = self._backend.xp, self.features.settings
        images = given if self._shrink is None else shrunk(given, *self._shrink)
        _, height, width, _ = images.shape
        rows = patch_rows(images, size=settings.size, contrast=settings.contrast)
        Z = rows @ self._filters
        down, across = height - settings.size + 1, width - settings.size + 1
        Z = xp.reshape(Z, (self._block, down, across, settings.count))
        pooled = pool_cells(
            Z,
            threshold=settings.threshold,
            rows=cells(down, settings.grid),
            columns=cells(across, settings.grid),
        )
        f = xp.sqrt(pooled)
        if settings.mirror:
            half = settings.count // 2
            f = 0.5 * (f[:, :, :, :, :half] + xp.flip(f, axis=2)[:, :, :, :, half:])
        f = xp.reshape(f, (self._block, -1))
        return f if self._smaller is None else xp.concat([f, self._smaller._of_block(given)], axis=1)  # noqa: SLF001


def cells(length: int, grid: int) -> tuple[tuple[int, int], ...]:
    """Return first and last + 1 of each cell along a side. Cells are symmetric, and may share a line."""
    return tuple((i * length // grid, -(-(i + 1) * length // grid)) for i in range(grid))


@dispatched
def patch_rows(images: Array, *, size: int, contrast: float) -> Array:
    """Return every patch of some images as a row of contrast-normalized numbers.

    Args:
        images: (k, height, width, channels) uint8.
        size: height and width of a patch.
        contrast: added to the variance of a patch.

    Returns:
        (k * (height - size + 1) * (width - size + 1), size * size * channels + 1) float32: of each patch its
        rows, in them its columns, in them the channels; and a 1.
    """
    xp = namespace(images)
    down, across = images.shape[1] - size + 1, images.shape[2] - size + 1
    shifted = [images[:, y : y + down, x : x + across, :] for y in range(size) for x in range(size)]
    rows = xp.astype(xp.concat(shifted, axis=3), xp.float32)
    rows = xp.reshape(rows, (-1, rows.shape[3]))
    rows = rows - xp.mean(rows, axis=1, keepdims=True)
    rows = rows / xp.sqrt(xp.mean(rows * rows, axis=1, keepdims=True) + contrast)
    return xp.concat([rows, xp.ones_like(rows[:, :1])], axis=1)


@dispatched
def pool_cells(
    Z: Array, *, threshold: float, rows: tuple[tuple[int, int], ...], columns: tuple[tuple[int, int], ...]
) -> Array:
    """Return how far Z is above and below a threshold, on average in each cell of a grid.

    Args:
        Z: products (k, down, across, count).
        threshold: a: the averages are of max(Z, a) - a and of -a - min(Z, -a).
        rows: first and last + 1 of each cell, along the height.
        columns: the same along the width.

    Returns:
        (k, len(rows), len(columns), 2, count), not negative: above and below.
    """
    xp = namespace(Z)
    above, below = xp.clip(Z, min=threshold) - threshold, -threshold - xp.clip(Z, max=-threshold)
    parts = [
        xp.stack(
            [xp.mean(each[:, top:bottom, left:right, :], axis=(1, 2)) for each in (above, below)], axis=1
        )
        for top, bottom in rows
        for left, right in columns
    ]
    found = xp.stack(parts, axis=1)
    return xp.reshape(found, (Z.shape[0], len(rows), len(columns), 2, Z.shape[3]))


def fit_patches(
    examples: np.ndarray, shape: tuple[int, int, int], settings: PatchSettings | None = None
) -> PatchFeatures:
    """Learn patch features from images. The same images give the same bytes, with any number of threads.

    Args:
        examples: (m, n_x) uint8, one image in each row.
        shape: of the images, (height, width, channels).
        settings: how the features are made; the defaults if None.

    Raises:
        ShapeError: the images are smaller than a patch or than the grid, or have another number of bytes.
        DtypeError: the images are not bytes.
    """
    settings = settings or PatchSettings()
    _require_shape(settings, shape)
    _require_images(examples, shape)
    smaller = fit_patches(examples, shape, settings.smaller) if settings.smaller else None
    if not len(examples):
        msg = "patches: there are no images to learn from"
        raise ShapeError(msg)
    rng = np.random.default_rng(settings.seed)
    with one_for_each_product():
        P = _sample(_inner_images(examples, shape, settings), settings, rng)
        mirrored = np.arange(P.shape[1]).reshape(settings.size, settings.size, -1)[:, ::-1].ravel()
        mean, whitening = _whitening(P, settings, mirrored)
        Z = (P - mean) @ whitening
        count = settings.count // 2 if settings.mirror else settings.count
        D = _dictionary(Z, count, settings.rounds, rng)
        if settings.mirror:
            D = np.concatenate([D, D[:, mirrored]])
        filters = np.ascontiguousarray(whitening @ D.T)
        return PatchFeatures(settings, shape, filters, -(mean[None] @ filters), smaller)


def inner_shape(settings: PatchSettings, shape: tuple[int, int, int]) -> tuple[int, int, int]:
    """Return the shape of the images that patches are taken of. shape: of the images given."""
    height, width = (max(1, round(settings.scale * side)) for side in shape[:2])
    return height, width, shape[2]


def shrink_weights(length: int, smaller: int) -> np.ndarray:
    """Return weights (smaller, length) that average neighbouring pixels: integers, 256 in each row.

    They are those of linear interpolation over as many pixels as become one, and the same from both ends. As
    sums of bytes times integers, averages are exact in float32, so they are the same on every device.
    """
    scale = length / smaller
    centers = (np.arange(smaller) + 0.5) * scale
    W = np.maximum(0, 1 - np.abs(np.arange(length) + 0.5 - centers[:, None]) / scale)
    W = 256 * W / W.sum(axis=1, keepdims=True)
    whole: np.ndarray = np.rint(W)
    for i in range((smaller + 1) // 2):
        left = int(256 - whole[i].sum())
        if 2 * i + 1 == smaller:  # the row in the middle is the same from both ends
            middle = length // 2
            whole[i, middle] += left if length % 2 else left // 2
            whole[i, length - 1 - middle] += 0 if length % 2 else left // 2
        else:
            order = np.argsort(-np.sign(left) * (W[i] - whole[i]), kind="stable")
            whole[i, order[: abs(left)]] += np.sign(left)
            whole[smaller - 1 - i] = whole[i, ::-1]
    return whole.astype(np.float32)


def shrunk(images: Array, down: Array, across: Array) -> Array:
    """Return images (k, height, width, channels) uint8 with fewer pixels; see `shrink_weights`."""
    xp = namespace(images)
    k, height, width, channels = images.shape

    def rounded(sums: Array) -> Array:
        return xp.floor(sums / 256.0 + 0.5)

    x = xp.reshape(xp.astype(images, xp.float32), (k, height, width * channels))
    x = rounded(xp.matmul(down, x))
    x = xp.reshape(x, (k * down.shape[0], width, channels))
    x = xp.astype(rounded(xp.matmul(across, x)), xp.uint8)
    return xp.reshape(x, (k, down.shape[0], across.shape[0], channels))


def _inner_images(examples: np.ndarray, shape: tuple[int, int, int], settings: PatchSettings) -> np.ndarray:
    """Return the images that patches are taken of, (m, height, width, channels). examples: (m, n_x)."""
    images, inside = examples.reshape(-1, *shape), inner_shape(settings, shape)
    if inside == shape:
        return images
    weights = [shrink_weights(*side) for side in zip(shape[:2], inside[:2], strict=True)]
    found = np.empty((len(images), *inside), np.uint8)
    for start in range(0, len(images), SHRUNK_IMAGES):
        part = slice(start, start + SHRUNK_IMAGES)
        found[part] = shrunk(images[part], *weights)
    return found


def _require_shape(settings: PatchSettings, shape: tuple[int, int, int]) -> None:
    """Raise `ShapeError` if there are less patches along height or width than cells of the grid."""
    if min(inner_shape(settings, shape)[:2]) - settings.size + 1 < settings.grid:
        least = math.ceil((settings.size + settings.grid - 1) / settings.scale)
        msg = (
            f"patches of {settings.size} x {settings.size} pixels on a grid of {settings.grid}: images are "
            f"{shape[1]} x {shape[0]} pixels, expected at least {least} x {least}"
        )
        raise ShapeError(msg)


def _require_images(examples: np.ndarray, shape: tuple[int, int, int]) -> None:
    """Raise an error unless the examples, (m, n_x) uint8, are images of this shape, one in each row."""
    n_x = int(np.prod(shape))
    if examples.ndim != 2 or examples.shape[1] != n_x:
        msg = f"patches: images of shape {examples.shape}, expected (m, {n_x})"
        raise ShapeError(msg)
    if examples.dtype != np.uint8:
        msg = f"patches: images are {examples.dtype}, expected uint8"
        raise DtypeError(msg)


def _sample(images: np.ndarray, settings: PatchSettings, rng: np.random.Generator) -> np.ndarray:
    """Return random patches of the images, contrast-normalized, (samples, d) float32."""
    m, height, width, _ = images.shape
    p, n = settings.size, settings.samples
    which = rng.integers(0, m, n), rng.integers(0, height - p + 1, n), rng.integers(0, width - p + 1, n)
    windows = np.lib.stride_tricks.sliding_window_view(images, (p, p), axis=(1, 2))
    P = windows[which].transpose(0, 2, 3, 1).astype(np.float32).reshape(n, -1)
    P -= P.mean(axis=1, keepdims=True)
    P /= np.sqrt(np.mean(P * P, axis=1, keepdims=True) + np.float32(settings.contrast))
    return P


def _whitening(P: np.ndarray, settings: PatchSettings, mirrored: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean of the patches, (d,), and the matrix (d, d) that whitens them, both float32."""
    mean = P.mean(axis=0, dtype=np.float64)
    covariance = np.zeros((P.shape[1], P.shape[1]))
    for start in range(0, len(P), SAMPLE_ROWS):
        centered = P[start : start + SAMPLE_ROWS] - mean
        covariance += centered.T @ centered
    covariance /= len(P)
    if settings.mirror:  # whitening and mirroring then commute
        mean = (mean + mean[mirrored]) / 2
        covariance = (covariance + covariance[np.ix_(mirrored, mirrored)]) / 2
    values, U = np.linalg.eigh(covariance)
    whitening = (U / np.sqrt(np.maximum(values, 0.0) + settings.whitening)) @ U.T
    return mean.astype(np.float32), whitening.astype(np.float32)


def _dictionary(Z: np.ndarray, count: int, rounds: int, rng: np.random.Generator) -> np.ndarray:
    """Return directions (count, d) of unit length, by spherical k-means up to sign. Z: whitened patches."""
    lengths = np.linalg.norm(Z, axis=1)
    Z = Z[lengths > FLAT * np.median(lengths)]
    if len(Z) < count:  # images without contrast: any directions do
        Z = np.concatenate([Z, rng.standard_normal((count - len(Z), Z.shape[1])).astype(np.float32)])
    D = _unit(Z[rng.choice(len(Z), count, replace=False)])
    starts = range(0, len(Z), SAMPLE_ROWS)

    def sums(start: int) -> np.ndarray:
        z = Z[start : start + SAMPLE_ROWS]
        products = z @ D.T
        nearest = np.abs(products).argmax(axis=1)
        signed = z * np.take_along_axis(products, nearest[:, None], axis=1)
        order = np.argsort(nearest, kind="stable")
        used, first = np.unique(nearest[order], return_index=True)
        found = np.zeros_like(D)
        found[used] = np.add.reduceat(signed[order], first, axis=0)
        return found

    with ThreadPoolExecutor(cores()) as pool:
        for _ in range(rounds):
            total = D
            for part in pool.map(sums, starts):  # in order, so that the sums do not depend on the threads
                total = total + part
            D = _unit(total)
    return D


def _unit(D: np.ndarray) -> np.ndarray:
    """Return rows of length 1. A row of zeros stays."""
    lengths = np.linalg.norm(D, axis=1, keepdims=True)
    unit: np.ndarray = D / np.where(lengths > 0, lengths, 1)
    return unit
