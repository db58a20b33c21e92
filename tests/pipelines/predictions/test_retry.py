"""Scoring again what failed before."""

from pathlib import Path

import pytest
from pictures import draw_many, picture, save_model

from xpnet.backend.backend import select
from xpnet.errors import DataError, OutputError
from xpnet.pipelines.models.model import load
from xpnet.pipelines.models.row_options import RowOptions
from xpnet.pipelines.predictions import retry
from xpnet.pipelines.predictions.counts import Counts
from xpnet.pipelines.predictions.predict import write_predictions
from xpnet.pipelines.predictions.retry import retry_errors

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
    with pytest.raises(
        DataError, match="has the columns path, status, label, score, frames, error, expected"
    ):
        again(model, paths, output, RowOptions(topk=1))


def test_there_must_be_a_file(model: Path, tmp_path: Path, paths: list[str]) -> None:
    with pytest.raises(OutputError, match="nothing to retry"):
        again(model, paths, tmp_path / "rows.csv")


def test_a_retry_that_was_stopped_goes_on(
    model: Path, tmp_path: Path, paths: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retry, "BATCH_SIZE", 16)
    output = tmp_path / "rows.csv"
    score(model, paths, output)
    before = output.read_bytes()
    for i in (0, 50):
        picture("green", i).save(paths[i])

    def stop(counts: Counts) -> None:
        if counts.total == 64:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        retry_errors(load(str(model)), iter(paths), CPU, str(output), on_progress=stop)
    assert output.read_bytes() == before
    for other, said in ((paths[1:], "other inputs"), (paths[:10], "other inputs")):
        with pytest.raises(OutputError, match=f"{said} than these; .*--overwrite"):
            again(model, other, output)
    with pytest.raises(OutputError, match=r"the earlier run had .*retry.*--overwrite"):
        score(model, paths, output)
    done: list[int] = []
    counts = retry_errors(load(str(model)), iter(paths), CPU, str(output), on_resume=done.append)
    assert done == [64]
    assert (counts.ok, counts.error) == (99, 1)
    score(model, paths, tmp_path / "whole")
    assert output.read_bytes() == (tmp_path / "whole").read_bytes()
    assert not list(tmp_path.glob("rows.csv.*"))


def test_an_unfinished_run_is_not_lost_to_a_retry(model: Path, tmp_path: Path, paths: list[str]) -> None:
    output = tmp_path / "rows.csv"
    score(model, paths, output)

    def stop(counts: Counts) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_predictions(load(str(model)), iter(paths), CPU, str(output), batch_size=9, on_progress=stop)
    kept = Path(f"{output}.part").read_bytes()
    with pytest.raises(OutputError, match="cannot be resumed: the earlier run had another --retry-errors"):
        again(model, paths, output)
    assert Path(f"{output}.part").read_bytes() == kept
    retry_errors(load(str(model)), iter(paths), CPU, str(output), overwrite=True)
    assert not list(tmp_path.glob("rows.csv.*"))


@pytest.mark.parametrize(("first", "then"), [(0.9, 0.0), (0.0, 0.9)])
def test_another_least_confidence_is_refused(
    model: Path, tmp_path: Path, paths: list[str], first: float, then: float
) -> None:
    """Also if the status of the first row would be the same."""
    output = tmp_path / "rows.csv"
    score(model, paths, output, RowOptions(min_confidence=first))
    before = output.read_bytes()
    with pytest.raises(OutputError, match="which it would not be with --min-confidence"):
        again(model, paths, output, RowOptions(min_confidence=then))
    assert output.read_bytes() == before
