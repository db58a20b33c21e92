"""Damage files at random, and read them: each must be used, or refused by an error that is meant for users.

    python scripts/fuzz.py                      10,000 seeds of every kind of file, in one process per core
    python scripts/fuzz.py --kinds model --first 10000 --seeds 5000

A seed names the damage, so every finding can be repeated. The tests run 1,000 seeds of each kind, and other
ones in each Python. Files are read in processes of their own, with little memory, because a damaged size can
be any number. libhdf5 itself may end the process at a damaged file: that is listed, and is no failure.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import datetime as dt
import faulthandler
import io
import json
import os
import random
import re
import shutil
import struct
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import h5py
import numpy as np
from PIL import Image, features

import xpnet
from xpnet.data import ColumnMatrix
from xpnet.errors import ModelFileError, XpnetError
from xpnet.features import PatchSettings, fit_patches
from xpnet.nn import Layer, Network, Settings
from xpnet.pipelines.cli import main
from xpnet.pipelines.datasets import (
    DataOptions,
    Dataset,
    FeatureExtractor,
    open_data,
    read_data_file,
    read_example_rows,
    read_table_rows,
    write_data,
    write_data_file,
)
from xpnet.pipelines.images import (
    Recipe,
    decode_chunk,
    decode_to_bytes,
    expand_inputs,
    path_text,
    usual_pillow,
)
from xpnet.pipelines.messages import Messages
from xpnet.pipelines.models import load
from xpnet.pipelines.predictions import FORMATS, write_predictions
from xpnet.pipelines.report import ReportJob, write_report
from xpnet.pipelines.training import Plan, TrainJob, sweep_job
from xpnet.training import Trainer, fit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

SEEDS = 10_000
"""How many seeds of each kind the script runs if nothing else is asked for."""

SHARD = 1000
"""How many seeds one process runs."""

MEMORY_BYTES = 3 << 30
"""The most address space of a process that reads damaged files."""

SECONDS = 60
"""How long one file may take, at most."""

REPORT_EVERY = 20
"""Of so many models and predictions one is also made into a report, which takes longer."""

VALUES: list[Any] = [
    None, True, -1, 0, 1, 2.5, 2**63, 10**400, -(10**30), 1e300, float("inf"), float("nan"), "", "x", "\0",
    "\ud800", "x" * 300, "9" * 5000, "\x1b[2J", "../x", [], {}, [[]], [1], [1, "b"], ["x", "x"],
    [float("nan")], {"a": 1}, "pad", "images", "table", "1e999", "²",
]  # fmt: skip
"""Values that a program may meet in plain data where it expects others."""

PIECES = [
    b"\0", b'"', b"'", b",", b";", b"\t", b"\n", b"\r", b"\\", b"/", b"..", b" ", b"-", b"[", b"]", b"{",
    b"=", b"#", b"\xff", b"\xfe", b"\xff\xfe", b"\xfe\xff", b"\xef\xbb\xbf", b"\xe2\x80\xa8", b"\xed\xa0\x80",
    b"u\xcc\x88", b"nan", b"inf", b"1e999", b"9" * 400, b"true", b"path,label\n", b"\x1b[2J", b"[" * 2000,
]  # fmt: skip
"""Bytes that mean something in texts, or are no text."""

PIXELS = np.random.default_rng(0).integers(0, 256, (12, 4), dtype=np.uint8)
GRAY = Recipe(2, 2, color_mode="grayscale")
PICTURES = Dataset(ColumnMatrix(PIXELS), np.arange(12)[None] % 2, ("a", "b"), GRAY)
TABLE = Dataset(
    ColumnMatrix(PIXELS * 1.0), PIXELS[:, :1].T * 1.0, (), features=("a", "b", "c", "d"), target="y"
)
NETWORK = Network(4, 2, "softmax", (Layer.parse("3:relu"),))
SETTINGS = Settings(epochs=3, batch_size=6, patience=3)


class Kind(NamedTuple):
    """One kind of file.

    Attributes:
        make: writes intact files into a folder, and returns their paths.
        damage: changes a file, by random numbers.
        use: does what the commands do with the file. It may return "" where nothing was read.
    """

    make: Callable[[Path], list[Path]]
    damage: Callable[[Path, random.Random], None]
    use: Callable[[Path, int], object]


class Result(NamedTuple):
    """What became of a damaged file.

    Attributes:
        seed: the seed of the damage.
        end: "used", "refused", "crash" for a process that was ended by a signal, or "failed".
        detail: the error of a failure, or the signal.
    """

    seed: int
    end: str
    detail: str = ""


# Damage


def damage_bytes(path: Path, rng: random.Random) -> None:
    """Change, cut out, put in or cut off some bytes."""
    content = bytearray(path.read_bytes())
    for _ in range(rng.randint(1, 4)):
        start = rng.randrange(len(content) + 1)
        what = rng.randrange(6)
        if what == 0:
            del content[start:]
        elif what == 1:
            del content[start : start + rng.choice([1, 2, 30])]
        elif what == 2:
            content[start:start] = rng.randbytes(rng.choice([1, 2, 8]))
        else:
            content[start : start + 1] = rng.randbytes(1)
    path.write_bytes(content)


def damage_text(path: Path, rng: random.Random) -> None:
    """Cut out, repeat or replace parts of a text, or change its encoding."""
    content = path.read_bytes()
    for _ in range(rng.randint(1, 4)):
        start = rng.randrange(len(content) + 1)
        end = start + rng.choice([0, 0, 1, 2, 30])
        content = content[:start] + rng.choice(PIECES) * rng.choice([0, 1, 1, 3]) + content[end:]
    if rng.random() < 0.1:
        content = content.decode("utf-8", "replace").encode(rng.choice(["utf-16", "utf-32", "utf-16-le"]))
    path.write_bytes(content)


def damage_values(data: Any, rng: random.Random) -> None:
    """Replace, remove or double one value somewhere in plain data."""
    value = data
    while True:
        keys = list(value) if isinstance(value, dict) else list(range(len(value)))
        if not keys:
            return
        key = rng.choice(keys)
        if not isinstance(value[key], dict | list) or not value[key] or rng.random() < 0.2:
            break
        value = value[key]
    what = rng.randrange(4)
    if what == 0:
        del value[key]
    elif what == 1 and isinstance(value, list):
        value.append(copy.deepcopy(value[key]))
    else:
        value[key] = copy.deepcopy(rng.choice(VALUES)) if rng.random() < 0.5 else _near(value[key])


def _near(value: Any) -> Any:
    """Return another value of the same type: it passes a check of types."""
    if isinstance(value, bool) or value is None:
        return not value
    if isinstance(value, int | float):
        return -value or 1
    if isinstance(value, str):
        return value[::-1] or "a"
    return list(value)[::-1] if isinstance(value, list) else dict(list(value.items())[1:])


def damage_tensors(path: Path, rng: random.Random) -> None:
    """Change bytes of a safetensors file, or values of its header or of its description."""
    if rng.random() < 0.2:
        return damage_bytes(path, rng)
    content = path.read_bytes()
    length = struct.unpack("<Q", content[:8])[0]
    header, body = json.loads(content[8 : 8 + length]), content[8 + length :]
    description = json.loads(header["__metadata__"]["xpnet"])
    for _ in range(rng.randint(1, 3)):
        damage_values(header if rng.random() < 0.15 else description, rng)
    if isinstance(header.get("__metadata__"), dict) and "xpnet" in header["__metadata__"]:
        header["__metadata__"]["xpnet"] = json.dumps(description)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + body)
    return None


SHAPES: list[tuple[int, ...]] = [(), (0,), (1,), (2,), (12,), (12, 2), (12, 4), (12, 2, 2, 1), (4, 1), (1, 1)]
DTYPES = ["u1", "i8", "f4", "f8", "u8", "S3", "S1", "c16", "f2", "?", "V4"]


def damage_hdf5(path: Path, rng: random.Random) -> None:
    """Change bytes of an HDF5 file, values of its description, or a whole array."""
    what = rng.randrange(3)
    if what == 0:
        return damage_bytes(path, rng)
    with h5py.File(path, "r+") as file:
        if what == 1 and "xpnet" in file:
            description = json.loads(file["xpnet"][:].tobytes())
            damage_values(description, rng)
            del file["xpnet"]
            file["xpnet"] = np.frombuffer(json.dumps(description).encode(), np.uint8)
            return None
        name = rng.choice(sorted(file))
        old = file[name]
        shape, dtype = rng.choice([(old.shape, rng.choice(DTYPES)), (rng.choice(SHAPES), old.dtype)])
        del file[name]
        if rng.random() < 0.8:
            file[name] = np.full(shape, rng.choice([0, 1, 5])).astype(dtype)
    return None


def damage_embeddings(path: Path, rng: random.Random) -> None:
    """Change bytes of a file of features, or a whole array of it."""
    if path.suffix == ".h5":
        damage_hdf5(path, rng)
    elif path.suffix == ".npz" and rng.random() < 0.5:
        with np.load(path) as stored:
            arrays = dict(stored)
        name = rng.choice(sorted(arrays))
        shape, dtype = rng.choice(SHAPES), rng.choice(DTYPES)
        arrays[rng.choice([name, "X", "y", "names", "classes"])] = np.full(shape, 1).astype(dtype)
        np.savez(path, **arrays)
    else:
        damage_bytes(path, rng)


def damage_json_lines(path: Path, rng: random.Random) -> None:
    """Change a value in one of the lines, or the text."""
    if rng.random() < 0.5:
        return damage_text(path, rng)
    lines = path.read_text(encoding="utf-8").splitlines()
    place = rng.randrange(len(lines))
    row = json.loads(lines[place])
    damage_values(row, rng)
    lines[place] = json.dumps(row)
    path.write_text("\n".join([*lines, ""]), encoding="utf-8")
    return None


def damage_predictions(path: Path, rng: random.Random) -> None:
    """Damage a file of predictions as its format demands."""
    ways = {".csv": damage_text, ".jsonl": damage_json_lines, ".parquet": damage_bytes}
    ways[path.suffix](path, rng)


# Intact files


def make_models(folder: Path) -> list[Path]:
    """Write a model of pictures and one of a table, chosen by a sweep."""
    paths = [folder / "pictures.safetensors", folder / "table.safetensors"]
    xpnet.train(PICTURES, output=paths[0], device="cpu", hidden="2", epochs=3, batch_size=12)
    job = TrainJob(data=TABLE, plan=Plan(epochs=2, batch_size=12), device="cpu", output=str(paths[1]))
    sweep_job(job, {"learning_rates": [0.1, 0.2]}, Messages())
    return paths


def make_patches(folder: Path) -> list[Path]:
    """Write a model of patches."""
    pixels = np.random.default_rng(1).integers(0, 256, (12, 100), dtype=np.uint8)
    data = Dataset(ColumnMatrix(pixels), PICTURES.Y, ("a", "b"), Recipe(10, 10, color_mode="grayscale"))
    xpnet.train(data, output=folder / "patches.safetensors", device="cpu", features="patches")
    return [folder / "patches.safetensors"]


def make_checkpoints(folder: Path) -> list[Path]:
    """Write a checkpoint in the middle of a training."""
    fit(NETWORK, *two_classes(), xpnet.select("cpu"), SETTINGS, two_classes(), checkpoint=folder / "c")
    return [folder / "c"]


def two_classes() -> tuple[ColumnMatrix, np.ndarray]:
    """Return twelve examples and their classes."""
    return PICTURES.data, PICTURES.Y


def draw_folder(folder: Path) -> Path:
    """Draw two classes of three pictures each into a folder; return it."""
    for place, name in enumerate(("a", "b")):
        (folder / name).mkdir(parents=True)
        for i in range(3):
            Image.new("L", (2, 2), 200 * place + i).save(folder / name / f"{i}.png")
    return folder


def make_data_files(folder: Path) -> list[Path]:
    """Write a data file of pictures, one of their features, one of a table, and a file of the course."""
    pictures, table, course = folder / "pictures.h5", folder / "table.h5", folder / "course.h5"
    features_of = folder / "features.h5"
    write_data(str(draw_folder(folder / "drawn")), str(pictures), DataOptions(GRAY, workers=1))
    (folder / "t.csv").write_text("a,b,y\n1,2,no\n3,4,yes\n5,6,no\n")
    write_data(str(folder / "t.csv"), str(table), DataOptions(target="y"))
    with h5py.File(course, "w") as file:
        file["train_set_x"] = PIXELS.reshape(1, 4, 4, 3)[[0] * 12]
        file["train_set_y"] = np.arange(12) % 2
        file["list_classes"] = np.array([b"non-cat", b"cat"])
    images = read_data_file(pictures)
    settings = PatchSettings(size=1, count=2, grid=1, samples=20, rounds=1)
    patches = fit_patches(images.data.examples, GRAY.shape, settings)
    write_data_file(features_of, images, FeatureExtractor(patches).on(xpnet.select("cpu")))
    return [pictures, table, course, features_of]


def make_embeddings(folder: Path) -> list[Path]:
    """Write features with labels and names into files of NumPy, HDF5 and Parquet."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    X, words = PIXELS.astype(np.float32), np.array(["no", "yes"])[np.arange(12) % 2]
    names = np.array([f"n{i}" for i in range(12)])
    np.savez(folder / "plain.npz", features=X, labels=words, names=names)
    np.savez_compressed(folder / "packed.npz", X=PIXELS, y=np.arange(12) % 2, classes=["no", "yes"])
    np.save(folder / "f.npy", X)
    np.save(folder / "f_labels.npy", np.arange(12.0))
    with h5py.File(folder / "others.h5", "w") as file:
        file["embeddings"], file["labels"], file["names"] = X, np.arange(12) % 2, np.char.encode(names)
    lists = pa.FixedSizeListArray.from_arrays(pa.array(X.ravel()), 4)
    pq.write_table(pa.table({"id": names, "embedding": lists, "label": words}), folder / "e.parquet")
    pq.write_table(pa.table({"a": X[:, 0], "b": X[:, 1], "label": words}), folder / "t.parquet")
    return sorted(path for path in folder.iterdir() if path.name != "f_labels.npy")


