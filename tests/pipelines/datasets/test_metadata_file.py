"""Image folders as Hugging Face has them: the labels are in metadata.csv or metadata.jsonl."""

import json
import warnings
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from xpnet.errors import DataError, NoInputError, UsageError
from xpnet.pipelines.datasets.image_folder import list_labelled_images
from xpnet.pipelines.datasets.sources import DataOptions, open_data
from xpnet.pipelines.images.recipe import Recipe
from xpnet.pipelines.training.api import train


def draw(folder: Path, *names: str) -> None:
    for i, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 4), (40 * i, 9, 9)).save(folder / name)


def named(folder: Path | str, target: str | None = None, labels: str | None = None) -> dict[str, str]:
    """Return the class of each image, by its path relative to the folder."""
    source = list_labelled_images(str(folder), labels, target)
    return {path.removeprefix(f"{folder}/"): source.classes[index] for path, index in source.items}


JSON_LINES = '{"file_name": "1.png", "label": "cat"}\n\n{"file_name": "d/2.png", "label": "dog"}\n'


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("metadata.csv", "file_name,label\n1.png,cat\nd/2.png,dog\n"),
        ("metadata.csv", "label,text,file_name\ncat,,1.png\ndog,a dog,d/2.png\n"),
        ("metadata.jsonl", JSON_LINES),
        ("metadata.jsonl", "\ufeff" + JSON_LINES.replace("\n", "\r\n").replace(", ", ',"text":["x"], ')),
    ],
)
def test_labels_of_metadata(tmp_path: Path, name: str, content: str) -> None:
    draw(tmp_path, "1.png", "d/2.png")
    (tmp_path / name).write_text(content, newline="")
    assert named(tmp_path) == {"1.png": "cat", "d/2.png": "dog"}


def test_numbers_are_classes_and_a_column_may_be_named(tmp_path: Path) -> None:
    draw(tmp_path, "1.png", "2.png")
    rows = [{"file_name": f"{i}.png", "label": i % 2, "mood": "glad" if i == 1 else "sad"} for i in (1, 2)]
    (tmp_path / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))
    assert named(tmp_path) == {"1.png": "1", "2.png": "0"}
    assert named(tmp_path, "mood") == {"1.png": "glad", "2.png": "sad"}
    assert open_data(str(tmp_path), DataOptions(Recipe(2, 2), target="mood")).classes == ("glad", "sad")
    with pytest.raises(DataError, match=r"jsonl: has no column 'x'; its columns are file_name, label, mood"):
        named(tmp_path, "x")
    labels = tmp_path / "labels.csv"
    labels.write_text("mood,photo\nglad,1.png\n")
    assert named(tmp_path, "mood", str(labels)) == {"1.png": "glad"}
    assert named(tmp_path, None, str(tmp_path / "metadata.jsonl")) == {"1.png": "1", "2.png": "0"}


def test_parts_with_one_file_above_them_or_one_in_each(tmp_path: Path) -> None:
    draw(tmp_path, "train/1.png", "train/2.png", "test/3.png")
    (tmp_path / "metadata.csv").write_text(
        "file_name,label\ntrain/1.png,cat\n./train/2.png,dog\ntest/3.png,cat\n"
    )
    with pytest.raises(DataError, match="its subfolders test, train are parts of a dataset"):
        named(tmp_path)
    assert set(named(tmp_path / "train").values()) == {"cat", "dog"}
    assert named(f"{tmp_path}/test/".rstrip("/")) == {"3.png": "cat"}
    (tmp_path / "test" / "metadata.csv").write_text("file_name,label\n3.png,dog\n")
    assert named(tmp_path / "test") == {"3.png": "dog"}


def test_images_without_a_line_are_counted_and_lines_without_an_image_are_skipped(tmp_path: Path) -> None:
    draw(tmp_path, "1.png", "2.png")
    (tmp_path / "metadata.csv").write_text("file_name,label\n1.png,cat\ngone.png,dog\n")
    told: list[str] = []
    data = open_data(str(tmp_path), DataOptions(Recipe(2, 2)), on_warning=told.append)
    assert told[0] == f"{tmp_path}: 1 images are not in {tmp_path}/metadata.csv, and are not used"
    assert data.skipped == ((f"{tmp_path}/gone.png", "cannot be read: No such file or directory"),)


def test_metadata_without_labels_leaves_the_subfolders_as_classes(tmp_path: Path) -> None:
    draw(tmp_path, "cat/1.png", "dog/2.png")
    for content in ("file_name,text\ncat/1.png,a cat\n", "id,label\ncat/1.png,tree\n", ""):
        (tmp_path / "metadata.csv").write_text(content)
        assert named(tmp_path) == {"cat/1.png": "cat", "dog/2.png": "dog"}
    with pytest.raises(UsageError, match="leave out --target"):
        named(tmp_path, "text")


@pytest.mark.parametrize(
    ("content", "error"),
    [
        ('{"file_name": "1.png", "label": "a"}\n{', r"metadata.jsonl: cannot be read: line 2 is no JSON"),
        ("[1]", r"line 1 is '\[1\]', expected a JSON object"),
        ("[" * 100_000, "line 1 is no JSON"),
        ('{"file_name": "1.png", "label": null}', "line 1 is 1.png,, expected path,label"),
        ('{"file_name": "1.png", "label": ["a"]}', "line 1 is 1.png,, expected path,label"),
        ('{"file_name": "1.png", "label": "a\\u0000b"}', "control character"),
    ],
)
def test_damaged_json_lines(tmp_path: Path, content: str, error: str) -> None:
    draw(tmp_path, "1.png")
    (tmp_path / "metadata.jsonl").write_text(content)
    with pytest.raises(DataError, match=error) as caught:
        named(tmp_path)
    str(caught.value).encode()


def test_half_a_character_is_written_out(tmp_path: Path) -> None:
    draw(tmp_path, "1.png")
    (tmp_path / "metadata.jsonl").write_text('{"file_name": "1.png", "label": "\\ud800", "\\udfff": 1}')
    assert named(tmp_path) == {"1.png": "\\ud800"}


@pytest.mark.parametrize("around", ["", "photos/"])
def test_metadata_in_an_archive(tmp_path: Path, around: str) -> None:
    draw(tmp_path, "1.png", "d/2.png")
    archive = tmp_path / "x.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for name in ("1.png", "d/2.png"):
            file.write(tmp_path / name, around + name)
        file.writestr(f"{around}metadata.csv", "file_name,label\n1.png,cat\nd/2.png,dog\n")
    assert named(archive) == {f"{around}1.png": "cat", f"{around}d/2.png": "dog"}


def test_validation_has_the_same_column(tmp_path: Path) -> None:
    draw(tmp_path, *(f"{part}/{i}.png" for part in ("train", "test") for i in range(6)))
    for part in ("train", "test"):
        lines = [f"{i}.png,{'ab'[i % 2]},{i}" for i in range(6)]
        (tmp_path / part / "metadata.csv").write_text("\n".join(["file_name,mood,label", *lines]))
    with warnings.catch_warnings(action="ignore"):
        model = train(
            str(tmp_path / "train"), val=str(tmp_path / "test"), target="mood", image_size="2",
            features="none", workers=1, device="cpu",
        )  # fmt: skip
    assert model.classes == ("a", "b")
    assert model.evaluate(tmp_path / "test", target="mood", workers=1, device="cpu")["m"] == 6


def test_an_empty_list_of_images(tmp_path: Path) -> None:
    (tmp_path / "metadata.csv").write_text("file_name,label\n")
    with pytest.raises(NoInputError):
        named(tmp_path)
