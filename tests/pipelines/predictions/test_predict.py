"""Rows of predictions: one for each input, in order, the same however they were made."""

import csv
import io
import json
import os
import re
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path

import backends
import fakecupy
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pictures import CLASSES, draw_many, picture, save_model

import xpnet
from xpnet.backend.backend import Backend, select
from xpnet.errors import DataError, DeviceError, ModelFileError, NoInputError, OutputError, UsageError
from xpnet.io.scoring import Scorer
from xpnet.pipelines import models
from xpnet.pipelines.images.decode_many import begin_decoding, decode_chunk
from xpnet.pipelines.images.recipe import Recipe
from xpnet.pipelines.images.worker import Pixels
from xpnet.pipelines.images.workers import Workers
from xpnet.pipelines.messages import Messages
from xpnet.pipelines.models.model import Model, load
from xpnet.pipelines.models.row_options import RowOptions
from xpnet.pipelines.models.stored_recipe import read_recipe
from xpnet.pipelines.predictions.counts import Counts
from xpnet.pipelines.predictions.jobs import PredictJob, run_prediction
from xpnet.pipelines.predictions.predict import write_predictions
from xpnet.pipelines.predictions.retry import retry_errors
from xpnet.pipelines.training.api import train

CPU = select("cpu")
USUAL = RowOptions()


def rows_of(
    model: Path, paths: list[str], options: RowOptions = USUAL, **more: object
) -> tuple[Counts, bytes]:
    stdout = io.BytesIO()
    counts = write_predictions(load(str(model)), iter(paths), CPU, stdout, options, **more)
    return counts, stdout.getvalue()


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = draw_many(tmp_path_factory.mktemp("many") / "images", 150, damaged=(3, 64, 149))
    return sorted(map(str, folder.iterdir()))


def test_scores_are_the_networks_own(model: Path, classes: Path) -> None:
    paths = sorted(map(str, classes.glob("*/*.jpg")))[::5]
    counts, written = rows_of(model, paths, RowOptions(proba=True))
    loaded = load(str(model))
    X = decode_chunk(paths, Recipe(8, 8)).columns.T / 255
    saved = loaded.saved
    A = saved.model.activate_output(saved.model.forward(saved.parameters, X.astype("float32")))
    read = list(csv.DictReader(io.StringIO(written.decode())))
    assert counts.ok == len(read) == len(paths)
    for i, row in enumerate(read):
        best = int(np.argmax(A[:, i]))
        assert (row["path"], row["status"], row["label"]) == (paths[i], "ok", CLASSES[best])
        np.testing.assert_allclose([float(row[f"p_{name}"]) for name in CLASSES], A[:, i], rtol=1e-4)
        assert row["score"] == row[f"p_{CLASSES[best]}"]


def test_every_input_has_its_row_in_order(model: Path, many: list[str]) -> None:
    counts, written = rows_of(model, many)
    read = list(csv.DictReader(io.StringIO(written.decode())))
    assert [row["path"] for row in read] == many
    assert [i for i, row in enumerate(read) if row["status"] == "error"] == [3, 64, 149]
    assert (counts.ok, counts.error) == (147, 3)
    assert all(row["error"] and not row["label"] for row in read if row["status"] == "error")


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(size=st.integers(1, 200), data=st.data())
def test_neither_batches_nor_neighbours_change_a_byte(
    model: Path, many: list[str], size: int, data: st.DataObject
) -> None:
    whole = rows_of(model, many)[1]
    assert rows_of(model, many, batch_size=size)[1] == whole
    chosen = sorted(data.draw(st.sets(st.integers(0, len(many) - 1), min_size=1)))
    lines = whole.splitlines(keepends=True)
    want = lines[0] + b"".join(lines[1 + i] for i in chosen)
    assert rows_of(model, [many[i] for i in chosen], batch_size=size)[1] == want


def test_workers_change_no_byte(model: Path, tmp_path: Path, many: list[str]) -> None:
    paths = many * 3  # enough that processes are started
    assert rows_of(model, paths, workers=2)[1] == rows_of(model, paths)[1]


