"""HDF5 files of other people: nothing outside the file is read, and a small file takes little memory."""

import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from data_files import course, written

from xpnet.errors import DataError
from xpnet.pipelines.datasets import data_file
from xpnet.pipelines.datasets.hdf5_input import dataset_in

Change = Callable[[h5py.File], object]


def put_elsewhere(file: h5py.File, how: str, name: str) -> None:
    """Replace an HDF5 dataset by one whose data are outside the file, or in another place of it."""
    values = file[name][...]
    other = Path(file.filename).with_name("other.h5")
    if how == "external storage":
        raw = other.with_suffix(".raw")
        raw.write_bytes(values.tobytes())
        del file[name]
        file.create_dataset(name, values.shape, values.dtype, external=[(str(raw), 0, values.nbytes)])
        return
    with h5py.File(other, "w") as source:
        source["x"] = values
    del file[name]
    if how == "a link to another file":
        file[name] = h5py.ExternalLink("other.h5", "/x")
    elif how == "a link":
        file["y"] = values
        file[name] = h5py.SoftLink("/y")
    else:
        layout = h5py.VirtualLayout(values.shape, values.dtype)
        layout[...] = h5py.VirtualSource("other.h5", "x", values.shape)
        file.create_virtual_dataset(name, layout)


@pytest.mark.parametrize("name", ["images", "labels", "mean", "names", "xpnet"])
@pytest.mark.parametrize("how", ["external storage", "a link to another file", "a link", "a virtual dataset"])
def test_data_outside_the_file_are_refused(how: str, name: str, tmp_path: Path) -> None:
    path = written(tmp_path / "d.h5", "feature")
    with h5py.File(path, "r+") as file:
        put_elsewhere(file, how, name)
    for function in (data_file.read_data_file, data_file.describe_data_file):
        with pytest.raises(DataError, match=rf"d\.h5: its {name} is .*only from the file itself"):
            function(path)


@pytest.mark.parametrize("name", ["train_set_x", "train_set_y", "list_classes"])
def test_a_file_of_the_course_holds_its_own_data(name: str, tmp_path: Path) -> None:
    path = course(tmp_path / "c.h5")
    with h5py.File(path, "r+") as file:
        put_elsewhere(file, "a link to another file", name)
    with pytest.raises(DataError, match=f"its {name} is a link"):
        data_file.read_data_file(path)


def replace(name: str, shape: tuple[int, ...], dtype: str, fill: bool, **options: object) -> Change:
    """Return a function that replaces an HDF5 dataset by a huge one that takes little space in the file."""

    def change(file: h5py.File) -> None:
        del file[name]
        made = file.create_dataset(name, shape, dtype, **{"chunks": True, "compression": "gzip", **options})
        if fill:
            made[...] = np.zeros(shape, made.dtype)

    return change


BOMBS = {
    "a description that is not written": replace("xpnet", (10**9,), "u1", False),
    "a compressed description": replace("xpnet", (1 << 21,), "u1", True),
    "names that are not written": replace("names", (7,), "S200000000", False),
    "names of endless length": replace("names", (7,), "S1000000", True),
    "labels that are not written": replace("labels", (10**9,), "i8", False),
    "compressed images": replace("images", (7, 2, 3, 1 << 19), "u1", True),
    "a huge chunk": replace("labels", (7,), "i8", True, chunks=(5 << 19,), maxshape=(None,)),
}


@pytest.mark.parametrize("change", BOMBS.values(), ids=BOMBS)
def test_a_small_file_that_claims_much_is_refused(change: Change, tmp_path: Path) -> None:
    path = written(tmp_path / "d.h5", "feature")
    with h5py.File(path, "r+") as file:
        change(file)
    assert path.stat().st_size < 2 << 20
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match=r"d\.h5: is damaged: "):
            data_file.read_data_file(path)
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


def test_class_names_of_the_course_take_little_memory(tmp_path: Path) -> None:
    path = course(tmp_path / "c.h5", list_classes=None)
    with h5py.File(path, "r+") as file:
        names = file.create_dataset("list_classes", (1000,), h5py.string_dtype())
        names[:] = ["x" * 10_000] * 1000
    with pytest.raises(DataError, match="list_classes of more than"):
        data_file.read_data_file(path)


def test_images_that_are_not_all_written_are_refused(tmp_path: Path) -> None:
    path = course(tmp_path / "c.h5", train_set_x=None)
    with h5py.File(path, "r+") as file:
        images = file.create_dataset("train_set_x", (7, 2, 3, 3), "u1", chunks=(1, 2, 3, 3))
        images[:6] = 1
    with pytest.raises(DataError, match=r"c\.h5: is damaged: a part of its train_set_x is missing"):
        data_file.read_data_file(path)


def test_compressed_data_are_read(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.create_dataset("x", data=np.zeros((100, 100)), compression="gzip")
        assert dataset_in(file, "x")[...].shape == (100, 100)
        file.create_group("g")
        for name in ("g", "nothing"):
            with pytest.raises(DataError, match=name):
                dataset_in(file, name)


def test_a_file_that_another_program_has_open_is_called_that(tmp_path: Path) -> None:
    fcntl = pytest.importorskip("fcntl")
    path = written(tmp_path / "d.h5")
    with path.open("rb+") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(
            DataError, match=r"d\.h5: another program has the file open: .*HDF5_USE_FILE_LOCKING"
        ):
            data_file.read_data_file(path)
    assert data_file.read_data_file(path).data.m == 7


def test_a_description_takes_the_defaults_of_a_recipe(tmp_path: Path) -> None:
    path = written(tmp_path / "d.h5")
    with h5py.File(path, "r+") as file:
        description = json.loads(file["xpnet"][:].tobytes())
        del description["recipe"]["resize_mode"]
        description["unknown"] = 1
        del file["xpnet"]
        file["xpnet"] = np.frombuffer(json.dumps(description).encode(), np.uint8)
    found = data_file.describe_data_file(path)
    assert found["recipe"]["resize_mode"] == "stretch"
    assert "unknown" not in found