def make_predictions(folder: Path) -> list[Path]:
    """Write predictions in each format, for pictures of which one cannot be read."""
    make_models(folder)
    drawn = draw_folder(folder / "drawn")
    (drawn / "a" / "3.png").write_bytes(b"no picture")
    paths = []
    for format_ in FORMATS:
        path = folder / f"rows.{format_}"
        score(folder / "pictures.safetensors", drawn, path, format_)
        paths.append(path)
    return paths


def score(model: Path, drawn: Path, output: Path, format_: str = "csv") -> None:
    """Write the predictions for a folder of pictures."""
    inputs = expand_inputs([str(drawn)])
    write_predictions(
        load(model), inputs, xpnet.select("cpu"), str(output), format=format_, workers=1, batch_size=2
    )


class _StoppedError(Exception):
    """Stops a run in the middle."""


def make_unfinished(folder: Path) -> list[Path]:
    """Write the journal of a run that was stopped, beside the rows that it has written."""
    make_models(folder)
    drawn, output = draw_folder(folder / "drawn"), folder / "rows.csv"

    def some() -> Iterator[str]:
        yield from sorted(map(str, drawn.glob("a/*.png")))
        raise _StoppedError

    with contextlib.suppress(_StoppedError):
        write_predictions(
            load(folder / "pictures.safetensors"), some(), xpnet.select("cpu"), str(output), batch_size=2
        )
    for name in ("rows.csv.part", "rows.csv.journal"):
        shutil.copy(folder / name, folder / f"{name}.kept")
    return [folder / "rows.csv.part", folder / "rows.csv.journal"]


