"""Labels in Parquet files: of images in a folder, and of features in a .npy file."""

import contextlib
import json
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from optional import given, module, settings, st
from PIL import Image
from program import xpnet_here

from xpnet.errors import DataError, UsageError
from xpnet.pipelines.datasets.image_folder import list_labelled_images
from xpnet.pipelines.datasets.parquet_lines import read_parquet_lines
from xpnet.pipelines.datasets.sources import DataOptions, open_data

pa, pq, pandas = module("pyarrow"), module("pyarrow.parquet"), module("pandas")


def write(path: Path, columns: dict[str, Any], metadata: dict[str, str] | None = None) -> Path:
    pq.write_table(pa.table(columns).replace_schema_metadata(metadata), path)
    return path


def draw(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 4), (40 * len(name), 9, 9)).save(folder / name)


def named(folder: Path | str, labels: Path | None = None, target: str | None = None) -> dict[str, str]:
    source = list_labelled_images(str(folder), None if labels is None else str(labels), target)
    return {path.removeprefix(f"{folder}/"): source.classes[index] for path, index in source.items}


PATHS = ["1.png", "d/2.png"]
BOTH = {"1.png": "cat", "d/2.png": "dog"}


@pytest.mark.parametrize(
    "columns",
    [
        {"path": PATHS, "label": ["cat", "dog"]},
        {"label": ["cat ", "dog"], "weight": [0.5, None], "file_name": ["1.png", "d\\2.png"]},
        {"image": [b"..", b".."], "path": PATHS, "vector": [[1.0], []], "class": ["cat", "dog"]},
    ],
)
def test_labels_of_images(tmp_path: Path, columns: dict[str, Any]) -> None:
    draw(tmp_path / "photos", *PATHS)
    assert named(tmp_path / "photos", write(tmp_path / "labels.parquet", columns)) == BOTH
    assert named(tmp_path / "photos", write(tmp_path / "labels.pq", columns)) == BOTH


def test_pandas_writes_them(tmp_path: Path) -> None:
    draw(tmp_path, *PATHS)
    frame = pandas.DataFrame({"path": PATHS, "label": pandas.Categorical(["cat", "dog"])})
    frame.to_parquet(tmp_path / "labels.parquet")
    assert named(tmp_path, tmp_path / "labels.parquet") == BOTH


def test_whole_numbers_are_names_and_hugging_face_names_them(tmp_path: Path) -> None:
    draw(tmp_path, *PATHS)
    columns = {"path": PATHS, "label": [1, 0], "mood": ["sad", "glad"]}
    assert named(tmp_path, write(tmp_path / "l.parquet", columns)) == {"1.png": "1", "d/2.png": "0"}
    assert named(tmp_path, tmp_path / "l.parquet", "mood") == {"1.png": "sad", "d/2.png": "glad"}
    features = {"info": {"features": {"label": {"names": ["dog", "cat"]}}}}
    write(tmp_path / "l.parquet", columns, {"huggingface": json.dumps(features)})
    assert named(tmp_path, tmp_path / "l.parquet") == BOTH
    write(tmp_path / "l.parquet", {**columns, "label": [1, 2]}, {"huggingface": json.dumps(features)})
    with pytest.raises(DataError, match=r"l.parquet: line 2 is d/2.png,,glad, expected path,label"):
        named(tmp_path, tmp_path / "l.parquet")


def test_metadata_of_a_folder_and_of_an_archive(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    draw(folder, *PATHS)
    write(folder / "metadata.parquet", {"file_name": PATHS, "label": ["cat", "dog"]})
    assert named(folder) == BOTH
    with zipfile.ZipFile(tmp_path / "photos.zip", "w") as archive:
        for name in (*PATHS, "metadata.parquet"):
            archive.write(folder / name, name)
    assert named(tmp_path / "photos.zip") == BOTH


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        ({"path": PATHS, "label": ["cat", None]}, "line 2 is d/2.png,, expected path,label"),
        ({"path": ["1.png", "1.png"], "label": ["cat", "dog"]}, "is already listed in line 1"),
        ({"path": PATHS, "label": [[1], [2]]}, "expected path,label"),
        ({"path": PATHS, "label": ["cat", "a\x00b"]}, "line 2: the label 'a.x00b' has a line end"),
    ],
)
def test_rows_that_are_no_labels_are_named(tmp_path: Path, columns: dict[str, Any], reason: str) -> None:
    draw(tmp_path, *PATHS)
    with pytest.raises(DataError, match=reason):
        named(tmp_path, write(tmp_path / "labels.parquet", columns))


