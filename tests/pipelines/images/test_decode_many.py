"""Many images, decoded by several processes: order, errors, memory, and processes that die."""

import itertools
import os
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from concurrent.futures.process import BrokenProcessPool

import numpy as np
import pytest
from PIL import Image

from xpnet.errors import UsageError
from xpnet.pipelines.images import decode_many, recipe
from xpnet.pipelines.images.decode_many import AHEAD, DecodedImages, decode_all, decode_chunk, workers_for
from xpnet.pipelines.images.recipe import Recipe

RECIPE = Recipe(2, 3)
DIED = "decoding it ended its process"
MISSING = "cannot be read: No such file or directory"


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start processes at once, not only when there is much to do, and leave all to them."""
    monkeypatch.setattr(decode_many, "ALONE_SECONDS", -1.0)
    monkeypatch.setattr(decode_many, "MEANWHILE", 0)


class Inline(Executor):
    """A pool without processes, which breaks at a path with "deadly" in it, as one whose process dies.

    Then what was submitted later is lost with it. If `at_once`, the death is known before the next submission.
    """

    def __init__(self, at_once: bool) -> None:
        self.at_once = at_once
        self.is_broken = False
        self.is_shut = False

    def submit(self, function, /, paths, given):  # type: ignore[no-untyped-def,override]
        assert not self.is_shut
        if self.is_broken and self.at_once:
            raise BrokenProcessPool
        self.is_broken |= any("deadly" in path for path in paths)
        future: Future[DecodedImages] = Future()
        if self.is_broken:
            future.set_exception(BrokenProcessPool())
        else:
            future.set_result(function(paths, given))
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        self.is_shut = True


class Deadly(str):
    """A path that ends the process it is sent to, as a decoder does that crashes."""

    __slots__ = ()

    def __reduce__(self) -> tuple[Callable[[int], object], tuple[int]]:
        return os._exit, (3,)


@pytest.fixture(params=[False, True], ids=["found at the result", "found at the next submission"])
def pools(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> list[Inline]:
    """Pools without processes in the place of others, as they are made."""
    made: list[Inline] = []

    def pool(workers: int) -> Inline:
        made.append(Inline(request.param))
        return made[-1]

    monkeypatch.setattr(decode_many, "_pool", pool)
    return made


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Images of one color each: number i is of color i."""
    folder = tmp_path_factory.mktemp("decoding")
    for i in range(40):
        Image.new("RGB", (2, 2), (i, i, i)).save(folder / f"{i}.png")
    return [str(folder / f"{i}.png") for i in range(40)]


def joined(parts: Iterator[DecodedImages]) -> DecodedImages:
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
    decoded = joined(iter(parts))
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
    decoded = joined(decode_all(given, RECIPE, workers, 3))
    assert decoded.paths == given
    assert [i for i, error in enumerate(decoded.errors) if error] == [0, 13, 39]
    assert set(decoded.errors) == {"", MISSING}
    assert colors(decoded) == [0, *range(1, 13), 0, *range(14, 39), 0]


@pytest.mark.parametrize("workers", [1, 2])
def test_no_paths_are_no_parts(workers: int) -> None:
    assert list(decode_all([], RECIPE, workers)) == []


def test_while_processes_start_this_one_goes_on(
    paths: list[str], pools: list[Inline], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decode_many, "MEANWHILE", 5)
    decoded = joined(decode_all(paths, RECIPE, 2, 3))
    assert decoded.paths == paths
    assert colors(decoded) == list(range(40))


def test_few_paths_start_no_process(paths: list[str], pools: list[Inline]) -> None:
    decode_many.ALONE_SECONDS = 60.0  # the fixture puts it back
    assert len(list(decode_all(paths, RECIPE, 2, 2))) == 20
    assert pools == []


def test_processes_give_what_one_does(paths: list[str]) -> None:
    given = [*paths[:11], "/gone", *paths[11:]]
    alone, together = (joined(decode_all(given, RECIPE, workers, 3)) for workers in (1, 2))
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
        assert len(taken) <= size * (i + 1 + AHEAD * workers)
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
    decoded = joined(decode_all(given, RECIPE, 2, size))
    assert decoded.paths == given
    assert [i for i, error in enumerate(decoded.errors) if error] == places
    assert set(decoded.errors) == {"", DIED}
    assert colors(decoded) == [0 if i in places else i for i in range(40)]
    assert all(pool.is_shut for pool in pools)


def test_a_real_process_that_dies_harms_no_neighbours(paths: list[str]) -> None:
    given = [paths[1], Deadly("deadly"), *paths[2:12]]
    decoded = joined(decode_all(given, RECIPE, 2, 2))
    assert decoded.paths == given
    assert decoded.errors == ["", DIED, *[""] * 10]
    assert colors(decoded) == [1, 0, *range(2, 12)]


# Options


@pytest.mark.parametrize("workers", [1, 2])
def test_a_missing_decoder_is_told_before_anything_is_read(
    workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recipe, "find_spec", lambda name: None)
    given = iter(["/gone"] * 100)
    with pytest.raises(UsageError, match="simplejpeg, which is missing"):
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
