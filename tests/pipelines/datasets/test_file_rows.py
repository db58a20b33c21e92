"""Rows of a mapped data file on the workers of a cluster, and statistics that they compute."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import optional
import pytest

from xpnet.data import ColumnMatrix, Moments, fit_standardizer
from xpnet.errors import WorkerError
from xpnet.pipelines.datasets import DataOptions, Dataset, FileRows, file_rows, open_data, write_data_file
from xpnet.pipelines.images import Recipe
from xpnet.pipelines.images.cluster import Cluster

distributed = optional.module("distributed")


@pytest.fixture
def data_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the path of a data file of 50 images that is mapped, as large ones are."""
    monkeypatch.setattr("xpnet.pipelines.datasets.hdf5_input.MAPPED_BYTES", 1)
    examples = np.random.default_rng(0).integers(0, 256, (50, 27), dtype=np.uint8)
    path = str(tmp_path / "data.h5")
    data = ColumnMatrix(examples, fit_standardizer([], "unit"))
    write_data_file(path, Dataset(data, np.arange(50)[None] % 2, ("a", "b"), Recipe(3, 3)))
    return path


def test_a_file_that_a_worker_does_not_see(data_file: str, tmp_path: Path) -> None:
    rows = np.memmap(data_file, np.uint8, "r", 0, (4, 27))
    found = FileRows.of(rows)
    assert found is not None
    np.testing.assert_array_equal(found.opened(), rows)
    with pytest.raises(WorkerError, match=r"a worker of the cluster does not see this file \(No such file"):
        replace(found, path=str(tmp_path / "elsewhere.h5")).opened()
    with pytest.raises(WorkerError, match="sees another file at this path: put the data file where all"):
        replace(found, digest="0").opened()
    with pytest.raises(WorkerError, match="sees another file at this path"):
        replace(found, size=12).opened()


@pytest.mark.parametrize("kind", ["feature", "channel"])
def test_a_cluster_computes_the_same_statistics(
    cluster: Cluster, data_file: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = open_data(data_file, DataOptions(standardize=kind)).data.standardizer
    monkeypatch.setattr(file_rows, "PART_BYTES", 27 * 8)
    monkeypatch.setattr(file_rows, "fit_standardizer", None)  # nothing is computed here
    there = open_data(data_file, DataOptions(standardize=kind, workers=cluster)).data.standardizer
    assert there == here
    assert (np.unique(here.mean).size > 3) == (kind == "feature")


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_joined_moments_are_those_of_all_examples(dtype: type) -> None:
    X = np.random.default_rng(1).integers(0, 256, (40, 5)).astype(dtype)
    joined = Moments()
    for start, stop in ((0, 0), (0, 7), (7, 30), (30, 30), (30, 40)):
        part = Moments()
        part.add(X[start:stop])
        joined.join(part)
    assert joined.count == 40
    np.testing.assert_allclose(joined.mean, X.mean(axis=0, dtype=np.float64), rtol=1e-13)
    np.testing.assert_allclose(joined.variance, X.var(axis=0, dtype=np.float64), rtol=1e-12)
