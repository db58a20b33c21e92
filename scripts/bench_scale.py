"""Measure what grows: inputs of several kinds, processes of this machine, and a Dask cluster of this machine.

    python scripts/bench_scale.py [--json FILE] [--repeat N] [--only PART ...]

Ways that are compared run in turn; times are medians. The images are made here. Linux only.
"""

import itertools
import json
import logging
import os
import subprocess
import sys
import tarfile
import tempfile
import time
import urllib.request
import zipfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from bench_pipeline import RECIPES, SIZES, model_for, photos
from benching import Parts, run

from xpnet.backend import select
from xpnet.data import ColumnMatrix, fit_standardizer
from xpnet.linear import descend
from xpnet.nn import LogisticRegression, SoftmaxRegression
from xpnet.pipelines.images import Cluster
from xpnet.pipelines.training import sums_on

COUNT = 20_000
"""How many images `cluster` scores."""

WAYS = {"2 processes": ("--workers", "2"), "Dask, 2 processes": ("--cluster", "local:2")}
"""The options that are compared."""

GROWTH = (10_000, 100_000, 1_000_000)
"""How many inputs `inputs` has. Their files are missing, so that only what handles them is measured."""

FEW = 4_000
"""How many images `sources` scores."""

BUCKET = "photos"
"""The bucket of `sources`."""

STEP_SHAPES = {
    "12288 x 40,000, 2 classes": (40_000, 12_288, 2),
    "3072 x 80,000, 10 classes": (80_000, 3072, 10),
}
"""Examples, features and classes of the data of `steps`."""

STEPS = 10
"""How many steps a measurement of `steps` has."""

JOB = """
import resource, sys, time
began = time.perf_counter()
from xpnet.pipelines.cli import main
try:
    main()
except SystemExit as ended:
    assert ended.code in (None, 0, 4), ended.code
seconds = time.perf_counter() - began
workers = resource.getrusage(resource.RUSAGE_CHILDREN)
# What getrusage says of this process counts what its parent had when it started it.
with open("/proc/self/status") as status:
    here = next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
print(seconds, here / 1024, workers.ru_maxrss / 1024)
"""
"""One run, in another process. Prints the seconds, and the most megabytes of it and of any child."""


