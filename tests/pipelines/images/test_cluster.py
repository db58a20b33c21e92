"""A cluster of real processes: the same results as here, whatever happens to workers and scheduler."""

import contextlib
import io
import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import optional
import pytest
from image_files import decoded_colors
from pictures import draw_many, save_model

from xpnet.backend.backend import select
from xpnet.errors import UsageError, WorkerError
from xpnet.pipelines.images import cluster as cluster_file
from xpnet.pipelines.images.cluster import Cluster
from xpnet.pipelines.images.cluster_worker import Needs, facts_of, work
from xpnet.pipelines.images.decode_many import DecodeTask, decode_all, open_decoders
from xpnet.pipelines.images.recipe import Recipe
from xpnet.pipelines.images.worker import DIED
from xpnet.pipelines.images.workers import Workers
from xpnet.pipelines.models.model import load
from xpnet.pipelines.models.prediction import RowOptions
from xpnet.pipelines.predictions.predict import write_predictions
from xpnet.pipelines.predictions.retry import retry_errors

distributed = optional.module("distributed")

CPU = select("cpu")
RECIPE = Recipe(8, 8)
PROBA = RowOptions(proba=True)


class Deadly(str):
    """A path that ends the worker which receives it, like a decoder that crashes."""

    __slots__ = ()

    def __reduce__(self) -> tuple[Callable[[int], object], tuple[int]]:
        return os._exit, (3,)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    distributed.versions.get_versions()  # skips if it is missing
    with Cluster("local:2") as opened:
        yield opened


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster_file, "PART_IMAGES", 16)


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Return the paths of 150 images, of which three are damaged, and of one that is missing."""
    folder = draw_many(tmp_path_factory.mktemp("many") / "images", 150)
    for i in (3, 64, 149):
        path = folder / f"{i:06}.jpg"
        path.unlink()
        path.write_bytes(b"no image")
    return [*sorted(map(str, folder.iterdir())), str(folder / "missing.jpg")]


def rows_of(model: Path, paths: list[str], workers: Any, **more: Any) -> bytes:
    stdout = io.BytesIO()
    write_predictions(load(str(model)), iter(paths), CPU, stdout, PROBA, workers=workers, **more)
    return stdout.getvalue()


def on_workers(cluster: Cluster, code: str) -> None:
    """Run code in each worker. It needs no module of the tests."""
    cluster._client.run(exec, code)


def pids(cluster: Cluster) -> list[int]:
    return sorted(cluster._client.run(os.getpid).values())


# The same results


def test_columns_are_those_of_this_process(cluster: Cluster, many: list[str]) -> None:
    (here,) = decode_all(many, RECIPE, 1, 1000)
    parts = list(decode_all(many, RECIPE, cluster))
    assert len(parts) == 10
    assert [path for part in parts for path in part.paths] == many
    np.testing.assert_array_equal(np.concatenate([part.columns for part in parts]), here.columns)
    assert [error for part in parts for error in part.errors] == here.errors
    assert [count for part in parts for count in part.frames] == here.frames
    assert parts[0].libraries == here.libraries


@pytest.mark.parametrize("format", ["csv", "jsonl"])
def test_predictions_have_the_same_bytes(cluster: Cluster, model: Path, many: list[str], format: str) -> None:
    with Workers(2) as workers:
        want = rows_of(model, many, workers, format=format)
    assert rows_of(model, many, cluster, format=format) == want


def test_relative_paths_are_relative_to_this_process(
    cluster: Cluster, model: Path, many: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(Path(many[0]).parent)
    relative = [os.path.basename(path) for path in many]
    assert rows_of(model, relative, cluster) == rows_of(model, relative, 1)
    copied = tmp_path / "copy.safetensors"
    copied.write_bytes(model.read_bytes())
    monkeypatch.chdir(tmp_path)
    assert rows_of(Path("copy.safetensors"), many, cluster) == rows_of(model, many, 1)


def test_a_local_run_goes_on_on_a_cluster_and_back(
    cluster: Cluster, model: Path, many: list[str], tmp_path: Path
) -> None:
    output, done = tmp_path / "rows.csv", []

    def run(workers: Any, stop_after: int) -> None:
        def stop(counts: Any) -> None:
            if counts.total > stop_after:
                raise KeyboardInterrupt

        with contextlib.suppress(KeyboardInterrupt):
            write_predictions(
                load(str(model)), many, CPU, str(output), PROBA, workers=workers, batch_size=10,
                on_resume=done.append, on_progress=stop,
            )  # fmt: skip

    run(1, 0)
    run(cluster, 30)
    run(1, 1000)
    assert done == [10, 42]  # 10 + 16 + 16
    assert output.read_bytes() == rows_of(model, many, 1)


def test_inputs_that_failed_are_done_again(cluster: Cluster, model: Path, tmp_path: Path) -> None:
    folder = draw_many(tmp_path / "images", 20)
    paths = sorted(map(str, folder.iterdir()))
    whole, damaged = rows_of(model, paths, 1), Path(paths[9])
    content = damaged.read_bytes()
    damaged.unlink()
    damaged.write_bytes(b"no image")
    output = tmp_path / "rows.csv"
    write_predictions(load(str(model)), paths, CPU, str(output), PROBA, workers=cluster)
    assert output.read_bytes() != whole
    damaged.write_bytes(content)
    retry_errors(load(str(model)), paths, CPU, str(output), PROBA, workers=cluster)
    assert output.read_bytes() == whole


# Workers that end


@pytest.mark.filterwarnings("ignore:a worker of the cluster was killed")
@pytest.mark.parametrize("places", [[0], [37, 38]])
def test_an_image_that_ends_its_worker_costs_its_own_row(
    cluster: Cluster, model: Path, many: list[str], places: list[int]
) -> None:
    given = [Deadly(path) if i in places else path for i, path in enumerate(many[:50])]
    with Workers(1) as workers:
        want = rows_of(model, given, workers)
    assert want.count(DIED.encode()) == len(places)
    assert rows_of(model, given, cluster) == want


@pytest.mark.filterwarnings("ignore:a worker of the cluster was killed")
def test_an_image_that_ends_its_worker_costs_its_own_column(cluster: Cluster, many: list[str]) -> None:
    given = [Deadly(path) if i == 21 else path for i, path in enumerate(many[:40])]
    parts = list(decode_all(given, RECIPE, cluster))
    assert [path for part in parts for path in part.paths] == given
    failed = {path: error for part in parts for path, error in zip(part.paths, part.errors, strict=True) if error}
    assert list(failed) == [many[3], given[21]]
    assert failed[given[21]] == DIED


@pytest.mark.filterwarnings("ignore:a worker of the cluster was killed")
def test_killed_workers_lose_no_row(cluster: Cluster, model: Path, many: list[str]) -> None:
    want, before = rows_of(model, many * 2, 1), pids(cluster)

    def kill(counts: Any) -> None:
        if counts.total in (16, 160):
            for pid in pids(cluster)[: 1 if counts.total == 16 else 2]:
                os.kill(pid, signal.SIGKILL)

    assert rows_of(model, many * 2, cluster, on_progress=kill) == want
    assert set(before).isdisjoint(pids(cluster))
