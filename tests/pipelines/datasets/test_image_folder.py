"""Labelled images: each keeps its label, also next to images that cannot be decoded."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from xpnet.data.standardize import STANDARDIZATIONS
from xpnet.errors import DataError, NoInputError, OutputError
from xpnet.pipelines.datasets import data_file
from xpnet.pipelines.datasets.image_folder import (
    LabelledImages,
    list_labelled_images,
    load_images,
    write_images,
)
from xpnet.pipelines.images.recipe import Recipe

RECIPE = Recipe(2, 2)
BAD = {"bad.png": (b"no image", "not an image"), "empty.png": (b"", "file is empty")}


def draw(path: Path, red: int, green: int = 0) -> Path:
    """Save an image of one color, which decoding does not change; return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (3, 3), (red, green, 7)).save(path)
    return path


def spoil(path: Path, content: bytes = b"no image") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def folders(folder: Path, count: int = 4) -> Path:
    """Save images whose red value is their class plus 10, with damaged files before, between and after them."""
    for k, name in enumerate(("ant", "bee", "cow")):
        for i in range(count):
            spoil(folder / name / f"{2 * i:04}.png", b"" if i % 2 else b"\x89PNG\r\n\x1a\n broken")
            draw(folder / name / f"{2 * i + 1:04}.png", 10 + k, i % 256)
        spoil(folder / name / "last.png")
    return folder


def write(path: Path, text: str, encoding: str = "utf-8") -> str:
    path.write_bytes(text.encode(encoding))
    return str(path)


def test_classes_are_the_subfolders_sorted_as_python_sorts(tmp_path: Path) -> None:
    names = ["b", "B", "a10", "a2", "ä", "_", "Z z", "1"]
    for i, name in enumerate(names):
        draw(tmp_path / name / "x.png", i)
    source = list_labelled_images(str(tmp_path))
    assert source.classes == tuple(sorted(names))
    assert source.items == [(str(tmp_path / n / "x.png"), k) for k, n in enumerate(sorted(names))]


def test_images_of_a_class_are_sorted_and_may_lie_deeper(tmp_path: Path) -> None:
    for name in ("b.png", "a/z.png", "a.png", "c/d/e.JPG"):
        draw(tmp_path / "k" / name, 1)
    paths = [path for path, _ in list_labelled_images(str(tmp_path)).items]
    assert [str(Path(path).relative_to(tmp_path / "k")) for path in paths] == [
        "a/z.png",
        "a.png",
        "b.png",
        "c/d/e.JPG",
    ]


