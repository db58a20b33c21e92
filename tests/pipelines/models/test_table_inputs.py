"""Rows of tables and of files of features get a row each; what does not fit the model is refused."""

import csv
import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import xpnet
from xpnet.backend import select
from xpnet.errors import DataError, OutputError, UsageError
from xpnet.pipelines.datasets import DataOptions, write_data
from xpnet.pipelines.models.model import Model, load
from xpnet.pipelines.models.table_inputs import TableInputs
from xpnet.pipelines.predictions.predict import write_predictions

RNG = np.random.default_rng(1)
WORDS = np.array(["ant", "bee", "cat"])
Y = np.arange(150) % 3
X = (RNG.normal(size=(3, 6))[Y] * 2 + RNG.normal(size=(150, 6))).astype(np.float32)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    folder = tmp_path_factory.mktemp("model")
    np.savez(folder / "train.npz", features=X, labels=Y, classes=WORDS)
    return xpnet.train(folder / "train.npz", output=folder / "m.safetensors", device="cpu")


def written(model: Model, *paths: Path, **more: Any) -> list[dict[str, str]]:
    stdout = io.BytesIO()
    inputs = list(map(str, paths))
    write_predictions(load(str(model.path)), inputs, select("cpu"), stdout, **more)
    return list(csv.DictReader(io.StringIO(stdout.getvalue().decode())))


def files(folder: Path, **more: Any) -> dict[str, Path]:
    """Write the features into a file of each format."""
    import h5py

    np.save(folder / "a.npy", X)
    np.savez(folder / "a.npz", X=X, **more)
    pq.write_table(
        pa.table({"e": pa.FixedSizeListArray.from_arrays(pa.array(X.ravel()), 6), "label": WORDS[Y]}),
        folder / "a.parquet",
    )
    with h5py.File(folder / "a.h5", "w") as file:
        file["features"], file["labels"] = X, WORDS[Y].tolist()
    return {path.suffix: path for path in sorted(folder.glob("a.*"))}


def test_each_format_gives_the_same_rows(model: Model, tmp_path: Path) -> None:
    expected = model.predict_array(X.T)[0].tolist()
    scores = model.predict_proba(X.T).max(axis=0)
    for path in files(tmp_path).values():
        rows = written(model, path)
        assert [row["label"] for row in rows] == expected
        assert [row["path"] for row in rows] == [f"{path}: {i}" for i in range(150)]
        np.testing.assert_allclose([float(row["score"]) for row in rows], scores, rtol=1e-5)
        found = list(model.predict(path, device="cpu"))
        assert [(each.path, each.label) for each in found] == [(r["path"], r["label"]) for r in rows]


def test_names_and_examples_that_cannot_be_used(model: Model, tmp_path: Path) -> None:
    bad = X.copy()
    bad[7, 2] = np.inf
    names = np.array([f"img {i % 100} ü" for i in range(150)])
    np.savez(tmp_path / "a.npz", X=bad, names=names)
    rows = written(model, tmp_path / "a.npz")
    assert [row["path"] for row in rows] == names.tolist()
    assert [row["status"] for row in rows].count("error") == 1
    assert rows[7]["error"] == "feature 2 is inf, expected a finite number"
    np.save(tmp_path / "b.npy", X)
    others = [row["score"] for row in written(model, tmp_path / "b.npy")]
    assert [row["score"] for i, row in enumerate(rows) if i != 7] == others[:7] + others[8:]


@pytest.mark.parametrize("batch_size", [1, 7, 64])
def test_batches_and_several_files_change_no_row(model: Model, tmp_path: Path, batch_size: int) -> None:
    np.save(tmp_path / "all.npy", X)
    np.save(tmp_path / "one.npy", X[:61])
    np.save(tmp_path / "two.npy", X[61:])
    together = written(model, tmp_path / "all.npy")
    apart = written(model, tmp_path / "one.npy", tmp_path / "two.npy", batch_size=batch_size)
    keys = ("label", "score", "status")
    assert [[row[k] for k in keys] for row in together] == [[row[k] for k in keys] for row in apart]