def make_texts(name: str, *contents: str) -> Callable[[Path], list[Path]]:
    """Return a function that writes texts into files."""

    def make(folder: Path) -> list[Path]:
        draw_folder(folder / "drawn")
        paths = [folder / f"{i}{name}" for i in range(len(contents))]
        for path, content in zip(paths, contents, strict=True):
            path.write_bytes(content.encode())
        return paths

    return make


def make_labels(folder: Path) -> list[Path]:
    """Write labels of pictures as CSV, as JSON lines and as Parquet."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    paths = make_texts(".csv", LABELS_TEXT)(folder) + make_texts(".jsonl", JSON_LABELS_TEXT)(folder / "json")
    rows = [json.loads(line) for line in JSON_LABELS_TEXT.splitlines()]
    table = pa.table({name: [str(row[name]) for row in rows] for name in ("file_name", "label")})
    pq.write_table(table, folder / "labels.parquet")
    return [*paths, folder / "labels.parquet"]


def damage_labels(path: Path, rng: random.Random) -> None:
    """Damage labels as their format demands."""
    damage = {".csv": damage_text, ".jsonl": damage_json_lines, ".parquet": damage_bytes}
    damage[path.suffix](path, rng)


def make_images(folder: Path) -> list[Path]:
    """Write a picture in many formats and modes."""
    y, x = np.mgrid[:24, :32]
    drawn = Image.fromarray(np.stack([5 * x, 9 * y, 3 * (x + y)], -1).astype(np.uint8))
    wanted: list[tuple[str, str, dict[str, Any]]] = [
        ("JPEG", "RGB", {"icc_profile": b"x" * 200}), ("JPEG", "L", {"progressive": True}),
        ("JPEG", "CMYK", {}), ("PNG", "RGBA", {}), ("PNG", "P", {"transparency": 3}), ("PNG", "I;16", {}),
        ("GIF", "P", {"save_all": True}),
        ("TIFF", "RGB", {}), ("TIFF", "L", {"compression": "tiff_lzw"}), ("TIFF", "CMYK", {"save_all": True}),
        ("BMP", "RGB", {}), ("PPM", "RGB", {}), ("TGA", "RGB", {}), ("ICO", "RGBA", {}), ("WEBP", "RGB", {}),
        ("AVIF", "RGB", {}), ("JPEG2000", "RGB", {}), ("MPO", "RGB", {"save_all": True}), ("PCX", "L", {}),
        ("SGI", "RGB", {}), ("DDS", "RGBA", {}), ("IM", "RGB", {}),
    ]  # fmt: skip
    paths = []
    for i, (format_, mode, options) in enumerate(wanted):
        if format_.lower() in ("webp", "avif") and not features.check(format_.lower()):
            continue
        if options.get("save_all"):
            options["append_images"] = [drawn.convert(mode).transpose(Image.Transpose.ROTATE_180)]
        path = folder / f"{i}.{format_.lower()}"
        drawn.convert(mode).save(path, format_, **options)
        paths.append(path)
    return paths


def make_archives(folder: Path) -> list[Path]:
    """Write archives of pictures in different formats, and Parquet files."""
    drawn = draw_folder(folder / "drawn")
    (drawn / "a" / "link.png").symlink_to("0.png")
    (drawn / "b" / ("x" * 120)).mkdir()
    shutil.copy(drawn / "b" / "1.png", drawn / "b" / ("x" * 120) / "1.png")
    paths = [folder / name for name in ("pax.tar", "gnu.tar", "stored.zip", "deflated.zip")]
    for path, form in zip(paths, (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT), strict=False):
        with tarfile.open(path, "w:", format=form) as archive:
            archive.add(drawn, ".")
    for path, method in zip(paths[2:], (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED), strict=True):
        with zipfile.ZipFile(path, "w", method) as archive:
            for member in sorted(drawn.rglob("*.png")):
                archive.write(member, member.relative_to(drawn))
    return paths + make_image_rows(folder, drawn)


def make_image_rows(folder: Path, drawn: Path) -> list[Path]:
    """Write Parquet files with drawn pictures, as Hugging Face does and as a column of bytes."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    pictures = [path.read_bytes() for path in sorted(drawn.rglob("?.png"))]
    labels = pa.array([i % 2 for i in range(len(pictures))])
    structs = pa.array([{"bytes": content, "path": None} for content in pictures])
    about = {"huggingface": json.dumps({"info": {"features": {"label": {"names": ["no", "yes"]}}}})}
    table = pa.table({"image": structs, "label": labels}).replace_schema_metadata(about)
    pq.write_table(table, folder / "structs.parquet", row_group_size=4)
    pq.write_table(pa.table({"image": pictures, "label": labels}), folder / "bytes.parquet")
    return [folder / "structs.parquet", folder / "bytes.parquet"]