def test_a_class_without_images_keeps_its_index(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    draw(tmp_path / "b" / "x.png", 1)
    source = list_labelled_images(str(tmp_path))
    assert source.classes == ("a", "b")
    assert [k for _, k in source.items] == [1]


def test_hidden_and_other_files_are_ignored(tmp_path: Path) -> None:
    for name in ("a/.x.png", "a/._x.png", ".git/x.png", "a/notes.txt", "a/Thumbs.db"):
        spoil(tmp_path / name)
    path = draw(tmp_path / "a" / "x.png", 1)
    assert list_labelled_images(str(tmp_path)) == LabelledImages([(str(path), 0)], ("a",))


def test_pictures_of_other_kinds_are_counted_in_one_doubt(tmp_path: Path) -> None:
    folder = folders(tmp_path / "d")
    for name in ("cat/a.cr2", "dog/b.cr2"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).touch()
        draw(folder / name.replace("cr2", "png"), 9)
    doubts = list_labelled_images(str(folder)).warnings
    assert [doubt.partition(", because")[0] for doubt in doubts if "cr2" in doubt] == [
        f"{folder}: passed over 2 pictures"
    ]


def test_hidden_folders_of_a_class_are_ignored(tmp_path: Path) -> None:
    draw(tmp_path / "a" / ".ipynb_checkpoints" / "x-checkpoint.png", 1)
    path = draw(tmp_path / "a" / "x.png", 1)
    assert list_labelled_images(str(tmp_path)).items == [(str(path), 0)]


@pytest.mark.parametrize("head", ["", "path,label\n", " Path , LABEL \n", "\ufeffpath,label\n", "\ufeff"])
def test_a_csv_file_names_the_labels(head: str, tmp_path: Path) -> None:
    labels = write(tmp_path / "l.csv", head + 'b.png,dog\n"with, comma.png","cat ""x"""\n\nsub/ä.png,dog\n')
    source = list_labelled_images(str(tmp_path / "images"), labels)
    assert source.classes == ('cat "x"', "dog")
    assert [(str(Path(p).relative_to(tmp_path / "images")), k) for p, k in source.items] == [
        ("b.png", 1), ("with, comma.png", 0), ("sub/ä.png", 1),
    ]  # fmt: skip


def test_windows_line_ends_are_no_part_of_a_label(tmp_path: Path) -> None:
    labels = write(tmp_path / "l.csv", "path,label\r\na.png,x\r\nb.png,y\r\n")
    assert list_labelled_images(str(tmp_path), labels).classes == ("x", "y")


def test_a_head_after_an_empty_line_is_no_image(tmp_path: Path) -> None:
    labels = write(tmp_path / "l.csv", "\npath,label\na.png,x\n")
    assert list_labelled_images(str(tmp_path), labels).classes == ("x",)


@pytest.mark.parametrize(
    ("text", "line"),
    [("a.png\n", 1), ("a.png,x\nb.png\n", 2), ("a.png,x,y\n", 1), ("a.png,\n", 1), ("path,label\n,x\n", 2)],
)
def test_a_line_that_is_no_path_and_label_is_named(text: str, line: int, tmp_path: Path) -> None:
    labels = write(tmp_path / "l.csv", text)
    with pytest.raises(DataError, match=rf"l\.csv: line {line} .*expected path,label"):
        list_labelled_images(str(tmp_path), labels)


LABELS = {
    "other names": b"filename,class\nr.png,red\nb.png,blue\n",
    "unknown names": b"Bild,Farbe\nr.png,red\nb.png,blue\n",
    "labels first": b"label;file\nred;r.png\nblue;b.png\n",
    "more columns": b",label,id,filename,split\n0,red,7,r.png,train\n1,blue,8,b.png,\n",
    "spaces": b'r.png , red\n "b.png", "blue"\n',
    "semicolons": b"r.png;red\r\nb.png;blue\r\n",
    "tabs": b"r.png\tred\nb.png\tblue\n",
    "UTF-16": "path,label\nr.png,red\nb.png,blue\n".encode("utf-16"),
    "a backslash": b".\\r.png,red\n.\\b.png,blue\n",
    "a comma at the end": b"r.png,red,\nb.png,blue,\n",
    "old line ends": b"path,label\rr.png,red\rb.png,blue\r",
}


@pytest.mark.parametrize("content", LABELS.values(), ids=LABELS)
def test_usual_ways_to_write_labels_are_read_alike(content: bytes, tmp_path: Path) -> None:
    paths = [draw(tmp_path / name, 1) for name in ("r.png", "b.png")]
    (tmp_path / "l.csv").write_bytes(content)
    source = list_labelled_images(str(tmp_path), str(tmp_path / "l.csv"))
    assert [(Path(path).resolve(), source.classes[k]) for path, k in source.items] == [
        (paths[0], "red"),
        (paths[1], "blue"),
    ]
    assert not source.warnings


def test_a_first_line_with_a_file_is_no_header(tmp_path: Path) -> None:
    draw(tmp_path / "a.png", 1).rename(tmp_path / "image")
    source = list_labelled_images(str(tmp_path), write(tmp_path / "l.csv", "image,class\nb.png,x\n"))
    assert source.classes == ("class", "x")


def test_an_image_with_two_labels_is_refused_with_both_lines(tmp_path: Path) -> None:
    labels = write(tmp_path / "l.csv", "a.png,x\nb.png,y\n./a.png,y\n")
    with pytest.raises(
        DataError, match=r"line 3: ./a.png has the label 'y', .* already listed in line 1 .*'x'"
    ):
        list_labelled_images(str(tmp_path), labels)


def test_an_image_that_is_listed_twice_is_used_once(tmp_path: Path) -> None:
    source = list_labelled_images(str(tmp_path), write(tmp_path / "l.csv", "a.png,x\nb.png,y\na.png,x\n"))
    assert [k for _, k in source.items] == [0, 1]
    assert "lists 1 images more than once" in source.warnings[0]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"a.png,x\nb.png,caf\xe9\n", r"line 2: the label caf\\xe9 is not UTF-8"),
        (b'a.png,"x\ny"\nb.png,z\n', "line 2: the label .* has a line end or a control character"),
        (b'a.png,x\nb.png,"y\n', "line 2: .*check the quotation marks"),
        (b"\xff\xfea\0,", "line 1 is not utf-16"),
    ],
)
def test_a_label_that_cannot_be_meant_is_refused_by_line(content: bytes, reason: str, tmp_path: Path) -> None:
    (tmp_path / "l.csv").write_bytes(content)
    with pytest.raises(DataError, match=reason):
        list_labelled_images(str(tmp_path), str(tmp_path / "l.csv"))


