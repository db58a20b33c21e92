"""The sections on predictions: every format, samples of long files, images that have moved."""

import base64
import csv
import os
from io import BytesIO
from pathlib import Path

import pytest
from pages import HOSTILE, World, predicted
from PIL import Image

from xpnet.errors import DataError, UsageError
from xpnet.pipelines.images.inputs import path_text, strip_common_folder
from xpnet.pipelines.report import predictions

HEAD = "path,status,label,score,error\n"


def write(folder: Path, text: str) -> str:
    path = folder / "rows.csv"
    path.write_text(text, encoding="utf-8")
    return str(path)


def gallery(found: predictions.Predictions, folder: Path | None = None) -> dict:
    where = None if folder is None else str(folder)
    return predictions.gallery_section(found, where, 1, lambda done, total: None)


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_each_format_shows_the_same(two: World, tmp_path: Path, ending: str) -> None:
    rows = predicted(two.model, two.new, tmp_path / f"rows.{ending}")
    found = predictions.read(str(rows), two.open())
    assert found.count == len(found.rows) == found.statuses.total() == 160
    assert found.statuses["error"] == len(found.failed) == 2
    assert found.labels.total() == 158
    assert (
        found.rows
        == predictions.read(str(predicted(two.model, two.new, tmp_path / "x.csv")), two.open()).rows
    )


def test_rows_are_columns_with_their_pictures(two: World) -> None:
    found = predictions.read(str(two.rows), two.open())
    shown_rows = gallery(found)
    data = shown_rows["data"]
    with two.rows.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [shown_rows["folder"] + path for path in data["path"]] == [row["path"] for row in rows]
    assert [data["statuses"][i] for i in data["status"]] == [row["status"] for row in rows]
    assert [data["labels"][i] if i >= 0 else "" for i in data["label"]] == [row["label"] for row in rows]
    assert [score for score in data["score"] if score is not None] == [
        float(row["score"]) for row in rows if row["score"]
    ]
    # Every file with an odd name is found again, also that which is no UTF-8.
    for name in HOSTILE:
        assert data["picture"][[row["path"] for row in rows].index(path_text(f"{two.new}/{name}"))]
    assert shown_rows["missing"] == 1
    failed = [i for i, status in enumerate(data["status"]) if data["statuses"][status] == "error"]
    assert all(data["reason"][i] and not data["picture"][i] for i in failed)


def test_a_thumbnail_is_small_and_keeps_its_shape(two: World) -> None:
    data = gallery(predictions.read(str(two.rows), two.open()))["data"]
    picture = base64.b64decode(next(filter(None, data["picture"])))
    with Image.open(BytesIO(picture)) as image:
        assert image.format == "JPEG"
        assert image.size == (128, 96)  # of 40 x 30


