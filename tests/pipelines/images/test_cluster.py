"""A cluster of real processes: the same results as here, whatever happens to workers and scheduler."""

import contextlib
import io
import itertools
import json
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
import processes
import pytest
from pictures import draw_many, save_model

from xpnet.backend.backend import select
from xpnet.errors import UsageError, WorkerError
from xpnet.pipelines.datasets import DataOptions, read_data_file, write_data
from xpnet.pipelines.images import cluster as cluster_file
from xpnet.pipelines.images.cluster import Cluster
from xpnet.pipelines.images.cluster_worker import Needs, facts_of, work
from xpnet.pipelines.images.decode_many import DecodeTask, decode_all, open_decoders
from xpnet.pipelines.images.recipe import Recipe
from xpnet.pipelines.images.worker import DIED
from xpnet.pipelines.images.workers import Workers
from xpnet.pipelines.models.model import load
from xpnet.pipelines.models.row_options import RowOptions
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


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster_file, "PART_IMAGES", 16)


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Return the paths of 150 images, of which three are damaged, and of one that is missing."""
    folder = draw_many(tmp_path_factory.mktemp("many") / "images", 150, damaged=(3, 64, 149))
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
    relative = [Path(path).name for path in many]
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


def test_labelled_images_and_data_files_are_the_same(
    cluster: Cluster, model: Path, classes: Path, tmp_path: Path
) -> None:
    loaded = load(str(model))
    here, there = (loaded.open_data(classes, workers=workers) for workers in (1, cluster))
    assert loaded.evaluate_dataset(there, CPU).metrics == loaded.evaluate_dataset(here, CPU).metrics
    for name, workers in (("here.h5", 1), ("there.h5", cluster)):
        write_data(str(classes), str(tmp_path / name), DataOptions(RECIPE, workers=workers))
    made, wanted = (read_data_file(str(tmp_path / name)) for name in ("there.h5", "here.h5"))
    np.testing.assert_array_equal(made.data.examples, wanted.data.examples)
    assert (made.classes, made.recipe, made.recipe.libraries) == (
        wanted.classes, wanted.recipe, wanted.recipe.libraries
    )  # fmt: skip


def test_the_command_takes_a_cluster_and_says_nothing_of_it(model: Path, classes: Path) -> None:
    distributed.Status("running")
    arguments = ["predict", str(model), str(classes), "--no-progress"]
    done = processes.xpnet(*arguments, "--cluster", "local:1")
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout == processes.xpnet(*arguments).stdout


# Workers that end


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let few workers end before an image is blamed: each takes a second to start again."""
    monkeypatch.setattr(cluster_file, "ATTEMPTS", 1)
    monkeypatch.setattr(cluster_file, "PART_IMAGES", 4)


@pytest.mark.usefixtures("impatient")
@pytest.mark.filterwarnings("ignore:a worker of the cluster was killed")
def test_an_image_that_ends_its_worker_costs_its_own_row(
    cluster: Cluster, model: Path, many: list[str]
) -> None:
    given = [Deadly(path) if i == 9 else path for i, path in enumerate(many[:20])]
    with Workers(1) as workers:
        want = rows_of(model, given, workers)
    assert want.count(DIED.encode()) == 1
    assert rows_of(model, given, cluster) == want


@pytest.mark.usefixtures("impatient")
@pytest.mark.filterwarnings("ignore:a worker of the cluster was killed")
def test_an_image_that_ends_its_worker_costs_its_own_column(cluster: Cluster, many: list[str]) -> None:
    parts = list(decode_all([many[0], Deadly(many[1]), many[2]], RECIPE, cluster))
    assert [path for part in parts for path in part.paths] == many[:3]
    assert [error for part in parts for error in part.errors] == ["", DIED, ""]


@pytest.mark.filterwarnings("ignore:a worker of the cluster was killed")
def test_killed_workers_lose_no_row(cluster: Cluster, model: Path, many: list[str]) -> None:
    want, before = rows_of(model, many, 1), pids(cluster)

    def kill(counts: Any) -> None:
        if counts.total == 32:
            for pid in pids(cluster):
                os.kill(pid, signal.SIGKILL)

    assert rows_of(model, many, cluster, on_progress=kill) == want
    assert set(before).isdisjoint(pids(cluster))


class Fake(Cluster):
    """A cluster without processes. Each part with a guilty input is blamed, and `unlucky` times another one."""

    def __init__(self, guilty: set[str], unlucky: int = 0) -> None:
        self._is_told, self._facts = True, {DecodeTask(RECIPE).needs: ()}
        self._guilty, self._unlucky, self.sizes = guilty, unlucky, list[int]()

    def _send(self, task: Any, paths: list[str], first: int) -> Any:
        self.sizes.append(len(paths))
        return cluster_file._Sent(paths, first, None)

    def _result(self, sent: Any) -> Any:
        if self._guilty & set(sent.paths):
            raise cluster_file._KilledError
        if self._unlucky:
            self._unlucky -= 1
            raise cluster_file._KilledError
        return list(enumerate(sent.paths, sent.first))

    def _wait(self, sent: Any) -> None:
        pass

    def _workers(self) -> int:
        return 2


