"""Inputs on servers: objects in buckets, read from a server of S3 on this machine, and pages."""

import itertools
import tarfile
import threading
import time
import zipfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import optional
import pytest
from image_files import encoded, smooth
from pictures import CLASSES, draw_classes, draw_many
from program import xpnet
from servers import forget, gcs, put_folder, s3, web

from xpnet.backend.backend import select
from xpnet.errors import DataError, ImageError, OutputError
from xpnet.pipelines.datasets.image_folder import list_labelled_images
from xpnet.pipelines.datasets.sources import DataOptions, open_data
from xpnet.pipelines.images import archives, read_ahead, remote, remote_tar
from xpnet.pipelines.images import web as pages_on_the_web
from xpnet.pipelines.images.decode_many import decode_all
from xpnet.pipelines.images.inputs import expand_inputs, walk_images
from xpnet.pipelines.images.read_ahead import ReadAhead
from xpnet.pipelines.images.recipe import Recipe
from xpnet.pipelines.images.worker import decode_pixels
from xpnet.pipelines.models.model import load
from xpnet.pipelines.outputs import require_writable
from xpnet.pipelines.predictions.predict import write_predictions
from xpnet.pipelines.predictions.retry import retry_errors

RECIPE = Recipe(4, 4)
PNG = encoded(smooth(9, 7))
CPU = select("cpu")


@pytest.fixture(scope="module")
def bucket() -> Iterator[Any]:
    """Return a store of the bucket `photos`."""
    with s3("photos") as store:
        yield store


def found(*names: str) -> dict[str, str]:
    """Return the error of each input that some arguments name."""
    paths = list(expand_inputs(names))
    return dict(zip(paths, decode_pixels(paths, RECIPE).errors, strict=True))


# Buckets


def test_objects_and_folders_are_inputs(bucket: Any) -> None:
    names = ["in/b.png", "in/b/2.png", "in/a/z.PNG", "in/ä,\"' b.png", "in/%41.png", "inside.png"]
    for name in (*names, "in/.h.png", "in/.d/x.png", "in/notes.txt"):
        bucket.put(name, PNG)
    expected = {f"s3://photos/{name}": "" for name in sorted(names[:5])}
    assert found("s3://photos/in") == found("s3://photos/in/") == found("S3://photos/in/".lower()) == expected
    assert list(found("s3://photos/in")) == list(expected)
    assert found("s3://photos/in/b.png", "s3://photos/gone.png") == {
        "s3://photos/in/b.png": "",
        "s3://photos/gone.png": "cannot be read: there is no such object",
    }
    assert set(found("s3://photos")) >= set(expected)
    bucket.put("in/c.cr2", b"x")
    with pytest.warns(UserWarning, match="passed over 1 pictures"):
        assert list(walk_images("s3://photos/in")) == list(expected)


