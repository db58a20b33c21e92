"""Archives: each member is an input, however the archive was made and whatever is wrong with it."""

import io
import os
import shutil
import struct
import subprocess
import tarfile
import tracemalloc
import warnings
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from image_files import encoded, reason, smooth
from pictures import CLASSES, draw_classes

from xpnet.pipelines.images import archives, decode
from xpnet.pipelines.images.archives import read_member
from xpnet.pipelines.images.decode_many import decode_chunk
from xpnet.pipelines.images.inputs import (
    class_folders,
    count_images_in,
    expand_inputs,
    is_folder,
    walk_images,
)
from xpnet.pipelines.images.recipe import Recipe
from xpnet.pipelines.images.worker import decode_pixels

RECIPE = Recipe(4, 4)
PNG = encoded(smooth(9, 7))
MODES = {"zip": "w", "tar": "w:"}


def found(*arguments: Path | str) -> list[tuple[str, str]]:
    """Return (path, error) of each input that some arguments name."""
    paths = list(expand_inputs(map(str, arguments)))
    return list(zip(paths, decode_pixels(paths, RECIPE).errors, strict=True))


def make_tar(path: Path, *members: tuple[str, bytes], **options: object) -> Path:
    """Write a tar archive of some files."""
    with tarfile.open(path, "w:", **options) as archive:
        for name, content in members:
            about = tarfile.TarInfo(name)
            about.size = len(content)
            archive.addfile(about, io.BytesIO(content))
    return path


def make_zip(path: Path, *members: tuple[str, bytes], method: int = zipfile.ZIP_STORED) -> Path:
    """Write a zip archive of some files."""
    with warnings.catch_warnings(action="ignore"), zipfile.ZipFile(path, "w", method) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return path


def make(path: Path, *members: tuple[str, bytes]) -> Path:
    return (make_zip if path.suffix.lower() == ".zip" else make_tar)(path, *members)


KINDS = pytest.mark.parametrize("kind", ["zip", "tar"])


# What other programs make


def archived(folder: Path, command: str) -> Path:
    """Run a command in a folder, which makes an archive beside it; return the archive."""
    program, *rest = command.split()
    if shutil.which(program) is None:
        pytest.skip(f"there is no program {program} here")
    subprocess.run([program, *rest], cwd=folder, check=True, capture_output=True)
    return folder.parent / next(word for word in rest if "x." in word).removeprefix("../")


@pytest.mark.parametrize(
    "command",
    [
        "tar --format=gnu -cf ../x.tar .",
        "tar --format=pax -cf ../x.tar .",
        "tar --format=ustar -cf ../x.tar red green blue",
        "tar --format=v7 -cf ../x.tar red green blue",
        "zip -qr ../x.zip .",
        "zip -qr0 ../x.zip red green blue",
        "zip -qrfz ../x.zip red green blue",
    ],
)
def test_archives_of_tar_and_zip_are_as_the_folder(tmp_path: Path, command: str) -> None:
    folder = draw_classes(tmp_path / "photos", 2)
    (folder / "red" / "hard.jpg").hardlink_to(folder / "red" / "0000.jpg")
    archive = archived(folder, command)
    paths, members = (list(walk_images(str(where))) for where in (folder, archive))
    assert [Path(path).relative_to(folder) for path in paths] == [
        Path(member).relative_to(archive) for member in members
    ]
    whole, inside = decode_chunk(paths, RECIPE), decode_chunk(members, RECIPE)
    assert not any(inside.errors)
    assert inside.columns.tobytes() == whole.columns.tobytes()
    assert class_folders(str(archive)) == CLASSES


@pytest.mark.parametrize("format_", ["gnu", "pax"])
def test_long_names_and_names_that_are_no_utf8(tmp_path: Path, format_: str) -> None:
    (tmp_path / "f" / ("x" * 200)).mkdir(parents=True)
    names = [f"{'x' * 200}/{'y' * 150}.png", "nö.png", os.fsdecode(b"\xff.png")]
    for name in names:
        (tmp_path / "f" / name).write_bytes(PNG)
    archive = archived(tmp_path / "f", f"tar --format={format_} -cf ../x.tar .")
    assert sorted(found(archive)) == sorted((f"{archive}/{name}", "") for name in names)


