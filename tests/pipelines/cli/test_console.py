"""Messages and progress."""

import io
import itertools
import json
import re
from types import SimpleNamespace

import pytest

from xpnet.pipelines.cli import console as module
from xpnet.pipelines.cli.console import Console, clock


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


CONTROL_CODES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Terminal(io.StringIO):
    """A standard error that is a terminal."""

    def lines(self) -> list[str]:
        """Return each drawing of the line, without control codes."""
        return [line.rstrip() for line in re.split(r"[\r\n]+", CONTROL_CODES.sub("", self.getvalue()))]

    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock_at(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Return the time, to be moved on."""
    now = [0.0]
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
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
    bar = "━" * 6 + "╺" + "━" * 17
    assert CONTROL_CODES.sub("", drawn) == f"Scoring  {bar}  250/1000 images  2 failed  25/s  0:30 left"
    assert terminal.getvalue().endswith("\x1b[?25h\r\x1b[1A\x1b[2K"), (
        "the cursor is back, and the line is erased"
    )


def test_a_bar_is_no_wider_than_the_terminal(clock_at: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr", terminal := Terminal())
    monkeypatch.setenv("COLUMNS", "40")
    with Console().progress("Scoring") as progress:
        clock_at[0] = 1.0
        progress(10, 1000, "a long note " * 10)
        assert terminal.lines()[-1] == "Scoring  10/1000 images  a long note a"


NUMBERS = "4/31 epochs  cost 0.2000  val 0.2345 (0.9123)"


def training(
    monkeypatch: pytest.MonkeyPatch, clock: list[float], columns: int, encoding: str = "utf-8"
) -> str:
    """Return the line of a training in its fourth epoch."""
    monkeypatch.setattr("sys.stderr", terminal := Terminal())
    monkeypatch.setattr(Terminal, "encoding", encoding, raising=False)
    monkeypatch.setenv("COLUMNS", str(columns))
    clock[0] = 0.0
    with Console().progress("Training", "epochs") as progress:
        for epoch, cost in enumerate((0.9, 0.5, 0.3, 0.2), start=1):
            progress(epoch, 31, f"cost {cost:.4f}  val 0.2345 (0.9123)", "12345 examples/s", cost)
            clock[0] += 0.5
        clock[0] += 1
        return terminal.lines()[-1]


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        (200, f"Training  ━━━╺{20 * '━'}  {NUMBERS}  12345 examples/s  █▄▂▁  2.00/s  0:14 left"),
        (80, f"Training  {NUMBERS}  █▄▂▁  2.00/s"),
        (62, f"Training  {NUMBERS}  █▄▂▁"),
        (60, f"Training  {NUMBERS}"),
        (30, "Training  4/31 epochs  cost 0"),
    ],
)
def test_a_narrow_terminal_gets_the_important_parts(
    clock_at: list[float], monkeypatch: pytest.MonkeyPatch, columns: int, expected: str
) -> None:
    assert training(monkeypatch, clock_at, columns) == expected


def test_the_curve_is_drawn_with_what_the_terminal_has(
    clock_at: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "  #~._  " in training(monkeypatch, clock_at, 200, "ascii")


def test_a_log_has_no_curve(clock_at: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    with Console(2).progress("Training", "epochs") as progress:
        for epoch in (1, 2, 3):
            clock_at[0] = 20.0 * epoch
            progress(epoch, 3, "cost 0.5", "9 examples/s", 1 / epoch)
    assert (
        capsys.readouterr()
        .err.splitlines()[-1]
        .endswith("3/3 epochs  cost 0.5  9 examples/s  0.05/s  0:00 left")
    )


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


def test_work_that_takes_no_time_draws_nothing(
    clock_at: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr", terminal := Terminal())
    with Console().progress("Scoring") as progress:
        clock_at[0] = 0.4
        progress(10, 1000)
        assert terminal.getvalue() == ""
        clock_at[0] = 0.6
        progress(20, 1000)
        assert terminal.lines()[-1].startswith("Scoring")


def test_a_message_erases_the_bar_which_is_drawn_again_below(
    clock_at: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr", terminal := Terminal())
    monkeypatch.setenv("COLUMNS", "60")
    console = Console()
    with console.progress("Scoring") as progress:
        for second in (1, 2):
            clock_at[0] = float(second)
            progress(second, 1000)
            console.warn(f"problem {second}")
    drawn = [line for line, _ in itertools.groupby(filter(None, terminal.lines()))]
    assert drawn == [
        f"Scoring  {'━' * 24}  1/1000 images", "warning: problem 1",
        "Scoring  2/1000 images  1.00/s  16:38 left", "warning: problem 2",
    ]  # fmt: skip


def test_a_dumb_terminal_gets_no_bar(clock_at: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr", terminal := Terminal())
    monkeypatch.setenv("TERM", "dumb")
    with Console().progress("Scoring") as progress:
        clock_at[0] = 60.0
        progress(10, 1000)
    assert terminal.getvalue() == ""


def test_control_characters_are_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    Console().warn("a\x1b[2K\rb\nerror: c\x9b1m\u202ed é 日")
    assert capsys.readouterr().err == "warning: a\\x1b[2K\\rb\\nerror: c\\x9b1m\\u202ed é 日\n"
