"""Archives as labelled data: class folders, labels beside the images, and labels files."""

import io
import json
import tarfile
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
from image_files import encoded, smooth
from pictures import CLASSES, draw_classes

from xpnet.backend.backend import select
from xpnet.errors import DataError, NoInputError
from xpnet.pipelines.datasets.image_folder import list_labelled_images
from xpnet.pipelines.datasets.sources import DataOptions, open_data, write_data
from xpnet.pipelines.images.inputs import expand_inputs
from xpnet.pipelines.images.recipe import Recipe
from xpnet.pipelines.messages import Messages
from xpnet.pipelines.models.model import load
from xpnet.pipelines.predictions.predict import write_predictions
from xpnet.pipelines.report.build import ReportJob, write_report
from xpnet.pipelines.training.api import train

PNG = encoded(smooth(9, 7))
SMALL = DataOptions(Recipe(4, 4))


def make(path: Path, members: dict[str, bytes]) -> str:
    """Write a zip or tar archive; return its path."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in members.items():
                archive.writestr(name, content)
    else:
        with tarfile.open(path, "w:") as archive:
            for name, content in members.items():
                about = tarfile.TarInfo(name)
                about.size = len(content)
                archive.addfile(about, io.BytesIO(content))
    return str(path)


def named(data: str, labels: str | None = None) -> dict[str, str]:
    """Return the class of each image, by its path relative to the data."""
    source = list_labelled_images(data, labels)
    return {path.removeprefix(f"{data}/"): source.classes[index] for path, index in source.items}


@pytest.mark.parametrize("kind", ["zip", "tar"])
@pytest.mark.parametrize("around", ["", "photos/", "./data/photos/"])
def test_an_archive_gives_the_data_of_its_folder(tmp_path: Path, kind: str, around: str) -> None:
    folder = draw_classes(tmp_path / "photos", 3)
    files = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.jpg")}
    archive = make(tmp_path / f"x.{kind}", {f"{around}{name}": content for name, content in files.items()})
    whole, packed = open_data(str(folder), SMALL), open_data(archive, SMALL)
    assert packed.classes == whole.classes == CLASSES
    assert np.array_equal(packed.Y, whole.Y)
    assert np.array_equal(packed.data.examples, whole.data.examples)
    within = f"{archive}/{around}".replace("/./", "/")
    assert packed.names == tuple(name.replace(f"{folder}/", within) for name in whole.names)


def test_parts_of_a_dataset_in_an_archive(tmp_path: Path) -> None:
    names = [f"d/{part}/{name}/1.png" for part in ("train", "test") for name in ("cat", "dog")]
    archive = make(tmp_path / "x.zip", dict.fromkeys(names, PNG))
    with pytest.raises(DataError, match=r"its subfolders test, train are parts .*such as .*x.zip/d/test"):
        list_labelled_images(archive)
    assert named(f"{archive}/d/train") == {"cat/1.png": "cat", "dog/1.png": "dog"}


def test_labels_beside_images(tmp_path: Path) -> None:
    archive = make(
        tmp_path / "shard-000.tar",
        {
            "a/1.jpg": PNG, "a/1.cls": b"cat\n", "a/2.png": PNG, "a/2.cls": b"dog", "2.seg.png": PNG,
            "2.cls": b"3", "3.png": PNG, "3.json": json.dumps({"label": 3, "caption": "x"}).encode(),
            "4.png": PNG, "5.png": PNG, "5.cls": b"\xff", "6.png": PNG, "6.json": b"{", "7.png": PNG,
            "7.cls": b"", "8.png": PNG, "8.cls": b"a\nb", "9.txt": b"a caption",
            "10.png": PNG, "10.json": b'{"caption": "x"}',
        },
    )  # fmt: skip
    assert named(archive) == {
        "2.seg.png": "3", "3.png": "3", "a/1.jpg": "cat", "a/2.png": "dog",
    }  # fmt: skip
    flaws = {path.removeprefix(f"{archive}/"): reason for path, reason in list_labelled_images(archive).flaws}
    assert flaws["4.png"] == "has no label: there is no .cls beside it"
    assert flaws["5.png"].startswith("its label cannot be read: 5.cls: 'utf-8'")
    assert flaws["6.png"].startswith("its label cannot be read: 6.json: ")
    assert flaws["7.png"] == "its label cannot be read: 7.cls: file is empty"
    assert flaws["8.png"].startswith("the label 'a\\nb' has a line end")
    assert flaws["10.png"] == "the label is empty"
    assert len(flaws) == 6
    assert len(open_data(archive, SMALL).skipped) == 6
    with pytest.raises(DataError, match="use --on-error skip"):
        open_data(archive, DataOptions(Recipe(4, 4), on_error="fail"))


def test_a_folder_of_shards(tmp_path: Path) -> None:
    for i in range(3):
        members = {f"{i}{k}.png": PNG for k in range(2)} | {f"{i}{k}.cls": str(k).encode() for k in range(2)}
        make(tmp_path / f"shard-{i}.tar", members)
    (tmp_path / "notes.txt").write_text("x")
    found = named(str(tmp_path))
    assert found == {f"shard-{i}.tar/{i}{k}.png": str(k) for i in range(3) for k in range(2)}
    (tmp_path / "cat").mkdir()
    with pytest.raises(NoInputError), warnings.catch_warnings(action="ignore"):
        list_labelled_images(str(tmp_path))


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_a_labels_file_for_an_archive(tmp_path: Path, kind: str) -> None:
    archive = make(tmp_path / f"x.{kind}", {"d/1.png": PNG, "2.png": PNG, "3.png": PNG})
    labels = tmp_path / "labels.csv"
    labels.write_text("d/1.png,cat\n2.png,dog\n d\\1.png,cat\ngone.png,dog\n")
    assert named(archive, str(labels)) == {"d/1.png": "cat", "2.png": "dog", "gone.png": "dog"}
    dataset = open_data(archive, DataOptions(Recipe(4, 4), labels=str(labels)), on_warning=str)
    assert dataset.data.m == 2
    assert dataset.skipped == ((f"{archive}/gone.png", "the archive has no such member"),)


def test_archives_that_cannot_be_data(tmp_path: Path) -> None:
    (tmp_path / "bad.zip").write_bytes(b"text")
    with pytest.raises(DataError, match=r"bad.zip: not a zip archive"):
        open_data(str(tmp_path / "bad.zip"))
    (tmp_path / "x.tar.gz").write_bytes(b"text")
    with pytest.raises(DataError, match=r"x.tar.gz: is a compressed archive.*gunzip"):
        open_data(str(tmp_path / "x.tar.gz"))
    with pytest.raises(NoInputError, match=r"x.zip: has no subfolders"):
        open_data(make(tmp_path / "x.zip", {"1.png": PNG}))
    with pytest.raises(NoInputError, match=r"e.tar: has no subfolders"):
        open_data(make(tmp_path / "e.tar", {}))
    with pytest.raises(DataError, match=r"t.csv.zip: .csv.zip is not a format that is read"):
        open_data(make(tmp_path / "t.csv.zip", {"t.csv": b"a,b"}))


def test_a_damaged_archive_is_one_input_that_is_skipped(tmp_path: Path) -> None:
    archive = Path(make(tmp_path / "x.tar", {f"{name}/{i}.png": PNG for name in "ab" for i in range(2)}))
    archive.write_bytes(archive.read_bytes().rstrip(b"\0")[:-30])
    dataset = open_data(str(archive), SMALL)
    assert dataset.data.m == 3
    assert [Path(path).name for path, _ in dataset.skipped] == ["x.tar", "1.png"]


def test_archives_are_data_for_everything(tmp_path: Path) -> None:
    folder = draw_classes(tmp_path / "photos", 6)
    files = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.jpg")}
    zipped, tarred = (make(tmp_path / name, files) for name in ("x.zip", "x.tar"))
    saved, data, page = (tmp_path / name for name in ("m.safetensors", "d.h5", "r.html"))
    options = {"image_size": "8", "features": "none", "workers": 1, "device": "cpu"}
    with pytest.warns(UserWarning, match="18 of 18 validation images are also in the training data"):
        trained = train(zipped, val=tarred, output=saved, **options)
    assert trained.recipe is not None
    write_data(tarred, str(data), DataOptions(trained.recipe))
    found = [trained.evaluate(each, workers=1, device="cpu") for each in (folder, zipped, tarred, data)]
    assert found[0]["m"] == 18
    assert found[1:] == found[:1] * 3
    rows = tmp_path / "rows.csv"
    write_predictions(load(saved), expand_inputs([zipped]), select("cpu"), str(rows))
    for images in (None, tarred):
        job = ReportJob(
            str(saved), str(page), data=zipped, predictions=str(rows), images=images, device="cpu"
        )
        assert write_report(job, Messages()) == 0
        assert page.read_text().count("/9j/") == 36  # JPEGs in base 64: the gallery, and the worst mistakes
