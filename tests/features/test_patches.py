"""Patch features: formulas written anew, mirror images, the same bits for any threads and batches, every backend."""

import json
from dataclasses import replace
from typing import Any

import backends
import numpy as np
import pytest
from PIL import Image

from xpnet.backend.backend import Backend, select
from xpnet.errors import ConfigurationError, DtypeError, ShapeError
from xpnet.features import patches
from xpnet.features.patches import (
    PatchFeatures,
    PatchSettings,
    cells,
    fit_patches,
    inner_shape,
    patch_rows,
    pool_cells,
    shrink_weights,
    shrunk,
)
from xpnet.kernels import on_native, on_numpy

SHAPE = (13, 12, 3)
SMALL = PatchSettings(size=4, count=10, grid=3, samples=500, rounds=3)
IMAGES = np.random.default_rng(0).integers(0, 256, (9, int(np.prod(SHAPE))), dtype=np.uint8)


def by_hand(features: PatchFeatures, image: np.ndarray) -> np.ndarray:
    """Return the features of one image, computed patch by patch in float64."""
    settings, picture = features.settings, image.reshape(features.shape).astype(np.float64)
    inside = inner_shape(settings, features.shape)
    if inside != features.shape:
        down, across = (shrink_weights(*side) for side in zip(features.shape, inside[:2], strict=False))
        picture = np.floor(np.einsum("ij,jxc->ixc", down, picture) / 256 + 0.5)
        picture = np.floor(np.einsum("ij,yjc->yic", across, picture) / 256 + 0.5)
    p, grid, a = settings.size, settings.grid, settings.threshold
    down, across = picture.shape[0] - p + 1, picture.shape[1] - p + 1
    z = np.empty((down, across, settings.count))
    for y in range(down):
        for x in range(across):
            patch = picture[y : y + p, x : x + p].ravel()
            patch = patch - patch.mean()
            patch = patch / np.sqrt(np.mean(patch**2) + settings.contrast)
            z[y, x] = patch @ features.filters + features.offsets[0]
    f = np.empty((grid, grid, 2, settings.count))
    for i, (top, bottom) in enumerate(cells(down, grid)):
        for j, (left, right) in enumerate(cells(across, grid)):
            cell = z[top:bottom, left:right].reshape(-1, settings.count)
            f[i, j, 0] = np.sqrt(np.maximum(cell - a, 0).mean(axis=0))
            f[i, j, 1] = np.sqrt(np.maximum(-a - cell, 0).mean(axis=0))
    if settings.mirror:
        half = settings.count // 2
        f = (f[..., :half] + f[:, ::-1, :, half:]) / 2
    more = [by_hand(features.smaller, image)] if features.smaller else []
    return np.concatenate([f.ravel(), *more])


@pytest.mark.parametrize("mirror", [True, False])
def test_features_are_those_of_the_formulas(mirror: bool, backend: Backend) -> None:
    features = fit_patches(IMAGES, SHAPE, PatchSettings(4, 10, 3, mirror=mirror, samples=500, rounds=3))
    found = features.on(backend)(IMAGES)
    assert found.shape == (9, features.count) == (9, 3 * 3 * 2 * (5 if mirror else 10))
    assert found.dtype == np.float32
    # Near 0 the square root enlarges the rounding of what is under it.
    np.testing.assert_allclose(found, [by_hand(features, image) for image in IMAGES], atol=1e-3)


TWO = replace(SMALL, smaller=PatchSettings(3, 8, 2, samples=400, rounds=2, scale=0.6))


