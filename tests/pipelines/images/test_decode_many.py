"""Decode many images in several processes: order, errors, memory, and processes that die or do not start."""

import itertools
import multiprocessing
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from xpnet.errors import UsageError, WorkerError
from xpnet.pipelines.images import decode_many, recipe
from xpnet.pipelines.images.decode_many import (
    TASKS_PER_WORKER,
    DecodedImages,
    decode_all,
    decode_chunk,
    workers_for,
)
from xpnet.pipelines.images.recipe import Recipe

RECIPE = Recipe(2, 3)
DIED = "decoding it ended its process"
MISSING = "cannot be read: No such file or directory"


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start workers at once, and let them decode everything."""
    monkeypatch.setattr(decode_many, "ALONE_SECONDS", -1.0)
    monkeypatch.setattr(decode_many, "CHUNKS_DURING_START", 0)


class Inline(Executor):
    """A pool without processes. A path with "deadly" in it breaks it, as if a worker died.

    All tasks submitted later fail too. With `at_once`, the next submission already raises the error.
    """

    def __init__(self, at_once: bool) -> None:
        self.at_once = at_once
        self.is_broken = False
        self.is_shut = False

    def submit(self, function, /, *arguments):  # type: ignore[no-untyped-def,override]
        assert not self.is_shut
        if self.is_broken and self.at_once:
            raise BrokenProcessPool
        self.is_broken |= any("deadly" in path for path in (arguments[0] if arguments else []))
        future: Future[object] = Future()
        if self.is_broken:
            future.set_exception(BrokenProcessPool())
        else:
            future.set_result(function(*arguments))
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        self.is_shut = True


class Deadly(str):
    """A path that ends the worker it is sent to, like a decoder that crashes."""

    __slots__ = ()

    def __reduce__(self) -> tuple[Callable[[int], object], tuple[int]]:
        return os._exit, (3,)


@pytest.fixture(params=[False, True], ids=["found at the result", "found at the next submission"])
def pools(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> list[Inline]:
    """Replace the pools by pools without processes; return the list of those made so far."""
    made: list[Inline] = []

    def pool(workers: int) -> Inline:
        made.append(Inline(request.param))
        return made[-1]

    monkeypatch.setattr(decode_many, "_pool", pool)
    return made


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Return the paths of images of one color each: image i has color i."""
    folder = tmp_path_factory.mktemp("decoding")
    for i in range(40):
        Image.new("RGB", (2, 2), (i, i, i)).save(folder / f"{i}.png")
    return [str(folder / f"{i}.png") for i in range(40)]


def join_parts(parts: Iterator[DecodedImages]) -> DecodedImages:
    found = list(parts)
    return DecodedImages(
        list(itertools.chain.from_iterable(part.paths for part in found)),
        np.concatenate([part.columns for part in found]),
        list(itertools.chain.from_iterable(part.errors for part in found)),
    )


def colors(decoded: DecodedImages) -> list[int]:
    """Return the color of each column."""
    assert decoded.columns.dtype == np.uint8
    np.testing.assert_array_equal(decoded.columns, decoded.columns[:, :1].repeat(RECIPE.n_x, axis=1))
    return [int(color) for color in decoded.columns[:, 0]]


# Parts


def test_a_chunk_has_a_row_for_each_path(paths: list[str]) -> None:
    decoded = decode_chunk([paths[7], "/gone", paths[3]], RECIPE)
    assert decoded.paths == [paths[7], "/gone", paths[3]]
    assert decoded.columns.shape == (3, RECIPE.n_x)
    assert colors(decoded) == [7, 0, 3]
    assert decoded.errors == ["", MISSING, ""]


@pytest.mark.parametrize("workers", [1, 2, 5])
@pytest.mark.parametrize("size", [1, 3, 8, 40, 64])
def test_order_is_kept(paths: list[str], workers: int, size: int, pools: list[Inline]) -> None:
    parts = list(decode_all(iter(paths), RECIPE, workers, size))
    assert [len(part.paths) for part in parts[:-1]] == [size] * (len(parts) - 1)
    assert 1 <= len(parts[-1].paths) <= size
    decoded = join_parts(iter(parts))
    assert decoded.paths == paths
    assert colors(decoded) == list(range(40))
    assert decoded.errors == [""] * 40
    assert len(pools) == (workers > 1)
    assert all(pool.is_shut for pool in pools)


@pytest.mark.parametrize("workers", [1, 2])
def test_errors_are_at_their_place(paths: list[str], workers: int, pools: list[Inline]) -> None:
    given = list(paths)
    for i in (0, 13, 39):
        given[i] = f"/gone/{i}"
    decoded = join_parts(decode_all(given, RECIPE, workers, 3))
    assert decoded.paths == given
    assert [i for i, error in enumerate(decoded.errors) if error] == [0, 13, 39]
    assert set(decoded.errors) == {"", MISSING}
    assert colors(decoded) == [0, *range(1, 13), 0, *range(14, 39), 0]