def damage_archive(path: Path, rng: random.Random) -> None:
    """Change bytes of an archive: half of them in the part that lists the members."""
    if path.suffix == ".parquet" or rng.random() < 0.5:
        return damage_bytes(path, rng)
    content = bytearray(path.read_bytes())
    headers = [m.start() for m in re.finditer(rb"ustar|PK[\1\3\5]", content)]
    for _ in range(rng.randint(1, 4)):
        place = rng.choice(headers) + rng.randrange(-256 if path.suffix == ".tar" else 0, 60)
        content[place : place + 1] = rng.choice([b"\0", b"7", b"\x80", b"\xff", rng.randbytes(1)])
        if path.suffix == ".tar" and rng.random() < 0.8:  # with the right checksum the damage is believed
            start = place // 512 * 512
            header = content[start : start + 512]
            header[148:156] = b" " * 8
            content[start + 148 : start + 156] = b"%06o\0 " % sum(header)
    path.write_bytes(content)
    return None


# What is done with the files


def _require(is_right: bool, expected: str) -> None:
    if not is_right:
        msg = f"expected {expected}"
        raise AssertionError(msg)


def command(*arguments: str) -> None:
    """Run `xpnet`. An exit code that is not 0 counts as an error that is meant for users."""
    said, written = io.StringIO(), io.TextIOWrapper(io.BytesIO(), "utf-8")
    with contextlib.redirect_stdout(written), contextlib.redirect_stderr(said):
        sys.argv = ["xpnet", *arguments]
        try:
            main()
        except SystemExit as ended:
            if ended.code:
                if ended.code not in range(1, 6) or not said.getvalue().strip():
                    msg = f"exit code {ended.code}, and {said.getvalue()!r} on standard error"
                    raise AssertionError(msg) from None
                raise XpnetError(said.getvalue()) from None