def test_a_smaller_copy_adds_features(backend: Backend) -> None:
    features = fit_patches(IMAGES, SHAPE, TWO)
    expected = 3 * 3 * 2 * 5 + 2 * 2 * 2 * 4
    assert expected == features.count
    assert features.smaller is not None
    assert inner_shape(features.smaller.settings, SHAPE) == (8, 7, 3)
    found = features.on(backend)(IMAGES)
    np.testing.assert_allclose(found, [by_hand(features, image) for image in IMAGES], atol=1e-3)
    arrays = features.arrays
    assert set(arrays) == {"filters", "offsets", "smaller.filters", "smaller.offsets"}
    again = PatchFeatures.of(PatchSettings.from_dict(json.loads(json.dumps(TWO.to_dict()))), SHAPE, arrays)
    assert again.on(backend)(IMAGES).tobytes() == found.tobytes()


@pytest.mark.parametrize("left_out", ["filters", "smaller.offsets", "smaller."])
def test_arrays_that_do_not_fit_the_settings_are_refused(left_out: str) -> None:
    arrays = fit_patches(IMAGES, SHAPE, TWO).arrays
    kept = {name: array for name, array in arrays.items() if not name.startswith(left_out)}
    with pytest.raises(ConfigurationError, match="which do not fit the settings"):
        PatchFeatures.of(TWO, SHAPE, kept)
    with pytest.raises(ConfigurationError, match="which do not fit the settings"):
        PatchFeatures.of(SMALL, SHAPE, arrays)


@pytest.mark.parametrize(
    ("length", "smaller"), [(32, 14), (64, 28), (13, 8), (12, 7), (7, 7), (5, 1), (100, 3)]
)
def test_smaller_images_are_averages_in_bytes(length: int, smaller: int) -> None:
    """The weights of each pixel are 256 in all, the same from both ends, and all images stay in range."""
    W = shrink_weights(length, smaller)
    assert W.shape == (smaller, length)
    np.testing.assert_array_equal(W, np.rint(W))
    assert W.min() >= 0
    np.testing.assert_array_equal(W.sum(axis=1), 256)
    np.testing.assert_array_equal(W, W[::-1, ::-1])
    image = np.random.default_rng(0).integers(0, 256, (2, length, length, 3), dtype=np.uint8)
    found = shrunk(image, W, W)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(shrunk(image[:, :, ::-1], W, W), found[:, :, ::-1])
    flat = np.full_like(image, 255)
    assert (shrunk(flat, W, W) == 255).all()
    pillow = Image.fromarray(image[0]).resize((smaller, smaller), Image.Resampling.BILINEAR)
    assert np.abs(np.asarray(pillow, int) - found[0]).max() <= 3


@pytest.mark.parametrize("backend", ["kernels"], indirect=True)
@pytest.mark.parametrize("shape", [(13, 12, 3), (9, 14, 1)])
def test_kernels_for_cuda_give_the_features_of_the_cpu(shape: tuple[int, int, int], backend: Backend) -> None:
    images = IMAGES[:, : int(np.prod(shape))]
    features = fit_patches(images, shape, TWO if shape[2] == 3 else SMALL)
    ours, theirs = features.on(backend)(images), features.on(select("cpu"))(images)
    np.testing.assert_allclose(ours, theirs, atol=1e-3)


def test_a_mirrored_image_has_the_same_features() -> None:
    features = fit_patches(IMAGES, SHAPE, TWO)
    mirrored = np.ascontiguousarray(IMAGES.reshape(-1, *SHAPE)[:, :, ::-1]).reshape(9, -1)
    transform = features.on(select("cpu"))
    np.testing.assert_allclose(transform(IMAGES), transform(mirrored), atol=1e-3)
    p = SMALL.size
    flipped = features.filters.reshape(p, p, 3, -1)[:, ::-1].reshape(p * p * 3, -1)
    np.testing.assert_allclose(features.filters[:, 5:], flipped[:, :5], atol=1e-5)


