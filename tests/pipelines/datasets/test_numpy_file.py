"""NumPy's files: what NumPy wrote is read back, and what is damaged or hostile is refused with little memory."""

import io
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from xpnet.errors import DataError
from xpnet.pipelines.datasets import numpy_file
from xpnet.pipelines.datasets.numpy_file import open_npz, read_npy

PLAIN = st.one_of(
    hnp.integer_dtypes(), hnp.floating_dtypes(), hnp.boolean_dtypes(), hnp.unicode_string_dtypes(max_len=5)
)


def npy(header: str, body: bytes = b"", version: int = 1) -> bytes:
    text = header.encode()
    length = struct.pack("<H" if version == 1 else "<I", len(text))
    return b"\x93NUMPY" + bytes([version, 0]) + length + text + body


def header_of(shape: str, dtype: str = "'<f4'", order: str = "False") -> str:
    return f"{{'descr': {dtype}, 'fortran_order': {order}, 'shape': {shape}, }}\n"


@settings(deadline=None, max_examples=50)
@given(array=hnp.arrays(PLAIN, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0)), mapped=st.booleans())
def test_what_numpy_wrote_is_read_back(tmp_path_factory: Any, array: np.ndarray, mapped: bool) -> None:
    folder = tmp_path_factory.mktemp("files")
    with pytest.MonkeyPatch.context() as patch:
        if array.size and mapped:
            patch.setattr(numpy_file, "MAPPED_BYTES", 1)
        for order in "CF":
            np.save(folder / "a.npy", np.asarray(array, order=order))
            found = read_npy(str(folder / "a.npy"))
            assert found.dtype == array.dtype
            np.testing.assert_array_equal(found, array)
    for save in (np.savez, np.savez_compressed):
        save(folder / "a.npz", first=array, second=array.T)
        with open_npz(str(folder / "a.npz")) as stored:
            assert stored["second"].shape == array.T.shape
            np.testing.assert_array_equal(stored["first"].read(), array)
            np.testing.assert_array_equal(stored["second"].read(), array.T)


def test_a_large_array_is_mapped(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((5, 1 << 20), np.float32))
    found = read_npy(str(tmp_path / "a.npy"))
    assert isinstance(found.base, np.memmap)


BAD_NPY = {
    "empty": b"",
    "other": b"path,label\n",
    "only the beginning": b"\x93NUMPY\x01\x00",
    "cut header": npy(header_of("(2, 2)"))[:40],
    "terabytes": npy(header_of("(1000000, 1000000)"), b"x" * 16),
    "larger than any integer": npy(header_of(f"({10**40}, 1)"), b"x" * 16),
    "negative": npy(header_of("(-1, -4)"), b"x" * 16),
    "text for a number": npy(header_of("('a', 2)")),
    "too few bytes": npy(header_of("(2, 2)"), b"x" * 15),
    "too many bytes": npy(header_of("(2, 2)"), b"x" * 17),
    "long header": npy(header_of("(2, 2)") + " " * 20_000, b"x" * 16),
    "deep header": npy("(" * 9000, b"x" * 16),
    "code": npy("__import__('os').system('true')", b"x" * 16),
    "unknown dtype": npy(header_of("(2, 2)", "'<q9'"), b"x" * 16),
    "endless strings": npy(header_of("(2,)", "'<U500000000'"), b"x" * 16),
    "version 9": b"\x93NUMPY\x09\x00" + npy(header_of("(2, 2)"))[8:],
    "header of 4 GB": b"\x93NUMPY\x02\x00\xff\xff\xff\xff" + b"x" * 100,
}


@pytest.mark.parametrize("content", BAD_NPY.values(), ids=BAD_NPY)
def test_a_damaged_npy_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"a\.npy: "):
        read_npy(str(path))
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("features.npy", content)
    with pytest.raises(DataError, match=r"a\.npz: "), open_npz(str(tmp_path / "a.npz")) as stored:
        stored["features"].read()


def test_objects_are_never_unpickled(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> Any:
            return Path.touch, (tmp_path / "executed",)

    np.save(tmp_path / "a.npy", np.array([Trap()], object), allow_pickle=True)
    np.savez(tmp_path / "a.npz", features=np.zeros((2, 2)), names=np.array([Trap()], object))
    with pytest.raises(DataError, match=r"a\.npy: holds Python objects \(a pickle\), which are never loaded"):
        read_npy(str(tmp_path / "a.npy"))
    with open_npz(str(tmp_path / "a.npz")) as stored:
        assert stored["features"].read().shape == (2, 2)
    with pytest.raises(DataError, match="its names holds Python objects"):  # noqa: SIM117
        with open_npz(str(tmp_path / "a.npz")) as stored:
            stored["names"].read()
    assert not (tmp_path / "executed").exists()


def test_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "missing"):
        with pytest.raises(DataError, match="cannot be read"):
            read_npy(str(path))
        with pytest.raises(DataError, match="cannot be read"), open_npz(str(path)):
            pass


def test_a_zip_bomb_takes_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "bomb.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("X.npy", "w") as file:
        file.write(npy(header_of("(100, 1000000)", "'|u1'")))
        for _ in range(100):
            file.write(bytes(1_000_000))
    assert path.stat().st_size < 200_000
    with (
        pytest.raises(DataError, match="has 100000000 bytes, of which it stores only"),
        open_npz(str(path)) as stored,
    ):
        stored["X"].read()


def test_a_small_array_may_be_compressed_by_any_factor(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "a.npz", X=np.zeros((1000, 1000), np.float32))
    with open_npz(str(tmp_path / "a.npz")) as stored:
        assert not stored["X"].read().any()


def test_encrypted_twofold_and_changed_members_are_refused(tmp_path: Path) -> None:
    content = io.BytesIO()
    np.save(content, np.arange(6.0).reshape(2, 3))
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("features.npy", content.getvalue())
        archive.writestr("readme.txt", "no array")
    raw = bytearray(path.read_bytes())
    entry = raw.index(b"PK\x01\x02")
    encrypted = bytearray(raw)
    encrypted[entry + 8] |= 1
    path.write_bytes(encrypted)
    with pytest.raises(DataError, match="its features is encrypted"), open_npz(str(path)):
        pass
    changed = bytearray(raw)
    changed[raw.index(content.getvalue()[-8:])] ^= 1
    path.write_bytes(changed)
    with pytest.raises(DataError, match=r"a\.npz: .*Bad CRC-32"):  # noqa: SIM117
        with open_npz(str(path)) as stored:
            stored["features"].read()
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("features.npy", content.getvalue())
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("features.npy", content.getvalue())
    with pytest.raises(DataError, match="has two arrays named features"), open_npz(str(path)):
        pass


def test_absolute_names_write_nothing(tmp_path: Path) -> None:
    content = io.BytesIO()
    np.save(content, np.zeros((2, 3)))
    target = tmp_path / "outside.npy"
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr(str(target), content.getvalue())
        archive.writestr("../../features.npy", content.getvalue())
    with open_npz(str(tmp_path / "a.npz")) as stored:
        assert "features" not in stored
    assert not target.exists()