def measured(*arguments: object) -> tuple[float, ...]:
    """Run `xpnet predict`; return the seconds and the memory as `JOB` prints them."""
    command = [sys.executable, "-c", JOB, "predict", *map(str, arguments), "-q", "--device", "cpu"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603  (the code above)
    return tuple(map(float, done.stdout.split()))


@contextmanager
def running_cluster(folder: Path) -> Iterator[str]:
    """Give the address of a scheduler of Dask that runs already, with two workers."""
    from distributed import Client

    file = folder / "scheduler.json"
    common = ("--scheduler-file", str(file), "--no-dashboard")
    scheduler = "dask_scheduler", "--host", "127.0.0.1", "--port", "0", *common
    worker = "dask_worker", "--no-nanny", "--nthreads", "1", *common
    started = [
        subprocess.Popen(  # noqa: S603  (Dask's own programs)
            [sys.executable, "-P", "-m", f"distributed.cli.{program}", *options],
            stderr=subprocess.DEVNULL,
        )
        for program, *options in (scheduler, worker, worker)
    ]
    try:
        while not file.exists():
            time.sleep(0.1)
        address = json.loads(file.read_text())["address"]
        with Client(address, set_as_default=False) as client:
            client.wait_for_workers(2)
        yield address
    finally:
        for process in started:
            process.kill()
            process.wait()


def cluster(repeat: int) -> list[dict[str, Any]]:
    """Whole commands on 20,000 images of 400 x 534, with both decoders."""
    rows = []
    with (
        photos(SIZES["400 x 534"], COUNT) as folder,
        tempfile.TemporaryDirectory() as made,
        running_cluster(Path(made)) as address,
    ):
        ways = WAYS | {"Dask, 2 running workers": ("--cluster", address)}
        for decoder, recipe in RECIPES.items():
            found: dict[str, list[tuple[float, ...]]] = defaultdict(list)
            outputs = {way: Path(made) / f"{way}.csv" for way in ways}
            model = model_for(Path(made), recipe)
            for _, (way, options) in itertools.product(range(repeat), ways.items()):
                found[way].append(measured(model, folder, "-o", outputs[way], *options))
            if len({output.read_bytes() for output in outputs.values()}) > 1:
                msg = "the outputs differ"
                raise SystemExit(msg)
            middle = {way: [median(column) for column in zip(*found[way], strict=True)] for way in ways}
            rows += [
                {
                    "decoder": decoder,
                    "by": way,
                    "images/s": COUNT / seconds,
                    "of own processes": middle["2 processes"][0] / seconds,
                    "memory here, MB": here,
                    "memory of a worker, MB": worker if way in WAYS else None,  # others are no children
                }
                for way, (seconds, here, worker) in middle.items()
            ]
    return rows


@contextmanager
def bucket() -> Iterator[Any]:
    """Give a store of an empty bucket on a server of S3 on this machine, in a process of its own."""
    from obstore.store import from_url

    code = (
        "from moto.server import ThreadedMotoServer; import time; "
        "server = ThreadedMotoServer(ip_address='127.0.0.1', port=0, verbose=False); server.start(); "
        "print(server.get_host_and_port()[1], flush=True); time.sleep(1e6)"
    )
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)  # noqa: S603
    try:
        assert server.stdout is not None  # noqa: S101  (it is a pipe)
        url = f"http://127.0.0.1:{int(server.stdout.readline())}"
        keys = {"AWS_ACCESS_KEY_ID": "user", "AWS_SECRET_ACCESS_KEY": "word", "AWS_REGION": "us-east-1"}
        os.environ.update({"AWS_ENDPOINT_URL": url, **keys})
        urllib.request.urlopen(urllib.request.Request(f"{url}/{BUCKET}", method="PUT")).close()  # noqa: S310
        yield from_url(f"s3://{BUCKET}", client_options={"allow_http": True})
    finally:
        server.kill()
        server.wait()


def sources(repeat: int) -> list[dict[str, Any]]:
    """Whole commands on 4,000 images of 400 x 534 in several kinds of places, by one and by two processes."""
    rows = []
    with photos(SIZES["400 x 534"], FEW) as folder, tempfile.TemporaryDirectory() as made, bucket() as store:
        files = sorted(folder.glob("*/*.jpg"))
        with (
            tarfile.open(f"{made}/photos.tar", "w") as tar,
            zipfile.ZipFile(f"{made}/photos.zip", "w") as zip_,
        ):
            for file in files:
                name = file.relative_to(folder).as_posix()
                tar.inodes = {}  # equal files are hard links, which the archive must not have
                tar.add(file, name)
                zip_.write(file, name)
                store.put(f"photos/{name}", file.read_bytes())
        places = {
            "folder": folder,
            "tar": f"{made}/photos.tar",
            "zip": f"{made}/photos.zip",
            "s3": f"s3://{BUCKET}/photos/",
        }
        model = model_for(Path(made), RECIPES["pillow"])
        found: dict[tuple[str, int], list[tuple[float, ...]]] = defaultdict(list)
        for _, (name, place), workers in itertools.product(range(repeat), places.items(), (1, 2)):
            output = f"{made}/{name}{workers}.csv"
            found[name, workers].append(measured(model, place, "-o", output, "--workers", workers))
        for (name, workers), runs in found.items():
            seconds, here, worker = (median(column) for column in zip(*runs, strict=True))
            rows.append(
                {
                    "images in": name,
                    "processes": workers,
                    "images/s": FEW / seconds,
                    "of a folder": median(run[0] for run in found["folder", workers]) / seconds,
                    "memory here, MB": here,
                    "memory of a worker, MB": worker,
                }
            )
    return rows


