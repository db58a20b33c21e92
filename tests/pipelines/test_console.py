"""Messages and progress."""

import io
import json
from types import SimpleNamespace

import pytest

from pipelines import console as module
from pipelines.console import Console, clock


def say_all(console: Console) -> None:
    console.detail("detail")
    console.say("said")
    console.warn("careful")
    console.error("failed")


@pytest.mark.parametrize(
    ("level", "expected"),
    [
        (0, "warning: careful\nerror: failed\n"),
        (1, "said\nwarning: careful\nerror: failed\n"),
        (2, "detail\nsaid\nwarning: careful\nerror: failed\n"),
    ],
)
def test_levels(capsys: pytest.CaptureFixture[str], level: int, expected: str) -> None:
    say_all(Console(level))
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", expected)


def test_json_is_an_object_on_each_line(capsys: pytest.CaptureFixture[str]) -> None:
    say_all(Console(as_json=True))
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert lines[0] == {"level": "info", "message": "said"}
    assert [line["level"] for line in lines] == ["info", "warning", "error"]


def test_no_bar_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with Console().progress("Scoring") as progress:
        for i in range(100):
            progress(i)
    assert capsys.readouterr().err == ""


class Terminal(io.StringIO):
    """A standard error that is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock_at(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Return the time, to be moved on."""
    now = [0.0]
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: now[0]))
    return now


def test_a_bar_says_how_much_how_fast_and_how_long(
    clock_at: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr", terminal := Terminal())
    monkeypatch.setenv("COLUMNS", "200")
    with Console().progress("Scoring") as progress:
        progress(0, 1000)
        clock_at[0] = 10.0
        progress(250, 1000, "2 failed")
        drawn = terminal.getvalue()
        clock_at[0] = 10.01
        progress(251, 1000)
        assert terminal.getvalue() == drawn
    line = f"Scoring  [{'#' * 6}{'.' * 18}]  250/1000 images  2 failed  25/s  0:30 left"
    assert drawn == "\r" + line
    assert terminal.getvalue() == f"{drawn}\r{' ' * len(line)}\r"


def test_a_bar_is_no_wider_than_the_terminal(clock_at: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr", terminal := Terminal())
    monkeypatch.setenv("COLUMNS", "40")
    with Console().progress("Scoring") as progress:
        clock_at[0] = 1.0
        progress(10, 1000, "a long note " * 10)
        assert len(terminal.getvalue()) == 40


@pytest.mark.parametrize("console", [{"level": 0}, {"bars": False}, {"as_json": True}])
def test_a_bar_can_be_refused(clock_at: list[float], monkeypatch: pytest.MonkeyPatch, console: dict) -> None:
    monkeypatch.setattr("sys.stderr", terminal := Terminal())
    with Console(**console).progress("Scoring") as progress:
        clock_at[0] = 60.0
        progress(10, 1000)
    assert terminal.getvalue() == ""


def test_times_are_readable() -> None:
    assert [clock(s) for s in (0, 59.6, 61, 3599, 3600, 86400)] == [
        "0:00", "1:00", "1:01", "59:59", "1:00:00", "24:00:00",
    ]  # fmt: skip