def test_names_of_dos_and_of_utf8_without_a_flag(tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "x.zip", ("a\xe9.png", PNG), ("b\xe9.png", PNG))
    content = archive.read_bytes()
    for old, new in ((b"a\xc3\xa9.png", b"a\xc3\xa9.png"), (b"b\xc3\xa9.png", b"bb\x82.png")):
        content = content.replace(old, new)
    flags = struct.pack("<H", 0x800)
    assert content.count(b"\x14\x00" + flags) == 4
    archive.write_bytes(content.replace(b"\x14\x00" + flags, b"\x14\x00\0\0"))
    assert found(archive) == [(f"{archive}/a\xe9.png", ""), (f"{archive}/bb\xe9.png", "")]


def test_zip_archives_with_numbers_of_64_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = tmp_path / "x.zip"
    with zipfile.ZipFile(archive, "w") as file, file.open("a.png", "w", force_zip64=True) as member:
        member.write(PNG)
    assert found(archive) == [(f"{archive}/a.png", "")]
    monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 2)
    many = make_zip(tmp_path / "many.zip", *((f"{i}.png", PNG) for i in range(5)))
    assert b"PK\6\6" in many.read_bytes()
    many.write_bytes(b"moved" + many.read_bytes().replace(struct.pack("<2H", 5, 5), b"\xff" * 4))
    assert found(many) == [(f"{many}/{i}.png", "") for i in range(5)]


@pytest.mark.parametrize("before", [b"#!/bin/sh\n", b"x" * 100_000])
def test_a_zip_archive_behind_a_program(tmp_path: Path, before: bytes) -> None:
    archive = make_zip(tmp_path / "x.zip", ("a.png", PNG))
    archive.write_bytes(before + archive.read_bytes())
    assert found(archive) == [(f"{archive}/a.png", "")]


def test_tar_archives_one_after_the_other(tmp_path: Path) -> None:
    parts = [make_tar(tmp_path / f"{name}.tar", (f"{name}.png", PNG)).read_bytes() for name in "ab"]
    (tmp_path / "both.tar").write_bytes(b"".join(parts) + b"something else")
    assert [Path(path).name for path, error in found(tmp_path / "both.tar") if not error] == [
        "a.png",
        "b.png",
    ]


# Names


@KINDS
def test_members_are_sorted_as_in_folders_and_others_are_left_out(tmp_path: Path, kind: str) -> None:
    names = ["b/2.png", "b.png", "b/10.png", "a/z.png", ".h.png", ".d/x.png", "__MACOSX/._b.png", "notes.txt"]
    archive = make(tmp_path / f"x.{kind}", *((name, PNG) for name in names), ("b/noending", PNG))
    assert [path.removeprefix(f"{archive}/") for path in walk_images(str(archive))] == [
        "a/z.png", "b/10.png", "b/2.png", "b/noending", "b.png",
    ]  # fmt: skip
    assert list(walk_images(f"{archive}/a")) == [f"{archive}/a/z.png"]
    assert is_folder(f"{archive}/b")
    assert not is_folder(f"{archive}/c")
    assert count_images_in(str(archive), Counter()) == 1
    assert found(f"{archive}/b.png") == [(f"{archive}/b.png", "")]
    assert reason(f"{archive}/c.png") == "the archive has no such member"


