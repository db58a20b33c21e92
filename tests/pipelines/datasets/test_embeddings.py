"""Features as data: each format gives the same dataset, and what does not fit is refused with what came."""

import os
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from xpnet.errors import DataError, NoInputError, UsageError, XpnetError
from xpnet.pipelines.datasets import DataOptions, open_data, write_data
from xpnet.pipelines.datasets.data_file import describe_data_file
from xpnet.pipelines.datasets.dataset import Dataset
from xpnet.pipelines.datasets.embeddings import read_embedding_rows

RNG = np.random.default_rng(0)
X = RNG.normal(3, 2, (12, 4)).astype(np.float32)
LABELS = np.arange(12) % 3
WORDS = np.array(["ant", "bee", "chat é"])[LABELS]
IDS = [f"p/{i} ü.jpg" for i in range(12)]


def npz(folder: Path, **arrays: Any) -> str:
    np.savez(folder / "f.npz", **arrays)
    return str(folder / "f.npz")


def hdf5(folder: Path, **arrays: Any) -> str:
    with h5py.File(folder / "f.h5", "w") as file:
        for name, array in arrays.items():
            values = np.asarray(array)
            file[name] = values.tolist() if values.dtype.kind == "U" else values
    return str(folder / "f.h5")


def parquet(folder: Path, **columns: Any) -> str:
    pq.write_table(pa.table(columns), folder / "f.parquet")
    return str(folder / "f.parquet")


def lists(values: np.ndarray = X) -> pa.Array:
    return pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), values.shape[1])


def read(path: str, **options: Any) -> Dataset:
    return open_data(path, DataOptions(**options), on_warning=pytest.fail)


def test_each_format_gives_the_same(tmp_path: Path) -> None:
    np.save(tmp_path / "f.npy", X)
    np.save(tmp_path / "f_labels.npy", WORDS)
    found = [
        read(npz(tmp_path, features=X, labels=WORDS, names=IDS)),
        read(hdf5(tmp_path, features=X, labels=WORDS, names=IDS)),
        read(parquet(tmp_path, features=lists(), labels=WORDS, name=IDS)),
        read(parquet(tmp_path, path=IDS, e=pa.array(X.tolist(), pa.list_(pa.float32())), label=WORDS)),
        read(str(tmp_path / "f.npy")),
    ]
    for dataset in found:
        np.testing.assert_array_equal(dataset.data.examples, X)
        assert dataset.data.examples.dtype == np.float32
        assert dataset.classes == ("ant", "bee", "chat é")
        assert dataset.Y.tolist() == [LABELS.tolist()]
        assert dataset.Y.dtype == np.int64
        assert dataset.names == (() if dataset is found[-1] else tuple(IDS))
        assert (dataset.features, dataset.skipped, dataset.recipe) == ((), (), None)
        np.testing.assert_allclose(dataset.data.standardized().mean(axis=1), 0, atol=1e-6)
        np.testing.assert_allclose(dataset.data.standardized().std(axis=1), 1, rtol=1e-6)


@pytest.mark.parametrize("name", ["features", "embeddings", "X", "x"])
@pytest.mark.parametrize("label", ["labels", "y", "targets", "Y"])
def test_usual_names(tmp_path: Path, name: str, label: str) -> None:
    for write in (npz, hdf5):
        dataset = read(write(tmp_path, **{name: X, label: LABELS, "other": [1, 2]}))
        assert dataset.classes == ("0", "1", "2")
        assert dataset.target == label


DTYPES = {
    "f2": np.float32, "<f4": np.float32, ">f4": np.float32, "<f8": np.float64, ">f8": np.float64,
    "u1": np.uint8, "i1": np.float32, "<i8": np.float64, ">u2": np.float32,
}  # fmt: skip


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("order", ["C", "F"])
def test_dtypes_and_orders(tmp_path: Path, dtype: str, order: Any) -> None:
    values = np.asarray(np.abs(X * 10).astype(dtype), order=order)
    for write in (npz, hdf5):
        examples = read(write(tmp_path, X=values, y=LABELS)).data.examples
        assert examples.dtype == DTYPES[dtype]
        assert examples.dtype.isnative
        assert examples.flags.c_contiguous
        np.testing.assert_array_equal(examples, values)


