"""Files that cannot be decoded: damaged, huge, unreadable or no images. Each is an ImageError."""

import os
import struct
import sys
import threading
import types
import zlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from image_files import INSTALLED, decode_image, encoded, exif, reason, smooth
from PIL import Image

from xpnet.errors import ImageError
from xpnet.pipelines.images import decode
from xpnet.pipelines.images.recipe import Recipe
from xpnet.pipelines.images.resize import Upright


def png(width: int, height: int) -> bytes:
    """Return a PNG that claims a size, and has almost no pixels."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    parts = {b"IHDR": header, b"IDAT": zlib.compress(bytes(99)), b"IEND": b""}
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(name, content) for name, content in parts.items())


@pytest.mark.parametrize(
    ("content", "want"),
    [
        (b"", "file is empty"),
        (b"not a picture, but a text\n" * 20, "not an image, or of an unknown format"),
        (encoded(smooth(64, 48), "JPEG")[:-100], "damaged or truncated image: image file is truncated"),
        (encoded(smooth(64, 48), "JPEG")[:30], "damaged or truncated image|not an image"),
        (encoded(smooth(64, 48))[:-100], "damaged or truncated image: image file is truncated"),
        (encoded(smooth(64, 48))[:20], "damaged or truncated image|not an image"),
        (b"\xff\xd8\xff", "damaged or truncated image|not an image"),
        (b"\x89PNG\r\n\x1a\n", "damaged or truncated image|not an image"),
    ],
    ids=["empty", "text", "jpeg", "jpeg's head", "png", "png's head", "jpeg's sign", "png's sign"],
)
def test_files_that_are_no_whole_image(tmp_path: Path, content: bytes, want: str, decoder: str) -> None:
    path = tmp_path / "x.jpg"
    path.write_bytes(content)
    assert any(reason(path, decoder=decoder).startswith(part) for part in want.split("|"))


BMP_OF_2_BITS = struct.pack("<2sIHHI", b"BM", 86, 0, 0, 70) + struct.pack(
    "<IiiHHIIiiII", 40, 4, 4, 1, 2, 0, 16, 0, 0, 4, 4
)
WMF = struct.pack("<IHhhhhHIH", 0x9AC6CDD7, 0, 0, 0, 100, 100, 96, 0, 0) + struct.pack(
    "<HHHIHIH", 1, 9, 0x300, 12, 0, 3, 0
)


@pytest.mark.parametrize(
    ("content", "want"),
    [
        (BMP_OF_2_BITS + bytes(32), "image of a kind that is not supported: "),
        pytest.param(
            WMF + bytes(6),
            "image of a kind that is not supported: ",
            marks=pytest.mark.skipif(sys.platform == "win32", reason="Windows draws it"),
        ),
        (b"\x89HDF\r\n\x1a\n" + bytes(100), "image of a kind that is not supported: "),
        (b"\0\0\0\x18ftypheic" + bytes(100), "HEIC image, which is read only with an optional package: "),
        (b"\xff\x0a" + bytes(100), "JPEG XL image, which is read only with an optional package: "),
    ],
    ids=["bmp", "wmf", "hdf5", "heic", "jxl"],
)
def test_intact_files_of_an_unsupported_kind_are_not_called_damaged(
    tmp_path: Path, content: bytes, want: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decode, "_can_read", lambda module, register: False)
    (tmp_path / "x").write_bytes(content)
    assert reason(tmp_path / "x").startswith(want)


def test_an_optional_package_adds_its_format(monkeypatch: pytest.MonkeyPatch) -> None:
    added: list[str] = []
    package = types.SimpleNamespace(register=lambda: added.append("added"))
    monkeypatch.setitem(sys.modules, "package_of_a_format", package)
    assert decode._can_read("package_of_a_format", "register")
    assert added == ["added"]
    assert not decode._can_read("package_that_is_missing", "register")


@pytest.mark.skipif(sys.platform == "win32", reason="libtiff cannot be reached there")
def test_libtiff_writes_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    content = encoded(smooth(64, 48), "TIFF", compression="tiff_lzw")
    path = tmp_path / "x.tif"
    path.write_bytes(content[:40] + bytes(400) + content[440:])
    for end in (None, 1000):
        path.write_bytes(path.read_bytes()[:end])
        assert reason(path)
    assert capfd.readouterr().err == ""


def test_a_folder(tmp_path: Path, decoder: str) -> None:
    (tmp_path / "x.jpg").mkdir()
    assert reason(tmp_path / "x.jpg", decoder=decoder) == "is a directory"


def test_a_missing_file(tmp_path: Path, decoder: str) -> None:
    assert reason(tmp_path / "x.jpg", decoder=decoder) == "cannot be read: No such file or directory"


def test_a_link_to_nothing(tmp_path: Path) -> None:
    (tmp_path / "x.jpg").symlink_to("gone.jpg")
    assert reason(tmp_path / "x.jpg") == "cannot be read: No such file or directory"


def test_a_pattern_without_a_match_is_called_that(tmp_path: Path) -> None:
    for name in ("*.jpg", "IMG[1].jpg", "**/x?.png"):
        assert reason(tmp_path / name) == "no file has this name, and as a pattern it matches none"
    (tmp_path / "IMG[1].jpg").symlink_to(tmp_path / "gone")
    assert reason(tmp_path / "IMG[1].jpg") == "cannot be read: No such file or directory"
    (tmp_path / "IMG2.jpg").touch()
    assert reason(tmp_path / "IMG[2].jpg") == "cannot be read: No such file or directory"


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root can read everything")
def test_a_file_that_may_not_be_read(tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    path.write_bytes(encoded(smooth(4, 4)))
    path.chmod(0)
    assert reason(path) == "cannot be read: Permission denied"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no FIFOs here")
def test_a_fifo_is_not_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "x.jpg"
    os.mkfifo(path)
    reasons: list[str] = []
    thread = threading.Thread(target=lambda: reasons.append(reason(path)), daemon=True)
    thread.start()
    thread.join(10)
    assert reasons == ["is not a regular file"]


def test_too_little_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(image: Upright, recipe: Recipe) -> Image.Image:
        raise MemoryError

    monkeypatch.setattr(decode, "resized", full)
    (tmp_path / "x.png").write_bytes(encoded(smooth(4, 4)))
    assert reason(tmp_path / "x.png") == "does not fit into memory"


def test_a_nul_in_the_path() -> None:
    assert reason("a\0b.jpg").startswith("cannot be read: ")


def test_files_above_the_limit_of_bytes(
    tmp_path: Path, decoder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.jpg"
    content = encoded(smooth(64, 48), "JPEG")
    path.write_bytes(content)
    monkeypatch.setattr(decode, "MAX_FILE_BYTES", len(content))
    decode_image(str(path), Recipe(decoder=decoder))
    monkeypatch.setattr(decode, "MAX_FILE_BYTES", len(content) - 1)
    assert (
        reason(path, decoder=decoder) == f"file of {len(content)} bytes, expected at most {len(content) - 1}"
    )


@pytest.mark.parametrize("options", [{"suffix": "JPEG", "progressive": True}, {"suffix": "PNG"}])
def test_images_above_the_limit_of_pixels(
    tmp_path: Path, options: dict[str, Any], decoder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.jpg"
    path.write_bytes(encoded(smooth(64, 48), **options))
    monkeypatch.setattr(decode, "MAX_PIXELS", 64 * 48)
    decode_image(str(path), Recipe(decoder=decoder))
    monkeypatch.setattr(decode, "MAX_PIXELS", 64 * 48 - 1)
    assert reason(path, decoder=decoder) == (
        "image of 64 x 48 pixels, expected at most 3071: --max-pixels allows more"
    )
    decode_image(str(path), Recipe(decoder=decoder, max_pixels=64 * 48))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)  # Pillow's own limit does not count then
    decode_image(str(path), Recipe(decoder=decoder, max_pixels=64 * 48))


def test_of_a_jpeg_the_scaled_pixels_are_limited(
    tmp_path: Path, decoder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A panorama is decoded at an eighth, and takes memory only for that."""
    path = tmp_path / "x.jpg"
    path.write_bytes(encoded(smooth(640, 480), "JPEG"))
    monkeypatch.setattr(decode, "MAX_PIXELS", 80 * 60)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)  # Pillow's own limit does not refuse it
    decode_image(str(path), Recipe(32, 32, decoder=decoder))
    assert reason(path, height=120, width=160, decoder=decoder) == (
        "image of 160 x 120 pixels, expected at most 4800: --max-pixels allows more"
    )