@KINDS
def test_names_can_do_no_harm(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["/etc/a.png", "../../b.png", "c/../../d.png", "./e.png", "=1+2.png", "a\nb.png", 'x"y,.png']
    archive = make(tmp_path / f"x.{kind}", *((name, PNG) for name in names))
    before = sorted(tmp_path.rglob("*"))
    assert [error for _, error in found(archive)] == [""] * len(names)
    assert f"{archive}/etc/a.png" in dict(found(archive))
    assert sorted(tmp_path.rglob("*")) == before


@KINDS
def test_the_last_of_members_with_one_name_counts(tmp_path: Path, kind: str) -> None:
    archive = make(tmp_path / f"x.{kind}", ("a.png", b"old"), ("b.png", PNG), ("a.png", PNG))
    with pytest.warns(UserWarning, match="passed over 1 members of archives, because later ones have their"):
        assert found(archive) == [(f"{archive}/a.png", ""), (f"{archive}/b.png", "")]


@KINDS
def test_archives_in_archives_and_in_folders_are_counted(tmp_path: Path, kind: str) -> None:
    inner = make_zip(tmp_path / "inner.zip", ("a.png", PNG)).read_bytes()
    archive = make(
        tmp_path / f"x.{kind}", ("a.png", PNG), ("in.zip", inner), ("in.tar.gz", b""), ("c.cr2", b"")
    )
    expected = "passed over 1 pictures.*1 .cr2.*; passed over 2 archives.*: 1 .tar.gz, 1 .zip"
    with pytest.warns(UserWarning, match=expected):
        assert len(found(archive)) == 1
    with pytest.warns(UserWarning, match="passed over 2 archives"):
        assert list(walk_images(str(tmp_path))) == []
    assert reason(f"{archive}/in.zip/a.png") == "the archive has no such member"


def test_a_folder_with_the_name_of_an_archive_is_a_folder(tmp_path: Path) -> None:
    folder = tmp_path / "x.zip" / "y.tar"
    folder.mkdir(parents=True)
    (folder / "a.png").write_bytes(PNG)
    assert found(tmp_path / "x.zip") == [(str(folder / "a.png"), "")]
    archive = make(folder / "z.ZIP", ("a.png", PNG))
    assert found(archive) == [(f"{archive}/a.png", "")]
    assert found(f"{archive}/") == [(f"{archive}/a.png", "")]


def test_an_image_with_the_name_of_an_archive_is_an_image(tmp_path: Path) -> None:
    for name in ("a.zip", "b.tar", "c.tar.gz"):
        (tmp_path / name).write_bytes(PNG)
        assert found(tmp_path / name) == [(str(tmp_path / name), "")]


def test_patterns_and_lists_name_archives_and_members(tmp_path: Path) -> None:
    a, b = (make(tmp_path / name, ("d/1.png", PNG)) for name in ("a.tar", "b.zip"))
    assert [path for path, _ in found(tmp_path / "*.*")] == [f"{a}/d/1.png", f"{b}/d/1.png"]
    (tmp_path / "list.txt").write_text(f'"{b}/d/1.png"\n{a}/d/2.png\n{a}\n')
    paths = list(expand_inputs([], str(tmp_path / "list.txt")))
    assert paths == [f"{b}/d/1.png", f"{a}/d/2.png", str(a)]
    errors = decode_chunk(paths, RECIPE).errors
    assert errors[:2] == ["", "the archive has no such member"]
    assert errors[2].startswith("is an archive: name it as an input")


# Damage


def test_links_in_a_tar_archive_lead_to_members_only(tmp_path: Path) -> None:
    (tmp_path / "secret.png").write_bytes(PNG)
    archive = tmp_path / "x.tar"
    kinds = {
        "b/link.png": (tarfile.SYMTYPE, "../a/0.png"), "hard.png": (tarfile.LNKTYPE, "./a/0.png"),
        "out.png": (tarfile.SYMTYPE, str(tmp_path / "secret.png")), "up.png": (tarfile.SYMTYPE, "../secret.png"),
        "self.png": (tarfile.SYMTYPE, "self.png"), "one.png": (tarfile.SYMTYPE, "two.png"),
        "two.png": (tarfile.SYMTYPE, "one.png"), "chain.png": (tarfile.SYMTYPE, "b/link.png"),
        "device.png": (tarfile.BLKTYPE, ""), "pipe.png": (tarfile.FIFOTYPE, ""),
    }  # fmt: skip
    with tarfile.open(archive, "w:") as file:
        for name, (kind, target) in kinds.items():
            about = tarfile.TarInfo(name)
            about.type, about.linkname = kind, target
            file.addfile(about)
        about = tarfile.TarInfo("a/0.png")
        about.size = len(PNG)
        file.addfile(about, io.BytesIO(PNG))
    errors = {path.removeprefix(f"{archive}/"): error for path, error in found(archive)}
    assert sorted(errors) == sorted([*kinds, "a/0.png"])
    assert {name for name, error in errors.items() if not error} == {
        "a/0.png", "b/link.png", "hard.png", "chain.png",
    }  # fmt: skip
    assert errors["out.png"] == f"is a link to {tmp_path}/secret.png, which the archive does not have"
    assert errors["device.png"] == errors["pipe.png"] == "is not a regular file"


def test_a_sparse_file_in_a_tar_archive_is_an_error_and_its_neighbours_are_not(tmp_path: Path) -> None:
    folder = tmp_path / "f"
    folder.mkdir()
    (folder / "a.png").write_bytes(PNG)
    with (folder / "b.png").open("wb") as file:
        for i in range(60):
            file.seek(i << 17)
            file.write(b"x" * 4096)
    (folder / "c.png").write_bytes(PNG)
    for format_ in ("gnu", "pax"):
        archive = archived(folder, f"tar -S --format={format_} --sort=name -cf ../x.tar .")
        errors = [error for _, error in found(archive)]
        assert (errors[0], errors[2]) == ("", "")
        assert errors[1].startswith("is a sparse file")


def test_members_of_a_zip_archive_that_cannot_be_read(tmp_path: Path) -> None:
    archive = tmp_path / "x.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("a.png", PNG)
        file.writestr("deflated.png", PNG, zipfile.ZIP_DEFLATED)
        file.writestr("lzma.png", PNG, zipfile.ZIP_LZMA)
        file.writestr("empty.png", b"")
        file.writestr("flipped.png", PNG)
        link = zipfile.ZipInfo("link.png")
        link.create_system, link.external_attr = 3, 0o120777 << 16
        file.writestr(link, "/etc/passwd")
        file.writestr("z.png", PNG)
        start = file.getinfo("flipped.png").header_offset
    content = bytearray(archive.read_bytes())
    content[start + 30 + len("flipped.png") + 50] ^= 1
    archive.write_bytes(content)
    errors = {path.removeprefix(f"{archive}/"): error for path, error in found(archive)}
    assert [name for name, error in errors.items() if not error] == ["a.png", "deflated.png", "z.png"]
    assert errors["lzma.png"].startswith("is compressed by a method that is not read (number 14)")
    assert errors["empty.png"] == "file is empty"
    assert errors["flipped.png"] == "damaged zip archive: its bytes are not those that were stored"
    assert errors["link.png"] == "is a link"


def test_encrypted_members(tmp_path: Path) -> None:
    (tmp_path / "f").mkdir()
    (tmp_path / "f" / "a.png").write_bytes(PNG)
    archive = archived(tmp_path / "f", "zip -qe -P word ../x.zip a.png")
    assert found(archive) == [(f"{archive}/a.png", "is encrypted")]


@KINDS
def test_members_are_limited_in_size_as_files_are(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = make(tmp_path / f"x.{kind}", ("a.png", PNG), ("b.png", PNG + b"\0"))
    monkeypatch.setattr(decode, "MAX_FILE_BYTES", len(PNG))
    assert [error for _, error in found(archive)] == [
        "", f"file of {len(PNG) + 1} bytes, expected at most {len(PNG)}",
    ]  # fmt: skip


def test_a_zip_bomb_takes_no_more_memory_than_it_says(tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "x.zip", ("a.png", b"\0" * 50_000_000), method=zipfile.ZIP_DEFLATED)
    content, size = archive.read_bytes(), struct.pack("<I", 50_000_000)
    assert content.count(size) == 2
    archive.write_bytes(content.replace(size, struct.pack("<I", 9)))
    found(archive)
    tracemalloc.start()
    try:
        assert found(archive) == [
            (f"{archive}/a.png", "damaged zip archive: its bytes are not those that were stored")
        ]
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


def test_a_large_file_that_is_no_archive_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decode, "MAX_FILE_BYTES", 1000)
    (tmp_path / "x.tar").write_bytes(b"text" * 1000)
    assert reason(tmp_path / "x.tar") == "not a tar archive: an entry has no valid header"


@pytest.mark.parametrize("cut", [1, 300, 600, 700])
def test_a_truncated_tar_archive_gives_what_it_has_and_an_error(tmp_path: Path, cut: int) -> None:
    archive = make_tar(tmp_path / "x.tar", *((f"{i}.png", b"\xff" * 3 + PNG) for i in range(4)))
    size = 4 * 512 + 4 * (-(-(len(PNG) + 3) // 512) * 512)
    archive.write_bytes(archive.read_bytes()[: size - cut])
    rows = found(archive)
    assert [path for path, _ in rows][:3] == [f"{archive}/{i}.png" for i in range(3)]
    assert all(error.startswith("not an image") for _, error in rows[:3])
    if cut > (-(len(PNG) + 3)) % 512:
        assert rows[-1][0] == str(archive)
        assert rows[-1][1].startswith("damaged or truncated tar archive: it ends too soon, after")


@pytest.mark.parametrize(
    ("name", "content", "error"),
    [
        ("a.zip", b"", "file is empty"),
        ("a.tar", b"", "file is empty"),
        ("a.zip", b"text", "not a zip archive, or truncated: it has no directory at its end"),
        ("a.tar", b"text", "not a tar archive: it ends too soon"),
        ("a.tar", b"text" * 1000, "not a tar archive: an entry has no valid header"),
        ("a.tar.gz", b"\x1f\x8b text", "is a compressed archive, whose members cannot be read one by one"),
        ("a.7z", b"7z text", "is a compressed archive, whose members cannot be read one by one"),
    ],
)
def test_an_archive_that_cannot_be_opened_is_one_input(
    tmp_path: Path, name: str, content: bytes, error: str
) -> None:
    (tmp_path / name).write_bytes(content)
    [(path, why)] = found(tmp_path / name)
    assert path == str(tmp_path / name)
    assert why.startswith(error)


@KINDS
def test_an_empty_archive_has_no_inputs(tmp_path: Path, kind: str) -> None:
    assert found(make(tmp_path / f"x.{kind}")) == []


def test_a_truncated_zip_archive_is_one_input(tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "x.zip", *((f"{i}.png", PNG) for i in range(4)))
    archive.write_bytes(archive.read_bytes()[:-30])
    assert found(archive)[0][1].startswith("not a zip archive, or truncated")


def test_a_damaged_directory_of_a_zip_archive_gives_what_it_has_and_an_error(tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "x.zip", *((f"{i}.png", PNG) for i in range(4)))
    head, _, tail = archive.read_bytes().rpartition(b"PK\1\2")
    archive.write_bytes(head + b"PK\1\3" + tail)
    rows = found(archive)
    assert [error for _, error in rows[:3]] == [""] * 3
    assert rows[3:] == [(str(archive), "damaged zip archive: its directory cannot be read after 3 members")]


def test_an_archive_that_is_replaced_is_read_anew(tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "x.zip", ("a.png", PNG))
    assert reason(f"{archive}/b.png") == "the archive has no such member"
    other = make_zip(tmp_path / "y.zip", ("a.png", PNG), ("b.png", PNG))
    other.replace(archive)
    assert found(archive) == [(f"{archive}/a.png", ""), (f"{archive}/b.png", "")]
    archive.unlink()
    assert reason(f"{archive}/b.png").startswith("cannot be read: No")


def test_few_lists_of_members_are_kept(tmp_path: Path) -> None:
    for i in range(2 * archives.OPEN_ARCHIVES):
        assert len(found(make_zip(tmp_path / f"{i}.zip", ("a.png", PNG)))) == 1
    assert archives._directory_of.cache_info().currsize <= archives.OPEN_ARCHIVES


def test_members_have_the_bytes_that_python_s_modules_read(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    members = [(f"{i}.png", rng.bytes(size)) for i, size in enumerate([1, 511, 512, 513, 3000, 1 << 17])]
    for path in (make_tar(tmp_path / "x.tar", *members), make_zip(tmp_path / "x.zip", *members, method=8)):
        for name, content in members:
            assert read_member(str(path), name, 1 << 20) == content
            assert read_member(str(path), name, 1 << 20, start=16) == content[:16]
