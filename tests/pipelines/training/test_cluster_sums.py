"""Full-batch training by a cluster of real processes: the same bytes as here, whatever happens to workers."""

import itertools
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import optional
import pytest
from pictures import draw_classes

import xpnet
from xpnet.data import ColumnMatrix, fit_standardizer
from xpnet.errors import UsageError
from xpnet.linear import PartialSum, partial_sums, sums, tree_sum
from xpnet.pipelines.datasets import DataOptions, Dataset, FileRows, write_data_file
from xpnet.pipelines.images import Recipe
from xpnet.pipelines.images.cluster import Cluster
from xpnet.pipelines.messages import Messages
from xpnet.pipelines.training import cluster_sums
from xpnet.pipelines.training.plan import Plan
from xpnet.pipelines.training.preparation import TrainJob
from xpnet.pipelines.training.sweeps import sweep_job
from xpnet.pipelines.training.trainer import TrainOutcome, train_job

distributed = optional.module("distributed")

PLANS = {
    "descent": {"optimizer": "sgd", "iterations": 7, "learning_rate": 0.1, "l2": 1.0},
    "balanced": {"optimizer": "sgd", "iterations": 5, "class_weight": "balanced"},
    "lbfgs": {"optimizer": "lbfgs", "iterations": 8},
    "float64": {"optimizer": "lbfgs", "iterations": 4, "dtype": "float64"},
}


@pytest.fixture(autouse=True)
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sums, "SHARD_BYTES", 27 * 16)


def pictures(n_classes: int, dtype: str = "uint8", m: int = 300) -> Dataset:
    generator = np.random.default_rng(3)
    Y = generator.integers(0, n_classes, (1, m))
    centers = generator.integers(60, 190, (n_classes, 27))
    examples = generator.normal(centers[Y[0]], 40.0).clip(0, 255).astype(dtype)
    data = ColumnMatrix(examples, fit_standardizer([examples], "feature"))
    return Dataset(data, Y, tuple(map(str, range(n_classes))), Recipe(3, 3) if dtype == "uint8" else None)


def trained(
    data: str | Dataset, plan: dict[str, Any], workers: Any = 1, output: Path | None = None
) -> TrainOutcome:
    job = TrainJob(
        data=data, plan=Plan(features="none", **plan), options=DataOptions(workers=workers), device="cpu",
        output=None if output is None else str(output),
    )  # fmt: skip
    return train_job(job, Messages())


def parameters(outcome: TrainOutcome) -> list[bytes]:
    return [array.tobytes() for array in outcome.saved.parameters.values()]


