"""Streams of arrays to a device: all arrive, in order, even if the buffers in host memory change meanwhile."""

from collections.abc import Iterator
from typing import Any

import fakecupy
import numpy as np
import pytest

from xpnet.backend import backend as module
from xpnet.backend import pinned
from xpnet.backend.backend import Backend

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


@pytest.mark.parametrize("backend", ["fake", pytest.param("cupy", marks=pytest.mark.gpu)], indirect=True)
@pytest.mark.parametrize("shape", [(7, 11), (1, 1), (3, 4, 5)])
@pytest.mark.parametrize("size", [1, 16, 100])
def test_large_arrays_go_in_parts(
    shape: tuple[int, ...], size: int, backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "UPLOAD_BYTES", size)
    array = np.random.default_rng(0).standard_normal(shape)
    before = backend.crossings.sent
    np.testing.assert_array_equal(backend.fetch(backend.send(array)), array)
    np.testing.assert_array_equal(backend.fetch(backend.send(array.T)), array.T)
    assert backend.crossings.sent == before + 2


@pytest.mark.parametrize("backend", ["fake"], indirect=True)
def test_pinned_memory_is_two_buffers(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    alive = fakecupy.PinnedMemory

    def counted(size: int) -> fakecupy.PinnedMemory:
        sizes.append(size)
        return alive(size)

    monkeypatch.setattr(fakecupy.cuda, "alloc_pinned_memory", counted)
    blocks = [(np.full((100, 10), i, np.uint8),) for i in range(9)]
    for i, (block,) in enumerate(backend.stream(blocks)):
        assert int(backend.fetch(block)[0, 0]) == i
        assert len(fakecupy._pinned) <= pinned.SLOTS
    assert sizes == [1024, 1024]
    assert not fakecupy._pinned


@pytest.mark.parametrize("forgotten", ["wait_event", "synchronize"])
@pytest.mark.parametrize("backend", ["fake"], indirect=True)
def test_the_fake_notices_what_is_not_waited_for(
    forgotten: str, backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The fake copies as late as possible: without the wait, old bytes are used, or newer ones are copied."""
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
