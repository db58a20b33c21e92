"""Streams of arrays to a device: all arrive, in order, even if the buffers in host memory change meanwhile."""

import gc
import itertools
import threading
import time
from collections.abc import Iterator
from typing import Any

import fakecupy
import numpy as np
import pytest

from xpnet.backend import backend as module
from xpnet.backend import pinned
from xpnet.backend.backend import Backend
from xpnet.errors import DeviceError

SIZES = [5, 1000, 3, 3, 700, 0, 1]


def items(buffer: np.ndarray) -> Iterator[tuple[np.ndarray | None, ...]]:
    """Yield arrays in one buffer, each of which overwrites the one before."""
    for i, size in enumerate(SIZES):
        part = buffer[: 3 * size].reshape(size, 3)
        part[...] = np.arange(3 * size).reshape(size, 3) + i
        labels = np.full((2, size), i, np.int64)
        yield part, None, labels[:, ::-1]


def check(got: list[Any], backend: Backend) -> None:
    assert len(got) == len(SIZES)
    for i, (size, (part, nothing, labels)) in enumerate(zip(SIZES, got, strict=True)):
        assert nothing is None
        assert backend.holds(part)
        np.testing.assert_array_equal(backend.fetch(part), np.arange(3 * size).reshape(size, 3) + i)
        np.testing.assert_array_equal(backend.fetch(labels), np.full((2, size), i))


def streamed(backend: Backend) -> list[Any]:
    """Return copies of the arrays that arrive, made on the device immediately."""
    got = []
    for part, nothing, labels in backend.stream(items(np.zeros(3000, np.float32))):
        got.append((part + 0, nothing, labels + 0))
    return got


def test_all_arrive_in_order(backend: Backend) -> None:
    before = backend.crossings.sent
    with backend.activate():
        check(streamed(backend), backend)
    assert backend.crossings.sent == before + 2 * len(SIZES)


def test_nothing_is_read_far_ahead(backend: Backend) -> None:
    read = []

    def counted() -> Iterator[tuple[np.ndarray | None, ...]]:
        for item in items(np.zeros(3000, np.float32)):
            read.append(item)
            yield item

    stream = backend.stream(counted())
    assert not read
    for i, _ in enumerate(stream, start=1):
        assert len(read) <= i + 1


def test_who_stops_early_leaves_nothing_behind(backend: Backend) -> None:
    stream = backend.stream(items(np.zeros(3000, np.float32)))
    first = next(stream)[0] + 0
    next(stream)
    stream.close()
    np.testing.assert_array_equal(backend.fetch(first), np.arange(15).reshape(5, 3))


def test_an_error_while_reading_is_the_readers(backend: Backend) -> None:
    def broken() -> Iterator[tuple[np.ndarray | None, ...]]:
        yield (np.ones((2, 2)),)
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        list(backend.stream(broken()))


GPUS = ["fake", pytest.param("cupy", marks=pytest.mark.gpu)]


