"""Data files with random damage: each is read, or refused by one of xpnet's own errors. The seeds are fixed."""

import json
import random
from pathlib import Path

import h5py
import numpy as np
import pytest
from data_files import course, table, written

from xpnet.errors import DataError, NoInputError
from xpnet.pipelines.cli.text import description_text
from xpnet.pipelines.datasets import data_file
from xpnet.pipelines.datasets.image_folder import list_labelled_images
from xpnet.pipelines.datasets.table import read_table, read_table_rows

TEXT_SEEDS = 2000
"""How many damaged tables and labels files are read."""

DESCRIPTION_SEEDS = 500
"""How many data files with a damaged description are read."""

TEXT = '\ufeffname,a,b,y\nann,1,2.5,"cat"\nbéa, 3 ,1e9,dog\n\n"c,d";4\t;5,cat\r\n'.encode()
PIECES = [
    b"\0", b'"', b",", b";", b"\t", b"\n", b"\r", b"\xff", b"\xfe", b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff",
    b"nan", b"inf", b"-", b"1e999", b"9" * 400, b"\xe2\x80\xa8", b"\xed\xa0\x80", b"u\xcc\x88", b"\\", b"/",
    b"..", b" ", b"'", b"path,label\n", b"\x1b[2J",
]  # fmt: skip
VALUES = [
    None, True, 0, 1, -1, 2**63, 10**400, 0.5, float("nan"), float("inf"), "", "x", "\ud800", "\0", [], [[]],
    [1], ["x", "x"], {}, {"x": 1}, "pad", "rgb", "images", "table", [["a", "b"]],
]  # fmt: skip


def seeded(seed: int) -> random.Random:
    return random.Random(seed)  # noqa: S311  (not for secrets)


def damaged(content: bytes, rng: random.Random) -> bytes:
    """Return bytes with some parts cut out, repeated, or replaced."""
    for _ in range(rng.randint(1, 4)):
        start = rng.randrange(len(content) + 1)
        end = start + rng.choice([0, 0, 1, 2, 30])
        content = content[:start] + rng.choice(PIECES) * rng.choice([0, 1, 1, 3]) + content[end:]
    return content.decode("utf-8", "replace").encode("utf-16") if rng.random() < 0.1 else content


def test_damaged_tables_and_labels_are_read_or_refused(tmp_path: Path) -> None:
    path, read = tmp_path / "t.csv", 0
    for seed in range(TEXT_SEEDS):
        path.write_bytes(damaged(TEXT, seeded(seed)))
        for function in (
            lambda: read_table(str(path), "y", ignored=["name"]),
            lambda: read_table_rows(str(path), ["a", "b"]),
            lambda: list_labelled_images(str(tmp_path), str(path)),
        ):
            try:
                function()
                read += 1
            except (DataError, NoInputError) as error:
                str(error).encode()
    assert 0 < read < 3 * TEXT_SEEDS


def change(value: object, rng: random.Random) -> object:
    """Return a copy of plain data in which one part is replaced, removed or added."""
    if isinstance(value, dict | list) and value and rng.random() < 0.8:
        copied = value.copy()
        key = rng.choice(list(copied) if isinstance(copied, dict) else range(len(copied)))
        if rng.random() < 0.2:
            del copied[key]  # type: ignore[arg-type]
        else:
            copied[key] = change(copied[key], rng)  # type: ignore[index, call-overload]
        return copied
    return rng.choice(VALUES)


@pytest.mark.parametrize("kind", ["images", "table"])
def test_damaged_descriptions_are_read_or_refused(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "d.h5"
    written(path) if kind == "images" else data_file.write_data_file(path, table("feature", ("no", "yes")))
    with h5py.File(path) as file:
        description = json.loads(file["xpnet"][:].tobytes())
    read = 0
    for seed in range(DESCRIPTION_SEEDS // 2):
        changed = json.dumps(change(description, seeded(seed))).encode()
        with h5py.File(path, "r+") as file:
            del file["xpnet"]
            file["xpnet"] = np.frombuffer(changed, np.uint8)
        for function in (data_file.describe_data_file, data_file.read_data_file):
            try:
                found = function(path)
            except DataError as error:
                assert str(error).startswith(f"{path}: ")  # noqa: PT017  (either is right)
                assert "Error:" not in str(error)  # noqa: PT017  (an error that nobody expected)
            else:
                read += 1
                if isinstance(found, dict):
                    description_text(found).encode()
    assert 0 < read < DESCRIPTION_SEEDS


SHAPES: list[tuple[int, ...]] = [(), (0,), (1,), (2,), (7,), (7, 2), (7, 18), (7, 2, 3, 3), (18, 1), (1, 1)]
DTYPES = ["u1", "i8", "f4", "f8", "u8", "S3", "S1", "c16", "f2", "?", "V4"]


@pytest.mark.parametrize("make", [written, course])
def test_other_arrays_are_read_or_refused(make: object, tmp_path: Path) -> None:
    path = tmp_path / "d.h5"
    for seed in range(100):
        rng = seeded(seed)
        make(path)  # type: ignore[operator]
        with h5py.File(path, "r+") as file:
            for name in rng.sample(sorted(file), rng.randint(1, 2)):
                if name != "xpnet":
                    old, shape = file[name], rng.choice(SHAPES)
                    shape, dtype = rng.choice([(old.shape, rng.choice(DTYPES)), (shape, old.dtype)])
                    del file[name]
                    file[name] = np.full(shape, rng.choice([0, 1, 5])).astype(dtype)
        for function in (data_file.describe_data_file, data_file.read_data_file):
            try:
                function(path)
            except DataError as error:
                assert str(error).startswith(f"{path}: ")  # noqa: PT017  (either is right)