def use_model(path: Path, seed: int) -> None:
    """Score with a model, export it, describe it, and show it."""
    model = load(path)
    examples = PIXELS if model.n_x == PIXELS.shape[1] else np.resize(PIXELS, (12, model.n_x))
    found = model.predict_array(examples.T, device="cpu")
    _require(found.shape == (1, 12), f"12 predictions, got {found.shape}")
    command("info", str(path))
    with contextlib.suppress(ModelFileError):  # of numbers that are too large for float32
        model.export(f"{path}.onnx")
    if not seed % REPORT_EVERY:
        write_report(ReportJob(str(path), f"{path}.html", device="cpu"), Messages())


def use_checkpoint(path: Path, seed: int) -> None:
    """Go on from a checkpoint, and describe it."""
    if not seed % REPORT_EVERY:
        with contextlib.suppress(XpnetError):
            command("info", str(path))
    training = Trainer(NETWORK, *two_classes(), xpnet.select("cpu"), SETTINGS, two_classes())
    training.load_checkpoint(path)
    training.epoch()
    training.save_checkpoint(path)


def use_data_file(path: Path, seed: int) -> None:
    """Read a data file, and describe it."""
    del seed
    open_data(str(path), DataOptions())
    command("info", str(path))


def use_predictions(path: Path, seed: int) -> None:
    """Describe predictions, and show them."""
    command("info", str(path))
    if not seed % REPORT_EVERY:
        job = ReportJob(
            str(path.parent / "pictures.safetensors"), f"{path}.html", predictions=str(path), device="cpu"
        )
        write_report(job, Messages())


