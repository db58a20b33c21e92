"""Images in the rows of Parquet files, as inputs and as labelled data."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import optional
import pytest
from image_files import encoded, reason
from pictures import picture

from xpnet.errors import DataError, UsageError
from xpnet.pipelines.datasets.image_folder import list_labelled_images
from xpnet.pipelines.datasets.sources import DataOptions, open_data
from xpnet.pipelines.images import decode, parquet_images
from xpnet.pipelines.images.archives import read_member
from xpnet.pipelines.images.inputs import expand_inputs, is_folder
from xpnet.pipelines.images.recipe import Recipe
from xpnet.pipelines.images.worker import decode_pixels
from xpnet.pipelines.training.api import train

pa, pq = optional.module("pyarrow"), optional.module("pyarrow.parquet")

PICTURES = [encoded(picture(name, i, (9, 7))) for i, name in enumerate(["red", "blue", "green"] * 9)]
RECIPE = Recipe(2, 2)


def write(path: Path, images: Any, labels: Any = None, name: str = "image", **options: Any) -> str:
    """Write a Parquet file with images and labels; return its path."""
    columns = {"id": list(range(len(images))), name: images} | ({} if labels is None else {"label": labels})
    pq.write_table(pa.table(columns), path, **options)
    return str(path)


def structs(contents: list[bytes | None]) -> Any:
    """Return a column of images as Hugging Face writes it."""
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    return pa.array([None if each is None else {"bytes": each, "path": "1.png"} for each in contents], kind)


@pytest.mark.parametrize("group", [1, 4, 20, 1000])
@pytest.mark.parametrize("kind", ["structs", "bytes", "large", "dictionary"])
def test_rows_are_inputs_in_their_order(tmp_path: Path, kind: str, group: int) -> None:
    column = {
        "structs": lambda: structs(PICTURES),
        "bytes": lambda: PICTURES,
        "large": lambda: pa.array(PICTURES, pa.large_binary()),
        "dictionary": lambda: pa.array([*PICTURES[:3]] * 9),
    }[kind]()
    path = write(tmp_path / "x.parquet", column, row_group_size=group, use_dictionary=kind == "dictionary")
    names = list(expand_inputs([path]))
    assert names == [f"{path}/{i:02}" for i in range(27)]
    expected = PICTURES[:3] * 9 if kind == "dictionary" else PICTURES
    order = np.random.default_rng(0).permutation(27).tolist()
    for row in (*range(27), *order, *range(27, 0, -1)):
        if row < 27:
            assert read_member(path, f"{row:02}", 1 << 20) == expected[row]
    assert not any(decode_pixels(names, RECIPE).errors)


def test_rows_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    column = structs([PICTURES[0], None, b"", b"no image", PICTURES[1], PICTURES[2] + bytes(900)])
    path = write(tmp_path / "x.parquet", column)
    monkeypatch.setattr(decode, "MAX_FILE_BYTES", 900)
    assert decode_pixels(list(expand_inputs([path])), RECIPE).errors == [
        "", "the row has no image", "file is empty", "not an image, or of an unknown format", "",
        f"file of {len(PICTURES[2]) + 900} bytes, expected at most 900",
    ]  # fmt: skip
    assert reason(f"{path}/6") == reason(f"{path}/00") == "the archive has no such member"
    monkeypatch.setattr(decode, "MAX_FILE_BYTES", 1 << 30)
    assert reason(path) == "is an archive: name it as an input by itself, to read the images in it"


def test_which_column_has_the_images(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    for names, chosen in ((("thumb", "Image"), "Image"), (("a", "png", "jpg"), "jpg")):
        pq.write_table(pa.table({name: [name.encode()] for name in names}), path)
        os.utime(path, ns=(0, len(names)))
        assert read_member(str(path), "0", 100) == chosen.encode()
    pq.write_table(pa.table({"a": [b"x"], "b": [b"y"]}), path)
    assert reason(path).startswith("has several columns of bytes, a, b")
    pq.write_table(pa.table({"a": [1.0], "words": ["y"]}), path)
    assert reason(path) == "has no column of images, such as one of bytes; its columns are a, words"
    assert not is_folder(str(path))


def test_damaged_files(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    write(path, PICTURES, compression="none")
    content = bytearray(path.read_bytes())
    start = content.find(PICTURES[13])
    content[start - 1000 : start] = bytes(1000)
    path.write_bytes(content)
    errors = decode_pixels(list(expand_inputs([str(path)])), RECIPE).errors
    assert len(errors) == 27
    assert all(errors[16:])
    path.write_bytes(b"PAR1 and nothing")
    assert reason(path).startswith("cannot be read as Parquet: ")


def test_without_pyarrow_the_error_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.parquet"
    path.write_bytes(b"PAR1")
    monkeypatch.setitem(__import__("sys").modules, "pyarrow.parquet", None)
    assert reason(path) == "Parquet files need pyarrow: pip install 'xpnet[parquet]'"


def test_few_files_are_kept_open(tmp_path: Path) -> None:
    for i in range(2 * parquet_images.OPEN_FILES):
        path = write(tmp_path / f"{i}.parquet", PICTURES)
        assert read_member(path, "03", 1 << 20) == PICTURES[3]
    assert parquet_images._kept.cache_info().currsize <= parquet_images.OPEN_FILES


# Labelled data


def named(data: Path | str, target: str | None = None) -> dict[str, str]:
    """Return the class of each image by its name."""
    source = list_labelled_images(str(data), target=target)
    return {Path(path).name: source.classes[index] for path, index in source.items}


def test_labels_are_names_or_indices_of_names(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    write(path, PICTURES[:4], ["cat", " dog ", "cat", None])
    assert named(path) == {"0": "cat", "1": "dog", "2": "cat"}
    assert open_data(str(path), DataOptions(RECIPE)).skipped == (
        (f"{path}/3", "has no label in the column label"),
    )
    write(path, PICTURES[:4], [1, 0, 1, 0])
    assert named(path) == {"0": "1", "1": "0", "2": "1", "3": "0"}
    assert named(path, "id") == {str(i): str(i) for i in range(4)}
    about = {"info": {"features": {"label": {"names": ["cat", "dog"], "_type": "ClassLabel"}}}}
    table = pq.read_table(path).replace_schema_metadata({"huggingface": json.dumps(about)})
    pq.write_table(table.set_column(2, "label", pa.array([1, 0, 2, -1])), path)
    assert named(path) == {"0": "dog", "1": "cat"}
    for damaged in ("{", "[]", '{"info": 1}', '{"info": {"features": {"label": {"names": [1]}}}}'):
        pq.write_table(table.replace_schema_metadata({"huggingface": damaged}), path)
        assert named(path)["0"] == "1"


def test_the_column_of_labels_must_be_known(tmp_path: Path) -> None:
    path = write(tmp_path / "x.parquet", PICTURES[:2])
    with pytest.raises(
        UsageError, match="name the column of labels with --target: its columns are id, image"
    ):
        named(path)
    with pytest.raises(DataError, match="has no column 'x'; its columns are id, image"):
        named(path, "x")
    with pytest.raises(UsageError, match="is an archive of images: leave out --columns"):
        open_data(path, DataOptions(columns=("a",)))


def test_files_of_a_dataset_by_a_pattern_or_a_folder(tmp_path: Path) -> None:
    for i in range(2):
        write(tmp_path / f"train-{i}-of-2.parquet", structs(PICTURES[4 * i : 4 * i + 4]), [0, 1, 0, 1])
    assert len(list_labelled_images(str(tmp_path)).items) == 8
    write(tmp_path / "test-0-of-1.parquet", structs(PICTURES[8:12]), [0, 1, 0, 1])
    with pytest.raises(DataError, match=r"its files are of the parts test, train of a dataset.*/test\*'"):
        list_labelled_images(str(tmp_path))
    data, val = str(tmp_path / "train-*.parquet"), str(tmp_path / "test-*.parquet")
    model = train(data, val=val, image_size="4", features="none", workers=1, device="cpu")
    assert model.classes == ("0", "1")
    assert model.evaluate(data, workers=1, device="cpu")["m"] == 8
    assert len(list(model.predict(val, workers=1, device="cpu"))) == 4