@pytest.mark.parametrize("count", [1, 2, 5])
def test_the_same_bits_for_any_threads_and_batches(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    first = fit_patches(IMAGES, SHAPE, TWO)
    whole = first.on(select("cpu"))(IMAGES)
    monkeypatch.setattr(patches, "cores", lambda: count)
    again = fit_patches(IMAGES, SHAPE, TWO)
    assert again.filters.tobytes() == first.filters.tobytes()
    transform = again.on(select("cpu"))
    parts = [transform(IMAGES[start : start + 2]) for start in range(0, 9, 2)]
    assert np.concatenate(parts).tobytes() == whole.tobytes()


def test_a_gpu_takes_blocks_of_one_size() -> None:
    fake = backends.make("fake")
    transform = fit_patches(IMAGES, SHAPE, SMALL).on(fake)
    whole = transform(IMAGES)
    assert np.concatenate([transform(IMAGES[:4]), transform(IMAGES[4:])]).tobytes() == whole.tobytes()


@pytest.mark.parametrize("function", [patch_rows.__wrapped__, on_numpy.patch_rows, on_native.patch_rows])
def test_patches_are_rows_columns_channels(function: Any) -> None:
    if function is on_native.patch_rows and on_native.LIBRARY is None:
        pytest.skip("no C compiler")
    images = np.random.default_rng(0).integers(0, 256, (2, 4, 5, 2), dtype=np.uint8)
    images[0, :3, :3] = 255  # without contrast
    rows = function(images, size=3, contrast=1.0)
    assert rows.shape == (2 * 2 * 3, 3 * 3 * 2 + 1)
    assert rows.dtype == np.float32
    patch = images[1, 1:4, 2:5].astype(np.float64).ravel()
    patch -= patch.mean()
    np.testing.assert_allclose(rows[-1, :-1], patch / np.sqrt(np.mean(patch**2) + 1), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(rows[0, :-1], 0)
    assert (rows[:, -1] == 1).all()


@pytest.mark.parametrize("function", [pool_cells.__wrapped__, on_numpy.pool_cells, on_native.pool_cells])
def test_pooling_is_the_mean_beyond_the_threshold(function: Any, dtype: str) -> None:
    if function is on_native.pool_cells and on_native.LIBRARY is None:
        pytest.skip("no C compiler")
    Z = np.random.default_rng(1).normal(0, 1, (2, 5, 7, 3)).astype(dtype)
    rows, columns = cells(5, 2), cells(7, 3)
    assert rows == ((0, 3), (2, 5))
    found = function(Z, threshold=0.25, rows=rows, columns=columns)
    assert found.shape == (2, 2, 3, 2, 3)
    part = Z[:, 2:5, 4:7].astype(np.float64)
    np.testing.assert_allclose(
        found[:, 1, 2, 0], np.maximum(part - 0.25, 0).mean(axis=(1, 2)), rtol=1e-5, atol=1e-6
    )
    np.testing.assert_allclose(
        found[:, 1, 2, 1], np.maximum(-0.25 - part, 0).mean(axis=(1, 2)), rtol=1e-5, atol=1e-6
    )


def test_c_refuses_what_it_cannot_read() -> None:
    assert on_native.patch_rows(np.zeros((1, 8, 8, 3), np.int64), size=3, contrast=1.0) is NotImplemented
    assert (
        on_native.patch_rows(np.zeros((1, 8, 8, 6), np.uint8)[..., ::2], size=3, contrast=1.0)
        is NotImplemented
    )
    assert (
        on_native.patch_rows(np.zeros((1, 200, 200, 3), np.uint8), size=150, contrast=1.0) is NotImplemented
    )


def test_c_refuses_cells_outside_of_the_array() -> None:
    Z = np.zeros((1, 5, 7, 3), np.float32)
    assert on_native.pool_cells(Z, threshold=0.1, rows=((0, 6),), columns=((0, 7),)) is NotImplemented
    assert on_native.pool_cells(Z, threshold=0.1, rows=((0, 5),), columns=((-1, 7),)) is NotImplemented


@pytest.mark.parametrize(("length", "grid"), [(27, 4), (27, 3), (5, 5), (7, 2), (9, 1)])
def test_cells_are_symmetric_and_cover_all(length: int, grid: int) -> None:
    found = cells(length, grid)
    assert {i for first, end in found for i in range(first, end)} == set(range(length))
    assert [(length - end, length - first) for first, end in reversed(found)] == list(found)


def test_whitened_patches_have_unit_covariance() -> None:
    settings = PatchSettings(size=3, count=8, grid=2, samples=20_000, rounds=1, whitening=1e-6, mirror=False)
    rng = np.random.default_rng(0)
    P = patches._sample(IMAGES.reshape(-1, *SHAPE), settings, rng)
    mean, whitening = patches._whitening(P, settings, np.arange(27))
    covariance = np.cov(((P - mean) @ whitening).T.astype(np.float64))
    values = np.linalg.eigvalsh(covariance)
    np.testing.assert_allclose(values[1:], 1, atol=0.02)  # the mean of a patch is 0: one direction is lost


def test_k_means_finds_directions_up_to_sign() -> None:
    rng = np.random.default_rng(3)
    directions = np.linalg.qr(rng.normal(size=(6, 6)))[0][:3]
    which, signs = rng.integers(0, 3, 3000), rng.choice([-1, 1], 3000)
    Z = (directions[which] * signs[:, None] * rng.uniform(1, 2, (3000, 1))).astype(np.float32)
    Z += rng.normal(0, 0.02, Z.shape).astype(np.float32)
    best = max(
        float(
            np.abs(patches._dictionary(Z, 3, 20, np.random.default_rng(seed)) @ directions.T)
            .max(axis=0)
            .min()
        )
        for seed in range(5)
    )
    assert best > 0.99


def test_images_without_contrast_give_finite_features() -> None:
    flat = np.full((3, int(np.prod(SHAPE))), 7, np.uint8)
    found = fit_patches(flat, SHAPE, SMALL).on(select("cpu"))(flat)
    assert np.isfinite(found).all()


@pytest.mark.parametrize(
    "wrong",
    [
        {"size": 0}, {"size": 2.0}, {"count": 0}, {"count": 7}, {"grid": 65}, {"contrast": 0.0}, {"whitening": -1.0},
        {"threshold": float("nan")}, {"mirror": 1}, {"samples": None}, {"rounds": 0}, {"seed": -1}, {"seed": True},
        {"depth": 2}, {"contrast": "1"},
    ],
)  # fmt: skip
def test_settings_that_are_not_possible(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="patches: "):
        PatchSettings.from_dict({**PatchSettings().to_dict(), **wrong})


def test_settings_are_plain_data_and_back() -> None:
    assert PatchSettings.from_dict(SMALL.to_dict()) == SMALL


def test_images_and_arrays_that_do_not_fit_are_refused() -> None:
    features = fit_patches(IMAGES, SHAPE, SMALL)
    transform = features.on(select("cpu"))
    with pytest.raises(ShapeError, match=r"images of shape \(9, 5\), expected \(m, 468\)"):
        transform(IMAGES[:, :5])
    with pytest.raises(DtypeError, match="images are float64, expected uint8"):
        transform(IMAGES * 1.0)
    with pytest.raises(ShapeError, match="images are 5 x 5 pixels, expected at least 6 x 6"):
        fit_patches(IMAGES[:, :75], (5, 5, 3), SMALL)
    with pytest.raises(ShapeError, match="expected"):
        fit_patches(IMAGES, (13, 12, 1), SMALL)
    with pytest.raises(DtypeError, match="uint8"):
        fit_patches(IMAGES * 1.0, SHAPE, SMALL)
    with pytest.raises(ShapeError, match=r"filters has shape \(3, 10\), expected \(48, 10\)"):
        PatchFeatures(SMALL, SHAPE, features.filters[:3], features.offsets)
    with pytest.raises(DtypeError, match="offsets is float64"):
        PatchFeatures(SMALL, SHAPE, features.filters, features.offsets * np.float64(1))