@pytest.mark.parametrize("workers", [1, 2])
def test_no_paths_are_no_parts(workers: int) -> None:
    assert list(decode_all([], RECIPE, workers)) == []


def test_this_process_decodes_while_workers_start(
    paths: list[str], pools: list[Inline], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decode_many, "CHUNKS_DURING_START", 5)
    decoded = join_parts(decode_all(paths, RECIPE, 2, 3))
    assert decoded.paths == paths
    assert colors(decoded) == list(range(40))


def test_few_images_start_no_worker(paths: list[str], pools: list[Inline]) -> None:
    decode_many.ALONE_SECONDS = 60.0  # the fixture puts it back
    assert len(list(decode_all(paths, RECIPE, 2, 2))) == 20
    assert pools == []


def test_workers_give_the_same_as_one_process(paths: list[str]) -> None:
    given = [*paths[:11], "/gone", *paths[11:]]
    alone, together = (join_parts(decode_all(given, RECIPE, workers, 3)) for workers in (1, 2))
    assert together.paths == alone.paths == given
    assert together.errors == alone.errors
    np.testing.assert_array_equal(together.columns, alone.columns)
    assert colors(together) == [*range(11), 0, *range(11, 40)]


# Memory


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_paths_are_not_taken_far_ahead(workers: int, pools: list[Inline]) -> None:
    size = 3
    taken: list[str] = []

    def endless() -> Iterator[str]:
        for i in itertools.count():
            taken.append(f"/gone/{i}")
            yield taken[-1]

    parts = decode_all(endless(), RECIPE, workers, size)
    for i in range(30):
        assert next(parts).paths == taken[size * i : size * (i + 1)]
        assert len(taken) <= size * (i + 1 + TASKS_PER_WORKER * workers)
    parts.close()  # type: ignore[attr-defined]
    assert all(pool.is_shut for pool in pools)


def test_an_error_among_the_paths_ends_the_processes(paths: list[str], pools: list[Inline]) -> None:
    def failing() -> Iterator[str]:
        yield from paths[:20]
        msg = "no more"
        raise LookupError(msg)

    with pytest.raises(LookupError, match="no more"):
        list(decode_all(failing(), RECIPE, 2, 2))
    assert [pool.is_shut for pool in pools] == [True]


# Processes that die


@pytest.mark.parametrize("places", [[0], [1], [7], [39], [4, 5], [0, 20, 21, 38], [2, 9, 16, 23, 30, 37]])
@pytest.mark.parametrize("size", [1, 3])
def test_a_process_that_dies_harms_no_neighbours(
    paths: list[str], places: list[int], size: int, pools: list[Inline]
) -> None:
    given = ["/deadly" if i in places else path for i, path in enumerate(paths)]
    decoded = join_parts(decode_all(given, RECIPE, 2, size))
    assert decoded.paths == given
    assert [i for i, error in enumerate(decoded.errors) if error] == places
    assert set(decoded.errors) == {"", DIED}
    assert colors(decoded) == [0 if i in places else i for i in range(40)]
    assert all(pool.is_shut for pool in pools)


def test_a_real_process_that_dies_harms_no_neighbours(paths: list[str]) -> None:
    given = [paths[1], Deadly("deadly"), *paths[2:12]]
    decoded = join_parts(decode_all(given, RECIPE, 2, 2))
    assert decoded.paths == given
    assert decoded.errors == ["", DIED, *[""] * 10]
    assert colors(decoded) == [1, 0, *range(2, 12)]


# Workers that cannot be started

REMEDIES = "if __name__ == .*--workers 1, in Python workers=1"

SCRIPT = """
import sys
from pathlib import Path
from xpnet.pipelines.images import Recipe, decode_all

with open(sys.argv[2], "a") as log:
    print(__name__, file=log)
paths = [str(path) for path in Path(sys.argv[1]).iterdir()] * 60
count = 0
for part in decode_all(paths, Recipe(2, 3), workers=2, chunk_size=8):
    count += len(part.paths)
print("decoded", count)
"""

GUARDED = """
import sys
from pathlib import Path
from xpnet.pipelines.images import Recipe, decode_all

{before}
if __name__ == "__main__":
    paths = [str(path) for path in Path(sys.argv[1]).iterdir()] * 60
    print("decoded", sum(len(part.paths) for part in decode_all(paths, Recipe(2, 3), workers=2)))
"""


