"""Results as text: tables, and what a training says."""

import io
import re
from pathlib import Path

import pytest
from pictures import draw_classes
from program import xpnet

from xpnet.pipelines.cli.text import description_text, evaluation_text, text_table, to_json

ROWS = [["class", "F1"], ["cat", 0.5], ["a dog", None]]


class Terminal(io.StringIO):
    """A standard output that is a terminal."""

    def isatty(self) -> bool:
        return True


def test_a_table_is_aligned() -> None:
    assert text_table(ROWS).splitlines() == ["class   F1", "cat    0.5", "a dog    -"]


@pytest.mark.parametrize(
    ("name", "value"), [("FORCE_COLOR", "1"), ("COLUMNS", "20"), ("TTY_COMPATIBLE", "1")]
)
def test_a_table_in_a_file_is_plain_and_whole(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    wide = text_table([[f"column {i}" for i in range(40)], ["x" * 30] * 40])
    assert "\x1b" not in wide
    assert "…" not in wide
    assert [line.count("x" * 30) for line in wide.splitlines()] == [0, 40]


def test_a_table_on_a_terminal_has_a_bold_head(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout", Terminal())
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    head, first, second = text_table(ROWS, marked=1).splitlines()
    assert "\x1b[1m" in head
    assert "\x1b[32m" in first
    assert "\x1b" not in second


def test_names_of_classes_are_not_markup() -> None:
    assert "[red]cat[/red]" in text_table([["class"], ["[red]cat[/red]"], [":smiley:"]])
    assert ":smiley:" in text_table([["class"], [":smiley:"]])


def test_wide_characters_are_aligned() -> None:
    first, second = text_table([["猫", "1"], ["ab", "1"]], has_head=False).splitlines()
    assert (first, second) == ("猫  1", "ab  1")


def test_numbers_that_json_lacks_are_null() -> None:
    assert to_json({"a": [float("nan"), 1.5]}) == '{\n  "a": [\n    null,\n    1.5\n  ]\n}'


def test_an_evaluation_of_many_classes_is_not_cut_off() -> None:
    names = [f"class {i}" for i in range(60)]
    report = {
        "m": 60, "skipped": 0, "accuracy": 1.0, "log_loss": 0.0, "calibration_error": 0.02, "macro_f1": 1.0,
        "macro_f1_classes": 60,
        "classes": [{"class": name, "precision": 1.0, "recall": 1.0, "f1": 1.0, "m": 1} for name in names],
        "confusion": [[int(i == j) for j in range(60)] for i in range(60)],
    }  # fmt: skip
    last = evaluation_text(report).splitlines()[-1]
    assert len(re.findall(r"\d+", last)) == 61


def test_classes_that_do_not_occur_have_no_numbers() -> None:
    perfect = {"precision": 1.0, "recall": 1.0, "f1": 1.0, "m": 2}
    report = {
        "m": 4, "skipped": 0, "accuracy": 1.0, "log_loss": 0.0, "calibration_error": 0.02, "macro_f1": 1.0, "macro_f1_classes": 2,
        "classes": [
            {"class": "a", **perfect}, {"class": "b", "precision": 0.0, "recall": 0.0, "f1": 0.0, "m": 0},
            {"class": "c", **perfect},
        ],
        "confusion": [[2, 0, 0], [0, 0, 0], [0, 0, 2]],
    }  # fmt: skip
    text = evaluation_text(report)
    assert "Macro F1: 1.000000 (of 2 of the 3 classes: the others do not occur)" in text
    assert ["b", "-", "-", "-", "0"] in [line.split() for line in text.splitlines()]


def test_a_training_says_how_many_examples_were_held_back(tmp_path: Path) -> None:
    data = draw_classes(tmp_path / "data", 6)
    train = ["train", str(data), "-o", str(tmp_path / "model"), "--image-size", "8"]
    assert "Held back for validation: 9 of 18\n" in xpnet(*train, "--val-split", "0.5").stdout
    assert "Held back" not in xpnet(*train).stdout


def test_names_in_tables_and_descriptions_cannot_control_a_terminal() -> None:
    assert text_table([["a\x1b[2Kb\nc", 1]], has_head=False) == "a\\x1b[2Kb\\nc  1"
    assert description_text({"kind": "model", "name": "a\nb"}) == "Kind: model\nname: a\\nb"
