"""Safetensors files with a description: reading, writing, and refused files."""

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors import numpy as safetensors

from xpnet.errors import ModelFileError
from xpnet.io import atomic_write, read_kind, read_tensors, tensor_file, write_tensors

DESCRIPTION = {"kind": "notes", "names": ["dög", "<script>"], "count": 3}
ARRAYS = {
    "a": np.arange(6, dtype=np.float32).reshape(2, 3),
    "transposed": np.arange(6.0).reshape(2, 3).T,
    "empty": np.zeros((0, 4)),
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    write_tensors(tmp_path / "t", DESCRIPTION, ARRAYS)
    return tmp_path / "t"


def test_a_file_is_read_as_it_was_written(path: Path) -> None:
    description, arrays = read_tensors(path, "notes")
    assert description == DESCRIPTION
    assert set(arrays) == set(ARRAYS)
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(arrays[name], array)
        assert arrays[name].dtype == array.dtype


def test_arrays_do_not_depend_on_the_file_after_reading(path: Path) -> None:
    _, arrays = read_tensors(path, "notes")
    path.write_bytes(bytes(path.stat().st_size))
    np.testing.assert_array_equal(arrays["a"], ARRAYS["a"])


def test_equal_content_gives_equal_bytes(path: Path, tmp_path: Path) -> None:
    write_tensors(tmp_path / "again", *read_tensors(path, "notes"))
    assert (tmp_path / "again").read_bytes() == path.read_bytes()


def test_the_kind_of_a_file(path: Path, tmp_path: Path) -> None:
    assert read_kind(path) == "notes"
    other = tmp_path / "other"
    for metadata in (None, {"xpnet": "[]"}, {"xpnet": "{}"}, {"xpnet": "no JSON"}, {"xpnet": "[" * 100_000}):
        other.write_bytes(safetensors.save({"a": np.zeros(3)}, metadata))
        assert read_kind(other) is None
    with pytest.raises(ModelFileError, match="is a file of kind 'notes', expected 'model'"):
        read_tensors(path, "model")


@pytest.mark.parametrize(
    "read", [read_kind, lambda path: read_tensors(path, "notes")], ids=["kind", "tensors"]
)
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"\x80\x04\x95pickle......", "does not begin like a safetensors file: expected a file that xpnet wrote"),
        (struct.pack("<Q", tensor_file.MAX_HEADER_BYTES + 1) + b"{}", "does not begin like"),
        (struct.pack("<Q", 4000) + b"{}", "is truncated: its header of 4000 bytes is longer than the file of 10"),
        (struct.pack("<Q", 2) + b"{]", "is damaged or truncated"),
    ],
    ids=["empty", "pickle", "long header", "truncated", "damaged"],
)  # fmt: skip
def test_other_files_are_refused(
    read: Callable[[Path], object], content: bytes, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "x"
    path.write_bytes(content)
    with pytest.raises(ModelFileError, match=message) as caught:
        read(path)
    assert str(caught.value).startswith(str(path))


def test_what_is_not_a_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="is not a file"):
        read_kind(tmp_path)
    with pytest.raises(ModelFileError, match="there is no such file"):
        read_tensors(tmp_path / "missing", "notes")


def test_values_that_cannot_be_read_again_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_tensors(tmp_path / "t", {"kind": "notes", "cost": float("nan")}, ARRAYS)
    assert not list(tmp_path.iterdir())
    with pytest.raises(ModelFileError, match="a holds a NaN or an infinity"):
        write_tensors(tmp_path / "t", DESCRIPTION, {"a": np.array([1.0, np.inf])})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.array([1.0, np.inf]), "a holds a NaN or an infinity"),
        (np.arange(3), "a is I64, expected F32 or F64"),
        (np.zeros((1, 1, 1)), "a has 3 dimensions, expected at most 2"),
    ],
)
def test_arrays_of_another_kind_are_refused(array: np.ndarray, message: str, tmp_path: Path) -> None:
    (tmp_path / "t").write_bytes(safetensors.save({"a": array}, {"xpnet": '{"kind": "notes"}'}))
    with pytest.raises(ModelFileError, match=message):
        read_tensors(tmp_path / "t", "notes")


@pytest.mark.parametrize(
    "value", ["Infinity", "-Infinity", "NaN", "1e999", "1" + 400 * "0", 5000 * "9", r'"\ud800"', 9999 * "["]
)
def test_values_that_no_file_of_ours_holds_are_refused(value: str, tmp_path: Path) -> None:
    (tmp_path / "t").write_bytes(safetensors.save({}, {"xpnet": f'{{"kind": "notes", "x": {value}}}'}))
    with pytest.raises(ModelFileError, match="its description is not JSON"):
        read_tensors(tmp_path / "t", "notes")


def test_the_bytes_of_a_name_that_is_not_utf8_are_kept(tmp_path: Path) -> None:
    write_tensors(tmp_path / "t", {"kind": "notes", "name": "\udcff"}, {})
    assert read_tensors(tmp_path / "t", "notes")[0]["name"] == "\udcff"


def test_an_atomic_write_replaces_the_file_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_text("before")
    with atomic_write(path) as temporary:
        temporary.write_text("after")
        assert temporary.parent == tmp_path
        assert path.read_text() == "before"
    assert path.read_text() == "after"
    assert list(tmp_path.iterdir()) == [path]


def test_an_atomic_write_that_fails_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_text("before")

    def fail() -> None:
        with atomic_write(path) as temporary:
            temporary.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_an_atomic_write_to_a_link_replaces_its_target(tmp_path: Path) -> None:
    (tmp_path / "target").write_text("before")
    (tmp_path / "link").symlink_to("target")
    with atomic_write(tmp_path / "link") as temporary:
        temporary.write_text("after")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "target").read_text() == "after"
