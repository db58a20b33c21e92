"""Scoring again what failed before."""

from pathlib import Path

import pytest
from pictures import draw_many, picture, save_model

from xpnet.backend.backend import select
from xpnet.errors import DataError, OutputError
from xpnet.pipelines.models.model import load
from xpnet.pipelines.models.prediction import RowOptions
from xpnet.pipelines.predictions.predict import write_predictions
from xpnet.pipelines.predictions.retry import retry_errors
from xpnet.pipelines.predictions.rows import Counts

CPU = select("cpu")
USUAL = RowOptions()


def score(
    model: Path, paths: list[str], output: Path, options: RowOptions = USUAL, format: str = "csv"
) -> None:
    write_predictions(load(str(model)), iter(paths), CPU, str(output), options, format=format)


def again(
    model: Path, paths: list[str], output: Path, options: RowOptions = USUAL, format: str = "csv"
) -> Counts:
    return retry_errors(load(str(model)), iter(paths), CPU, str(output), options, format=format)


@pytest.fixture
def paths(tmp_path: Path) -> list[str]:
    """Return inputs, three of which are damaged."""
    folder = draw_many(tmp_path / "images", 100)
    for i in (0, 50, 99):
        path = folder / f"{i:06}.jpg"
        path.unlink()
        path.write_bytes(b"no image")
    return sorted(map(str, folder.iterdir()))


@pytest.mark.parametrize("format_", ["csv", "jsonl", "parquet"])
def test_repaired_inputs_get_the_rows_they_should_have_had(
    model: Path, tmp_path: Path, paths: list[str], format_: str
) -> None:
    if format_ == "parquet":
        pytest.importorskip("pyarrow")
    output, options = tmp_path / f"rows.{format_}", RowOptions(proba=True)
    score(model, paths, output, options, format_)
    for i in (0, 50):
        picture("green", i).save(paths[i])
    counts = again(model, paths, output, options, format_)
    assert (counts.ok, counts.error) == (99, 1)
    score(model, paths, tmp_path / "whole", options, format_)
    assert output.read_bytes() == (tmp_path / "whole").read_bytes()


def test_without_errors_nothing_changes(model: Path, tmp_path: Path, paths: list[str]) -> None:
    output = tmp_path / "rows.csv"
    score(model, paths[1:50], output)
    before = output.read_bytes()
    assert again(model, paths[1:50], output).ok == 49
    assert output.read_bytes() == before


def test_other_inputs_are_refused_and_the_file_stays(model: Path, tmp_path: Path, paths: list[str]) -> None:
    output = tmp_path / "rows.csv"
    score(model, paths, output)
    before = output.read_bytes()
    for other in (paths[1:], paths[:-1], [*paths, paths[0]], paths[::-1]):
        with pytest.raises(OutputError, match=r"rows\.csv: has"):
            again(model, other, output)
    assert output.read_bytes() == before
    assert not list(tmp_path.glob("rows.csv.*"))


def test_another_model_is_refused(model: Path, tmp_path: Path, paths: list[str]) -> None:
    output = tmp_path / "rows.csv"
    score(model, paths, output)
    with pytest.raises(OutputError, match="made by another model, with other options"):
        again(save_model(tmp_path / "other.safetensors", seed=5), paths, output)


def test_other_columns_are_refused(model: Path, tmp_path: Path, paths: list[str]) -> None:
    output = tmp_path / "rows.csv"
    score(model, paths, output)
    with pytest.raises(DataError, match="has the columns path, status, label, score, error, expected"):
        again(model, paths, output, RowOptions(topk=1))


def test_there_must_be_a_file(model: Path, tmp_path: Path, paths: list[str]) -> None:
    with pytest.raises(OutputError, match="nothing to retry"):
        again(model, paths, tmp_path / "rows.csv")