def use_unfinished(path: Path, seed: int) -> None:
    """Go on with a run whose rows or journal are damaged: it ends with the right bytes, or is refused."""
    del seed
    folder, output = path.parent, path.parent / "rows.csv"
    try:
        score(folder / "pictures.safetensors", folder / "drawn", output)
        right = folder / "right.csv"
        if not right.exists():
            score(folder / "pictures.safetensors", folder / "drawn", right)
        _require(output.read_bytes() == right.read_bytes(), "the bytes of a run that was not stopped")
    finally:
        output.unlink(missing_ok=True)
        for name in ("rows.csv.part", "rows.csv.journal"):
            shutil.copy(folder / f"{name}.kept", folder / name)


def use_table(path: Path, seed: int) -> None:
    """Read a table to train on it, and to score it."""
    del seed
    refused = 0
    for read in (
        lambda: open_data(str(path), DataOptions(target="y", ignored_columns=("name",)), on_warning=str),
        lambda: read_table_rows(str(path), ["a", "b"]),
    ):
        try:
            read()
        except XpnetError as error:
            str(error).encode()
            refused += 1
    if refused == 2:
        raise XpnetError


def use_embeddings(path: Path, seed: int) -> None:
    """Read features to train on them, and to score them."""
    del seed
    refused = 0
    for read in (
        lambda: open_data(str(path), DataOptions(), on_warning=str),
        lambda: read_example_rows(str(path), []),
    ):
        try:
            read()
        except XpnetError as error:
            str(error).encode()
            refused += 1
    if refused == 2:
        raise XpnetError