def test_a_tree_sum_does_not_depend_on_who_adds_what() -> None:
    generator = np.random.default_rng(0)
    for count in (1, 2, 3, 7, 8, 21):
        leaves = [
            PartialSum(0, i, (generator.standard_normal((3, 5)).astype(np.float32),)) for i in range(count)
        ]
        (want,) = tree_sum(leaves)
        np.testing.assert_allclose(want, sum(leaf.sums[0].astype(np.float64) for leaf in leaves), atol=1e-4)
        for workers in range(1, count + 1):
            cuts = [k * count // workers for k in range(workers + 1)]
            made = [partial_sums(leaves[a:b]) for a, b in itertools.pairwise(cuts)]
            (got,) = tree_sum(node for nodes in made for node in nodes)
            np.testing.assert_array_equal(got, want)
            assert all(len(nodes) <= 2 * count.bit_length() for nodes in made)


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("kind", PLANS)
def test_a_cluster_trains_to_the_same_bytes(
    cluster: Cluster, kind: str, n_classes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, called = pictures(n_classes), []
    original = cluster_sums.ClusterSums.__call__
    monkeypatch.setattr(
        cluster_sums.ClusterSums, "__call__", lambda *given: called.append(given) or original(*given)
    )
    here = trained(data, PLANS[kind], output=tmp_path / "here.safetensors")
    assert not called
    there = trained(data, PLANS[kind], cluster, tmp_path / "there.safetensors")
    assert called
    assert here.result.history.costs == there.result.history.costs
    assert (tmp_path / "here.safetensors").read_bytes() == (tmp_path / "there.safetensors").read_bytes()


def test_a_penalty_is_chosen_by_a_cluster_without_sending_examples_again(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, sent = pictures(2, m=64), []
    plan: dict[str, Any] = {"optimizer": "lbfgs", "l2": "auto", "iterations": 1}
    original = cluster_sums.ClusterSums._shard
    monkeypatch.setattr(
        cluster_sums.ClusterSums, "_shard", lambda *given: sent.append(given) or original(*given)
    )
    assert parameters(trained(data, plan, cluster)) == parameters(trained(data, plan))
    assert len(sent) == 6 * 4  # five folds and all examples, of four shards each


def test_floats_and_examples_held_back(cluster: Cluster) -> None:
    data = pictures(2, "float32")
    assert parameters(trained(data, PLANS["descent"])) == parameters(trained(data, PLANS["descent"], cluster))


def test_a_sweep_by_a_cluster_has_the_same_runs(cluster: Cluster) -> None:
    job = TrainJob(
        data=pictures(3), plan=Plan(optimizer="sgd", iterations=4, features="none"), device="cpu",
        options=DataOptions(workers=1), val_split=0.1,
    )  # fmt: skip
    compared = {"learning_rates": [0.1, 0.5], "l2s": [0.0, 3.0]}
    here = sweep_job(job, compared, Messages())
    there = sweep_job(replace(job, options=DataOptions(workers=cluster)), compared, Messages())
    assert here.sweep is not None
    assert there.sweep is not None
    for one, other in zip(here.sweep.runs, there.sweep.runs, strict=True):
        assert one.history.costs == other.history.costs
    assert parameters(here) == parameters(there)


@pytest.fixture
def data_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the path of a data file that is mapped, as large ones are."""
    monkeypatch.setattr("xpnet.pipelines.datasets.hdf5_input.MAPPED_BYTES", 1)
    path = str(tmp_path / "data.h5")
    write_data_file(path, pictures(2))
    return path


def test_workers_map_a_data_file_themselves(
    cluster: Cluster, data_file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = []
    original = cluster_sums.ClusterSums._shard
    monkeypatch.setattr(
        cluster_sums.ClusterSums, "_shard", lambda *given: sent.append(original(*given)) or sent[-1]
    )
    there = trained(data_file, PLANS["descent"], cluster)
    assert parameters(there) == parameters(trained(data_file, PLANS["descent"]))
    assert sent
    assert all(isinstance(shard.rows, FileRows) for shard in sent)
    assert all(shard.size < 27 * 16 for shard in sent)


def test_a_worker_killed_between_two_steps_loses_none(cluster: Cluster, data_file: str) -> None:
    want, killed = trained(data_file, PLANS["descent"]), []
    original = cluster_sums.ClusterSums.__call__

    def kill_one(self: Any, W: Any, b: Any) -> Any:
        if len(killed) < 2:
            killed.append(min(cluster._client.run(os.getpid).values()))
            os.kill(killed[-1], signal.SIGKILL)
        return original(self, W, b)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cluster_sums.ClusterSums, "__call__", kill_one)
        got = trained(data_file, PLANS["descent"], cluster)
    assert len(killed) == 2
    assert got.result.history.costs == want.result.history.costs
    assert parameters(got) == parameters(want)


def test_workers_forget_the_oldest_training() -> None:
    data = pictures(2, m=4)
    shard = cluster_sums.Shard(
        data.data.examples, data.data.standardizer, data.Y.astype(np.float32), None, "sigmoid", "float32"
    )
    W, b = np.ones((1, 27), np.float32), np.zeros((1, 1), np.float32)
    for k in range(cluster_sums.MOST_TRAININGS + 1):
        cluster_sums.keep(f"t{k}", {0: shard}, "cpu")
    assert cluster_sums.add_up("t0", 0, 1, W, b) == cluster_sums.Lacking([0])
    assert not isinstance(cluster_sums.add_up("t1", 0, 1, W, b), cluster_sums.Lacking)
    assert cluster_sums.add_up("t1", 0, 2, W, b) == cluster_sums.Lacking([1])
    for k in range(1, cluster_sums.MOST_TRAININGS + 1):
        cluster_sums.forget(f"t{k}")
    assert cluster_sums.add_up("t1", 0, 1, W, b) == cluster_sums.Lacking([0])


def test_a_cluster_from_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    distributed.Status("running")  # skips if it is missing
    folder = draw_classes(tmp_path / "images", 8)
    monkeypatch.setattr("xpnet.pipelines.images.decode_many.ALONE_SECONDS", 1e6)
    found = []
    for cluster in (None, "local:1"):
        model = xpnet.train(
            folder,
            image_size=3,
            features="none",
            optimizer="sgd",
            iterations=3,
            cluster=cluster,
            device="cpu",
        )
        rows = list(model.predict(folder, cluster=cluster, device="cpu"))
        found.append((rows, model.evaluate(folder, cluster=cluster, device="cpu")))
    assert found[0] == found[1]
    with pytest.raises(UsageError, match="--workers is for processes of this machine"):
        xpnet.train(folder, workers=2, cluster="local:1")