def most_memory(processes: Sequence[str]) -> float:
    """Return the most megabytes that any of some processes has, besides mapped files, which they share."""
    found = []
    for process in processes:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
        found.append(next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")))
    return max(found) / 1024


def steps(repeat: int) -> list[dict[str, Any]]:
    """Full-batch gradient descent on a mapped file, by this process and by two workers of Dask."""
    rows, backend = [], select("cpu")
    generator = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as made, Cluster("local:2") as cluster:
        for name, (m, n_x, classes) in STEP_SHAPES.items():
            path = Path(made) / f"{m}x{n_x}"
            with path.open("wb") as file:
                file.writelines(generator.bytes(n_x) for _ in range(m))
            mapped = np.asarray(np.memmap(path, np.uint8, "r", shape=(m, n_x)))
            data, Y = (
                ColumnMatrix(mapped, fit_standardizer([], "unit")),
                generator.integers(0, classes, (1, m)),
            )
            model = LogisticRegression(n_x) if classes == 2 else SoftmaxRegression(n_x, classes)
            ways = {"this process": None, "Dask, 2 processes": sums_on(cluster, "cpu")}
            found: dict[str, list[float]] = defaultdict(list)
            costs = {}
            for round_, (way, make_sums) in itertools.product(range(repeat + 1), ways.items()):
                began = time.perf_counter()
                result = descend(
                    model, data, Y, backend, iterations=STEPS, learning_rate=0.01, make_sums=make_sums
                )
                costs[way] = result.history.costs
                if round_:  # the first one reads the file
                    found[way].append((time.perf_counter() - began) / STEPS)
            children = itertools.chain(
                *(each.read_text().split() for each in Path("/proc/self/task").glob("*/children"))
            )
            memory = {"this process": most_memory(["self"]), "Dask, 2 processes": most_memory(list(children))}
            if costs["this process"] != costs["Dask, 2 processes"]:
                msg = "the costs differ"
                raise SystemExit(msg)
            rows += [
                {
                    "data": name,
                    "by": way,
                    "ms / step": median(seconds) * 1e3,
                    "GB/s": m * n_x / median(seconds) / 1e9,
                    "of this process": median(found["this process"]) / median(seconds),
                    "memory besides the file, MB": memory[way],
                }
                for way, seconds in found.items()
            ]
            path.unlink()
    return rows


def inputs(repeat: int) -> list[dict[str, Any]]:
    """Time and memory for growing numbers of inputs. Each process ends with a row for every input."""
    rows = []
    with tempfile.TemporaryDirectory() as made:
        model, listed = model_for(Path(made), RECIPES["pillow"]), Path(made) / "list.txt"
        for count, (way, options) in itertools.product(GROWTH, WAYS.items()):
            listed.write_text("".join(f"/nowhere/{i:09}.jpg\n" for i in range(count)))
            found = [
                measured(model, "--files-from", listed, "-o", f"{made}/rows.csv", *options)
                for _ in range(repeat if count < GROWTH[-1] else 1)
            ]
            seconds, here, worker = (median(column) for column in zip(*found, strict=True))
            rows.append(
                {
                    "inputs": count,
                    "by": way,
                    "seconds": seconds,
                    "µs / input": seconds / count * 1e6,
                    "memory here, MB": here,
                    "memory of a worker, MB": worker,
                }
            )
    return rows


PARTS: Parts = {
    "cluster": (f"xpnet predict, {COUNT} JPEGs of 400 x 534", cluster),
    "sources": (f"xpnet predict, {FEW} JPEGs of 400 x 534", sources),
    "steps": ("full-batch gradient descent, float32, costs are equal", steps),
    "inputs": ("xpnet predict, a list of files that are missing", inputs),
}


if __name__ == "__main__":
    run(__doc__, PARTS, ["pillow", "simplejpeg", "distributed"])