def test_floats_are_numbers_to_predict_and_others_are_classes(tmp_path: Path) -> None:
    values = LABELS / 2
    for write in (npz, hdf5):
        for dtype in ("f2", "<f4", ">f8"):
            dataset = read(write(tmp_path, X=X, y=values.astype(dtype)))
            assert (dataset.classes, dataset.Y.tolist(), dataset.Y.dtype) == (
                (),
                [values.tolist()],
                np.float64,
            )
        assert read(write(tmp_path, X=X, y=LABELS > 0)).classes == ("False", "True")
        assert read(write(tmp_path, X=X, y=(LABELS - 5).astype("i1"))).classes == ("-5", "-4", "-3")
        assert read(write(tmp_path, X=X, y=WORDS[:, None])).classes == ("ant", "bee", "chat é")
        assert read(write(tmp_path, X=X, y=LABELS[None])).classes == ("0", "1", "2")
    assert read(npz(tmp_path, X=X, y=np.char.encode(WORDS, "utf-8"))).classes == ("ant", "bee", "chat é")


def test_names_of_classes(tmp_path: Path) -> None:
    for write in (npz, hdf5):
        for labels in (LABELS, LABELS.astype(np.float32), LABELS.astype(">u2")):
            dataset = read(write(tmp_path, X=X, y=labels, classes=["c", "a", "b", "unused"]))
            assert dataset.classes == ("c", "a", "b", "unused")
            assert dataset.Y.tolist() == [LABELS.tolist()]
        dataset = read(write(tmp_path, X=X, y=WORDS, classes=["bee", "ant", "chat e\u0301"]))
        assert dataset.classes == ("bee", "ant", "chat é")
        assert dataset.Y[0, :3].tolist() == [1, 0, 2]
        for wrong, said in (
            ({"y": LABELS - 1, "classes": ["a", "b", "c"]}, "its y is from -1 to 1, expected indices of 3"),
            ({"y": LABELS, "classes": ["a", "b"]}, "its y is from 0 to 2, expected indices of 2 classes"),
            (
                {"y": WORDS, "classes": ["ant", "bee"]},
                "its y has 'chat é', expected one of the classes ant, bee",
            ),
            ({"y": LABELS / 2, "classes": ["a", "b"]}, "its y has fractions"),
            ({"y": LABELS, "classes": ["a", "b", "a "]}, "its classes names a class twice"),
        ):
            with pytest.raises(DataError, match=said):
                read(write(tmp_path, X=X, **wrong))


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "no features": (
        {"Z": X, "y": LABELS},
        r"has no features: expected one array named .*X.*holds Z \(12, 4\)",
    ),
    "two": ({"X": X, "x": X, "y": LABELS}, "has several arrays that could be the features"),
    "no labels": (
        {"X": X},
        r"has no labels: expected one array named labels, .*; the file holds X \(12, 4\)",
    ),
    "two labels": ({"X": X, "y": LABELS, "labels": LABELS}, "has several arrays that could be the labels"),
    "1-D": ({"X": X[:, 0], "y": LABELS}, r"its X has the shape \(12,\), expected \(m, n_x\)"),
    "3-D": ({"X": X[None], "y": LABELS}, r"its X has the shape \(1, 12, 4\)"),
    "no rows": ({"X": X[:0], "y": LABELS[:0]}, r"its X has the shape \(0, 4\)"),
    "no columns": ({"X": X[:, :0], "y": LABELS}, r"its X has the shape \(12, 0\)"),
    "complex": ({"X": X * 1j, "y": LABELS}, "its X holds complex64, expected float16, float32"),
    "words": ({"X": WORDS.reshape(6, 2), "y": LABELS}, "its X"),
    "short labels": (
        {"X": X, "y": LABELS[:5]},
        r"its y has the shape \(5,\), expected a label for each of 12",
    ),
    "columns": ({"X": X.T, "y": LABELS}, "if each column of the features is an example, save features.T"),
    "one-hot": ({"X": X, "y": np.eye(3)[LABELS]}, "save labels.argmax"),
    "short names": (
        {"X": X, "y": LABELS, "names": IDS[:5]},
        "its names has 5 names, expected one for each of 12",
    ),
    "names in two columns": (
        {"X": X, "y": LABELS, "names": WORDS.reshape(6, 2)},
        "expected a list of strings|one",
    ),
    "complex labels": ({"X": X, "y": LABELS * 1j}, "its y holds complex128"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_does_not_fit_is_refused(tmp_path: Path, case: str) -> None:
    arrays, said = WRONG[case]
    with pytest.raises(DataError, match=rf"f\.npz: .*{said}"):
        read(npz(tmp_path, **arrays))
    path = hdf5(tmp_path, **arrays)
    if case != "no features":
        with pytest.raises(DataError, match=rf"f\.h5: .*(?:{said})"):
            read(path)
    else:
        with pytest.raises(DataError, match=r"contains Z, y; expected .* or features and labels"):
            read(path)


def test_examples_that_are_not_finite_are_skipped_or_fail(tmp_path: Path) -> None:
    bad = X.copy()
    bad[2, 1], bad[5, 3] = np.nan, -np.inf
    kept = np.delete(np.arange(12), [2, 5])
    paths = npz(tmp_path, X=bad, y=LABELS), hdf5(tmp_path, X=bad, y=LABELS)
    for path in (*paths, parquet(tmp_path, e=lists(bad), label=LABELS)):
        dataset = read(path)
        np.testing.assert_array_equal(dataset.data.examples, X[kept])
        assert dataset.Y.tolist() == [LABELS[kept].tolist()]
        assert dataset.skipped == (
            (f"{path}: 2", "feature 1 is nan, expected a finite number"),
            (f"{path}: 5", "feature 3 is -inf, expected a finite number"),
        )
        with pytest.raises(DataError, match=": 2: feature 1 is nan"):
            read(path, on_error="fail")
    named = read(npz(tmp_path, X=bad, y=np.where(LABELS == 1, np.nan, 1.5), names=IDS))
    assert [name for name, _ in named.skipped] == [f"{tmp_path}/f.npz: {IDS[i]}" for i in (1, 2, 4, 5, 7, 10)]
    assert named.names == tuple(IDS[i] for i in (0, 3, 6, 8, 9, 11))
    with pytest.raises(NoInputError, match="has no example that can be used: example 0: feature 0 is nan"):
        read(npz(tmp_path, X=X * np.nan, y=LABELS))
    with pytest.raises(NoInputError, match="has no example that can be used"):
        read(hdf5(tmp_path, X=X * np.nan, y=LABELS))


def test_very_large_numbers_are_finite(tmp_path: Path) -> None:
    large = np.full((12, 4), np.finfo(np.float32).max)
    large[::2] *= 0.5
    assert read(npz(tmp_path, X=large.astype(np.float32), y=LABELS)).skipped == ()


def test_a_feature_that_is_constant_is_no_error(tmp_path: Path) -> None:
    constant = X.copy()
    constant[:, 1] = 7
    data = read(npz(tmp_path, X=constant, y=LABELS)).data
    assert not data.standardized()[1].any()


def test_duplicate_names_and_strange_ones(tmp_path: Path) -> None:
    names = np.array(["a", "a", "", 'a,b\n"', "\ud800", "=1", *IDS[6:]])
    dataset = read(npz(tmp_path, X=X, y=LABELS, names=names))
    assert dataset.names[:4] == ("a", "a", "", 'a,b\n"')
    assert all(os.fsencode(name) for name in dataset.names if name)
    with pytest.raises(DataError, match=r"its names is not Unicode|is damaged"):
        read(npz(tmp_path, X=X, y=LABELS, names=np.array([b"\xff"] * 12)))
    assert read(npz(tmp_path, X=X, y=LABELS, ids=np.arange(100, 112))).names[0] == "100"


def test_labels_of_a_npy_file(tmp_path: Path) -> None:
    path = tmp_path / "train_features.npy"
    np.save(path, X)
    with pytest.raises(
        UsageError, match=r"name a .npy, CSV or Parquet file of labels with --labels, or save them as"
    ):
        read(str(path))
    for i, name in enumerate(["labels.npy", "train_labels.npy", "train_features_labels.npy"]):
        np.save(tmp_path / name, LABELS + 10 * i)  # the one that says most is taken
        assert read(str(path)).classes[0] == str(10 * i)
    np.save(tmp_path / "mine.npy", LABELS / 3)
    assert read(str(path), labels=str(tmp_path / "mine.npy")).classes == ()
    np.save(tmp_path / "mine.npy", LABELS[:4])
    with pytest.raises(
        DataError, match=r"mine\.npy: has labels of the shape \(4,\), expected one for each of 12"
    ):
        read(str(path), labels=str(tmp_path / "mine.npy"))
    assert read(npz(tmp_path, X=X), labels=str(tmp_path / "labels.npy")).classes == ("0", "1", "2")


@pytest.mark.parametrize(
    "head", ["", "label\n", "path,label\n", "species\n", "label,score\n"], ids=lambda head: head.strip()
)
def test_labels_in_a_csv_file(tmp_path: Path, head: str) -> None:
    np.save(tmp_path / "f.npy", X)
    before = "x.jpg," if head.startswith("path") else ""
    after = ",0.5" if head.endswith("score\n") else ""
    (tmp_path / "l.csv").write_text(head + "".join(f"{before}{word}{after}\n" for word in WORDS))
    dataset = read(str(tmp_path / "f.npy"), labels=str(tmp_path / "l.csv"))
    assert dataset.classes == ("ant", "bee", "chat é")
    assert dataset.Y.tolist() == [LABELS.tolist()]


@pytest.mark.parametrize("content", ["", "ant\n" * 5, "a,b,c\n" * 12, "ant\n" * 11 + "a,b\n"])
def test_labels_that_do_not_fit(tmp_path: Path, content: str) -> None:
    np.save(tmp_path / "f.npy", X)
    (tmp_path / "l.csv").write_text(content)
    with pytest.raises(DataError, match=r"l\.csv: .*expected"):
        read(str(tmp_path / "f.npy"), labels=str(tmp_path / "l.csv"))


def test_a_parquet_table_is_as_a_csv_table(tmp_path: Path) -> None:
    columns = {"b": X[:, 0], "a": X[:, 1].astype(np.float64), "n": LABELS, "id": IDS, "price": LABELS * 2}
    path = parquet(tmp_path, **columns)
    dataset = read(path, target="price")
    assert (dataset.features, dataset.classes) == (("b", "a", "n"), ())
    assert dataset.Y.tolist() == [(LABELS * 2.0).tolist()]
    assert dataset.names == tuple(IDS)
    assert read(path, target="price", columns=("a", "b")).features == ("a", "b")
    assert read(path, target="price", ignored_columns=("n",)).features == ("b", "a")
    with pytest.raises(UsageError, match="name the column to predict with --target: its columns are b, a, n"):
        read(path)
    with pytest.raises(DataError, match="has no column 'z'"):
        read(path, target="z")
    with pytest.raises(DataError, match="the column text holds string, expected numbers: leave it out with"):
        read(parquet(tmp_path, a=X[:, 0], text=WORDS, label=WORDS))
    empty = pa.array([None, *X[1:, 0].tolist()])
    assert [name for name, _ in read(parquet(tmp_path, a=empty, label=WORDS)).skipped] == [f"{path}: 0"]
    words = pa.array([*WORDS[:-1].tolist(), None]).dictionary_encode()
    (skipped,) = read(parquet(tmp_path, a=X[:, 0], label=words)).skipped
    assert skipped == (f"{path}: 11", "label is empty")


def test_parquet_lists(tmp_path: Path) -> None:
    uneven = X.tolist()
    uneven[3], uneven[4] = [1.0], None
    dataset = read(parquet(tmp_path, e=pa.array(uneven, pa.list_(pa.float32())), label=LABELS, weight=LABELS))
    assert [reason for _, reason in dataset.skipped] == [
        "e has 1 numbers, expected 4", "e has 0 numbers, expected 4",
    ]  # fmt: skip
    np.testing.assert_array_equal(dataset.data.examples, np.delete(X, [3, 4], axis=0))
    both = {"a": lists(), "b": lists(), "label": LABELS}
    with pytest.raises(DataError, match="has several columns of lists, a, b: name one with --columns"):
        read(parquet(tmp_path, **both))
    assert read(parquet(tmp_path, **both), columns=("b",)).data.n_x == 4
    assert read(parquet(tmp_path, embedding=lists(), other=lists(), y=LABELS)).data.n_x == 4
    for dtype in (np.float16, np.float64):
        found = read(parquet(tmp_path, e=lists(X.astype(dtype)), y=LABELS)).data.examples
        np.testing.assert_array_equal(found, X.astype(dtype))
    with pytest.raises(DataError, match=r"holds .*string.*, expected numbers"):
        read(parquet(tmp_path, e=[["a"]] * 12, y=LABELS))
    with pytest.raises(DataError, match="no lists with numbers in e"):
        read(parquet(tmp_path, e=pa.array([[]] * 12, pa.list_(pa.float32())), y=LABELS))
    with pytest.raises(DataError, match="has no rows"):
        read(parquet(tmp_path, e=pa.array([], pa.list_(pa.float32())), y=pa.array([], pa.int64())))


def test_many_rows_of_parquet(tmp_path: Path) -> None:
    many = RNG.normal(size=(10_000, 3)).astype(np.float32)
    found = read(parquet(tmp_path, e=lists(many), y=np.arange(10_000) % 2))
    np.testing.assert_array_equal(found.data.examples, many)


def test_a_parquet_file_that_claims_much_is_refused(tmp_path: Path) -> None:
    constant = pa.array(np.zeros(8_000_000, np.float32))
    path = parquet(tmp_path, a=constant, b=constant, label=pa.array(np.zeros(8_000_000, np.int8)))
    with pytest.raises(DataError, match="bytes of features, and the file only"):
        read(path)


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1" + b"x" * 100 + b"PAR1", b"a,b\n1,2\n"])
def test_damaged_parquet(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "f.parquet").write_bytes(content)
    with pytest.raises(DataError, match=r"f\.parquet: cannot be read as Parquet"):
        read(str(tmp_path / "f.parquet"))


def test_hdf5_of_others_is_safe(tmp_path: Path) -> None:
    hdf5(tmp_path, features=X, labels=LABELS)
    with h5py.File(tmp_path / "linked.h5", "w") as file:
        file["features"] = h5py.ExternalLink("f.h5", "/features")
        file["labels"] = LABELS
    with pytest.raises(DataError, match=r"linked\.h5: its features is a link"):
        read(str(tmp_path / "linked.h5"))
    with h5py.File(tmp_path / "bomb.h5", "w") as file:
        file.create_dataset("features", (100_000, 1000), "f4", chunks=(1000, 1000), compression="gzip")
        file["features"][:] = 0
        file["labels"] = np.zeros(100_000, int)
    with pytest.raises(DataError, match="of which the file stores only"):
        read(str(tmp_path / "bomb.h5"))
    with h5py.File(tmp_path / "group.h5", "w") as file:
        file.create_group("X")
        file["y"] = LABELS
    with pytest.raises(DataError, match=r"group\.h5: "):
        read(str(tmp_path / "group.h5"))
    with h5py.File(tmp_path / "long.h5", "w") as file:
        file["X"], file["y"] = X, ["a" * 100_000] * 12
    with pytest.raises(DataError, match="its y has strings that are too long"):
        read(str(tmp_path / "long.h5"))


def test_preprocess_keeps_everything(tmp_path: Path) -> None:
    for dtype in (np.float32, np.uint8):
        values = np.abs(X * 9).astype(dtype)
        path = npz(tmp_path, X=values, y=WORDS, names=IDS)
        write_data(path, str(tmp_path / "d.h5"), DataOptions())
        before, after = read(path), read(str(tmp_path / "d.h5"))
        np.testing.assert_array_equal(after.data.examples, before.data.examples)
        assert after.data.standardizer == before.data.standardizer
        assert (after.names, after.classes, after.Y.tolist()) == (
            before.names,
            before.classes,
            before.Y.tolist(),
        )
    assert describe_data_file(hdf5(tmp_path, X=X, y=WORDS))["counts"] == [4, 4, 4]


def test_options_for_other_data_are_refused(tmp_path: Path) -> None:
    path = npz(tmp_path, X=X, y=LABELS)
    with pytest.raises(UsageError, match="is a file of features: leave out --target"):
        read(path, target="y")
    with pytest.raises(UsageError, match="is a table: leave out --labels"):
        read(parquet(tmp_path, e=lists(), y=LABELS), labels="l.csv")


def test_rows_to_predict_for_need_no_labels(tmp_path: Path) -> None:
    np.save(tmp_path / "f.npy", X)
    bad = X.copy()
    bad[1, 2] = np.nan
    for path, names in (
        (str(tmp_path / "f.npy"), []),
        (npz(tmp_path, X=X, paths=IDS), IDS),
        (hdf5(tmp_path, X=X, paths=IDS), IDS),
        (parquet(tmp_path, e=lists(), path=IDS), IDS),
    ):
        rows = read_embedding_rows(path, [])
        np.testing.assert_array_equal(rows.examples, X)
        assert (rows.names, rows.are_own) == (names or list(map(str, range(12))), bool(names))
        assert rows.errors == [""] * 12
    numbered = read_embedding_rows(parquet(tmp_path, e=lists(), id=LABELS), [])
    assert (numbered.names[:4], numbered.are_own) == (["0", "1", "2", "0"], True)
    assert read_embedding_rows(npz(tmp_path, X=bad), []).errors[:3] == [
        "", "feature 2 is nan, expected a finite number", "",
    ]  # fmt: skip
    rows = read_embedding_rows(parquet(tmp_path, b=X[:, 1], c=WORDS, a=X[:, 0]), ["a", "b"])
    np.testing.assert_array_equal(rows.examples, X[:, :2])
    with pytest.raises(
        DataError, match="has no names of features, and the model knows its features by name: a, b"
    ):
        read_embedding_rows(str(tmp_path / "f.npy"), ["a", "b", "c", "d"])
    with pytest.raises(DataError, match="has no column 'z'"):
        read_embedding_rows(str(tmp_path / "f.parquet"), ["a", "z"])


def test_random_damage_is_refused_or_read(tmp_path: Path) -> None:
    np.save(tmp_path / "f_labels.npy", LABELS)
    np.save(tmp_path / "f.npy", X)
    paths = [
        npz(tmp_path, X=X, y=WORDS, names=IDS), parquet(tmp_path, e=lists(), y=WORDS), str(tmp_path / "f.npy")
    ]  # fmt: skip
    for path in paths:
        intact = Path(path).read_bytes()
        for seed in range(150):
            rng = np.random.default_rng(seed)
            content = bytearray(intact)
            for _ in range(rng.integers(1, 4)):
                content[rng.integers(len(content))] = rng.integers(256)
            Path(path).write_bytes(content[: rng.integers(len(content))] if seed % 5 == 0 else content)
            try:
                open_data(path, on_warning=str)
            except XpnetError as error:
                assert str(error).startswith(path)  # noqa: PT017
