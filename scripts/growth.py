"""A model of the time that many images take, and on how many cores: what limits it where.

    python scripts/growth.py scripts/results/growth.json    print the tables of docs/growth.md
    python scripts/growth.py --measure FILE                 measure this machine, with two workers of Dask

A test compares the page with the tables. The model is a few divisions: each part of the work has a speed, and
the slowest one is the limit.
"""

import contextlib
import io
import itertools
import json
import os
import pickle
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from bench_pipeline import RECIPES, SIZES, model_for, photo
from benching import machine, medians

from xpnet import load, select
from xpnet.data import ColumnMatrix, DeviceMatrix, fit_standardizer
from xpnet.linear import LocalSums
from xpnet.pipelines.images import Cluster, DecodedImages, Needs, decode_chunk
from xpnet.pipelines.models import Prediction, RowOptions
from xpnet.pipelines.predictions import ScoreTask, part_of, write_predictions

N_X = 12_288
"""Bytes of an image for the model: 64 x 64 pixels of three colors."""

COUNTS = tuple(10**k for k in range(4, 10))
"""How many images the tables are for."""

CORES = (2, 16, 256, 4096)
"""How many cores the tables are for."""

STEP_CORES = (1, 16, 256, 4096)
"""How many cores the tables of training are for."""

NETWORK = 1.25e9
"""Bytes a second to and from a machine: 10 gigabits. Assumed."""

STORE = 10e9
"""Bytes a second that a shared file system or a bucket gives all workers together. Assumed."""

CORE_HOUR = 0.04
"""Dollars for an hour of a core. Assumed: about what clouds ask for machines by the hour."""

START = 10.0
"""Seconds that workers and models take to start. Assumed."""


@dataclass(frozen=True)
class Measured:
    """What was measured on a machine.

    Attributes:
        decoded: images a second that a core decodes and scores, JPEGs of 400 x 534.
        image_bytes: bytes of such a file.
        client: seconds that the machine with the output takes for an image: its path, and its row.
        row_bytes: bytes of a row.
        call: seconds until a call of a worker is answered.
        summed: bytes of examples a second that a core sums losses and gradients over, of logistic regression.
    """

    decoded: float
    image_bytes: float
    client: float
    row_bytes: float
    call: float
    summed: float


def predict_time(measured: Measured, images: int, cores: int) -> tuple[float, str]:
    """Return the seconds of `xpnet predict` on a cluster, and what limits it."""
    limits = {
        "the workers": images / (cores * measured.decoded),
        "the storage": images * measured.image_bytes / STORE,
        "one machine writes the rows": images * max(measured.client, measured.row_bytes / NETWORK),
    }
    limit = max(limits, key=limits.__getitem__)
    return START + limits[limit], limit if limits[limit] > START else "the start"


def preprocess_time(measured: Measured, images: int, cores: int) -> tuple[float, str]:
    """Return the seconds of `xpnet preprocess` on a cluster, and what limits it."""
    limits = {
        "the workers": images / (cores * measured.decoded),
        "the storage": images * measured.image_bytes / STORE,
        "the network of one machine": images * N_X / NETWORK,
    }
    limit = max(limits, key=limits.__getitem__)
    return START + limits[limit], limit if limits[limit] > START else "the start"


