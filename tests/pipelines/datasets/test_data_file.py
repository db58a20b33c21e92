"""Data files: what is written comes back unchanged, and the description fits."""

import json
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from data_files import (
    CLASSES,
    LABELS,
    NAMES,
    PIXELS,
    RECIPE,
    SKIPPED,
    extraction,
    features,
    require_equal,
    table,
    written,
)

from xpnet.data.standardize import STANDARDIZATIONS
from xpnet.errors import DataError
from xpnet.pipelines.datasets import data_file, feature_extractor, hdf5_input


@pytest.mark.parametrize("kind", STANDARDIZATIONS)
def test_images_come_back(kind: str, tmp_path: Path) -> None:
    dataset = data_file.read_data_file(written(tmp_path / "d.h5", kind))
    np.testing.assert_array_equal(dataset.data.examples, PIXELS)
    assert dataset.data.examples.dtype == np.uint8
    assert dataset.Y.dtype == np.int64
    assert dataset.Y.tolist() == [LABELS]
    assert dataset.data.standardizer.kind == kind
    assert (dataset.classes, dataset.recipe) == (CLASSES, RECIPE)
    assert (dataset.names, dataset.skipped) == (tuple(NAMES), tuple(SKIPPED))
    data_file.write_data_file(tmp_path / "again.h5", dataset)
    require_equal(data_file.read_data_file(tmp_path / "again.h5"), dataset)


def test_how_images_come_in_blocks_does_not_matter(tmp_path: Path) -> None:
    whole = data_file.read_data_file(written(tmp_path / "whole", "channel", rows=7))
    for rows in (1, 2, 6):
        require_equal(data_file.read_data_file(written(tmp_path / "parts", "channel", rows=rows)), whole)