def test_a_long_file_is_sampled_evenly_and_the_same_each_time(
    two: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(predictions, "GALLERY_ROWS", 100)
    monkeypatch.setattr(predictions, "FAILED_ROWS", 7)
    rows = [f"{i}.jpg,ok,a&b,0.75,\n" if i % 10 else f"{i}.jpg,error,,,broken\n" for i in range(5000)]
    path = write(tmp_path, HEAD + "".join(rows))
    found, again = (predictions.read(path, two.open()) for _ in range(2))
    assert found.rows == again.rows
    assert (len(found.rows), found.count, found.is_sampled) == (100, 5000, True)
    numbers = [number for number, _ in found.rows]
    assert numbers == sorted(set(numbers))
    assert 2000 < sum(numbers) / 100 < 3000
    assert found.statuses == {"ok": 4500, "error": 500}
    assert [name for name, _ in found.failed] == [f"{10 * i}.jpg" for i in range(7)]
    assert predictions.predictions_section(found)["labels"] == [("a&b", 4500, 1.0)]


@pytest.mark.parametrize("text", [HEAD, HEAD + "x.jpg,error,,,broken\n"])
def test_nothing_scored_is_nothing_wrong(two: World, tmp_path: Path, text: str) -> None:
    found = predictions.read(write(tmp_path, text), two.open())
    assert predictions.predictions_section(found)["chart"] is None
    assert gallery(found)["missing"] == 0


@pytest.mark.parametrize(
    ("text", "error", "match"),
    [
        ("anything", DataError, "is not a file of predictions"),
        ("", DataError, "is not a file of predictions"),
        (HEAD + "x,odd,a&b,1,\n", DataError, "row 1 has the status 'odd', expected ok, unsure, error"),
        (HEAD + "x,ok,dog,1,\n", UsageError, "row 1 has the label 'dog', which is not a class of the model"),
        (HEAD + "x,ok,,1,\n", UsageError, "row 1 has no label"),
        (HEAD + "x,ok,a&b,much,\n", DataError, "row 1 has the score 'much', expected a number"),
        (HEAD + "x,ok,a&b\n", DataError, "has 3 cells, expected 5"),
        ('{"path": "x", "status": "ok", "label": ["a"]}\n', DataError, "cannot be read as predictions"),
        ('{"path": "x"}\n', DataError, "row 1 has the status None"),
        ('{"path": "x"\n', DataError, "cannot be read as predictions"),
    ],
)
def test_other_files_are_refused(
    two: World, tmp_path: Path, text: str, error: type[Exception], match: str
) -> None:
    with pytest.raises(error, match=match):
        predictions.read(write(tmp_path, text), two.open())
    with pytest.raises(DataError, match="there is no such file"):
        predictions.read(str(tmp_path / "nothing"), two.open())
    with pytest.raises(DataError, match="is not a file of predictions"):
        predictions.read(str(tmp_path), two.open())


@pytest.mark.parametrize("score", ["nan", "inf", "1e999"])
def test_a_score_that_is_none_is_none(two: World, tmp_path: Path, score: str) -> None:
    found = predictions.read(write(tmp_path, f"{HEAD}x,ok,a&b,{score},\n"), two.open())
    assert found.rows[0][1]["score"] is None


def test_absurd_scores_are_in_the_gallery_but_in_no_bar(two: World, tmp_path: Path) -> None:
    rows = "".join(
        f"{i}.jpg,ok,a&b,{score},\n" for i, score in enumerate(("1e300", "-1e300", "5e-324", "0.5"))
    )
    found = predictions.read(write(tmp_path, HEAD + rows), two.open())
    assert [row["score"] for _, row in found.rows] == [1e300, -1e300, 5e-324, 0.5]
    assert len(predictions.predictions_section(found)["chart"].bars) == 1


@pytest.mark.parametrize("inside", ["", "photos", "old/photos"])
def test_images_that_moved_are_found(tmp_path: Path, inside: str) -> None:
    names = ["a/1.jpg", "b/1.jpg", "b/2.jpg"]
    for name in names[:2]:
        (tmp_path / inside / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / inside / name).touch()
    (tmp_path / "1.jpg").touch()  # of that name, but another
    found = predictions.located([f"/somewhere/old/photos/{name}" for name in names], str(tmp_path))
    assert found == [str(tmp_path / inside / name) for name in names]
    assert predictions.located([], str(tmp_path)) == []


def test_without_a_folder_paths_are_as_they_are_written() -> None:
    assert predictions.located(["a/b.jpg", "/c.jpg"], None) == ["a/b.jpg", "/c.jpg"]


def test_paths_of_any_depth_take_no_time(tmp_path: Path) -> None:
    assert len(predictions.located(["/" * 100_000 + "a.jpg", "\0"], str(tmp_path))) == 2


def test_too_many_bytes_are_left_out(two: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(predictions, "PICTURE_BYTES", 5000)
    found = gallery(predictions.read(str(two.rows), two.open()))
    assert sum(map(len, found["data"]["picture"])) <= 5000
    assert found["left_out"] > 100
    assert "too large" in found["data"]["reason"][-1]


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        (["a/b/1.jpg", "a/b/2.jpg"], ("a/b/", ["1.jpg", "2.jpg"])),
        (["a/bc", "a/bd"], ("a/", ["bc", "bd"])),
        (["/a", "b"], ("", ["/a", "b"])),
        (["a/b"], ("a/", ["b"])),
        (["a//b", "a//c"], ("a//", ["b", "c"])),
        ([], ("", [])),
    ],
)
def test_what_all_paths_begin_with_is_said_once(paths: list[str], expected: tuple[str, list[str]]) -> None:
    assert strip_common_folder(paths) == expected
    assert os.sep == "\\" or all(
        expected[0] + rest == path for path, rest in zip(paths, expected[1], strict=True)
    )