def step_time(measured: Measured, images: int, cores: int) -> tuple[float, str]:
    """Return the seconds of a step of full-batch logistic regression, when workers hold their shards.

    Each worker gets W and returns a few partial sums, as many as its shards have whole pairs of pairs.
    """
    if cores == 1:
        return images * N_X / measured.summed, "the workers"
    shards = max(1, images * N_X // (64 << 20))
    workers = min(cores, shards)
    returned = 1 + int(np.ceil(np.log2(max(1, shards / workers))))
    limits = {
        "the workers": images * N_X / (workers * measured.summed),
        "the network of one machine": workers * (1 + returned) * 4 * N_X / NETWORK,
        "calling workers": measured.call * max(1.0, workers / 2),
    }
    limit = max(limits, key=limits.__getitem__)
    return sum(limits.values()), limit


def duration(seconds: float) -> str:
    """Return seconds for people, with two digits."""
    for unit, size in (("days", 86400.0), ("h", 3600.0), ("min", 60.0), ("s", 1.0), ("ms", 1e-3)):
        if seconds >= (1.5 if unit in ("days", "h", "min") else 1.0) * size or unit == "ms":
            return f"{float(f'{seconds / size:.2g}'):g} {unit}"
    raise AssertionError


def measurements(measured: Measured) -> str:
    """Return the table of what was measured."""
    rows = {
        "a core decodes and scores JPEGs of 400 x 534": f"{measured.decoded:,.0f} images/s",
        "such a file has": f"{measured.image_bytes / 1e3:.0f} kB",
        "the machine with the output takes for an image": f"{measured.client * 1e6:.2g} µs",
        "a row has": f"{measured.row_bytes:.0f} bytes",
        "two workers answer a call after": f"{measured.call * 1e3:.2g} ms",
        "a core sums losses and gradients of logistic regression over": f"{measured.summed / 1e9:.2g} GB/s",
    }
    return "\n".join(["| what | measured |", "| --- | --- |", *(f"| {a} | {b} |" for a, b in rows.items())])


def tables(measured: Measured) -> str:
    """Return the tables of the page."""
    models = {
        "`xpnet predict --cluster`": (predict_time, CORES),
        "`xpnet preprocess --cluster`": (preprocess_time, CORES),
        "A step of full-batch logistic regression on 12,288 features": (step_time, STEP_CORES),
    }
    return "\n\n".join(f"{title}:\n\n{_table(measured, *how)}" for title, how in models.items())


def _table(measured: Measured, function: Callable[..., tuple[float, str]], all_cores: tuple[int, ...]) -> str:
    def cell(images: int, cores: int) -> str:
        seconds, limit = function(measured, images, cores)
        cost = "" if function is step_time else f", ${float(f'{seconds * cores * CORE_HOUR / 3600:.2g}'):g}"
        return f"{duration(seconds)}{cost}: {limit}"

    heads = ["images", *(f"{cores} core{'s' * (cores > 1)}" for cores in all_cores)]
    lines = [heads, ["---"] * len(heads)]
    lines += [[f"{images:,}", *(cell(images, cores) for cores in all_cores)] for images in COUNTS]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


class Simulated(Cluster):
    """A cluster that answers at once, so that only this machine's work is measured."""

    def __init__(self, rows: bytes) -> None:
        self._rows = rows

    def facts(self, needs: Needs) -> dict[str, str]:
        """See `Cluster.facts`."""
        del needs
        return {"the device": "cpu"}

    def map(self, task: Any, paths: Iterable[str], size: int, first: int = 0) -> Iterator[Any]:
        """See `Cluster.map`. Each part is unpickled, as one that comes from a worker."""
        del task, size, first
        iterator = iter(paths)
        while list(itertools.islice(iterator, 512)):
            yield pickle.loads(self._rows)  # noqa: S301  (made by this script)


def measure(images: int = 200_000) -> dict[str, Any]:
    """Measure this machine; return the fields of `Measured`, and the machine."""
    cpu = select("cpu")
    with tempfile.TemporaryDirectory() as made, Cluster("local:2") as cluster:
        folder = Path(made)
        files = [folder / f"{i}.jpg" for i in range(100)]
        for i, file in enumerate(files):
            file.write_bytes(photo(SIZES["400 x 534"], i))
        model = load(model_for(folder, RECIPES["pillow"]))
        predictor, names = model.predictor(cpu, RowOptions(), takes_tables=False), list(map(str, files))

        def score() -> list[list[Prediction]]:
            decoded: DecodedImages = decode_chunk(names, RECIPES["pillow"])
            return list(predictor.predict_parts([decoded]))

        score()
        seconds = _median(score, 9)
        long_names = [f"/shared/photos/2026-11-27/{i:09}.jpg" for i in range(512)]
        predictions = [Prediction(name, "ok", "a", 0.75) for name in long_names]
        task = ScoreTask.of(model, RowOptions(), "csv", None)
        part = part_of(task.new_format_for(model), predictions)
        simulated, paths = Simulated(pickle.dumps(part)), long_names * (images // 512)

        def write() -> None:
            write_predictions(model, iter(paths), cpu, io.BytesIO(), workers=simulated)

        client = _median(write, 3) / len(paths)
        needs = Needs("pillow")
        call = _median(lambda: cluster.call_each(abs, [(1,), (2,)], cluster.names()[:2], needs), 50)
        examples = np.random.default_rng(0).integers(0, 256, (40_000, N_X), dtype=np.uint8)
        data = DeviceMatrix(ColumnMatrix(examples, fit_standardizer([], "unit")), cpu)
        sums = LocalSums(data, np.ones((1, len(examples)), np.float32), None, "sigmoid", "float32")
        W, b = np.full((1, N_X), 1e-5, np.float32), np.zeros((1, 1), np.float32)
        with _one_core():
            step = _median(lambda: sums(W, b), 5)
        measured = Measured(
            decoded=len(files) / seconds,
            image_bytes=sum(file.stat().st_size for file in files) / len(files),
            client=client,
            row_bytes=len(part.rows) / len(predictions),
            call=call,
            summed=examples.nbytes / step,
        )
    return {"machine": machine(), "measured": asdict(measured)}


@contextlib.contextmanager
def _one_core() -> Iterator[None]:
    """Let this process use one core."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _median(function: Callable[[], object], repeat: int) -> float:
    return medians({"": function}, repeat)[""]


if __name__ == "__main__":
    *option, name = sys.argv[1:]
    if option == ["--measure"]:
        Path(name).write_text(json.dumps(measure(), indent=2) + "\n", encoding="utf-8")
    found = Measured(**json.loads(Path(name).read_text(encoding="utf-8"))["measured"])
    print(measurements(found), tables(found), sep="\n\n")
