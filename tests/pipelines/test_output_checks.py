"""Outputs are refused before the work begins if they cannot be written or would overwrite an input."""

import math
import os
import sys
from pathlib import Path

import pytest

from xpnet.errors import OutputError, UsageError
from xpnet.pipelines.outputs import (
    FOREIGN_ENDINGS,
    finite,
    locked_outputs,
    refuse_output_among,
    require_ending,
    require_writable,
    write_text,
)


def test_new_and_existing_files_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "old").write_text("x")
    require_writable([str(tmp_path / "new"), str(tmp_path / "old"), None], [str(tmp_path / "input"), None])
    assert (tmp_path / "old").read_text() == "x"
    assert not (tmp_path / "new").exists()


def test_an_output_that_is_an_input_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("x")
    (tmp_path / "link").symlink_to("a")
    for name in ("a", "link", "./a"):
        with pytest.raises(UsageError, match="is also an input: name another file to write"):
            require_writable([f"{tmp_path}/{name}"], [str(tmp_path / "a")])


def test_an_existing_file_in_an_input_folder_is_kept_unless_xpnet_wrote_it(tmp_path: Path) -> None:
    (tmp_path / "red").mkdir()
    (tmp_path / "link").symlink_to("red")
    kept, outside = tmp_path / "red" / "scan", tmp_path / "outside"
    kept.write_bytes(b"\x89PNG\r\n\x1a\n and so on")
    (tmp_path / "other").mkdir()
    for name in ("red/scan", "link/scan"):
        with pytest.raises(UsageError, match="was not written by xpnet: name another file to write"):
            require_writable([str(tmp_path / name)], [str(tmp_path)])
    require_writable([str(kept), str(tmp_path / "red" / "new")], [str(tmp_path / "other")])
    outside.touch()
    require_writable([str(outside)], [str(tmp_path)])  # an empty file is no loss
    for start in (b"\x10\0\0\0\0\0\0\0{...", b"\x89HDF\r\n\x1a\n", b"path,status,label\n", b"PAR1"):
        kept.write_bytes(start)
        require_writable([str(kept)], [str(tmp_path)])


def test_a_dash_is_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="- means standard output"):
        require_writable(["-"])
    require_writable(["./-"])


@pytest.mark.parametrize("ending", FOREIGN_ENDINGS)
def test_an_ending_that_promises_another_format_is_refused(ending: str) -> None:
    for name in (f"a.{ending}", f"a.csv.{ending.upper()}"):
        with pytest.raises(UsageError, match=r"name another file to write, such as one that ends in \.xpn"):
            require_ending(name, "a test", "xpn")
        require_ending(name, "a test", "xpn", ending)


@pytest.mark.parametrize("name", [None, "a", "a.xpn", "a.2024", ".png", "png", "a.png/model"])
def test_other_endings_are_fine(name: str | None) -> None:
    require_ending(name, "a test", "xpn")


@pytest.mark.skipif(sys.platform == "win32", reason="no locks")
def test_outputs_are_locked_for_one_run(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("a")
    with locked_outputs(str(tmp_path / "a"), None, str(tmp_path / "b")):
        for name in ("a", "link", "b"):
            with (
                pytest.raises(OutputError, match=f"{name}: is being written by another run"),
                locked_outputs(str(tmp_path / "c"), str(tmp_path / name)),
            ):
                pass
    with locked_outputs(str(tmp_path / "a")):
        pass
    assert list(tmp_path.iterdir()) == [tmp_path / "link"]


def test_two_outputs_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is also another output"):
        require_writable([str(tmp_path / "a"), f"{tmp_path}/./a"])


def test_an_output_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    for path, reason in {
        str(tmp_path): "is a folder, expected the name of a file",
        str(tmp_path / "nowhere" / "a"): "there is no folder .*nowhere: create it first",
        os.devnull: "is a device or a pipe, expected the name of a file",
    }.items():
        with pytest.raises(OutputError, match=reason):
            require_writable([path])
    with pytest.raises(UsageError, match="the name of the file to write is empty"):
        require_writable([""])


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root can write everywhere")
def test_a_folder_without_permission_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(OutputError, match="permission denied"):
            require_writable([str(tmp_path / "a")])
    finally:
        tmp_path.chmod(0o700)


def test_an_output_among_the_inputs_is_found_when_it_is_reached(tmp_path: Path) -> None:
    paths = [str(tmp_path / name) for name in ("a", "b")]
    assert list(refuse_output_among(paths[1], paths)) == paths  # it does not exist: it cannot be an image
    Path(paths[1]).touch()
    found = refuse_output_among(paths[1], paths)
    assert next(found) == paths[0]
    with pytest.raises(UsageError, match="b: is also an input: name another file to write"):
        next(found)
    assert list(refuse_output_among(None, paths)) == paths


def test_text_is_written_in_utf8(tmp_path: Path) -> None:
    write_text(str(tmp_path / "a"), "ä \udcff\n")
    assert (tmp_path / "a").read_bytes() == "ä \\udcff\n".encode()
    with pytest.raises(OutputError, match="cannot be written: No such file or directory"):
        write_text(str(tmp_path / "nowhere" / "a"), "x")


def test_numbers_that_are_not_finite_become_none() -> None:
    data = {"a": [1.5, math.nan, (math.inf, -math.inf)], "b": {"c": 2, "d": "nan"}}
    assert finite(data) == {"a": [1.5, None, [None, None]], "b": {"c": 2, "d": "nan"}}


@pytest.mark.skipif(os.name != "posix", reason="there are no such names")
@pytest.mark.parametrize(
    "name", ["/dev/stdout", "/dev/stderr", "/dev/fd/1", "/proc/self/fd/1", "/dev/../dev/stdout"]
)
def test_a_stream_that_is_open_is_no_name_of_a_file(name: str) -> None:
    with pytest.raises(OutputError, match="is a stream that is open already"):
        require_writable([name])