def run_script(folder: Path, script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a script, which must end within 30 seconds, with all of its processes."""
    path = folder / "script.py"
    path.write_text(script)
    return subprocess.run(
        [sys.executable, str(path), *arguments], capture_output=True, text=True, check=False, timeout=30
    )


@pytest.fixture(scope="module")
def large_images(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return a folder of 50 images, each of which takes some time: together they are worth workers."""
    folder = tmp_path_factory.mktemp("large")
    for i in range(50):
        Image.new("RGB", (300, 300), (i, i, i)).save(folder / f"{i}.png")
    return str(folder)


def test_a_script_without_a_guard_ends_with_one_clear_error(tmp_path: Path, large_images: str) -> None:
    done = run_script(tmp_path, SCRIPT, large_images, str(tmp_path / "log"))
    assert done.returncode == 1
    assert done.stderr.count("Traceback") == 1, done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("xpnet.errors.WorkerError: the processes that decode images could not be started")
    assert 'if __name__ == "__main__":' in last
    assert "--workers 1, in Python workers=1" in last
    assert "decoded" not in done.stdout
    ran_as = (tmp_path / "log").read_text().split()
    assert ran_as[0] == "__main__"
    assert set(ran_as[1:]) == {"__mp_main__"}
    assert len(ran_as) <= 1 + 2 + 1  # this process, two workers, and one more to find the reason


def test_a_script_with_a_guard_decodes_all(tmp_path: Path, large_images: str) -> None:
    done = run_script(tmp_path, GUARDED.format(before=""), large_images)
    assert (done.returncode, done.stdout) == (0, "decoded 3000\n"), done.stderr


def test_a_script_that_fails_in_the_workers_is_told(tmp_path: Path, large_images: str) -> None:
    before = 'if __name__ == "__mp_main__":\n    raise ImportError("no module for workers")'
    done = run_script(tmp_path, GUARDED.format(before=before), large_images)
    assert done.returncode == 1
    assert "ImportError: no module for workers" in done.stderr
    assert done.stderr.strip().splitlines()[-1].startswith("xpnet.errors.WorkerError: ")
    assert done.stderr.count("WorkerError: ") == 1


def test_a_missing_interpreter_is_told(paths: list[str]) -> None:
    usual = multiprocessing.spawn.get_executable()
    multiprocessing.set_executable("/nowhere/python")
    try:
        with pytest.raises(WorkerError, match="/nowhere/python cannot be executed.*" + REMEDIES):
            list(decode_all(paths, RECIPE, 2, 2))
    finally:
        multiprocessing.set_executable(os.fsdecode(usual))


@pytest.mark.parametrize("error", [OSError(38, "Function not implemented"), ImportError("no semaphores")])
def test_a_system_without_semaphores_is_told(
    error: Exception, paths: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object, **options: object) -> Executor:
        raise error

    monkeypatch.setattr(decode_many, "ProcessPoolExecutor", refuse)
    with pytest.raises(WorkerError, match=f"(Function not implemented|no semaphores).*{REMEDIES}"):
        list(decode_all(paths, RECIPE, 2, 2))


class Dead(Inline):
    """A pool whose workers cannot be started."""

    def submit(self, function, /, *arguments):  # type: ignore[no-untyped-def,override]
        assert not self.is_shut
        if self.at_once:
            raise OSError(11, "Resource temporarily unavailable")
        future: Future[object] = Future()
        future.set_exception(BrokenProcessPool())
        return future


@pytest.mark.parametrize(
    ("submit_fails", "cause"),
    [(True, "Resource temporarily unavailable"), (False, "ended before its first task")],
)
def test_workers_that_end_at_once_are_told(
    submit_fails: bool, cause: str, paths: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pools: list[Dead] = []

    def pool(workers: int) -> Dead:
        pools.append(Dead(submit_fails))
        return pools[-1]

    monkeypatch.setattr(decode_many, "_pool", pool)
    with pytest.raises(WorkerError, match=cause):
        list(decode_all(paths, RECIPE, 2, 2))
    assert len(pools) == 2
    assert all(pool.is_shut for pool in pools)


def test_the_workers_of_others_may_decode(paths: list[str]) -> None:
    """A process of the user's own pool may decode, also with workers of its own."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, spawn) as pool:
        assert pool.submit(decode_in_two, paths).result(timeout=50) == list(range(40))


def decode_in_two(paths: list[str]) -> list[int]:
    decode_many.ALONE_SECONDS = -1.0
    return colors(join_parts(decode_all(paths, RECIPE, 2, 4)))


# Options


@pytest.mark.parametrize("workers", [1, 2])
def test_a_missing_decoder_is_told_before_anything_is_read(
    workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recipe, "find_spec", lambda name: None)
    given = iter(["/gone"] * 100)
    with pytest.raises(UsageError, match="simplejpeg, which is not installed"):
        list(decode_all(given, Recipe(decoder="simplejpeg"), workers, 2))
    assert len(list(given)) == 100


def test_workers_are_as_many_as_asked_for() -> None:
    assert workers_for(1) == 1
    assert workers_for(7) == 7


def test_workers_are_as_many_as_the_cores_of_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 5, 9}, raising=False)
    assert workers_for(None) == 3
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert workers_for(None) == 1
