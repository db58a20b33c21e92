"""The size of a dictionary: by the examples, by the memory, and by a budget of time."""

import pytest

from xpnet.backend import select
from xpnet.errors import UsageError
from xpnet.pipelines.training import Plan, dictionary_size
from xpnet.pipelines.training.dictionary_size import affordable_count, operations_per_second, usual_size


@pytest.mark.parametrize(
    ("m", "most", "expected"),
    [
        (341, 1 << 30, (4, 960)), (9999, 1 << 30, (4, 960)), (10_000, 1 << 30, (3, 560)),
        (9999, 600 << 20, (3, 560)), (50_000, 2 << 30, (3, 560)), (50_000, 1 << 30, (2, 560)),
        (100_000, 1 << 30, (2, 334)), (10**7, 1 << 30, (2, 100)),
    ],
)  # fmt: skip
def test_many_examples_have_fewer_features(m: int, most: int, expected: tuple[int, int]) -> None:
    grid, count = usual_size(m, most)
    assert (grid, count) == expected
    assert 4 * m * (grid**2 + 4) * count <= most or count == 100


SHAPE = (32, 32, 3)


def counts(monkeypatch: pytest.MonkeyPatch, speed: float, memory: float, m: int = 50_000) -> list[int]:
    """Return the patches for 1, 4, 16 and 64 minutes."""
    monkeypatch.setattr(dictionary_size, "operations_per_second", lambda backend: speed)
    monkeypatch.setattr(dictionary_size, "memory_bytes", lambda: memory)
    return [affordable_count(m, SHAPE, minutes, select("cpu")) for minutes in (1, 4, 16, 64)]


def test_more_time_buys_more_patches(monkeypatch: pytest.MonkeyPatch) -> None:
    slow = counts(monkeypatch, 1e11, 1e12)
    assert slow == sorted(set(slow))
    # Half as fast is half the time.
    assert slow[1:] == [affordable_count(50_000, SHAPE, 2 * t, select("cpu")) for t in (2, 8, 32)]
    assert counts(monkeypatch, 1e3, 1e12) == [dictionary_size.LEAST_COUNT] * 4


@pytest.mark.parametrize("m", [300, 3000, 50_000, 10**7])
def test_features_and_equations_stay_within_the_memory(m: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for memory in (1e9, 16e9):
        for count in counts(monkeypatch, 1e18, memory, m):
            n = dictionary_size.feature_count(dictionary_size.size_by(m)[0], count)
            fits = dictionary_size.needed_bytes(m, n) <= dictionary_size.BUDGET_MEMORY_SHARE * memory
            assert fits or count == dictionary_size.LEAST_COUNT


def test_the_speed_is_measured_on_the_device(backend: object) -> None:
    assert 1e6 < operations_per_second(backend) < 1e17  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"budget": 0}, "budget is 0 minutes, expected more than 0"),
        ({"budget": float("nan")}, "expected more than 0"),
        ({"budget": "3"}, "expected a number"),
        ({"patches": 41}, "expected an even number"),
        ({"patches": 0}, "expected a whole number, 2 or more"),
        ({"patches": 40, "budget": 3}, "give one of them"),
        ({"budget": 3, "features": "none"}, "--budget is for --features patches"),
        ({"patches": 40, "features": "m.onnx"}, "--patches is for --features patches"),
        ({"patches": 40, "epochs": 3}, "--patches is for --features patches"),
    ],
)
def test_what_cannot_be_meant_is_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Plan(**options)  # type: ignore[arg-type]
