"""Inputs that are damaged or have strange names: each one gets a row, or is named in a message."""

import csv
import os
import sys
from pathlib import Path

import pytest
from pictures import draw_classes, picture
from PIL import Image
from processes import xpnet


def hostile(folder: Path) -> dict[str, str]:
    """Make a folder of good and bad files. Return a part of the error of each; "" for a good one."""
    folder.mkdir()
    good = ["a,b.jpg", 'say "hi".jpg', "two\nlines.jpg", "ü.jpg", "-dash.jpg", "z.jpg", "[x].jpg"]
    for name in good:
        picture("red", 1).save(folder / name)
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        picture("green", 2).save(folder / f"turned{orientation}.jpg", exif=exif)
    for mode in ("1", "L", "P", "LA", "RGBA"):
        picture("blue", 3).convert("L" if mode == "LA" else "RGB").convert(mode).save(folder / f"{mode}.png")
    picture("blue", 3).convert("CMYK").save(folder / "cmyk.jpg")
    frames = [picture(name, 4) for name in ("red", "green")]
    frames[0].save(folder / "frames.gif", save_all=True, append_images=frames[1:])
    expected = {path.name: "" for path in folder.iterdir()}
    whole = (folder / "z.jpg").read_bytes()
    (folder / "truncated.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "text.png").write_text("not an image")
    (folder / "bomb.png").write_bytes(
        b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\1\x86\xa0\0\1\x86\xa0\x08\2\0\0\0" + b"\0" * 40
    )
    os.mkfifo(folder / "pipe.jpg")
    (folder / "gone.jpg").symlink_to(folder / "nowhere")
    (folder / "itself.jpg").symlink_to(folder / "itself.jpg")
    (folder / "loop").symlink_to(folder)
    return expected | {
        "truncated.jpg": "truncated",
        "empty.jpg": "empty",
        "text.png": "not an image",
        "bomb.png": "",  # whichever reason comes first
        "pipe.jpg": "not a regular file",
        "gone.jpg": "No such file",
        "itself.jpg": "cannot be read",
    }


@pytest.mark.skipif(sys.platform == "win32", reason="names and files that Windows does not have")
def test_a_hostile_folder_gets_a_row_for_everything_in_it(model: Path, tmp_path: Path) -> None:
    expected = hostile(tmp_path / "hostile")
    raw = os.fsencode(tmp_path / "hostile") + b"/\xff\xfe.jpg"
    (tmp_path / "copy.jpg").write_bytes((tmp_path / "hostile" / "z.jpg").read_bytes())
    try:
        os.link(tmp_path / "copy.jpg", raw)
        expected["\\xff\\xfe.jpg"] = ""
    except OSError:
        pass  # this file system takes UTF-8 only
    output, listed = tmp_path / "rows.csv", tmp_path / "listed.csv"
    assert (
        xpnet("predict", model, tmp_path / "hostile", tmp_path / "missing.jpg", "-o", output).returncode == 3
    )
    with output.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert sorted(Path(row["path"]).name for row in rows[:-1]) == sorted(expected)
    assert Path(rows[-1]["path"]).name == "missing.jpg"
    for row in rows[:-1]:
        name = Path(row["path"]).name
        if expected[name] or name == "bomb.png":
            assert (row["status"], row["label"], row["score"]) == ("error", "", ""), name
            assert expected[name] in row["error"], name
            assert str(tmp_path) not in row["error"], name
        else:
            assert (row["status"], row["error"]) == ("ok", ""), name
    # An image gets the same row alone and beside others.
    alone = xpnet("predict", model, tmp_path / "copy.jpg").stdout.decode().splitlines()[1].split(",")
    same = [
        row for row in rows if Path(row["path"]).name in ("z.jpg", "a,b.jpg", "two\nlines.jpg", "-dash.jpg")
    ]
    assert [(row["label"], row["score"]) for row in same] == [(alone[2], alone[3])] * 4
    # A list of the same paths in smaller batches gives the same rows.
    names = "\n".join(row["path"] for row in rows if "\n" not in row["path"] and "\\" not in row["path"])
    (tmp_path / "names").write_text(names)
    done = xpnet("predict", model, "--files-from", tmp_path / "names", "-o", listed, "--batch-size", 5)
    assert done.returncode == 3
    assert set(listed.read_text().splitlines()) <= set(output.read_text(encoding="utf-8").splitlines())


@pytest.mark.parametrize("command", ["preprocess", "train"])
def test_skipped_files_are_named_and_counted(tmp_path: Path, command: str) -> None:
    folder = draw_classes(tmp_path / "classes", 4)
    (folder / "red" / "0002.jpg").write_bytes(b"")
    (folder / "blue" / "broken.png").write_bytes(b"broken")
    done = xpnet(command, folder, "-o", tmp_path / "out", "--image-size", 8)
    assert done.returncode == 3
    said = done.stderr.decode()
    assert f"skipped {folder / 'red' / '0002.jpg'}: file is empty" in said
    assert f"skipped {folder / 'blue' / 'broken.png'}: not an image" in said
    assert "2 inputs skipped in total" in said
    assert "m = 11" in done.stdout.decode()
    failed = xpnet(command, folder, "-o", tmp_path / "out2", "--on-error", "fail")
    assert failed.returncode == 1
    assert b"broken.png: not an image" in failed.stderr
    assert not (tmp_path / "out2").exists()