def test_names_that_look_alike_are_the_same(tmp_path: Path) -> None:
    composed, decomposed = "\u00fc", "u\u0308"
    draw(tmp_path / "d" / composed / "a.png", 1)
    draw(tmp_path / "d" / decomposed / "b.png", 1)
    if len(list((tmp_path / "d").iterdir())) < 2:
        pytest.skip("this file system takes the two names for one")
    source = list_labelled_images(str(tmp_path / "d"))
    assert (source.classes, [k for _, k in source.items]) == ((composed,), [0, 0])
    assert "two subfolders" in source.warnings[0]
    path = draw(tmp_path / "x" / decomposed / f"{decomposed}.png", 1)
    labels = write(tmp_path / "l.csv", f"{composed}/{composed}.png,{decomposed}\nb.png,{composed}\n")
    source = list_labelled_images(str(tmp_path / "x"), labels)
    assert (source.classes, source.items[0]) == ((composed,), (str(path), 0))


def test_names_that_differ_in_case_only_are_doubtful(tmp_path: Path) -> None:
    source = list_labelled_images(str(tmp_path), write(tmp_path / "l.csv", "a.png,Red\nb.png,red\n"))
    assert source.classes == ("Red", "red")
    assert "has the classes Red, red: are they the same?" in source.warnings[0]


def test_folders_of_other_programs_are_no_classes(tmp_path: Path) -> None:
    path = draw(tmp_path / "a" / "x.png", 1)
    spoil(tmp_path / "__MACOSX" / "a" / "x.png")
    source = list_labelled_images(str(tmp_path))
    assert (source.classes, source.items) == (("a",), [(str(path), 0)])
    assert "left out __MACOSX" in source.warnings[0]


def test_pictures_without_a_class_or_of_other_kinds_are_counted(tmp_path: Path) -> None:
    for name in ("a/x.png", "b/x.png", "loose.png", "more.png"):
        draw(tmp_path / name, 1)
    for name in ("a/x.psd", "b/x.psd"):
        spoil(tmp_path / name)
    doubts = list_labelled_images(str(tmp_path)).warnings
    assert len(doubts) == 2
    assert "passed over 2 pictures" in doubts[0]
    assert "2 images beside the subfolders have no class" in doubts[1]


def test_parts_of_a_dataset_are_no_classes(tmp_path: Path) -> None:
    draw(tmp_path / "train" / "a" / "x.png", 1)
    draw(tmp_path / "Val" / "a" / "x.png", 1)
    with pytest.raises(
        DataError, match=r"subfolders Val, train are parts of a dataset, not classes: give one"
    ):
        list_labelled_images(str(tmp_path))
    draw(tmp_path / "car" / "x.png", 1)
    source = list_labelled_images(str(tmp_path))
    assert source.classes == ("Val", "car", "train")
    assert "the subfolders Val, train are used as classes: are they?" in source.warnings[0]


def test_a_folder_one_level_too_high_is_doubtful(tmp_path: Path) -> None:
    for name in ("2023/red/x.png", "2023/blue/x.png", "2024/red/x.png"):
        draw(tmp_path / name, 1)
    assert "such as blue, red: if those" in list_labelled_images(str(tmp_path)).warnings[0]
    draw(tmp_path / "2024" / "x.png", 1)
    assert not list_labelled_images(str(tmp_path)).warnings