def test_what_cannot_be_read_is_one_error(bucket: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket.put("bad/empty.png", b"")
    bucket.put("bad/text.png", b"no image")
    assert list(found("s3://photos/bad").values()) == [
        "file is empty",
        "not an image, or of an unknown format",
    ]
    nothing = "there is no such object"
    for name, why in {
        "s3://photos/nothing": nothing, "s3://photos/nothing/": nothing, "s3://photos/*.jpg": nothing,
        "s3://other/1.png": "there is no such bucket", "s3://other/folder": "there is no such bucket",
        "s3://photos/a//b.png": "Could not parse path", "s3://photos/": "", "s3://": "",
    }.items():  # fmt: skip
        if name != "s3://photos/":
            ((path, error),) = found(name).items()
            assert path == name
            assert error.startswith(f"cannot be read: {why}"), name
    monkeypatch.setattr("xpnet.pipelines.images.decode.MAX_FILE_BYTES", 7)
    assert found("s3://photos/bad/text.png") == {
        "s3://photos/bad/text.png": "file of 8 bytes, expected at most 7"
    }


def test_a_server_that_does_not_answer(bucket: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setattr(remote, "ATTEMPTS", 1)
    forget()
    (error,) = found("s3://photos/1.png").values()
    assert error.startswith(
        "cannot be read: Generic S3 error: Error performing GET http://127.0.0.1:9/photos/1.png"
    )
    with pytest.raises(DataError, match="s3://photos/in: cannot be read: "):
        list_labelled_images("s3://photos/in")
    forget()


def test_access_that_is_denied_says_what_to_do(bucket: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with web({"/photos/1.png": [(403, {}, b"<Error><Code>AccessDenied</Code></Error>")]}) as (address, _):
        monkeypatch.setenv("AWS_ENDPOINT_URL", address)
        (error,) = found("s3://photos/1.png").values()
    assert error.startswith("cannot be read: access is denied: credentials are taken from the environment")


def test_without_the_package_the_error_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "obstore.store", None)
    forget()
    expected = "buckets are used only with an optional package: pip install 'xpnet[cloud]'"
    assert found("s3://photos/1.png", "gs://photos/day") == {
        "s3://photos/1.png": expected, "gs://photos/day": expected,
    }  # fmt: skip
    forget()


def test_predictions_are_those_of_the_files(
    bucket: Any, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = draw_many(tmp_path / "images", 150)
    (folder / "000100.jpg").unlink()
    (folder / "000100.jpg").write_bytes(b"no image")
    put_folder(bucket, folder, "many/")
    names = [str(folder), "s3://photos/many"]
    rows = [xpnet("predict", str(model), name, "--workers", "2").stdout for name in names]
    assert rows[0].count("\n") == 151
    assert rows[1] == rows[0].replace(str(folder), "s3://photos/many")
    output = tmp_path / "rows.csv"
    paths = list(walk_images("s3://photos/many"))

    def some() -> Iterator[str]:
        yield from paths[:70]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_predictions(load(model), some(), CPU, str(output), batch_size=10)
    done: list[int] = []
    write_predictions(load(model), iter(paths), CPU, str(output), batch_size=10, on_resume=done.append)
    assert done[0] > 0
    assert output.read_text() == rows[1]
    bucket.put("many/000100.jpg", (folder / "000000.jpg").read_bytes())
    assert retry_errors(load(model), walk_images("s3://photos/many"), CPU, str(output)).error == 0


def test_buckets_of_google(model: Path, tmp_path: Path) -> None:
    folder = draw_classes(tmp_path / "classes", 3)
    (folder / "red/bad.jpg").write_bytes(b"no image")
    want = xpnet("predict", str(model), str(folder)).stdout
    with gcs("shelves") as store:
        put_folder(store, folder, "data/")
        store.put("x.zip", zipped({path.name: path.read_bytes() for path in folder.glob("*/*.jpg")}))
        done = xpnet(
            "predict", str(model), "gs://shelves/data", "-o", "gs://shelves/day 1/rows.csv", "--workers", "2"
        )
        assert done.returncode == 3, done.stderr
        assert bytes(store.get("day 1/rows.csv").bytes()).decode() == want.replace(
            str(folder), "gs://shelves/data"
        )
        assert open_data("gs://shelves/data", DataOptions(RECIPE)).classes == CLASSES
        assert found("gs://shelves/x.zip")["gs://shelves/x.zip/bad.jpg"].startswith("not an image")
        assert list(expand_inputs(["gs://shelves/*/b*/0000.*"])) == ["gs://shelves/data/blue/0000.jpg"]
        gone = found("gs://shelves/gone.png", "gs://other/1.png")
    assert [*gone.values()] == [f"cannot be read: there is no such {what}" for what in ("object", "bucket")]


@pytest.mark.parametrize("place", ["s3://photos/out.csv", "https://host/out.csv"])
def test_outputs_are_on_this_machine(place: str) -> None:
    with pytest.raises(OutputError, match="is on a server: name a file on this machine to write"):
        require_writable([place])


def test_folders_of_a_bucket_are_data(bucket: Any, tmp_path: Path) -> None:
    folder = draw_classes(tmp_path / "classes", 3)
    put_folder(bucket, folder, "data/train/")
    bucket.put("data/train/loose.png", PNG)
    options, told = DataOptions(RECIPE), list[str]()
    local, remote_ = (
        open_data(str(folder), options),
        open_data("s3://photos/data/train", options, on_warning=told.append),
    )
    assert told == ["s3://photos/data/train: 1 images beside the subfolders have no class, and are not used"]
    assert remote_.classes == CLASSES
    assert np.array_equal(remote_.data.examples, local.data.examples)
    assert remote_.names[0] == "s3://photos/data/train/blue/0000.jpg"
    with pytest.raises(DataError, match="its subfolders train are parts of a dataset"):
        open_data("s3://photos/data")
    bucket.put("data/train/metadata.csv", b"file_name,label\nblue/0000.jpg,x\nred/0001.jpg,y\ngone.jpg,y\n")
    source = list_labelled_images("s3://photos/data/train")
    assert [(Path(path).name, source.classes[k]) for path, k in source.items] == [
        ("0000.jpg", "x"), ("0001.jpg", "y"), ("gone.jpg", "y"),
    ]  # fmt: skip
    for name in ("s3://photos/data.h5", "s3://photos/t.csv", "https://host/data.h5"):
        with pytest.raises(DataError, match="is no folder or archive of images: copy it to this machine"):
            open_data(name)


def test_archives_in_a_bucket(bucket: Any, tmp_path: Path) -> None:
    content = zipped(
        {f"p/{name}/{i}.png": PNG for name, i in itertools.product("ab", range(3))}
        | {"p/a/bad.png": b"no image"}
    )
    bucket.put("x.zip", content)
    bucket.put("cut.zip", content[:-40])
    errors = found("s3://photos/x.zip", "s3://photos/cut.zip", "s3://photos/gone.zip", "s3://photos/gone.tar")
    assert [name for name, error in errors.items() if not error] == [
        f"s3://photos/x.zip/p/{name}/{i}.png" for name, i in itertools.product("ab", range(3))
    ]
    assert errors["s3://photos/x.zip/p/a/bad.png"].startswith("not an image")
    assert errors["s3://photos/cut.zip"].startswith("not a zip archive, or truncated")
    for ending in ("zip", "tar"):
        assert errors[f"s3://photos/gone.{ending}"].startswith("cannot be read: there is no such object")
    data = open_data("s3://photos/x.zip", DataOptions(RECIPE))
    assert (data.classes, data.data.m, len(data.skipped)) == (("a", "b"), 6, 1)


def zipped(members: dict[str, bytes]) -> bytes:
    """Return a zip archive."""
    content = BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, member in members.items():
            archive.writestr(name, member)
    return content.getvalue()


# Tar archives


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of this user for files that can be made again, of which there are none."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache/xpnet/archives"


def tar(path: Path, members: dict[str, bytes], format_: int = tarfile.PAX_FORMAT) -> bytes:
    """Write a tar archive, and return its bytes."""
    with tarfile.open(path, "w:", format=format_) as archive:
        for name, content in members.items():
            about = tarfile.TarInfo(name)
            about.size = len(content)
            archive.addfile(about, BytesIO(content))
        link = tarfile.TarInfo("p/link.png")
        link.type, link.linkname = tarfile.LNKTYPE, next(iter(members))
        archive.addfile(link)
    return path.read_bytes()


@pytest.mark.parametrize("format_", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
@pytest.mark.parametrize("cut", [0, 700, 20_000], ids=["whole", "in the last member", "in the middle"])
def test_tar_archives_on_servers_are_as_on_a_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, format_: int, cut: int
) -> None:
    monkeypatch.setattr(remote_tar, "PART", 1000)  # headers, names and members lie across the parts
    monkeypatch.setattr(remote_tar, "READERS", 3)
    names = [f"p/{name}/{'ä' * 60}{i}.png" for name, i in itertools.product("ab", range(4))]
    members = {name: PNG + bytes(i * 999) for i, name in enumerate(names)}
    content = tar(tmp_path / "x.tar", members | {"p/bad.png": b"no image", "p/notes.txt": b""}, format_)
    content = content[: len(content.rstrip(b"\0")) - cut] if cut else content
    (tmp_path / "x.tar").write_bytes(content)
    local = {
        path.removeprefix(f"{tmp_path}/"): error for path, error in found(str(tmp_path / "x.tar")).items()
    }
    with web({"/x.tar": [(200, {}, content)]}) as (address, _):
        there = found(f"{address}/x.tar")
    assert {path.removeprefix(f"{address}/"): error for path, error in there.items()} == local
    assert len(local) == 10 if not cut else 4 < len(local) <= 10
    assert cut == 0 or any("ends" in error for error in local.values()), local


def test_the_members_of_a_tar_archive_are_found_once_for_all_processes(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    members = {f"p/{name}/{i}.png": PNG for name, i in itertools.product("ab", range(3))}
    content = tar(tmp_path / "x.tar", members)
    whole = []
    read = remote_tar.read_tar_directory
    monkeypatch.setattr(remote_tar, "read_tar_directory", lambda file: whole.append(1) or read(file))

    def names(address: str) -> list[str]:
        archives._directory_of.cache_clear()  # as in another process
        return [name.removeprefix(address) for name, error in found(f"{address}/x.tar").items() if not error]

    pages = {"/x.tar": [(200, {"ETag": "1"}, content)]}
    with web(pages) as (address, _):
        want = [f"/x.tar/{name}" for name in (*members, "p/link.png")]
        assert names(address) == names(address) == want
        assert len(whole) == 1
        (kept,) = (path for path in cache.iterdir() if path.suffix != ".lock")
        good = kept.read_bytes()
        for damaged in (
            b"",
            b"{",
            good[:-1],
            good.replace(b"1", b"2", 1),
            good.replace(b"512", b"513"),
            b"\xff",
        ):
            assert damaged != good
            kept.write_bytes(damaged)
            whole.clear()
            assert names(address) == names(address) == want
            assert len(whole) == 1
        pages["/x.tar"][0] = (200, {"ETag": "2"}, tar(tmp_path / "y.tar", {"c.png": PNG}))
        forget()
        assert names(address) == ["/x.tar/c.png", "/x.tar/p/link.png"]
        cache.chmod(0o500)
        monkeypatch.setattr(remote_tar, "write_text", Full())
        pages["/x.tar"][0] = (200, {"ETag": "3"}, content)
        forget()
        assert names(address) == want


class Full:
    """A disk that is full."""

    def __call__(self, path: str, text: str) -> None:
        raise OutputError(path)


@pytest.mark.parametrize("size", [10_000, 100_000])
def test_large_members_are_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr(remote_tar, "PART", 20_000)
    monkeypatch.setattr(remote_tar, "JUMP", 50_000)
    monkeypatch.setattr(remote_tar, "HEADER_BYTES", 2048)
    asked = []
    read = remote_tar.read_range
    monkeypatch.setattr(
        remote_tar, "read_range", lambda name, place, size: asked.append(size) or read(name, place, size)
    )
    content = tar(tmp_path / "x.tar", {f"{i}.png": PNG + bytes(size) for i in range(20)})
    with web({"/x.tar": [(200, {}, content)]}) as (address, _):
        assert len(remote_tar.read_remote_tar(f"{address}/x.tar").members) == 21
    assert (sum(asked) < len(content) / 4) == (size == 100_000)
    assert (sum(asked) > len(content) * 0.9) == (size == 10_000)


def test_workers_score_shards_in_a_bucket(bucket: Any, model: Path, tmp_path: Path, cache: Path) -> None:
    folder = draw_many(tmp_path / "images", 90)
    for shard in range(3):
        files = sorted(folder.iterdir())[30 * shard : 30 * shard + 30]
        path = tmp_path / f"shard-{shard}.tar"
        bucket.put(f"scored/{path.name}", tar(path, {each.name: each.read_bytes() for each in files}))
    here = xpnet("predict", str(model), str(tmp_path / "shard-?.tar"), "--workers", "2")
    there = xpnet("predict", str(model), "s3://photos/scored/shard-*.tar", "--workers", "2")
    assert (here.returncode, there.returncode) == (0, 0), there.stderr
    assert here.stdout.count("\n") == 94
    assert there.stdout == here.stdout.replace(str(tmp_path), "s3://photos/scored")
    assert len([path for path in cache.iterdir() if path.suffix != ".lock"]) == 3


def test_shards_of_webdataset_in_a_bucket(bucket: Any, tmp_path: Path) -> None:
    for shard in range(3):
        content = tar(
            tmp_path / "x.tar",
            {
                f"{i}.{ending}": {"png": PNG, "cls": b"%d" % (i % 2)}[ending]
                for i in range(4)
                for ending in ("png", "cls")
            },
        )
        bucket.put(f"shards/{shard}.tar", content)
    bucket.put("shards/.hidden.tar", b"")
    for name, m in {"": 12, "/*.tar": 12, "/[01].t?r": 8, "/2.tar": 4}.items():
        data = open_data(f"s3://photos/shards{name}", DataOptions(RECIPE))
        assert (data.classes, data.data.m) == (("0", "1"), m)
    for name in ("val-0.tar", "train-0.tar"):
        bucket.put(f"mixed/{name}", content)
    with pytest.raises(
        DataError, match=r"parts train, val of a dataset: give a pattern .*'s3://photos/mixed/train\*'"
    ):
        open_data("s3://photos/mixed")
    with pytest.raises(DataError, match="s3://other/shards: cannot be read: there is no such bucket"):
        open_data("s3://other/shards")


def test_patterns_in_buckets(bucket: Any) -> None:
    names = [
        "a/1.png",
        "a/[2].png",
        "a/b/3.png",
        "a/b/c/4.png",
        "a/.h/5.png",
        "a/.6.png",
        "ab/7.png",
        "a/8.PNG",
    ]
    for name in names:
        bucket.put(f"patterns/{name}", PNG)
    expected = {
        "a/*.png": "a/1.png a/[2].png", "a*/?.png": "a/1.png ab/7.png", "a/[2].png": "a/[2].png",
        "*/b": "a/b/3.png a/b/c/4.png", "**/*.png": "a/1.png a/[2].png a/b/3.png a/b/c/4.png ab/7.png",
        "a/**/c/*": "a/b/c/4.png", "a/.[6]*": "a/.6.png", "a/**": "a/1.png a/8.PNG a/[2].png a/b/3.png a/b/c/4.png",
        "[!a]*": "[!a]*",
    }  # fmt: skip
    for pattern, want in expected.items():
        found = [
            path.removeprefix("s3://photos/patterns/")
            for path in expand_inputs([f"s3://photos/patterns/{pattern}"])
        ]
        assert found == want.split(), pattern
    assert list(expand_inputs(["s3://other/*.png"])) == ["s3://other/*.png"]


# Archives that change


def test_an_archive_that_is_replaced_is_noticed(bucket: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "STATUS_SECONDS", 1e-9)
    for names in (("a.png",), ("a.png", "b.png")):
        bucket.put("changing.zip", zipped(dict.fromkeys(names, PNG)))
        assert found("s3://photos/changing.zip") == {f"s3://photos/changing.zip/{name}": "" for name in names}


def test_parquet_in_a_bucket(bucket: Any, tmp_path: Path) -> None:
    pa, pq = optional.module("pyarrow"), optional.module("pyarrow.parquet")
    pq.write_table(pa.table({"image": [PNG] * 5, "label": [0, 1, 0, 1, 0]}), tmp_path / "x.parquet")
    bucket.put("x.parquet", (tmp_path / "x.parquet").read_bytes())
    assert found("s3://photos/x.parquet") == {f"s3://photos/x.parquet/{i}": "" for i in range(5)}
    assert open_data("s3://photos/x.parquet", DataOptions(RECIPE)).classes == ("0", "1")


# The web


def test_pages_are_inputs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages_on_the_web, "FIRST_PAUSE", 0.0)
    good = (200, {}, PNG)
    pages = {
        "/a.png": [good], "/b%20c.png?size=9&x=%41": [good], "/%C3%A4.png": [good],
        "/moved.png": [(302, {"Location": "/a.png"}, b"")], "/busy.png": [(503, {}, b""), (500, {}, b""), good],
        "/cut.png": [(200, {"Content-Length": str(len(PNG))}, PNG[:50]), good], "/empty.png": [(200, {}, b"")],
        "/denied.png": [(403, {}, b"")], "/text": [(200, {}, b"no image")], "/down.png": [(500, {}, b"")],
        "/file.png": [(302, {"Location": "file:///etc/passwd"}, b"")],
    }  # fmt: skip
    with web(pages) as (address, asked):
        errors = {
            name: error
            for given in (*pages, "/ä.png", "/gone.png", "/b c.png?size=9&x=%41")
            for name, error in found(address + given).items()
        }
        assert asked.count("GET /down.png") == pages_on_the_web.ATTEMPTS
        assert asked.count("GET /denied.png") == 1
    assert {name.removeprefix(address): error for name, error in errors.items() if error} == {
        "/empty.png": "file is empty",
        "/denied.png": "cannot be read: the server says 403 Forbidden",
        "/text": "not an image, or of an unknown format",
        "/down.png": "cannot be read: the server says 500 Internal Server Error",
        "/gone.png": "cannot be read: the server says 404 Not Found",
        "/file.png": errors[f"{address}/file.png"],
    }
    assert "redirect" in errors[f"{address}/file.png"].lower()


def test_a_list_of_pages_asks_no_server(tmp_path: Path) -> None:
    with web({}) as (address, asked):
        (tmp_path / "list.txt").write_text(f"{address}/1.png\n {address}/2.png \n")
        names = list(expand_inputs([f"{address}/0.png?x=[1]"], str(tmp_path / "list.txt")))
        assert not asked
    assert names == [f"{address}/0.png?x=[1]", f"{address}/1.png", f"{address}/2.png"]


def test_pages_that_are_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xpnet.pipelines.images.decode.MAX_FILE_BYTES", len(PNG) - 1)
    with web({"/a.png": [(200, {}, PNG)]}) as (address, _):
        assert list(found(f"{address}/a.png").values()) == [
            f"file of {len(PNG)} bytes, expected at most {len(PNG) - 1}"
        ]


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("http://127.0.0.1:9/a.png", "Connection refused"),
        ("http://", "no host given"),
        ("http://[::1/a.png", "Invalid IPv6 URL"),
        ("http://127.0.0.1:x/a.png", "nonnumeric port"),
        ("http://h\0/a.png", ""),
    ],
)
def test_addresses_that_lead_nowhere(name: str, error: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages_on_the_web, "FIRST_PAUSE", 0.0)
    ((path, why),) = found(name).items()
    assert path == name
    assert why.startswith("cannot be read: ")
    assert error in why


def test_an_archive_on_the_web_is_read_in_parts() -> None:
    content = zipped({"a.png": PNG, "large.bin": bytes(100_000)})
    pages = {
        "/x.zip": [(200, {}, content)],
        "/y.zip": [(200, {"no-ranges": ""}, content)],
    }
    with web(pages) as (address, asked):
        assert found(f"{address}/x.zip") == {f"{address}/x.zip/a.png": ""}
        assert {each.split()[0] for each in asked} == {"HEAD", "GET"}
        (error,) = found(f"{address}/y.zip").values()
        assert error == "its server does not give parts of files: copy it to this machine"


# Reading ahead


class Slow:
    """Reads inputs slowly, and knows how many it reads at a time, and how many bytes it has given."""

    def __init__(self, size: int = 1) -> None:
        self.size, self.now, self.most, self.given = size, 0, 0, 0
        self.lock = threading.Lock()

    def __call__(self, name: str, most_bytes: int, on_size: Any = str) -> bytes:
        on_size(self.size)
        with self.lock:
            self.given += self.size
            self.now += 1
            self.most = max(self.most, self.now)
        time.sleep(0.01)
        with self.lock:
            self.now -= 1
        if name.endswith("bad"):
            msg = "is bad"
            raise ImageError(msg)
        return name.encode()


def test_many_are_read_at_a_time_and_given_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    slow = Slow()
    monkeypatch.setattr(read_ahead, "read_content", slow)
    names = [f"s3://b/{i % 50}" for i in range(64)]
    with ReadAhead([*names, "s3://b/bad", "local"], 9) as reading:
        assert [reading(name, 9).decode() for name in names] == names
        with pytest.raises(ImageError, match="is bad"):
            reading("s3://b/bad", 9)
        assert reading("local", 9) == b"local"
    assert 8 < slow.most <= read_ahead.READERS


def test_what_is_read_ahead_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    slow = Slow(1000)
    monkeypatch.setattr(read_ahead, "read_content", slow)
    monkeypatch.setattr(read_ahead, "AHEAD_BYTES", 3000)
    names = [f"s3://b/{i}" for i in range(20)]
    with ReadAhead(names, 9) as reading:
        for i, name in enumerate(names):
            time.sleep(0.02)
            assert slow.given <= 1000 * (i + 4)
            reading(name, 9)


def test_reading_that_is_given_up_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    slow = Slow(1000)
    monkeypatch.setattr(read_ahead, "read_content", slow)
    monkeypatch.setattr(read_ahead, "AHEAD_BYTES", 1)
    for _ in range(3):
        with ReadAhead([f"s3://b/{i}" for i in range(40)], 9) as reading:
            reading("s3://b/0", 9)
    with ReadAhead(["s3://b/last"], 9) as reading:  # no thread waits for ever
        assert reading("s3://b/last", 9) == b"s3://b/last"


def test_a_decoding_that_is_given_up_reads_no_more(bucket: Any) -> None:
    for i in range(3):
        bucket.put(f"few/{i}.png", PNG)
    decoding = decode_all(itertools.cycle(walk_images("s3://photos/few")), RECIPE, 1, 3)
    assert next(decoding).errors == [""] * 3
    decoding.close()