@pytest.fixture(params=[(1, 1), (16, 3), (100, 8), (4096, 8)])
def splitting(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Buffers of few bytes, and threads for few bytes, so that small arrays are split as large ones are."""
    size, threads = request.param
    monkeypatch.setattr(module, "UPLOAD_BYTES", 0)
    monkeypatch.setattr(pinned, "SLOT_BYTES", size)
    monkeypatch.setattr(pinned, "THREAD_BYTES", 8)
    monkeypatch.setattr(pinned, "cores", lambda: threads)


@pytest.mark.parametrize("backend", GPUS, indirect=True)
@pytest.mark.parametrize("shape", [(7, 11), (1, 1), (3, 4, 5), (200, 30)])
@pytest.mark.usefixtures("splitting")
def test_large_arrays_go_in_parts(shape: tuple[int, ...], backend: Backend) -> None:
    array = np.random.default_rng(0).standard_normal(shape)
    before = backend.crossings.sent
    for sent in (array, array.T, array[:, ::-1]):
        np.testing.assert_array_equal(backend.fetch(backend.send(sent)), sent)
    assert backend.crossings.sent == before + 3


@pytest.mark.parametrize("backend", GPUS, indirect=True)
@pytest.mark.usefixtures("splitting")
def test_streams_go_in_parts(backend: Backend) -> None:
    with backend.activate():
        check(streamed(backend), backend)


@pytest.mark.parametrize("backend", GPUS, indirect=True)
def test_real_sizes_arrive(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pinned, "cores", lambda: 8)
    monkeypatch.setattr(pinned, "SLOTS", 9)
    large = np.random.default_rng(0).integers(0, 256, (50, 1_000_003), np.uint8)
    with backend.activate():
        np.testing.assert_array_equal(backend.fetch(backend.send(large)), large)
        for start, (part,) in zip(range(0, 50, 20), backend.stream(parts_of(large)), strict=True):
            np.testing.assert_array_equal(backend.fetch(part), large[start : start + 20])


def parts_of(large: np.ndarray) -> Iterator[tuple[np.ndarray]]:
    """Yield parts of an array in one buffer, each of which overwrites the one before."""
    buffer = np.empty_like(large[:20])
    for start in range(0, len(large), 20):
        part = large[start : start + 20]
        buffer[: len(part)] = part
        yield (buffer[: len(part)],)


@pytest.mark.parametrize("backend", ["fake"], indirect=True)
def test_only_large_arrays_take_several_threads(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    used: set[int] = set()
    fill = pinned._Slot.copy

    def copy(self: Any, *arguments: Any) -> None:
        used.add(threading.get_ident())
        time.sleep(0.01)  # so that no thread takes all pieces
        fill(self, *arguments)

    monkeypatch.setattr(pinned._Slot, "copy", copy)
    monkeypatch.setattr(pinned, "cores", lambda: 3)
    list(backend.stream([(np.zeros(pinned.THREAD_BYTES, np.uint8), np.zeros(9))] * 4))
    assert used == {threading.get_ident()}
    before = set(threading.enumerate())
    backend.send(np.zeros(8 * pinned.THREAD_BYTES, np.uint8))
    assert len(used) == 3
    assert len(set(threading.enumerate()) - before) == 2


@pytest.mark.parametrize("backend", ["fake"], indirect=True)
@pytest.mark.usefixtures("splitting")
def test_a_failure_in_any_thread_is_raised(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    reserve, count = pinned._Slot._reserve, itertools.count()

    def reserved(self: Any, size: int) -> None:
        if next(count) == failing:
            raise fakecupy.OutOfMemoryError(size, 0)
        reserve(self, size)

    monkeypatch.setattr(pinned._Slot, "_reserve", reserved)
    array = np.arange(2000.0)
    for failing in (0, 1, 3):
        count = itertools.count()
        if array.nbytes > failing * pinned.SLOT_BYTES:
            with pytest.raises(DeviceError, match="out of memory"):
                backend.send(array)
        np.testing.assert_array_equal(backend.fetch(backend.send(array)), array)


@pytest.mark.parametrize("backend", ["fake"], indirect=True)
def test_pinned_memory_is_allocated_once(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    alive = fakecupy.PinnedMemory

    def counted(size: int) -> fakecupy.PinnedMemory:
        sizes.append(size)
        return alive(size)

    monkeypatch.setattr(fakecupy.cuda, "alloc_pinned_memory", counted)
    for _ in range(3):
        blocks = [(np.full((100, 10), i, np.uint8),) for i in range(9)]
        for i, (block,) in enumerate(backend.stream(blocks)):
            assert int(backend.fetch(block)[0, 0]) == i
        stream = backend.stream(blocks)
        next(stream)
        stream.close()
    assert sizes == [1024] * 2
    gc.collect()
    held = len(fakecupy._pinned)
    del backend._rings[:]  # type: ignore[attr-defined]
    gc.collect()
    assert len(fakecupy._pinned) == held - 2


@pytest.mark.parametrize("backend", ["fake"], indirect=True)
def test_buffers_are_limited_while_the_device_is_behind(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pinned, "SLOT_BYTES", 64)
    array = np.arange(1000)
    for _ in range(3):
        np.testing.assert_array_equal(backend.fetch(next(backend.stream([(array,)]))[0]), array)
    assert backend._rings[0]._made == len(backend._rings[0]._slots) == pinned.SLOTS  # type: ignore[attr-defined]


@pytest.mark.parametrize("backend", ["fake"], indirect=True)
def test_streams_at_the_same_time_have_buffers_of_their_own(backend: Backend) -> None:
    one, two = (backend.stream([(np.full((4, 4), k + i),) for i in range(40)]) for k in (0, 100))
    for i, ((first,), (second,)) in enumerate(zip(one, two, strict=True)):
        assert int(backend.fetch(first)[0, 0]) == i
        assert int(backend.fetch(second)[0, 0]) == 100 + i


@pytest.mark.parametrize("forgotten", ["wait_event", "synchronize"])
@pytest.mark.parametrize("backend", ["fake"], indirect=True)
def test_the_fake_notices_what_is_not_waited_for(
    forgotten: str, backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The fake copies as late as possible: without the wait, old bytes are used, or newer ones are copied."""
    monkeypatch.setattr(pinned, "SLOTS", 2)
    kind = fakecupy.Stream if forgotten == "wait_event" else fakecupy.Event
    monkeypatch.setattr(kind, forgotten, lambda *_: None)
    if forgotten == "synchronize":  # a slow device: nothing is copied before its buffer is used again
        monkeypatch.setattr(fakecupy.Stream, "wait_event", lambda *_: None)
        got = list(backend.stream((np.full((4, 4), i),) for i in range(6)))
        for stream in {event._stream for event in _events}:
            stream.run(len(stream.queue))
        values = [int(backend.fetch(block)[0, 0]) for (block,) in got]
        assert values != list(range(6))
        return
    with pytest.raises(AssertionError), np.errstate(all="ignore"):  # the old bytes may be a NaN
        check(streamed(backend), backend)


_events: list[Any] = []


@pytest.fixture(autouse=True)
def remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    _events.clear()
    record = fakecupy.Event.record

    def recorded(event: fakecupy.Event, stream: Any = None) -> None:
        record(event, stream)
        _events.append(event)

    monkeypatch.setattr(fakecupy.Event, "record", recorded)
