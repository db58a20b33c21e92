"""Decode many images in several processes: order, errors, and memory."""

import itertools
import os
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Self

import numpy as np
import pytest
from PIL import Image, ImageFile

from xpnet.errors import UsageError, WorkerError
from xpnet.pipelines.images import decode_many, recipe, workers
from xpnet.pipelines.images.decode_many import (
    TASKS_PER_WORKER,
    DecodedImages,
    begin_decoding,
    decode_all,
    decode_chunk,
    in_batches,
    workers_for,
)
from xpnet.pipelines.images.recipe import Recipe
from xpnet.pipelines.images.worker import Pixels, decode_pixels

RECIPE = Recipe(2, 3)
MISSING = "cannot be read: No such file or directory"


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start workers at once."""
    monkeypatch.setattr(decode_many, "ALONE_SECONDS", -1.0)


class Inline:
    """Workers without processes."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.tasks = 0
        self.is_closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.is_closed = True

    def submit(self, paths: list[str], recipe: Recipe) -> Future[Pixels]:
        assert not self.is_closed
        self.tasks += 1
        future: Future[Pixels] = Future()
        future.set_result(decode_pixels(paths, recipe))
        return future


@pytest.fixture
def pools(monkeypatch: pytest.MonkeyPatch) -> list[Inline]:
    """Replace workers by workers without processes; return the list of those made so far."""
    made: list[Inline] = []

    def pool(count: int) -> Inline:
        made.append(Inline(count))
        return made[-1]

    monkeypatch.setattr(workers, "Workers", pool)
    return made


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Return the paths of images of one color each: image i has color i."""
    folder = tmp_path_factory.mktemp("decoding")
    for i in range(40):
        Image.new("RGB", (2, 2), (i, i, i)).save(folder / f"{i}.png")
    return [str(folder / f"{i}.png") for i in range(40)]


def join_parts(parts: Iterable[DecodedImages]) -> DecodedImages:
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


@pytest.mark.parametrize("count", [1, 2, 5])
@pytest.mark.parametrize("size", [1, 3, 8, 40, 64])
def test_order_is_kept(paths: list[str], count: int, size: int, pools: list[Inline]) -> None:
    parts = list(decode_all(iter(paths), RECIPE, count, size))
    assert [len(part.paths) for part in parts[:-1]] == [size] * (len(parts) - 1)
    assert 1 <= len(parts[-1].paths) <= size
    decoded = join_parts(iter(parts))
    assert decoded.paths == paths
    assert colors(decoded) == list(range(40))
    assert decoded.errors == [""] * 40
    assert len(pools) == (count > 1)
    assert all(pool.is_closed for pool in pools)


@pytest.mark.parametrize("count", [1, 2])
def test_errors_are_at_their_place(paths: list[str], count: int, pools: list[Inline]) -> None:
    given = list(paths)
    for i in (0, 13, 39):
        given[i] = f"/gone/{i}"
    decoded = join_parts(decode_all(given, RECIPE, count, 3))
    assert decoded.paths == given
    assert [i for i, error in enumerate(decoded.errors) if error] == [0, 13, 39]
    assert set(decoded.errors) == {"", MISSING}
    assert colors(decoded) == [0, *range(1, 13), 0, *range(14, 39), 0]


@pytest.mark.parametrize("count", [1, 2])
def test_no_paths_are_no_parts(count: int) -> None:
    assert list(decode_all([], RECIPE, count)) == []


def test_few_images_start_no_worker(paths: list[str], pools: list[Inline]) -> None:
    decode_many.ALONE_SECONDS = 60.0  # the fixture puts it back
    assert len(list(decode_all(paths, RECIPE, 2, 2))) == 20
    assert pools == []


def test_workers_give_the_same_as_one_process(paths: list[str]) -> None:
    given = [*paths[:11], "/gone", *paths[11:]]
    alone, together = (join_parts(decode_all(given, RECIPE, count, 3)) for count in (1, 2))
    assert together.paths == alone.paths == given
    assert together.errors == alone.errors
    np.testing.assert_array_equal(together.columns, alone.columns)
    assert colors(together) == [*range(11), 0, *range(11, 40)]


# Memory


@pytest.mark.parametrize("count", [1, 2, 5])
def test_paths_are_not_taken_far_ahead(count: int, pools: list[Inline]) -> None:
    size = 3
    taken: list[str] = []

    def endless() -> Iterator[str]:
        for i in itertools.count():
            taken.append(f"/gone/{i}")
            yield taken[-1]

    parts = decode_all(endless(), RECIPE, count, size)
    for i in range(30):
        assert next(parts).paths == taken[size * i : size * (i + 1)]
        assert len(taken) <= size * (i + 1 + TASKS_PER_WORKER * count)
    parts.close()  # type: ignore[attr-defined]
    assert all(pool.is_closed for pool in pools)


def test_large_columns_are_not_taken_far_ahead(
    paths: list[str], pools: list[Inline], monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = 0

    def counted() -> Iterator[str]:
        nonlocal taken
        for path in paths:
            taken += 1
            yield path

    monkeypatch.setattr(decode_many, "AHEAD_BYTES", 2 * RECIPE.n_x)
    parts = decode_all(counted(), RECIPE, 5, 1)
    next(parts)
    assert taken == 6  # five tasks, and the result
    assert len(list(parts)) == 39


@pytest.mark.parametrize(("limit", "begun"), [(1 << 20, 40), (5 * RECIPE.n_x, 5), (1, 2)])
def test_decoding_is_begun_before_a_result_is_taken(
    paths: list[str], limit: int, begun: int, pools: list[Inline], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decode_many, "BEGUN_BYTES", limit)
    monkeypatch.setattr(decode_many, "CHUNK_SIZE", 1)
    monkeypatch.setattr(decode_many, "BEGUN_TASKS_PER_WORKER", 100)
    with workers.Workers(2) as decoders:
        parts = begin_decoding(paths, RECIPE, decoders)
        assert pools[0].tasks == begun
        assert colors(join_parts(parts)) == list(range(40))
        assert pools[0].tasks == 40


def test_only_so_many_tasks_are_begun(pools: list[Inline]) -> None:
    with workers.Workers(3) as decoders:
        begin_decoding(map(str, itertools.count()), RECIPE, decoders)
        assert pools[0].tasks == 3 * decode_many.BEGUN_TASKS_PER_WORKER


def test_without_processes_nothing_is_begun(paths: list[str], pools: list[Inline]) -> None:
    given = iter(paths)
    parts = begin_decoding(given, RECIPE, 2)
    assert pools == []
    assert next(given) == paths[0]
    assert colors(join_parts(parts)) == list(range(1, 40))


@pytest.mark.parametrize("sizes", [[5], [3, 3, 3], [1, 9, 2], [20], [4, 4], [2, 2, 1]])
@pytest.mark.parametrize("batch", [1, 4, 7, 100])
def test_batches_are_of_one_size(paths: list[str], sizes: list[int], batch: int) -> None:
    rest = iter(paths)
    parts = [decode_chunk(list(itertools.islice(rest, size)), RECIPE) for size in sizes]
    batches = list(in_batches(parts, batch))
    assert [len(each.paths) for each in batches[:-1]] == [batch] * max(0, len(batches) - 1)
    assert [len(each.columns) for each in batches] == [len(each.paths) for each in batches]
    assert colors(join_parts(batches)) == list(range(sum(sizes)))
    assert all(each.libraries == parts[0].libraries for each in batches)
    assert list(in_batches([], batch)) == []


def test_an_error_among_the_paths_ends_the_processes(paths: list[str], pools: list[Inline]) -> None:
    def failing() -> Iterator[str]:
        yield from paths[:20]
        msg = "no more"
        raise LookupError(msg)

    with pytest.raises(LookupError, match="no more"):
        list(decode_all(failing(), RECIPE, 2, 2))
    assert [pool.is_closed for pool in pools] == [True]


def test_large_columns_come_in_smaller_parts(paths: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decode_many, "CHUNK_BYTES", 3 * RECIPE.n_x + 1)
    assert [len(part.paths) for part in decode_all(paths[:7], RECIPE, 1)] == [3, 3, 1]
    monkeypatch.setattr(decode_many, "CHUNK_BYTES", RECIPE.n_x - 1)
    assert [len(part.paths) for part in decode_all(paths[:2], RECIPE, 1)] == [1, 1]


# Isolation


@pytest.mark.parametrize("count", [1, 2])
def test_with_workers_of_its_own_a_caller_decodes_nothing_itself(
    paths: list[str], count: int, pools: list[Inline], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decode_many, "ALONE_SECONDS", 60.0)
    with workers.Workers(count) as decoders:
        assert colors(join_parts(decode_all(paths, RECIPE, decoders, 7))) == list(range(40))
    assert [(pool.count, pool.tasks) for pool in pools] == [(count, 6)]


def test_one_worker_that_ends_at_its_start_is_not_needed(
    paths: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "PROGRAM", "import sys; sys.exit(1)")
    with (
        workers.Workers(1) as one,
        pytest.warns(UserWarning, match="decoded in this process: .* ended before its first task"),
    ):
        assert colors(join_parts(decode_all(paths, RECIPE, one, 20))) == list(range(40))
    with pytest.raises(WorkerError):
        list(decode_all(paths, RECIPE, 2, 7))


# Options


@pytest.mark.parametrize("count", [1, 2])
def test_a_missing_decoder_is_told_before_anything_is_read(
    count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recipe, "find_spec", lambda name: None)
    given = iter(["/gone"] * 100)
    with pytest.raises(UsageError, match="simplejpeg, which is not installed"):
        list(decode_all(given, Recipe(decoder="simplejpeg"), count, 2))
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


def test_a_frozen_program_has_one_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    assert workers_for(None) == 1
    assert workers_for(2) == 2


@pytest.mark.parametrize("count", [1, 2])
def test_settings_of_pillow_in_the_program_change_nothing(
    tmp_path: Path, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the row of an image would depend on which process decodes it."""
    path = tmp_path / "truncated.png"
    Image.effect_noise((64, 64), 90).save(path)
    path.write_bytes(path.read_bytes()[:-900])
    monkeypatch.setattr(decode_many, "ALONE_SECONDS", -1.0)
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    (part,) = decode_all([str(path)], Recipe(2, 2), count)
    assert part.errors[0].startswith("damaged or truncated image")
    assert ImageFile.LOAD_TRUNCATED_IMAGES
    assert Image.MAX_IMAGE_PIXELS == 10