def test_a_class_without_usable_images_is_left_out_with_a_warning(tmp_path: Path) -> None:
    spoil(tmp_path / "d" / "a" / "x.png")
    (tmp_path / "d" / "b").mkdir()
    draw(tmp_path / "d" / "c" / "x.png", 1)
    source, warned = list_labelled_images(str(tmp_path / "d")), []
    dataset = load_images(source, RECIPE, on_warning=warned.append)
    write_images(source, str(tmp_path / "o.h5"), RECIPE, on_warning=warned.append)
    assert (dataset.classes, dataset.Y.tolist()) == (("c",), [[0]])
    assert data_file.read_data_file(tmp_path / "o.h5").classes == ("c",)
    assert warned == ["left out a, b: a class needs at least one image that can be used"] * 2


def test_what_holds_no_labelled_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NoInputError, match="has no subfolders: expected one for each class"):
        list_labelled_images(str(tmp_path))
    (tmp_path / "a").mkdir()
    with pytest.raises(NoInputError, match="contains no images"):
        list_labelled_images(str(tmp_path))
    with pytest.raises(NoInputError, match="contains no images"):
        list_labelled_images(str(tmp_path), write(tmp_path / "l.csv", "path,label\n"))
    with pytest.raises(DataError, match="missing: cannot be listed"):
        list_labelled_images(str(tmp_path / "missing"))
    with pytest.raises(DataError, match=r"missing\.csv: cannot be read"):
        list_labelled_images(str(tmp_path), str(tmp_path / "missing.csv"))


def test_what_a_csv_file_names_but_is_not_there_is_skipped(tmp_path: Path) -> None:
    draw(tmp_path / "a.png", 20)
    draw(tmp_path / "c.png", 30)
    labels = write(tmp_path / "l.csv", "a.png,x\nnowhere.png,x\nc.png,y\nnul\0.png,y\n")
    dataset = load_images(list_labelled_images(str(tmp_path), labels), RECIPE)
    assert dataset.data.examples[:, 0].tolist() == [20, 30]
    assert dataset.Y.tolist() == [[0, 1]]
    assert [path for path, _ in dataset.skipped] == [
        str(tmp_path / "nowhere.png"),
        str(tmp_path / "nul\0.png"),
    ]
    assert dataset.skipped[0][1] == "cannot be read: No such file or directory"


@pytest.mark.parametrize(("count", "workers"), [(4, 1), (40, 1), (50, 2)])
def test_neighbours_of_corrupt_files_keep_their_labels(count: int, workers: int, tmp_path: Path) -> None:
    folder = folders(tmp_path / "d", count)
    dataset = load_images(list_labelled_images(str(folder)), RECIPE, workers=workers)
    assert dataset.data.m == 3 * count
    for column, label, name in zip(dataset.data.examples, dataset.Y[0], dataset.names, strict=True):
        red, green = Image.open(name).getpixel((0, 0))[:2]
        assert column.tolist() == [red, green, 7] * 4
        assert label == red - 10
        assert Path(name).parent.name == dataset.classes[label]
    assert len(dataset.skipped) == 3 * (count + 1)
    assert not set(dataset.names) & {path for path, _ in dataset.skipped}


def test_each_skipped_input_is_named_with_its_reason(tmp_path: Path) -> None:
    for name, (content, _) in BAD.items():
        spoil(tmp_path / "a" / name, content)
    truncated = draw(tmp_path / "a" / "t.png", 1)
    truncated.write_bytes(truncated.read_bytes()[:45])
    (tmp_path / "a" / "u.png").symlink_to(tmp_path / "nowhere")
    draw(tmp_path / "a" / "x.png", 1)
    count, skipped = write_images(list_labelled_images(str(tmp_path)), str(tmp_path / "o.h5"), RECIPE)
    assert count == 1
    found = {Path(path).name: reason for path, reason in skipped}
    assert list(found) == ["bad.png", "empty.png", "t.png", "u.png"]
    for name, (_, reason) in BAD.items():
        assert reason in found[name]
    assert found["t.png"].startswith("damaged or truncated image")
    assert data_file.read_data_file(tmp_path / "o.h5").skipped == tuple(skipped)