class Lost:
    needs = DecodeTask(RECIPE).needs

    def lost(self, path: str, first: int) -> list[tuple[int, str]]:
        return [(first, f"lost {path}")]


@pytest.mark.parametrize("guilty", ["", "0", "7", "3 4", "0 1 2 3 4 5 6 7 8 9 10 11 12", "5 12"])
@pytest.mark.parametrize("unlucky", [0, cluster_file.ATTEMPTS - 1])
def test_each_guilty_input_is_found_and_no_other(guilty: str, unlucky: int) -> None:
    culprits = set(guilty.split())
    found = list(Fake(culprits, unlucky).map(Lost(), map(str, range(13)), 5))  # type: ignore[type-var]
    want = [(i, f"lost {i}" if str(i) in culprits else str(i)) for i in range(13)]
    assert list(itertools.chain.from_iterable(found)) == want


def test_a_guilty_input_is_found_by_halving() -> None:
    fake = Fake({"300"})
    list(fake.map(Lost(), map(str, range(512)), 512))  # type: ignore[type-var]
    assert len(fake.sizes) <= 2 + 2 * 9 + cluster_file.ATTEMPTS


# Workers that are not as this process


@pytest.fixture
def again(cluster: Cluster) -> Iterator[Cluster]:
    """Return another connection, by the address of the scheduler. It has not asked the workers anything."""
    with Cluster(cluster._client.scheduler.address) as opened:
        opened._client.wait_for_workers(2, timeout=60)  # another test may have ended one
        yield opened


def test_another_version_on_a_worker_is_an_error(again: Cluster, model: Path, many: list[str]) -> None:
    # All of Pillow is loaded first: a worker that was started again has not, and another version is refused.
    asked_again = "from xpnet.pipelines.images.libraries import decoding_libraries as d; d.cache_clear(); "
    on_workers(again, f"{asked_again} import PIL; PIL.kept, PIL.__version__ = PIL.__version__, '1.2.3'")
    told = r"the worker tcp://.* of the cluster has Pillow 1\.2\.3, expected [\d.]+: a cluster needs the same"
    try:
        with pytest.raises(WorkerError, match=told):
            rows_of(model, many, again)
    finally:
        on_workers(again, f"{asked_again} import PIL; PIL.__version__ = PIL.kept")


def test_a_worker_that_joins_later_is_compared_too(many: list[str]) -> None:
    task = DecodeTask(RECIPE)
    with pytest.raises(WorkerError, match=r"^the worker .*:\d+ has xpnet .*, expected 99: a cluster needs"):
        work(task, many[:1], "/", 0, (("xpnet", "99"),))
    work(task, many[:1], "/", 0, tuple(facts_of(task.needs).items()))


def test_workers_without_xpnet_are_an_error(again: Cluster, model: Path, many: list[str]) -> None:
    name = "xpnet.pipelines.images.cluster_worker"
    on_workers(again, f"import sys; sys.kept = sys.modules.pop({name!r}, 0); sys.modules[{name!r}] = None")
    try:
        with pytest.raises(
            WorkerError, match=r"has not this version of xpnet .* install the same environment"
        ):
            rows_of(model, many, again)
        again._facts[DecodeTask(RECIPE).needs] = ()  # as if these workers had joined later
        with pytest.raises(WorkerError, match="a worker of the cluster has not this version of xpnet"):
            list(decode_all(many, RECIPE, again))
    finally:
        on_workers(
            again, f"import sys; sys.modules[{name!r}] = sys.kept; sys.kept or sys.modules.pop({name!r})"
        )


def test_a_worker_with_another_model_file_is_an_error(many: list[str], tmp_path: Path) -> None:
    model = save_model(tmp_path / "model.safetensors")
    needs = Needs("pillow", (str(model),))
    expected = tuple(facts_of(needs).items())
    task = type("Task", (DecodeTask,), {"needs": needs})(RECIPE)
    work(task, many[:1], "/", 0, expected)
    work.__globals__["_require_facts"].cache_clear()
    save_model(model, seed=2)
    with pytest.raises(WorkerError, match=r"has another file as .*model\.safetensors: put it where"):
        work(task, many[:1], "/", 0, expected)
    model.unlink()
    with pytest.raises(WorkerError, match=r"has no file .*model\.safetensors, which this machine has"):
        work(task, many[:1], "/", 0, expected)