def test_the_size_of_a_batch_is_not_that_of_a_workers_task(
    model: Path, many: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks = []
    submit = Workers.submit

    def counted(self: Workers, paths: list[str], recipe: Recipe) -> object:
        tasks.append(len(paths))
        return submit(self, paths, recipe)

    monkeypatch.setattr(Workers, "submit", counted)
    for size in (1, 1000):
        tasks.clear()
        with Workers(2) as decoders:
            rows_of(model, many, workers=decoders, batch_size=size)
        assert tasks == [64, 64, 22]


@pytest.mark.parametrize("is_unfinished", [False, True])
@pytest.mark.parametrize("overwrite", [False, True])
def test_the_model_is_loaded_while_the_first_images_are_decoded(
    model: Path,
    many: list[str],
    tmp_path: Path,
    is_unfinished: bool,
    overwrite: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    want = rows_of(model, many)[1]
    output = str(tmp_path / "rows.csv")
    if is_unfinished:

        def paths() -> Iterator[str]:
            yield from many[:100]
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            write_predictions(load(str(model)), paths(), CPU, output)
    submit, tasks, before = Workers.submit, list[int](), list[int]()

    def counted(self: Workers, paths: list[str], recipe: Recipe) -> Future[Pixels]:
        tasks.append(len(paths))
        return submit(self, paths, recipe)

    def loaded(path: str) -> Model:
        before.append(sum(tasks))
        return load(path)

    monkeypatch.setattr(Workers, "submit", counted)
    monkeypatch.setattr(models, "load", loaded, raising=False)
    with Workers(2) as decoders:
        job = PredictJob(
            model=str(model), inputs=tuple(many), output=output, device="cpu", workers=decoders,
            overwrite=overwrite,
        )  # fmt: skip
        run_prediction(job, io.BytesIO(), Messages())
    assert before == [0 if is_unfinished and not overwrite else len(many)]
    assert Path(output).read_bytes() == want


def test_a_model_that_is_replaced_meanwhile_is_noticed(
    model: Path, many: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def replaced(path: str) -> Model:
        found = load(path)
        return replace(found, recipe=replace(found.recipe, resize_mode="crop"))

    monkeypatch.setattr(models, "load", replaced, raising=False)
    output = tmp_path / "rows.csv"
    with Workers(2) as decoders:
        job = PredictJob(
            model=str(model), inputs=tuple(many), output=str(output), device="cpu", workers=decoders
        )
        with pytest.raises(ModelFileError, match="was replaced while it was read"):
            run_prediction(job, io.BytesIO(), Messages())
    assert not list(tmp_path.iterdir())


def test_a_device_that_cannot_be_opened_leaves_nothing(model: Path, many: list[str], tmp_path: Path) -> None:
    def opened() -> Backend:
        raise DeviceError("no GPU", problem="no-device")

    with pytest.raises(DeviceError, match="no GPU"):
        write_predictions(load(str(model)), many, opened, str(tmp_path / "rows.csv"))
    assert not list(tmp_path.iterdir())


def test_only_the_recipe_is_read_before_the_first_images_are_decoded(model: Path, tmp_path: Path) -> None:
    assert read_recipe(str(model)) == load(str(model)).recipe
    damaged = tmp_path / "damaged.safetensors"
    content = model.read_bytes()
    damaged.write_bytes(content[:-8] + b"\xff" * 8)  # weights that are NaN
    assert read_recipe(str(damaged)) == load(str(model)).recipe
    damaged.write_bytes(content[:40])
    with pytest.raises(ModelFileError, match="is truncated"):
        read_recipe(str(damaged))
    damaged.write_bytes(content[:9] + b"}" + content[10:])
    with pytest.raises(ModelFileError, match="is damaged or truncated"):
        read_recipe(str(damaged))
    missing = str(tmp_path / "missing")
    for path, told in {missing: "there is no such file", str(tmp_path): "is not a file"}.items():
        with pytest.raises(ModelFileError, match=f"^{re.escape(path)}: {told}$"):
            read_recipe(path)


@pytest.mark.skipif(sys.platform == "win32", reason="no named pipes")
def test_a_slow_list_delays_neither_errors_nor_rows(model: Path, many: list[str], tmp_path: Path) -> None:
    fifo, damaged = tmp_path / "list", tmp_path / "damaged.safetensors"
    damaged.write_bytes(model.read_bytes()[:-8])
    os.mkfifo(fifo)

    def run(path: Path) -> None:
        with Workers(2) as decoders:
            job = PredictJob(model=str(path), files_from=str(fifo), device="cpu", workers=decoders)
            run_prediction(job, io.BytesIO(), Messages())

    with pytest.raises(ModelFileError, match="is damaged or truncated"):
        run(damaged)  # nobody writes to the list
    writer = threading.Thread(target=lambda: fifo.write_text("\n".join(many[:3])))
    writer.start()
    run(model)
    writer.join()


def test_another_run_of_the_same_output_is_noticed(model: Path, many: list[str], tmp_path: Path) -> None:
    output = str(tmp_path / "rows.csv")

    def opened() -> Backend:
        def paths() -> Iterator[str]:
            yield from many[:100]
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            write_predictions(load(str(model)), paths(), CPU, output)
        return CPU

    recipe = load(str(model)).recipe
    assert recipe is not None
    begun = begin_decoding(many, recipe, 1)
    with pytest.raises(OutputError, match="another run began to write it meanwhile"):
        write_predictions(load(str(model)), many, opened, output, begun=begun)


@pytest.mark.parametrize("format_", ["csv", "jsonl", "parquet"])
def test_a_run_resumes_to_the_same_bytes(
    model: Path, tmp_path: Path, many: list[str], format_: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if format_ == "parquet":
        pytest.importorskip("pyarrow")
    loaded, options = load(str(model)), RowOptions(topk=2)

    def run(name: str, stop: int | None = None, batch: int = 16) -> None:
        def paths() -> object:
            for i, path in enumerate(many):
                if i == stop:
                    raise KeyboardInterrupt
                yield path

        write_predictions(
            loaded,
            paths(),
            CPU,
            str(tmp_path / name),
            options,
            format=format_,
            batch_size=batch,
        )

    run("whole")
    for stop in (20, 90, 140):
        with pytest.raises(KeyboardInterrupt):
            run("resumed", stop=stop)
    assert not (tmp_path / "resumed").exists()
    run("resumed", batch=7)
    assert (tmp_path / "resumed").read_bytes() == (tmp_path / "whole").read_bytes()


def interrupted(model: Path, path: Path, paths: list[str], options: RowOptions = USUAL) -> None:
    def some() -> object:
        yield from paths[:100]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_predictions(load(str(model)), some(), CPU, str(path), options, batch_size=10)


@pytest.mark.parametrize("reading", [{"frame": 2}, {"max_pixels": 9}])
def test_resuming_while_reading_otherwise_is_refused(
    model: Path, tmp_path: Path, many: list[str], reading: dict[str, int]
) -> None:
    path = tmp_path / "rows.csv"
    interrupted(model, path, many)
    with pytest.raises(OutputError, match=f"other options: {next(iter(reading))} was .*, and now is [29];"):
        write_predictions(load(str(model)).reading(**reading), many, CPU, str(path))


@pytest.mark.parametrize("what", ["model", "options", "inputs"])
def test_resuming_with_something_else_is_refused(
    model: Path, tmp_path: Path, many: list[str], what: str
) -> None:
    path = tmp_path / "rows.csv"
    interrupted(model, path, many)
    other = save_model(tmp_path / "other.safetensors", seed=2)
    with pytest.raises(
        OutputError, match=f"cannot be resumed.*{what}.*--overwrite; to keep both, name another"
    ):
        write_predictions(
            load(str(other if what == "model" else model)),
            iter(many[1:] if what == "inputs" else many),
            CPU,
            str(path),
            RowOptions(topk=2) if what == "options" else RowOptions(),
        )
    write_predictions(load(str(model)), iter(many), CPU, str(path), RowOptions())
    assert path.read_bytes() == rows_of(model, many)[1]


def test_json_lines_leave_empty_columns_out(model: Path, many: list[str]) -> None:
    _, written = rows_of(model, many[:5], format="jsonl")
    read = [json.loads(line) for line in written.splitlines()]
    assert [set(row) for row in read[:4]] == [{"path", "status", "label", "score", "frames"}] * 3 + [
        {"path", "status", "error"}
    ]


def test_no_inputs_leave_no_file(model: Path, tmp_path: Path) -> None:
    with pytest.raises(NoInputError, match="no inputs"):
        write_predictions(load(str(model)), iter([]), CPU, str(tmp_path / "a.csv"))
    assert list(tmp_path.iterdir()) == []


def test_parquet_needs_a_file(model: Path, many: list[str]) -> None:
    pytest.importorskip("pyarrow")
    with pytest.raises(UsageError, match="--format parquet cannot be written to standard output"):
        rows_of(model, many, format="parquet")


def test_an_unknown_format_is_refused(model: Path, many: list[str]) -> None:
    with pytest.raises(UsageError, match="--format is 'xml', expected one of csv, jsonl, parquet"):
        rows_of(model, many, format="xml")


def test_names_are_whatever_the_system_allows(model: Path, tmp_path: Path) -> None:
    names = [
        "a,b.jpg",
        'say "hi".jpg',
        "two\nlines.jpg",
        "return\r.jpg",
        " spaces .jpg",
        "-dash.jpg",
        "ü.jpg",
    ]
    for name in names:
        picture("red", 1).save(tmp_path / name, "JPEG")
    counts, written = rows_of(model, [str(tmp_path / name) for name in names])
    read = list(csv.DictReader(io.StringIO(written.decode(), newline="")))
    assert [Path(row["path"]).name for row in read] == names
    assert len({row["score"] for row in read}) == 1
    assert counts.ok == len(names)


@pytest.mark.parametrize(
    ("failure", "problem"),
    [
        (fakecupy.CUDARuntimeError("cudaErrorLaunchFailure: unspecified launch failure"), "lost"),
        (fakecupy.OutOfMemoryError(1 << 40, 1 << 30), "out-of-memory"),
    ],
    ids=["lost", "out of memory"],
)
@pytest.mark.parametrize("where", ["_score", "_fetch"])
def test_a_device_that_fails_in_the_middle_leaves_what_can_be_resumed(
    failure: Exception,
    problem: str,
    where: str,
    model: Path,
    tmp_path: Path,
    many: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    backend = backends.make("fake")

    def run(name: str, **more: bool) -> Counts:
        path = str(tmp_path / name)
        return write_predictions(load(str(model)), iter(many), backend, path, USUAL, batch_size=10, **more)

    run("whole.csv")
    original, calls = getattr(Scorer, where), []

    def failing(scorer: Scorer, *args: object) -> object:
        calls.append(args)
        if len(calls) == 8:
            raise failure
        return original(scorer, *args)

    monkeypatch.setattr(Scorer, where, failing)
    with pytest.raises(DeviceError) as error:
        run("stopped.csv")
    assert error.value.problem == problem
    assert not (tmp_path / "stopped.csv").exists()
    kept = (tmp_path / "stopped.csv.part").read_bytes()
    assert kept.count(b"\n") >= 1 + 10 * (8 - 1 - 2 - 1)
    monkeypatch.undo()
    counts = run("stopped.csv")
    assert counts.total == len(many)
    written = (tmp_path / "stopped.csv").read_bytes()
    assert written == (tmp_path / "whole.csv").read_bytes()
    assert written.startswith(kept)


def test_a_few_parts_are_under_way_at_most(
    model: Path, many: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a GPU the next are decoded meanwhile; the results stay in order."""
    begun, open_now = [], []
    begin = Scorer.begin

    def counted(scorer: Scorer, examples: np.ndarray, first: int = 0) -> object:
        wait = begin(scorer, examples, first)
        begun.append(first)
        open_now.append(len(begun) - len(waited))

        def waiting() -> np.ndarray:
            waited.append(first)
            return wait()

        return waiting

    waited: list[int] = []
    monkeypatch.setattr(Scorer, "begin", counted)
    stdout = io.BytesIO()
    write_predictions(load(str(model)), iter(many), backends.make("fake"), stdout, USUAL, batch_size=10)
    assert begun == waited == list(range(0, 150, 10))
    assert max(open_now) == 3
    read = list(csv.DictReader(io.StringIO(stdout.getvalue().decode())))
    assert [row["path"] for row in read] == many


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return a model of a table, and a table for it: other order, no target, a line that cannot be used."""
    folder = tmp_path_factory.mktemp("tables")
    lines = [f"{k % 7},{k % 5},{'yes' if k % 7 > 3 else 'no'}" for k in range(40)]
    (folder / "train.csv").write_text("\n".join(["a,b,y", *lines]))
    trained = train(str(folder / "train.csv"), target="y", output=str(folder / "model"), device="cpu")
    assert trained.classes == ("no", "yes")
    lines = [f"{k % 5},x{k},{k % 7}" for k in range(30)]
    (folder / "new.csv").write_text("\n".join(["b,more,a", *lines, "1,x,many", "1,x,6"]))
    return folder / "model", folder / "new.csv"


def test_the_lines_of_a_table_are_scored(tables: tuple[Path, Path]) -> None:
    model, table = tables
    counts, written = rows_of(model, [str(table)], RowOptions(proba=True))
    read = list(csv.DictReader(io.StringIO(written.decode())))
    assert [row["path"] for row in read] == [f"{table}: line {i}" for i in range(2, 34)]
    assert (counts.ok, counts.error) == (31, 1)
    assert read[30]["status"] == "error"
    assert "many" in read[30]["error"]
    X = np.array([[k % 7, k % 5] for k in range(30)], float).T
    np.testing.assert_allclose(
        [float(row["p_yes"]) for row in read[:30]], load(str(model)).predict_proba(X)[1], rtol=1e-4
    )
    assert [row["label"] for row in read[:30]] == ["yes" if k % 7 > 3 else "no" for k in range(30)]


@pytest.mark.parametrize("size", [1, 7, 100])
def test_batches_of_lines_change_no_byte(tables: tuple[Path, Path], size: int) -> None:
    model, table = tables
    assert rows_of(model, [str(table)], batch_size=size)[1] == rows_of(model, [str(table)])[1]


def test_a_table_resumes_to_the_same_bytes(
    tables: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, table = tables

    def run(**more: object) -> Counts:
        return write_predictions(load(str(model)), [str(table)], CPU, str(tmp_path / "rows"), USUAL, **more)

    def stop(counts: Counts) -> None:
        if counts.total == 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(batch_size=5, on_progress=stop)
    done: list[int] = []
    assert run(on_resume=done.append).total == 32
    assert done == [20]
    assert (tmp_path / "rows").read_bytes() == rows_of(model, [str(table)])[1]


def test_a_table_without_a_column_of_the_model_is_refused(tables: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,c\n1,2\n")
    with pytest.raises(DataError, match="b"):
        rows_of(tables[0], [str(tmp_path / "t.csv")])


def test_a_table_is_not_retried(tables: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "rows.csv").touch()
    with pytest.raises(UsageError, match="--retry-errors is for images"):
        retry_errors(load(str(tables[0])), [str(tables[1])], CPU, str(tmp_path / "rows.csv"))


def test_a_table_that_changed_is_not_continued(tables: tuple[Path, Path], tmp_path: Path) -> None:
    model, table = tables
    copied = tmp_path / "t.csv"
    copied.write_bytes(table.read_bytes())

    def stop(counts: Counts) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_predictions(
            load(str(model)), [str(copied)], CPU, str(tmp_path / "rows"), batch_size=5, on_progress=stop
        )
    lines = copied.read_text().splitlines()
    copied.write_text("\n".join([*lines[:-1], lines[-2]]) + "\n")
    with pytest.raises(OutputError, match="are for other inputs"):
        write_predictions(load(str(model)), [str(copied)], CPU, str(tmp_path / "rows"), batch_size=5)


@pytest.mark.parametrize("offset", [1_234_567.0, 1.7e9, 0.1])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_predicted_numbers_are_not_rounded(tmp_path: Path, offset: float, dtype: str) -> None:
    table = tmp_path / "t.csv"
    table.write_text("a,y\n" + "".join(f"{i},{offset + i}\n" for i in range(40)))
    model = xpnet.train(table, target="y", output=tmp_path / "m", dtype=dtype)
    predicted = model.predict_array(np.arange(40.0)[None])[0]
    _, written = rows_of(tmp_path / "m", [str(table)])
    scores = [row["score"] for row in csv.DictReader(io.StringIO(written.decode()))]
    assert predicted.dtype.type([float(score) for score in scores]).tolist() == predicted.tolist()
    assert np.sqrt(np.mean((np.array(scores, float) - offset - np.arange(40)) ** 2)) < 0.2
    assert model.evaluate(table)["r_squared"] > 0.999


@pytest.mark.skipif(os.name != "posix", reason="there are no such permissions")
def test_an_output_keeps_its_permissions(model: Path, many: list[str], tmp_path: Path) -> None:
    for format_ in ("csv", "parquet"):
        output = tmp_path / f"rows.{format_}"
        output.touch(0o600)
        write_predictions(load(str(model)), many[:2], CPU, str(output), format=format_)
        assert output.stat().st_mode & 0o777 == 0o600


def test_images_are_no_tables(tables: tuple[Path, Path], many: list[str]) -> None:
    model, _ = tables
    with pytest.raises(
        UsageError, match=r"is no table, and .* was trained on one: expected .*\.csv or \.tsv"
    ):
        rows_of(model, many[:1])