def test_a_name_that_is_no_utf8_is_shown(tmp_path: Path) -> None:
    path = Path(str(tmp_path / "a") + "/\udcff.png")
    try:
        draw(path, 1)
    except (OSError, UnicodeError):
        pytest.skip("this file system has UTF-8 names only")
    write_images(list_labelled_images(str(tmp_path)), str(tmp_path / "o.h5"), RECIPE)
    assert data_file.read_data_file(tmp_path / "o.h5").names == (str(tmp_path / "a" / r"\xff.png"),)


def test_errors_may_be_made_to_fail(tmp_path: Path) -> None:
    folder = folders(tmp_path / "d")
    first = folder / "ant" / "0000.png"
    for function in (
        lambda: load_images(list_labelled_images(str(folder)), RECIPE, on_error="fail"),
        lambda: write_images(
            list_labelled_images(str(folder)), str(tmp_path / "o.h5"), RECIPE, on_error="fail"
        ),
    ):
        with pytest.raises(DataError) as caught:
            function()
        assert str(caught.value).startswith(f"{first}: ")
    assert [entry.name for entry in tmp_path.iterdir()] == ["d"]


def test_nothing_usable_is_no_input_and_leaves_no_file(tmp_path: Path) -> None:
    for i in range(3):
        spoil(tmp_path / "d" / "a" / f"{i}.png")
    source = list_labelled_images(str(tmp_path / "d"))
    with pytest.raises(
        NoInputError, match=r"none of 3 images can be used; the first is .*0\.png: not an image"
    ):
        load_images(source, RECIPE)
    with pytest.raises(NoInputError, match="none of 3 images can be used"):
        write_images(source, str(tmp_path / "o.h5"), RECIPE)
    assert [entry.name for entry in tmp_path.iterdir()] == ["d"]


@pytest.mark.parametrize("kind", STANDARDIZATIONS)
def test_in_memory_and_by_a_file_are_the_same(kind: str, tmp_path: Path) -> None:
    source = list_labelled_images(str(folders(tmp_path / "d", 30)))
    loaded = load_images(source, RECIPE, standardize=kind)
    count, skipped = write_images(source, str(tmp_path / "o.h5"), RECIPE, standardize=kind)
    stored = data_file.read_data_file(tmp_path / "o.h5")
    assert count == stored.data.m == 90
    assert stored.data.examples.tobytes() == loaded.data.examples.tobytes()
    assert stored.Y.tobytes() == loaded.Y.tobytes()
    assert stored.data.standardizer == loaded.data.standardizer
    for name in ("classes", "recipe", "names", "skipped"):
        assert getattr(stored, name) == getattr(loaded, name)
    assert stored.skipped == tuple(skipped)


def test_standardization_is_of_the_images_that_were_used(tmp_path: Path) -> None:
    dataset = load_images(list_labelled_images(str(folders(tmp_path))), RECIPE, standardize="channel")
    pixels = dataset.data.examples.reshape(-1, 3).astype(np.float64)
    np.testing.assert_allclose(dataset.data.standardizer.mean[:3, 0], pixels.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(1 / dataset.data.standardizer.scale[:2, 0], pixels.std(axis=0)[:2], rtol=1e-12)


def test_progress_ends_with_all(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    source = list_labelled_images(str(folders(tmp_path, 30)))
    load_images(source, RECIPE, on_progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (183, 183)
    assert [done for done, _ in seen] == sorted({done for done, _ in seen})


def test_an_output_that_cannot_be_written_is_an_output_error(tmp_path: Path) -> None:
    draw(tmp_path / "d" / "a" / "x.png", 1)
    with pytest.raises(OutputError, match=r"nowhere/o\.h5: cannot be written"):
        write_images(list_labelled_images(str(tmp_path / "d")), str(tmp_path / "nowhere" / "o.h5"), RECIPE)


def test_files_beside_the_classes_are_counted_by_their_content(tmp_path: Path) -> None:
    for name in ("a", "c.jpg"):
        (tmp_path / name).mkdir()
        Image.new("L", (2, 2)).save(tmp_path / name / "0.png")
    Image.new("L", (2, 2)).save(tmp_path / "loose", "PNG")
    (tmp_path / "drawing.psd").write_bytes(b"8BPS")
    said = " ".join(list_labelled_images(str(tmp_path)).warnings)
    assert "1 images beside the subfolders have no class" in said
    assert ".psd" in said