def test_inputs_that_workers_do_not_see_are_an_error(
    cluster: Cluster, model: Path, many: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert b"cannot be read: No such file or directory" in rows_of(model, many[-1:], cluster)
    monkeypatch.setattr(cluster_file, "can_see", lambda path: True)  # as if it were on this machine only
    with pytest.raises(WorkerError, match=r"missing\.jpg: the worker .* does not see this file, which this"):
        rows_of(model, many, cluster)
    with pytest.raises(WorkerError, match=r"does not see this file"):
        list(decode_all(many, RECIPE, cluster))


# No more than is needed


def test_inputs_are_read_only_a_little_ahead_and_results_are_released(
    cluster: Cluster, many: list[str]
) -> None:
    read = 0

    def counted() -> Iterator[str]:
        nonlocal read
        for path in itertools.islice(itertools.cycle(many[:3]), 60 * 16):
            read += 1
            yield path

    most = 2 * cluster_file.PARTS_PER_WORKER
    for i, part in enumerate(decode_all(counted(), RECIPE, cluster)):
        assert len(part.paths) == 16
        assert read <= 16 * (i + most + 1)
        assert len(cluster._client.futures) <= most + 1
    assert read == 60 * 16
    for _ in range(100):
        left = cluster._client.run_on_scheduler(lambda dask_scheduler: len(dask_scheduler.tasks))
        if not left and not cluster._client.futures:
            break
        time.sleep(0.05)
    assert not left


# Clusters that are not there


@pytest.mark.parametrize(
    "address", ["", "local:0", "local:x", "local:-1", "10.0.0.1:8786", "tcp://nowhere", "tpc://127.0.0.1:1"]
)
def test_an_address_that_is_none_is_refused(address: str) -> None:
    distributed.Status("running")
    with pytest.raises(UsageError, match=r"--cluster is '.*', expected "), Cluster(address):
        pass


def test_no_scheduler_is_an_error_after_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    distributed.Status("running")
    monkeypatch.setattr(cluster_file, "CONNECT_SECONDS", 0.5)
    with pytest.raises(WorkerError, match="no Dask scheduler answers there"), Cluster("tcp://127.0.0.1:9"):
        pass


@contextlib.contextmanager
def started(*arguments: str) -> Iterator[subprocess.Popen]:
    """Start a scheduler or a worker, as a user does. It is killed at the end of the block."""
    command = [sys.executable, "-m", *arguments]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.filterwarnings("ignore:a worker of the cluster was killed")
def test_a_cluster_that_is_lost_leaves_a_file_to_go_on_with(
    model: Path, many: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    distributed.Status("running")
    output, place = tmp_path / "rows.csv", tmp_path / "scheduler.json"
    scheduler = [
        "distributed.cli.dask_scheduler",
        "--port",
        "0",
        "--no-dashboard",
        "--scheduler-file",
        str(place),
    ]
    worker = ["distributed.cli.dask_worker", "--scheduler-file", str(place), "--no-nanny", "--no-dashboard"]

    def run(kill: subprocess.Popen, address: str) -> None:
        with Cluster(address) as cluster:
            write_predictions(
                load(str(model)), many, CPU, str(output), PROBA, workers=cluster,
                on_progress=lambda counts: counts.total < 100 and kill.kill(),
            )  # fmt: skip

    with started(*scheduler) as first:
        while not place.exists() or not place.read_text().rstrip().endswith("}"):
            time.sleep(0.02)
        address = json.loads(place.read_text())["address"]
        with monkeypatch.context() as patch:
            patch.setattr(cluster_file, "CONNECT_SECONDS", 2)
            with pytest.raises(WorkerError, match="has no workers: start some"):
                run(first, address)
        with started(*worker, "--nthreads", "1") as lonely, monkeypatch.context() as patch:
            patch.setattr(cluster_file, "ABSENT_SECONDS", 1)
            with pytest.raises(WorkerError, match="has had no workers for 1 s: start some, and this"):
                run(lonely, address)
        with (
            started(*worker, "--nthreads", "2"),
            pytest.warns(UserWarning, match="have several threads, and use one at a time"),
            pytest.raises(WorkerError, match="the scheduler of the cluster was lost: start one, and"),
        ):
            run(first, address)
    assert not output.exists()
    done: list[int] = []
    write_predictions(load(str(model)), many, CPU, str(output), PROBA, on_resume=done.append)
    assert done[0] >= 32
    assert output.read_bytes() == rows_of(model, many, 1)


def test_a_cluster_or_workers_but_not_both(monkeypatch: pytest.MonkeyPatch) -> None:
    distributed.Status("running")
    with pytest.raises(UsageError, match="give one of the two"):
        open_decoders(2, "local:2")
    monkeypatch.setenv("XPNET_CLUSTER", "local:3")
    here, there = open_decoders(2, None), open_decoders(None, None)
    assert isinstance(here, Workers)
    assert isinstance(there, Cluster)
    assert there.address == "local:3"


def test_without_dask_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(UsageError, match=r"needs Dask: pip install 'xpnet\[cluster\]'"):
        Cluster("local:2")