def use_labels(path: Path, seed: int) -> None:
    """Read labels of pictures."""
    del seed
    open_data(str(path.parent / "drawn"), DataOptions(GRAY, labels=str(path), workers=1), on_warning=str)


def use_list(path: Path, seed: int) -> None:
    """Read a list of inputs."""
    del seed
    for name in expand_inputs([], str(path)):
        _require(bool(name), "paths, got an empty one")


def use_curves(path: Path, seed: int) -> None:
    """Describe a file of cost curves."""
    del seed
    command("info", str(path))


def use_config(path: Path, seed: int) -> None:
    """Give a command its options. It ends where it looks for its first input, which is missing."""
    which = ("train", "predict", "sweep", "evaluate", "preprocess", "report")[seed % 6]
    named = ["missing.safetensors", "missing"] if which in ("predict", "evaluate") else ["missing"]
    try:
        command(which, "--config", str(path), *named)
    except XpnetError as error:
        if "missing" not in str(error):
            raise


def use_archive(path: Path, seed: int) -> None:
    """Find and decode the members of an archive, and read it as data."""
    os.utime(path, ns=(seed, seed))  # it is another archive than the one before
    paths = list(expand_inputs([str(path)]))
    decoded = decode_chunk([*paths, "missing"], GRAY)
    _require(len(set(paths)) == len(paths), "different names of members")
    for name, error in zip(paths, decoded.errors, strict=False):
        f"{path_text(name)}{error}".encode()
    open_data(str(path), DataOptions(GRAY, workers=1), on_warning=str)


def use_image(path: Path, seed: int) -> None:
    """Decode a picture."""
    recipe = Recipe(8, 8, frame=1 + (seed % 10 == 0))
    with usual_pillow():
        pixels, frames = decode_to_bytes(str(path), recipe)
    _require(len(pixels) == recipe.n_x, f"{recipe.n_x} bytes, got {len(pixels)}")
    _require(frames >= recipe.frame, f"at least {recipe.frame} frames, got {frames}")


TABLE_TEXT = '\ufeffname,a,b,y\nann,1,2.5,"cat"\nbéa, 3 ,1e9,dog\n\n"c,d";4\t;5,cat\r\n'
LABELS_TEXT = "path,label\na/0.png,x\nb/1.png,y\nb/2.png,x\n"
JSON_LABELS_TEXT = """\
{"file_name": "a/0.png", "label": "x"}
{"file_name": "b/1.png", "label": 3}
{"file_name": "b/2.png", "label": "x"}
"""
CONFIG_TEXT = """
[train]
hidden = "32:relu"
epochs = 3
image-size = "8x9"
[predict]
topk = 2
proba = true
min-confidence = 0.5
[sweep]
learning-rates = [0.1, 0.01]
[evaluate]
on-error = "fail"
[report]
device = "cpu"
[preprocess]
standardize = "unit"
"""
CURVES_TEXT = """\
epoch,cost,learning_rate,metric,val_cost,val_metric,seconds
1,0.7,0.1,0.5,,,0.01
2,0.6,0.1,0.6,,,0.02
"""

KINDS = {
    "model": Kind(make_models, damage_tensors, use_model),
    "patches": Kind(make_patches, damage_tensors, use_model),
    "checkpoint": Kind(make_checkpoints, damage_tensors, use_checkpoint),
    "data": Kind(make_data_files, damage_hdf5, use_data_file),
    "embeddings": Kind(make_embeddings, damage_embeddings, use_embeddings),
    "predictions": Kind(make_predictions, damage_predictions, use_predictions),
    "unfinished": Kind(make_unfinished, damage_text, use_unfinished),
    "table": Kind(make_texts(".csv", TABLE_TEXT), damage_text, use_table),
    "labels": Kind(make_labels, damage_labels, use_labels),
    "list": Kind(
        make_texts("", "a/0.png\n", "a/0.png\0b/1.png\0", '"a b"\r\nc.png\r\n'), damage_text, use_list
    ),
    "curves": Kind(make_texts(".csv", CURVES_TEXT), damage_text, use_curves),
    "config": Kind(make_texts(".toml", CONFIG_TEXT), damage_text, use_config),
    "archive": Kind(make_archives, damage_archive, use_archive),
    "image": Kind(make_images, damage_bytes, use_image),
}
"""All kinds of files that a command reads."""