def test_a_run_that_was_killed_goes_on(model: Model, tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", X)

    def write(output: str, stop: int | None) -> None:
        def on_progress(counts: Any) -> None:
            if stop is not None and counts.total >= stop:
                raise KeyboardInterrupt

        write_predictions(
            load(str(model.path)), [str(tmp_path / "a.npy")], select("cpu"), str(tmp_path / output),
            batch_size=10, on_progress=on_progress,
        )  # fmt: skip

    write("whole.csv", None)
    with pytest.raises(KeyboardInterrupt):
        write("rows.csv", 30)
    write("rows.csv", None)
    assert (tmp_path / "rows.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()
    with pytest.raises(KeyboardInterrupt):
        write("other.csv", 30)
    np.save(tmp_path / "a.npy", X + 1)
    with pytest.raises(OutputError, match="are for other inputs"):
        write("other.csv", None)


def test_another_number_of_features_is_refused_with_both_numbers(model: Model, tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", X[:, :4])
    np.savez(tmp_path / "a.npz", X=X[:, :4], y=Y)
    with pytest.raises(UsageError, match=r"a\.npy: has 4 features, and .*m\.safetensors expects 6"):
        model.predict(tmp_path / "a.npy")
    with pytest.raises(UsageError, match=r"a\.npz: has 4 features, and the model expects 6"):
        model.evaluate(tmp_path / "a.npz")


def test_named_features_are_matched_by_name(tmp_path: Path) -> None:
    columns = {f"c{i}": X[:, i] for i in range(6)} | {"kind": WORDS[Y]}
    pq.write_table(pa.table(columns), tmp_path / "train.parquet")
    model = xpnet.train(
        tmp_path / "train.parquet", target="kind", output=tmp_path / "m.safetensors", device="cpu"
    )
    other = {name: columns[name] for name in ("kind", "c5", "c0", "c1", "c3", "c4", "c2")}
    pq.write_table(pa.table(other | {"note": WORDS[Y]}), tmp_path / "other.parquet")
    assert model.evaluate(tmp_path / "other.parquet") == model.evaluate(tmp_path / "train.parquet")
    lines = ["c5,c4,c3,c2,c1,c0,kind", *(",".join(map(repr, row[::-1].tolist())) + ",ant" for row in X)]
    (tmp_path / "t.csv").write_text("\n".join(lines))
    expected = [row["score"] for row in written(model, tmp_path / "train.parquet")]
    assert [row["score"] for row in written(model, tmp_path / "other.parquet")] == expected
    assert [row["score"] for row in written(model, tmp_path / "t.csv")] == expected
    np.save(tmp_path / "a.npy", X)
    with pytest.raises(DataError, match="the model knows its features by name: c0, c1"):
        model.predict(tmp_path / "a.npy")
    pq.write_table(pa.table({"c0": X[:, 0]}), tmp_path / "few.parquet")
    with pytest.raises(DataError, match="has no column 'c1'"):
        model.predict(tmp_path / "few.parquet")


def test_evaluation_of_each_format(model: Model, tmp_path: Path) -> None:
    expected = float((model.predict_array(X.T)[0] == WORDS[Y]).mean())
    for suffix, path in files(tmp_path, y=WORDS[Y]).items():
        if suffix == ".npy":
            np.save(tmp_path / "a_labels.npy", WORDS[Y])
        assert model.evaluate(path)["accuracy"] == pytest.approx(expected)
    np.savez(tmp_path / "b.npz", X=X, y=np.where(Y == 0, "dog", "ant"))
    with pytest.raises(DataError, match=r"b\.npz: has the class 'dog', expected only ant, bee, cat"):
        model.evaluate(tmp_path / "b.npz")


def test_other_inputs_are_refused(model: Model, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a,b\n1,2\n")
    with pytest.raises(UsageError, match="holds no names of columns, so tables cannot be read for it"):
        model.predict(tmp_path / "a.csv")
    for path in (tmp_path, tmp_path / "a.jpg"):
        (tmp_path / "a.jpg").touch()
        with pytest.raises(
            UsageError, match=r"is no table, and .* expected .*\.csv or \.tsv, or one of features"
        ):
            model.predict(path)
    with pytest.raises(DataError, match=r"missing.npy: cannot be read: No such file"):
        model.predict(tmp_path / "missing.npy")


def test_data_files_of_preprocess_are_inputs(model: Model, tmp_path: Path) -> None:
    names = [f"n{i}" for i in range(150)]
    paths = files(tmp_path, y=WORDS[Y], names=names)
    write_data(str(paths[".npz"]), str(tmp_path / "d.h5"), DataOptions())
    rows = written(model, tmp_path / "d.h5")
    assert [row["path"] for row in rows] == names
    assert [row["label"] for row in rows] == model.predict_array(X.T)[0].tolist()
    (tmp_path / "t.csv").write_text("a,b,y\n1,2,no\n3,5,yes\n2,2,no\n")
    write_data(str(tmp_path / "t.csv"), str(tmp_path / "t.h5"), DataOptions(target="y"))
    table = xpnet.train(tmp_path / "t.csv", target="y", device="cpu")
    of_lines, of_rows = table.predict(tmp_path / "t.csv"), table.predict(tmp_path / "t.h5")
    assert [each.score for each in of_lines] == [each.score for each in of_rows]
    with pytest.raises(UsageError, match=r"t\.h5: has 2 features, and .* expects 6"):
        model.predict(tmp_path / "t.h5")
    with pytest.raises(DataError, match=r"d\.h5: has the columns without names; the model expects a, b"):
        table.predict(tmp_path / "d.h5")


def test_large_files_stay_mapped(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((70_000, 64), np.float32))
    (chunk,) = list(TableInputs([str(tmp_path / "a.npy")], [], 64, "m").chunks(69_990, 64))
    assert len(chunk.paths) == 10
    assert isinstance(chunk.columns.base, np.memmap) or chunk.columns.base is not None
    assert not chunk.columns.flags.owndata


def test_regression(tmp_path: Path) -> None:
    target = X @ np.arange(6.0) + 3
    np.savez(tmp_path / "a.npz", embeddings=X, targets=target.astype(np.float32))
    model = xpnet.train(tmp_path / "a.npz", output=tmp_path / "m.safetensors", device="cpu")
    assert model.evaluate(tmp_path / "a.npz")["r_squared"] > 0.9999
    np.testing.assert_allclose(
        [p.score for p in model.predict(tmp_path / "a.npz")], target, rtol=1e-3, atol=1e-3
    )


def test_images_in_an_archive_are_no_table(tmp_path: Path) -> None:
    archive = tmp_path / "x.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("1.png", b"")
    with pytest.raises(UsageError, match=r"x.zip/1.png: is no table, and m was trained on one"):
        TableInputs([f"{archive}/1.png"], ["a"], 1, "m")
