"""Patch features by onnxruntime are those of xpnet."""

import numpy as np
import pytest
from optional import module

from xpnet.backend import select
from xpnet.features import (
    Interface,
    OnnxWriter,
    PatchFeatures,
    PatchSettings,
    fit_patches,
    run_onnx,
    write_patches,
)

onnx, checker, runtime = module("onnx"), module("onnx.checker"), module("onnxruntime")

FEW = {"size": 3, "count": 6, "grid": 3, "samples": 300, "rounds": 2}
SMALLER = PatchSettings(**{**FEW, "size": 2, "count": 4, "grid": 2, "scale": 0.4})


def some_images(shape: tuple[int, int, int], count: int = 6) -> np.ndarray:
    """Return noise of different contrast: the first image has one color, the second is white."""
    rng = np.random.default_rng(3)
    contrast = np.array([0, 0, 2, 10, 60, 200])[:count, None, None, None]
    images = np.clip(
        rng.uniform(60, 200, (count, 1, 1, 1)) + contrast * rng.normal(size=(count, *shape)), 0, 255
    )
    images[1] = 255
    return images.astype(np.uint8)


def by_onnx(features: PatchFeatures, images: np.ndarray) -> np.ndarray:
    assert runtime.get_available_providers()
    graph = OnnxWriter()
    found = write_patches(graph, "images", features)
    graph.node("Identity", found, output="features")
    taken = Interface("images", "uint8", ("batch", *features.shape))
    given = Interface("features", "float32", ("batch", features.count))
    content = graph.to_bytes([taken], [given], {}, ("", ""))
    checker.check_model(onnx.load_from_string(content), full_check=True)
    return run_onnx(content, images, 4)


@pytest.mark.parametrize(
    ("shape", "settings"),
    [
        ((13, 11, 3), PatchSettings(**FEW)),
        ((13, 11, 3), PatchSettings(**FEW, mirror=False)),
        ((9, 14, 1), PatchSettings(**FEW, mirror=False, smaller=SMALLER)),
        ((12, 12, 3), PatchSettings(**FEW, smaller=SMALLER)),
        ((11, 15, 3), PatchSettings(**FEW, scale=0.6)),
        ((5, 5, 3), PatchSettings(**{**FEW, "grid": 2, "threshold": 0.01, "contrast": 0.5})),
        ((12, 12, 1), PatchSettings(**{**FEW, "count": 5, "grid": 1}, mirror=False)),
    ],
    ids=["mirror", "plain", "gray-smaller", "smaller", "scaled", "cells-overlap", "odd-count"],
)
def test_features_are_the_same(shape: tuple[int, int, int], settings: PatchSettings) -> None:
    images = some_images(shape)
    features = fit_patches(images.reshape(len(images), -1), shape, settings)
    expected = features.on(select("cpu"))(images.reshape(len(images), -1))
    found = by_onnx(features, images)
    assert found.shape == expected.shape
    assert np.ptp(expected) > 0.1
    np.testing.assert_allclose(found**2, expected**2, atol=2e-6)  # the root enlarges what differs near 0
