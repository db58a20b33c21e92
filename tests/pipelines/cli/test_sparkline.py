"""Small curves in a line of text."""

import math

import pytest

from xpnet.pipelines.cli.sparkline import ASCII_BARS, BARS, Sparkline, levels


def drawn(values: list[float], width: int = 16, encoding: str | None = "utf-8") -> str:
    curve = Sparkline(width, encoding)
    for value in values:
        curve.add(value)
    return str(curve)


def test_it_goes_from_high_to_low() -> None:
    assert drawn([8, 7, 6, 5, 4, 3, 2, 1]) == BARS[::-1]
    assert drawn([1, 8, 1]) == "▁█▁"


@pytest.mark.parametrize("values", [[], [1.0], [math.nan], [math.inf, 2.0]])
def test_less_than_two_numbers_are_no_curve(values: list[float]) -> None:
    assert drawn(values) == ""


def test_equal_numbers_are_a_line() -> None:
    assert drawn([3.0] * 5) == "▁▁▁▁▁"


@pytest.mark.parametrize("count", [2, 16, 17, 63, 64, 65, 1000, 12_345])
def test_any_number_of_numbers_keeps_first_last_and_its_width(count: int) -> None:
    curve = Sparkline(16)
    for i in range(count):
        curve.add(math.exp(-5 * i / count))
    line = str(curve)
    assert len(line) == min(count, 16)
    assert (line[0], line[-1]) == ("█", "▁")
    assert sorted(line, reverse=True) == list(line)
    assert len(curve._values) <= 64


def test_a_spike_at_the_end_is_the_last_character() -> None:
    assert drawn([1.0] * 500 + [9.0])[-1] == "█"


@pytest.mark.parametrize(
    ("encoding", "expected"),
    [("utf-8", BARS), ("ascii", ASCII_BARS), ("latin-1", ASCII_BARS), (None, ASCII_BARS), ("?", ASCII_BARS)],
)
def test_it_is_drawn_with_what_can_be_written(encoding: str | None, expected: str) -> None:
    assert levels(encoding) == expected
    assert len(set(expected)) == 8