def test_a_claim_of_many_pixels_takes_no_memory(tmp_path: Path, decoder: str) -> None:
    resource = pytest.importorskip("resource")
    path = tmp_path / "x.png"
    path.write_bytes(png(100_000, 100_000))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert "pixels" in reason(path, decoder=decoder)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown * (1 if sys.platform == "darwin" else 1024) < 1 << 26


def test_the_limit_of_pixels_is_the_one_that_is_told(tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    path.write_bytes(png(100_000, 100_000))
    assert str(decode.MAX_PIXELS) in reason(path)


def test_below_the_limit_of_pixels_there_is_no_other_limit(tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    path.write_bytes(png(13_000, 13_000))
    assert 13_000**2 < decode.MAX_PIXELS < 14_000**2
    assert "limit" not in reason(path)


SEEDS = [
    encoded(smooth(32, 24), "JPEG", exif=exif(6)),
    encoded(smooth(32, 24), "JPEG", progressive=True),
    encoded(smooth(32, 24)[:, :, 0], "JPEG"),
    encoded(smooth(32, 24), exif=exif(6)),
    encoded(Image.fromarray(smooth(32, 24)).convert("P"), transparency=3),
]


@st.composite
def mutations(draw: st.DrawFn) -> bytes:
    """Draw the content of an image with some bytes changed, cut out, put in or cut off."""
    content = bytearray(draw(st.sampled_from(SEEDS)))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(content)))
        length = draw(st.sampled_from([0, 1, 1, 1, 2, 9, len(content)]))
        content[at : at + length] = draw(st.binary(max_size=4))
    return bytes(content)


@settings(max_examples=100, deadline=None)
@given(mutations())
def test_damaged_images_are_columns_or_errors_by_both_decoders(scratch: Path, content: bytes) -> None:
    path = scratch / "fuzzed.jpg"
    path.write_bytes(content)
    assert len({fails(path, name) for name in INSTALLED}) == 1


def fails(path: Path, decoder: str) -> bool:
    recipe = Recipe(8, 8, decoder=decoder)
    try:
        column = decode_image(str(path), recipe)
    except ImageError:
        return True
    assert column.shape == (recipe.n_x,)
    return False