def run_here(name: str, seeds: Iterable[int], folder: Path) -> Iterator[Result]:
    """Damage and read files in this process. Yield what became of each.

    Args:
        name: one of `KINDS`.
        seeds: of the damage.
        folder: an empty folder for the files.
    """
    kind = KINDS[name]
    intact = {path: path.read_bytes() for path in kind.make(folder)}
    paths = list(intact)
    for seed in seeds:
        rng = random.Random(seed)  # noqa: S311  (not for secrets)
        path = paths[seed % len(paths)]
        path.write_bytes(intact[path])
        kind.damage(path, rng)
        print(seed, flush=True)  # a process that ends says by this at which seed
        faulthandler.dump_traceback_later(SECONDS, exit=True)
        try:
            kind.use(path, seed)
        except XpnetError as error:
            str(error).encode()
            yield Result(seed, "refused")
        except Exception as error:
            yield Result(seed, "failed", f"{type(error).__name__}: {error}"[:500])
        else:
            yield Result(seed, "used")
        finally:
            faulthandler.cancel_dump_traceback_later()


def run_apart(name: str, seeds: range) -> list[Result]:
    """Damage and read files in another process, and after a crash in a new one; return the results."""
    found: list[Result] = []
    first = seeds.start
    while first < seeds.stop:
        arguments = [name, "--first", str(first), "--seeds", str(seeds.stop - first), "--here"]
        done = subprocess.run(  # noqa: S603  (our own program)
            [sys.executable, __file__, "--kinds", *arguments],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        lines = done.stdout.splitlines()
        found += [Result(*json.loads(line)) for line in lines if line.startswith("[")]
        if not done.returncode:
            break
        last = int(lines[-1]) if lines and lines[-1].isdecimal() else None
        if last is None:  # it ended outside of any file
            return [*found, Result(first, "failed", done.stderr[-2000:])]
        end = "crash" if done.returncode < 0 else "failed"
        found.append(Result(last, end, f"exit code {done.returncode}: {done.stderr[-500:]}"))
        first = last + 1
    return found


def limit_memory() -> None:
    """Let this process allocate only so much. Windows has no such limit."""
    with contextlib.suppress(ImportError):
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))


def run() -> int:
    """Run the seeds that the command line names, print what became of them, and return an exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS), help="kinds of files")
    parser.add_argument("--seeds", type=int, default=SEEDS, help="how many seeds of each kind")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--here", action="store_true", help="in this process, and print every seed")
    given = parser.parse_args()
    seeds = range(given.first, given.first + given.seeds)
    if given.here:
        limit_memory()
        with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
            for result in run_here(given.kinds[0], seeds, Path(folder)):
                print(json.dumps(result), flush=True)
        return 0
    today = dt.datetime.now(dt.UTC).date()
    print(f"xpnet {xpnet.__version__}, {today}: seeds {seeds.start} to {seeds.stop - 1}")
    failures = 0
    with ThreadPoolExecutor() as pool:
        for name in given.kinds:
            shards = [range(i, min(i + SHARD, seeds.stop)) for i in range(seeds.start, seeds.stop, SHARD)]
            results = [each for part in pool.map(run_apart, [name] * len(shards), shards) for each in part]
            counts = Counter(each.end for each in results)
            print(
                f"{name:12} " + ", ".join(f"{count} {end}" for end, count in counts.most_common()), flush=True
            )
            for each in results:
                if each.end in ("failed", "crash"):
                    print(f"  seed {each.seed}: {each.end}: {each.detail}")
            failures += counts["failed"] + (counts["crash"] if name not in ("data", "embeddings") else 0)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(run())
