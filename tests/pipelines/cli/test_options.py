"""Values of options: what is refused, how that is said, and options that were renamed."""

from pathlib import Path

import pytest
import typer
from program import xpnet, xpnet_here

from xpnet.pipelines.cli.options import Number, NumberList


def message(*args: str) -> str:
    """Return what a command line with a usage error says, in one line."""
    done = xpnet_here(*args)
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    return " ".join(done.stderr.split())


TRAIN = ("train", "DATA", "-o", "model")


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ((*TRAIN, "--epochs", "many"), "'--epochs': got 'many', expected a whole number, 1 or more"),
        ((*TRAIN, "--epochs", "0"), "'--epochs': got '0', expected a whole number, 1 or more"),
        ((*TRAIN, "--epochs", "1.5"), "'--epochs': got '1.5', expected a whole number"),
        ((*TRAIN, "--learning-rate", "fast"), "got 'fast', expected a number"),
        ((*TRAIN, "--l2", "nan"), "'--l2': got 'nan', expected a number"),
        ((*TRAIN, "--memory", "4"), "'--memory': got '4', expected a number of bytes, such as 4GB or 500MB"),
        ((*TRAIN, "--memory", "0GB"), "got '0GB', expected a number of bytes"),
        ((*TRAIN, "--memory", "nanMB"), "got 'nanMB', expected a number of bytes"),
        ((*TRAIN, "--workers", "1000"), "'--workers': got '1000', expected a whole number from 1 to 256"),
        ((*TRAIN, "--optimizer", "sdg"), "'--optimizer': got 'sdg', expected one of sgd, momentum"),
        ((*TRAIN, "--image-size", "big"), "'big', expected pixels as in 64, or WIDTHxHEIGHT as in 64x48"),
        (("sweep", "DATA", "--learning-rates", "1,x"), "got '1,x', expected numbers separated by commas"),
        (("sweep", "DATA", "--seeds", "1.5"), "got '1.5', expected whole numbers separated by commas"),
        (("predict", "m", "a", "--min-confidence", "2"), "got '2', expected a number from 0 to 1"),
        (("predict", "m", "a", "--format", "xml"), "got 'xml', expected one of csv, jsonl, parquet"),
        (("predict", "m", "a", "--log-format", "xml"), "got 'xml', expected one of text, json"),
        (("bench", "--repeat", "0"), "got '0', expected a whole number, 1 or more"),
        (("train",), "Missing argument 'DATA'"),
        (("predict",), "Missing argument 'MODEL'"),
        ((*TRAIN, "--plot", "curves.gif"), "--plot 'curves.gif': plots are SVG files"),
    ],
)
def test_a_value_that_is_refused_is_quoted_with_what_was_expected(args: tuple[str, ...], said: str) -> None:
    assert said in message(*args)


def test_a_device_that_is_not_known_is_quoted() -> None:
    done = xpnet_here("evaluate", "model", "data", "--device", "tpu")
    assert "'tpu'" in done.stderr or "model: there is no such file" in done.stderr


@pytest.mark.parametrize(("value", "expected"), [("3", 3), (3, 3), ("-0", 0)])
def test_whole_numbers(value: object, expected: int) -> None:
    assert Number(int, 0, 3)(value) == expected


@pytest.mark.parametrize("value", ["", "4", "-1", "x", "1e0", "nan", 1.0, True, None, [1]])
def test_what_is_not_a_whole_number_is_refused(value: object) -> None:
    with pytest.raises(typer.BadParameter, match="expected a whole number from 0 to 3"):
        Number(int, 0, 3)(value)


@pytest.mark.parametrize(("value", "expected"), [("1e-3", 0.001), (1, 1.0), ("-2", -2.0)])
def test_numbers(value: object, expected: float) -> None:
    assert Number(float, None, None)(value) == expected


@pytest.mark.parametrize("value", ["inf", "nan", "1,5", False])
def test_what_is_not_a_number_is_refused(value: object) -> None:
    with pytest.raises(typer.BadParameter, match="expected a number"):
        Number(float, None, None)(value)


def test_a_word_in_place_of_a_number() -> None:
    number = Number(float, 0, None, "auto")
    assert (number("auto"), number("0.5")) == ("auto", 0.5)
    for wrong in ("Auto", "", "-1", "nan"):
        with pytest.raises(typer.BadParameter, match="expected a number or auto, 0 or more"):
            number(wrong)


def test_lists_of_numbers() -> None:
    assert NumberList(float)("0.1, 1e-2") == [0.1, 0.01]
    assert NumberList(int)(7) == [7]
    for wrong in ("", "1,", "a"):
        with pytest.raises(typer.BadParameter, match="expected numbers separated by commas, as in"):
            NumberList(float)(wrong)


def test_the_old_name_of_an_option_still_works_with_a_warning(model: Path, classes: Path) -> None:
    image = str(classes / "red" / "0000.jpg")
    new = xpnet("predict", str(model), image, "--min-confidence", "0.99")
    old = xpnet("predict", str(model), image, "--threshold", "0.99")
    assert new.stderr == ""
    assert old.stderr == "warning: --threshold is now called --min-confidence; the old name still works\n"
    assert (old.returncode, old.stdout) == (new.returncode, new.stdout)
    assert ",unsure," in new.stdout
    assert "expected a number from 0 to 1" in message("predict", str(model), image, "--threshold", "x")
    both = message("predict", str(model), image, "--threshold", "0.5", "--min-confidence", "0.6")
    assert "--threshold is the old name of --min-confidence: give only --min-confidence" in both
    assert "--threshold" not in xpnet_here("predict", "--help").stdout