def test_a_file_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draw(tmp_path, *PATHS)
    with pytest.raises(DataError, match=r"no\.parquet: cannot be read as Parquet: No such file"):
        named(tmp_path, tmp_path / "no.parquet")
    (tmp_path / "text.parquet").write_text("path,label\n1.png,cat\n")
    with pytest.raises(DataError, match=r"text\.parquet: cannot be read as Parquet: "):
        named(tmp_path, tmp_path / "text.parquet")
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(UsageError, match=r"Parquet files need pyarrow: pip install 'xpnet\[parquet\]'"):
        read_parquet_lines("any.parquet")


def test_a_small_file_that_claims_millions_of_rows_is_refused(tmp_path: Path) -> None:
    rows = 3_000_000
    write(tmp_path / "l.parquet", {"label": pa.DictionaryArray.from_arrays(np.zeros(rows, np.int8), ["a"])})
    assert (tmp_path / "l.parquet").stat().st_size < 20_000
    with pytest.raises(DataError, match=r"it is damaged: it has 3000000 rows, and only \d+ bytes"):
        read_parquet_lines(str(tmp_path / "l.parquet"))


@given(st.data())
@settings(max_examples=100)
def test_damaged_files_do_no_harm(tmp_path_factory: pytest.TempPathFactory, data: Any) -> None:
    path = write(tmp_path_factory.mktemp("d") / "l.parquet", {"path": PATHS, "label": ["cat", "dog"]})
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    with contextlib.suppress(DataError):
        read_parquet_lines(str(path))


# Features in a .npy file.


@pytest.mark.parametrize(
    ("columns", "classes"),
    [
        ({"label": ["b", "a", "b", "a"]}, ("a", "b")),
        ({"anything": [7, 8, 7, 8]}, ("7", "8")),
        ({"id": ["w", "x", "y", "z"], "label": [0, 1, 0, 1]}, ("0", "1")),
        ({"y": [0.5, 1.5, 2.5, 3.5]}, ()),
    ],
)
def test_labels_of_features(tmp_path: Path, columns: dict[str, Any], classes: tuple[str, ...]) -> None:
    np.save(tmp_path / "f.npy", np.eye(4, dtype=np.float32))
    labels = str(write(tmp_path / "l.parquet", columns))
    dataset = open_data(str(tmp_path / "f.npy"), DataOptions(labels=labels))
    assert dataset.classes == classes
    expected = columns.get("y") or [classes.index(str(each)) for each in list(columns.values())[-1]]
    assert dataset.Y.tolist() == [expected]


def test_labels_of_features_that_do_not_fit(tmp_path: Path) -> None:
    np.save(tmp_path / "f.npy", np.eye(4, dtype=np.float32))

    def opened(**columns: Any) -> Any:
        labels = str(write(tmp_path / "l.parquet", columns))
        return open_data(str(tmp_path / "f.npy"), DataOptions(labels=labels), on_warning=print)

    with pytest.raises(DataError, match="expected one for each of 4 examples"):
        opened(label=["a", "b"])
    with pytest.raises(DataError, match="has the columns a, b, expected one of labels, or one with the name"):
        opened(a=[1, 2, 3, 4], b=[1, 2, 3, 4])
    with pytest.raises(DataError, match="has the columns none, expected"):
        opened(a=[[1], [2], [3], [4]])
    assert len(opened(label=["a", None, "b", "a"]).skipped) == 1
    assert len(opened(label=[1, None, 2, 1]).skipped) == 1
    assert len(opened(label=[1.5, None, 2.5, 1.0]).skipped) == 1


def test_the_command_takes_them(tmp_path: Path) -> None:
    draw(tmp_path / "photos", "a.png", "bb.png", "c.png", "dd.png")
    columns = {"path": ["a.png", "bb.png", "c.png", "dd.png"], "label": ["one", "two", "one", "two"]}
    labels, model = write(tmp_path / "labels.parquet", columns), tmp_path / "model.safetensors"
    made = ("--labels", str(labels), "--image-size", "4", "-o", str(model), "--workers", "1", "--no-progress")
    done = xpnet_here("train", str(tmp_path / "photos"), *made)
    assert done.returncode == 0, done.stderr
    done = xpnet_here("evaluate", str(model), str(tmp_path / "photos"), "--labels", str(labels), "--json")
    assert json.loads(done.stdout)["accuracy"] == 1.0