@pytest.mark.parametrize("m", [1, 300, 5000])
def test_images_are_contiguous_and_can_be_mapped(
    m: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They begin at a page, unless they are fewer bytes than that; and mapped or read, they are the same."""
    pixels = np.random.default_rng(0).integers(0, 256, (m, 18), dtype=np.uint8)
    with data_file.data_file_writer(tmp_path / "d.h5", RECIPE, "unit") as writer:
        for start in range(0, m, 700):
            part = pixels[start : start + 700]
            writer.add(part, [0] * len(part), ["a.png"] * len(part))
        writer.finish(CLASSES, SKIPPED)
    with h5py.File(tmp_path / "d.h5") as file:
        assert file["images"].chunks is None
        np.testing.assert_array_equal(file["images"][:].reshape(m, 18), pixels)
        assert m < 300 or file["images"].id.get_offset() == 4096
    read = data_file.read_data_file(tmp_path / "d.h5").data.examples
    monkeypatch.setattr(hdf5_input, "MAPPED_BYTES", 1)
    mapped = data_file.read_data_file(tmp_path / "d.h5").data.examples
    for examples in (read, mapped):
        assert type(examples) is np.ndarray
        np.testing.assert_array_equal(examples, pixels)
    assert isinstance(mapped.base, np.memmap)
    assert not isinstance(read.base, np.memmap)
    (tmp_path / "d.h5").unlink()  # what is mapped stays
    np.testing.assert_array_equal(mapped, pixels)


def test_files_in_chunks_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As xpnet wrote them before, and as other programs write them."""
    monkeypatch.setattr(hdf5_input, "MAPPED_BYTES", 1)
    written(tmp_path / "d.h5")
    for options in (
        {"chunks": (2, 2, 3, 3)},
        {"chunks": (3, 2, 3, 3), "compression": "gzip"},
        {"dtype": ">u2"},
    ):
        with h5py.File(tmp_path / "d.h5", "r+") as file:
            kept = file["images"][:]
            del file["images"]
            file.create_dataset("images", data=kept, **options)
        if "dtype" in options:
            with pytest.raises(DataError, match="do not fit the description"):
                data_file.read_data_file(tmp_path / "d.h5")
        else:
            np.testing.assert_array_equal(data_file.read_data_file(tmp_path / "d.h5").data.examples, PIXELS)


@pytest.mark.parametrize("kind", STANDARDIZATIONS)
@pytest.mark.parametrize("classes", [(), ("no", "yes")])
def test_tables_come_back(kind: str, classes: tuple[str, ...], tmp_path: Path) -> None:
    dataset = table(kind, classes)
    data_file.write_data_file(tmp_path / "t.h5", dataset)
    require_equal(data_file.read_data_file(tmp_path / "t.h5"), dataset)


def test_features_of_images_come_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = features(tmp_path / "d.h5")
    data_file.write_data_file(tmp_path / "f.h5", dataset)
    require_equal(data_file.read_data_file(tmp_path / "f.h5"), dataset)
    monkeypatch.setattr(hdf5_input, "MAPPED_BYTES", 1)
    mapped = data_file.read_data_file(tmp_path / "f.h5")
    require_equal(mapped, dataset)
    assert isinstance(mapped.data.examples.base, np.memmap)
    with h5py.File(tmp_path / "f.h5") as file:
        assert (file["features"].dtype, file["features"].chunks) == (np.float32, None)
        np.testing.assert_array_equal(file["features"][:], dataset.data.examples)


@pytest.mark.parametrize("rows", [1, 3, 100])
def test_features_are_written_block_by_block(
    rows: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are those that are made in memory, and so is their standardization, to the last digit."""
    expected = features(tmp_path / "d.h5")
    images, done = data_file.read_data_file(tmp_path / "d.h5"), []
    monkeypatch.setattr(feature_extractor, "BLOCK_IMAGES", rows)
    made = extraction()
    sizes: list[int] = []

    def transform(block: np.ndarray) -> np.ndarray:
        sizes.append(len(block))
        return made.transform(block)

    data_file.write_data_file(
        tmp_path / "f.h5",
        replace(images, compared=expected.compared),
        replace(made, transform=transform),
        lambda *counts: done.append(counts),
    )
    require_equal(data_file.read_data_file(tmp_path / "f.h5"), expected)
    assert max(sizes) <= rows
    assert done[-1] == (7, 7)


def test_images_with_numbers_to_predict_come_back(tmp_path: Path) -> None:
    numbers = np.array([[0.25, 1.5, -2.0, 1e-3, 7.75, 0.5, 3.0]])
    dataset = replace(data_file.read_data_file(written(tmp_path / "d.h5")), Y=numbers, classes=())
    data_file.write_data_file(tmp_path / "numbers.h5", dataset)
    require_equal(data_file.read_data_file(tmp_path / "numbers.h5"), dataset)


def test_images_without_names_are_written(tmp_path: Path) -> None:
    dataset = replace(data_file.read_data_file(written(tmp_path / "d.h5")), names=())
    data_file.write_data_file(tmp_path / "e.h5", dataset)
    assert data_file.read_data_file(tmp_path / "e.h5").Y.tolist() == [LABELS]


def test_others_can_read_the_file(tmp_path: Path) -> None:
    with h5py.File(written(tmp_path / "d.h5", "feature")) as file:
        np.testing.assert_array_equal(file["images"], PIXELS.reshape(7, 2, 3, 3))
        assert file["labels"][:].tolist() == LABELS
        assert file["names"].asstr()[:].tolist() == NAMES
        assert json.loads(file["xpnet"][:].tobytes())["classes"] == list(CLASSES)


@pytest.mark.parametrize("kind", ["feature", "channel"])
def test_the_standardization_written_is_numpys(kind: str, tmp_path: Path) -> None:
    pixels = PIXELS.copy()
    pixels[:, 5] = 77
    wide = pixels.astype(np.float64)
    if kind == "feature":
        mean, deviation = wide.mean(axis=0), wide.std(axis=0)
        deviation[5] = 1
    else:
        channels = wide.reshape(-1, 3)
        mean, deviation = np.tile(channels.mean(axis=0), 6), np.tile(channels.std(axis=0), 6)
    with h5py.File(written(tmp_path / "d.h5", kind, pixels)) as file:
        np.testing.assert_allclose(file["mean"][:, 0], mean, rtol=1e-12)
        np.testing.assert_allclose(file["scale"][:, 0], 1 / deviation, rtol=1e-12)


def test_many_skipped_and_long_names_fit(tmp_path: Path) -> None:
    skipped = [(f"{i:06}" * 20, "truncated") for i in range(2000)]
    classes = tuple(f"class {i} " + "x" * 200 for i in range(1000))
    with data_file.data_file_writer(tmp_path / "d.h5", RECIPE, "unit") as writer:
        writer.add(PIXELS, LABELS, NAMES)
        writer.finish(classes, skipped)
    dataset = data_file.read_data_file(tmp_path / "d.h5")
    assert (dataset.classes, dataset.skipped) == (classes, tuple(skipped))


def test_the_description_is_the_datasets(tmp_path: Path) -> None:
    for name, dataset in {
        "features": features(tmp_path / "d.h5"),
        "images": data_file.read_data_file(written(tmp_path / "d.h5", "channel")),
        "classes": table("feature", ("no", "yes")),
        "numbers": table("unit", ()),
    }.items():
        data_file.write_data_file(tmp_path / name, dataset)
        said, expected = (
            data_file.describe_data_file(tmp_path / name),
            json.loads(json.dumps(dataset.describe())),
        )
        assert {key: said[key] for key in expected if expected[key]} == {
            k: v for k, v in expected.items() if v
        }


def test_the_description_has_numbers_and_shapes(tmp_path: Path) -> None:
    said = data_file.describe_data_file(written(tmp_path / "d.h5", "channel"))
    assert (said["m"], said["n_x"], said["shape"], said["dtype"]) == (7, 18, [2, 3, 3], "uint8")
    assert (said["counts"], said["standardize"], said["kind"]) == ([2, 2, 3], "channel", "images")
