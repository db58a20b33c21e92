"""Inputs: which files are found in folders, by patterns and in lists, and in which order."""

import io
import itertools
import os
import sys
from pathlib import Path

import pytest
from PIL import Image

from xpnet.errors import DataError, NoInputError
from xpnet.pipelines.images import inputs
from xpnet.pipelines.images.inputs import (
    SUFFIXES,
    class_folders,
    expand_inputs,
    is_image_name,
    name_text,
    path_text,
    walk_images,
)
from xpnet.pipelines.images.recipe import Recipe
from xpnet.pipelines.images.worker import decode_pixels

not_root = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root can list everything"
)


def make(folder: Path, *names: str) -> None:
    """Create empty files, and their folders."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def below(folder: Path) -> list[str]:
    """Return the paths that are found in a folder, relative to it."""
    return [os.path.relpath(path, folder) for path in walk_images(str(folder))]


# Folders


def test_each_folder_is_sorted_by_name(tmp_path: Path) -> None:
    make(tmp_path, "c.jpg", "a.jpg", "b/2.jpg", "b/10.jpg", "b/a/z.jpg", "D.jpg", "b.jpg")
    assert below(tmp_path) == ["D.jpg", "a.jpg", "b/10.jpg", "b/2.jpg", "b/a/z.jpg", "b.jpg", "c.jpg"]


def test_paths_begin_as_the_folder_was_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path, "d/a.jpg")
    monkeypatch.chdir(tmp_path)
    assert list(walk_images("d")) == ["d/a.jpg"]
    assert list(walk_images("d/")) == ["d/a.jpg"]
    assert list(walk_images("./d")) == ["./d/a.jpg"]


def test_hidden_files_and_other_files_are_passed_over(tmp_path: Path) -> None:
    make(tmp_path, ".a.jpg", "._b.jpg", "notes.txt", "Thumbs.db", "jpg", "c.jpg.part", "d.JPG", "e.jpg")
    assert below(tmp_path) == ["d.JPG", "e.jpg"]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_suffixes(suffix: str) -> None:
    assert is_image_name("a" + suffix)
    assert is_image_name("a.b" + suffix.upper())
    assert not is_image_name(".a" + suffix)
    assert not is_image_name("a" + suffix + "x")


def write(folder: Path, **contents: bytes) -> None:
    """Write files. In their names, two underscores stand for a dot."""
    for name, content in contents.items():
        (folder / name.replace("__", ".")).write_bytes(content)


FORMATS = {
    "a": "PNG",
    "b": "JPEG",
    "c": "GIF",
    "d": "BMP",
    "e": "WEBP",
    "f": "TIFF",
    "g": "PPM",
    "h": "JPEG2000",
}


def test_files_without_a_suffix_are_known_by_their_content(tmp_path: Path) -> None:
    for name, format_ in FORMATS.items():
        Image.new("RGB", (9, 9)).save(tmp_path / name, format_)
    write(
        tmp_path,
        i=b"\0\0\0\x18ftypheic", j=b"\0\0\0\x0cJXL \r\n\x87\n", text=b"BM is no image", empty=b"", **{".k": b"GIF89a"}
    )  # fmt: skip
    os.mkfifo(tmp_path / "pipe")
    assert below(tmp_path) == [*FORMATS, "i", "j"]


def test_pictures_that_are_passed_over_are_counted_in_one_warning(tmp_path: Path) -> None:
    make(tmp_path, "1.CR2", "d/2.cr2", "d/3.svg", "notes.txt", "table.csv", "ok.png")
    write(tmp_path, a__part=b"GIF89a", b__part=b"", c__jpg_large=b"\xff\xd8\xff\xe0", d__txt=b"GIF89a")
    expected = "passed over 5 pictures.*: 2 .cr2, 1 .jpg_large, 1 .part, 1 .svg; convert or rename"
    with pytest.warns(UserWarning, match=expected) as told:
        assert below(tmp_path) == ["ok.png"]
    assert len(told) == 1
    with pytest.warns(UserWarning, match="the folders: " + expected) as told:
        found = list(expand_inputs([str(tmp_path / "*.CR2"), str(tmp_path), str(tmp_path / "gone")]))
    assert [Path(path).name for path in found] == ["1.CR2", "ok.png", "gone"]
    assert len(told) == 1


@pytest.mark.parametrize("name", ["a.heic", "a.HEIF", "a.jxl", "a.avif"])
def test_pictures_of_optional_formats_are_inputs(tmp_path: Path, name: str) -> None:
    make(tmp_path, name)
    assert below(tmp_path) == [name]


def test_an_empty_folder_has_no_images(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert below(tmp_path) == []


def test_a_folder_with_an_image_s_name_is_walked(tmp_path: Path) -> None:
    make(tmp_path, "x.jpg/a.png")
    assert below(tmp_path) == ["x.jpg/a.png"]


def test_links_are_followed(tmp_path: Path) -> None:
    make(tmp_path, "elsewhere/a.jpg", "here/c.jpg")
    (tmp_path / "here/b").symlink_to("../elsewhere")
    (tmp_path / "here/d.jpg").symlink_to("../elsewhere/a.jpg")
    (tmp_path / "here/e.jpg").symlink_to("gone")
    assert below(tmp_path / "here") == ["b/a.jpg", "c.jpg", "d.jpg", "e.jpg"]


def test_links_in_circles_end(tmp_path: Path) -> None:
    make(tmp_path, "a/1.jpg", "b/2.jpg")
    (tmp_path / "a/up").symlink_to("..")
    (tmp_path / "a/same").symlink_to(".")
    (tmp_path / "b/other").symlink_to("../a")
    (tmp_path / "a/other").symlink_to("../b")
    found = [os.path.relpath(path, tmp_path) for path in itertools.islice(walk_images(str(tmp_path)), 50)]
    assert found == ["a/1.jpg", "a/other/2.jpg", "b/2.jpg", "b/other/1.jpg"]


def test_links_to_one_folder_are_each_followed(tmp_path: Path) -> None:
    make(tmp_path, "a/1.jpg")
    for name in ("b", "c"):
        (tmp_path / name).symlink_to("a")
    found = [str(Path(path).relative_to(tmp_path)) for path in walk_images(str(tmp_path))]
    assert found == ["a/1.jpg", "b/1.jpg", "c/1.jpg"]


def test_a_mesh_of_links_ends_soon(tmp_path: Path) -> None:
    for i in range(9):
        make(tmp_path, f"{i}/{i}.jpg")
        for k in range(9):
            (tmp_path / str(i) / f"to{k}").symlink_to(f"../{k}")
    found = list(walk_images(str(tmp_path)))
    assert {Path(path).name for path in found} == {f"{i}.jpg" for i in range(9)}
    assert len(found) <= 81 + 9


def test_a_link_to_itself_does_not_hide_its_neighbours(tmp_path: Path) -> None:
    make(tmp_path, "d/a.jpg")
    (tmp_path / "d/loop").symlink_to("loop")
    found = below(tmp_path)
    assert "d/a.jpg" in found
    assert "d" not in found


@not_root
def test_a_link_into_a_locked_folder_does_not_hide_its_neighbours(tmp_path: Path) -> None:
    make(tmp_path, "locked/in/b.jpg", "d/a.jpg")
    (tmp_path / "d/link").symlink_to("../locked/in")
    (tmp_path / "locked").chmod(0)
    try:
        found = below(tmp_path / "d")
    finally:
        (tmp_path / "locked").chmod(0o700)
    assert "a.jpg" in found


@not_root
def test_a_folder_that_cannot_be_listed_is_a_path(tmp_path: Path) -> None:
    make(tmp_path, "a.jpg", "locked/b.jpg", "z.jpg")
    (tmp_path / "locked").chmod(0)
    try:
        found = below(tmp_path)
    finally:
        (tmp_path / "locked").chmod(0o700)
    assert found == ["a.jpg", "locked", "z.jpg"]


def test_a_folder_that_cannot_be_listed_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: str) -> None:
        raise PermissionError(13, "Permission denied")

    assert decode_pixels([str(tmp_path)], Recipe(2, 2))[1] == ["is a directory"]
    monkeypatch.setattr(os, "scandir", refuse)
    [path] = walk_images(str(tmp_path))
    assert decode_pixels([path], Recipe(2, 2))[1] == ["cannot be read: Permission denied"]


def test_a_folder_that_is_none_is_a_path(tmp_path: Path) -> None:
    make(tmp_path, "a.txt")
    for name in ("gone", "a.txt"):
        assert list(walk_images(str(tmp_path / name))) == [str(tmp_path / name)]


ODD = [
    "a b.jpg",
    "a,b.jpg",
    'a"b.jpg',
    "a'b.jpg",
    "a\nb.jpg",
    "-a.jpg",
    "a[1].jpg",
    "ж.jpg",
    "~a.jpg",
    "$a.jpg",
]


def test_odd_names_are_found(tmp_path: Path) -> None:
    make(tmp_path, *ODD)
    assert below(tmp_path) == sorted(ODD)
    paths = [str(tmp_path / name) for name in ODD]
    assert list(expand_inputs(paths)) == paths


@pytest.mark.skipif(sys.platform != "linux", reason="names are UTF-8 there")
def test_names_that_are_no_utf8(tmp_path: Path) -> None:
    name = os.fsdecode(b"\xff\xfe.jpg")
    make(tmp_path, name)
    assert below(tmp_path) == [name]
    assert list(expand_inputs([str(tmp_path / "*.jpg")])) == [str(tmp_path / name)]
    (tmp_path / "list").write_bytes(os.fsencode(tmp_path) + b"/\xff\xfe.jpg\n")
    [listed] = expand_inputs([], str(tmp_path / "list"))
    assert Path(listed).exists()
    assert path_text(name) == r"\xff\xfe.jpg"


# Arguments


def test_arguments_keep_their_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path, "z.jpg", "d/b.jpg", "d/a.jpg", "d/notes.txt", "e/1.png", "e/2.png", "notes.txt")
    monkeypatch.chdir(tmp_path)
    found = list(expand_inputs(["z.jpg", "e/*.png", "d", "gone.jpg", "notes.txt", "z.jpg"]))
    assert found == ["z.jpg", "e/1.png", "e/2.png", "d/a.jpg", "d/b.jpg", "gone.jpg", "notes.txt", "z.jpg"]


def test_globs_are_sorted_and_their_folders_walked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path, "c.jpg", "a.jpg", "b.jpg/1.jpg", "d/e/f.jpg", ".g.jpg")
    monkeypatch.chdir(tmp_path)
    assert list(expand_inputs(["?.jpg"])) == ["a.jpg", "b.jpg/1.jpg", "c.jpg"]
    assert list(expand_inputs(["[ac].jpg"])) == ["a.jpg", "c.jpg"]
    assert list(expand_inputs(["**/f.jpg"])) == ["d/e/f.jpg"]
    assert list(expand_inputs(["d/*"])) == ["d/e/f.jpg"]


def test_a_glob_without_a_match_is_a_path() -> None:
    assert list(expand_inputs(["gone/*.jpg", "gone?"])) == ["gone/*.jpg", "gone?"]


@pytest.mark.parametrize("name", ["a[1].jpg", "a*.jpg", "a?.jpg", "[ab].jpg"])
def test_a_name_that_exists_is_no_glob(tmp_path: Path, name: str) -> None:
    make(tmp_path, name, "a1.jpg", "ab.jpg", "a.jpg")
    assert list(expand_inputs([str(tmp_path / name)])) == [str(tmp_path / name)]


def test_a_broken_link_is_no_glob(tmp_path: Path) -> None:
    make(tmp_path, "a1.jpg")
    (tmp_path / "a[1].jpg").symlink_to("gone")
    assert list(expand_inputs([str(tmp_path / "a[1].jpg")])) == [str(tmp_path / "a[1].jpg")]


def test_a_folder_with_a_glob_s_name_is_walked(tmp_path: Path) -> None:
    make(tmp_path, "d*/a.jpg", "de/b.jpg")
    assert list(expand_inputs([str(tmp_path / "d*")])) == [str(tmp_path / "d*/a.jpg")]


@pytest.mark.parametrize(
    ("folder", "pattern", "found"),
    [
        ("photos [2020]", "photos [2020]/*.png", ["1.png", "2.png"]),
        ("photos [2020]", "photos [2020]/[2-9].png", ["2.png"]),
        ("photos [2020]", "photos [2020]/**/*.png", ["1.png", "2.png"]),
        ("a*/b?[c]", "a*/b?[c]/?.png", ["1.png", "2.png"]),
        ("photos [2020]", "photo? [2020]/*.png", ["1.png", "2.png"]),
    ],
)
def test_brackets_of_a_folder_are_no_pattern(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str, pattern: str, found: list[str]
) -> None:
    make(tmp_path, f"{folder}/1.png", f"{folder}/2.png", "ab/bxc/3.png")
    monkeypatch.chdir(tmp_path)
    paths = list(expand_inputs([pattern]))
    assert [Path(path).name for path in paths] == found
    assert all(Path(path).exists() for path in paths)


def test_brackets_are_a_pattern_where_no_folder_has_such_a_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path, "a/1.png", "b/2.png", "c/3.png")
    monkeypatch.chdir(tmp_path)
    assert list(expand_inputs(["[ab]/*.png"])) == ["a/1.png", "b/2.png"]


def test_nothing_is_read_before_it_is_needed(tmp_path: Path) -> None:
    found = expand_inputs(["gone.jpg"], str(tmp_path / "no list"))
    assert next(found) == "gone.jpg"
    with pytest.raises(DataError):
        next(found)


# Lists

LIST = b"a.jpg\r\n\n/b c,d.jpg\n\r\n  e.jpg \nf*.jpg\nlast.jpg"
LISTED = ["a.jpg", "/b c,d.jpg", "  e.jpg ", "f*.jpg", "last.jpg"]


def test_a_list_has_a_path_on_each_line(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_bytes(LIST)
    assert list(expand_inputs(["first.jpg"], str(tmp_path / "list.txt"))) == ["first.jpg", *LISTED]


def test_a_list_of_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(LIST)))
    assert list(expand_inputs([], "-")) == LISTED
    assert not sys.stdin.closed


NAMES = ["a b.jpg", "c.jpg", "é.jpg"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_encodings_of_a_list(tmp_path: Path, encoding: str, end: str) -> None:
    (tmp_path / "list.txt").write_bytes("".join(name + end for name in NAMES).encode(encoding))
    assert list(expand_inputs([], str(tmp_path / "list.txt"))) == NAMES


def test_a_list_that_is_no_utf16(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_bytes(b"\xff\xfea")
    with pytest.raises(DataError, match=r"list.txt: cannot be read as UTF-16: .*truncated"):
        list(expand_inputs([], str(tmp_path / "list.txt")))


@pytest.mark.parametrize("end", [b"", b"\0"])
def test_a_list_with_nul_characters(tmp_path: Path, end: bytes) -> None:
    (tmp_path / "list.txt").write_bytes(b"\0".join([b" a.jpg", b"b\n.jpg", b"c\\.jpg\r"]) + end)
    assert list(expand_inputs([], str(tmp_path / "list.txt"))) == [" a.jpg", "b\n.jpg", "c\\.jpg\r"]


@pytest.mark.parametrize("separator", [b"\0", b"\n"])
def test_a_long_list_is_read_in_blocks(
    tmp_path: Path, separator: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inputs, "LIST_BYTES", 7)
    names = [f"{'x' * (i % 20)}{i}.jpg" for i in range(300)]
    (tmp_path / "list.txt").write_bytes(separator.join(name.encode() for name in names))
    assert list(expand_inputs([], str(tmp_path / "list.txt"))) == names


def test_a_slow_list_is_read_as_it_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    out, into = os.pipe()
    with os.fdopen(out) as stdin, os.fdopen(into, "wb", buffering=0) as writer:
        monkeypatch.setattr(sys, "stdin", stdin)
        found = expand_inputs([], "-")
        for name in (b"a", b"b"):
            writer.write(name + b"\n")
            assert next(found) == name.decode()


@pytest.mark.parametrize(
    ("line", "name"),
    [
        (r"d\a b.jpg", "d/a b.jpg"),
        (r'"d\a b.jpg"', "d/a b.jpg"),
        (" d/a b.jpg\t", "d/a b.jpg"),
        ("'d/a b.jpg'", "d/a b.jpg"),
        ("d/e\u0301.jpg", "d/\xe9.jpg"),
        ("d/o\xe8.jpg", "d/oe\u0300.jpg"),
        (" x.jpg", " x.jpg"),
        (r"y\z.jpg", r"y\z.jpg"),
        (r"gone\z.jpg ", r"gone\z.jpg "),
    ],
)
def test_lines_as_people_write_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, name: str
) -> None:
    make(tmp_path, "d/a b.jpg", "d/\xe9.jpg", "d/oe\u0300.jpg", " x.jpg", "x.jpg", r"y\z.jpg", "y/z.jpg")
    (tmp_path / "list.txt").write_text(line + "\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert list(expand_inputs([], "list.txt")) == [name]


@pytest.mark.parametrize("content", [b"", b"\n", b"\r\n\n"])
def test_an_empty_list(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "list.txt").write_bytes(content)
    assert list(expand_inputs([], str(tmp_path / "list.txt"))) == []


def test_a_list_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone: cannot be read: No such file"):
        list(expand_inputs([], str(tmp_path / "gone")))
    with pytest.raises(DataError, match=r"cannot be read: Is a directory"):
        list(expand_inputs([], str(tmp_path)))


# Classes


def test_subfolders_are_classes(tmp_path: Path) -> None:
    make(tmp_path, "dog/1.jpg", "cat/1.jpg", "Bird/1.jpg", ".cache/1.jpg", "notes.txt", "x.jpg")
    (tmp_path / "empty").mkdir()
    (tmp_path / "linked").symlink_to("dog")
    (tmp_path / "broken").symlink_to("gone")
    assert class_folders(str(tmp_path)) == ("Bird", "cat", "dog", "empty", "linked")


def test_a_link_to_itself_does_not_hide_the_classes(tmp_path: Path) -> None:
    make(tmp_path, "cat/1.jpg", "dog/1.jpg")
    (tmp_path / "loop").symlink_to("loop")
    assert class_folders(str(tmp_path)) == ("cat", "dog")


def test_a_folder_without_subfolders_has_no_classes(tmp_path: Path) -> None:
    make(tmp_path, "1.jpg")
    with pytest.raises(NoInputError, match="has no subfolders: expected one for each class"):
        class_folders(str(tmp_path))


def test_classes_of_a_folder_that_cannot_be_listed(tmp_path: Path) -> None:
    make(tmp_path, "1.jpg")
    with pytest.raises(DataError, match=r"gone: cannot be listed: No such file"):
        class_folders(str(tmp_path / "gone"))
    with pytest.raises(DataError, match=r"1.jpg: cannot be listed: Not a directory"):
        class_folders(str(tmp_path / "1.jpg"))


# Text


@pytest.mark.parametrize("path", ["a/b.jpg", "", "ж é.jpg", "日本.jpg", "a\nb", r"a\xff.jpg"])
def test_paths_that_are_text_are_shown_as_they_are(path: str) -> None:
    assert path_text(path) == path


@pytest.mark.skipif(sys.platform == "win32", reason="paths are no bytes there")
def test_bytes_that_are_no_text_are_shown_as_numbers() -> None:
    path = os.fsdecode("é".encode() + b"/\xe9\x80.jpg")
    assert path_text(path) == r"é/\xe9\x80.jpg"
    path_text(path).encode("utf-8")


def test_names_of_classes_do_not_depend_on_the_locale(monkeypatch: pytest.MonkeyPatch) -> None:
    def ascii_only(name: str) -> bytes:
        return name.encode("ascii", "surrogateescape")

    monkeypatch.setattr(os, "fsencode", ascii_only)
    assert name_text("é") == path_text("é") == "é"
    assert name_text("a\udcff") == path_text("a\udcff") == r"a\xff"
